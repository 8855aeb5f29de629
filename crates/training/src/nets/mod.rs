//! The four nets. Each owns its layout and computes over flat weights that the caller keeps, so that two threads can
//! run one net over two halves of a batch.

mod autoencoder;
mod critic;

pub use autoencoder::{Encoder, EncoderTape, Generator, GeneratorTape};
pub use critic::{Critic, CriticTape, LEAK, PenaltyTape};

use std::collections::BTreeMap;

use scorer::manifest::Architecture;

use crate::rng::{Purpose, Streams};

/// Rate of dropout and recurrent dropout in the generator.
pub const GENERATOR_DROPOUT: f32 = 0.2;
/// Rate of dropout after each convolution of the critic of windows.
pub const CRITIC_X_DROPOUT: f32 = 0.25;
/// Rate of dropout after each hidden layer of the critic of latents.
pub const CRITIC_Z_DROPOUT: f32 = 0.2;

/// Names of the nets, in the order of bundles and checkpoints.
pub const NAMES: [&str; 4] = ["encoder", "generator", "critic_x", "critic_z"];

/// Sizes that shape the nets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Window length L; even, above 16.
    pub window: usize,
    /// Width of the latent space.
    pub latent: usize,
    /// LSTM units a direction in the encoder.
    pub encoder_units: usize,
    /// LSTM units a direction in each of the generator's layers.
    pub generator_units: usize,
    /// Filters of each convolution of the critic of windows.
    pub critic_filters: usize,
    /// Units of the hidden layers of the critic of latents.
    pub critic_z_units: usize,
}

impl Sizes {
    /// The sizes of the paper as Orion has them (its critic of latents is 20 wide where the paper's code had 100).
    #[must_use]
    pub fn paper() -> Self {
        Self {
            window: 100,
            latent: 20,
            encoder_units: 100,
            generator_units: 64,
            critic_filters: 64,
            critic_z_units: 20,
        }
    }

    /// About a twentieth of the work of [`Sizes::paper`].
    #[must_use]
    pub fn small() -> Self {
        Self {
            encoder_units: 24,
            generator_units: 16,
            critic_filters: 16,
            ..Self::paper()
        }
    }

    /// The sizes of a named architecture.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "paper" => Some(Self::paper()),
            "small" => Some(Self::small()),
            _ => None,
        }
    }
}

/// The shapes of the four nets.
#[derive(Clone, Debug)]
pub struct Nets {
    /// Sizes they were built from.
    pub sizes: Sizes,
    /// Windows to latents.
    pub encoder: Encoder,
    /// Latents to windows.
    pub generator: Generator,
    /// Judges windows.
    pub critic_x: Critic,
    /// Judges latents.
    pub critic_z: Critic,
}

/// The weights of the four nets, one flat vector each; also gradients, moments and averages of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Weights {
    /// Of the encoder.
    pub encoder: Vec<f32>,
    /// Of the generator.
    pub generator: Vec<f32>,
    /// Of the critic of windows.
    pub critic_x: Vec<f32>,
    /// Of the critic of latents.
    pub critic_z: Vec<f32>,
}

impl Weights {
    /// The vectors in the order of [`NAMES`].
    #[must_use]
    pub fn nets(&self) -> [&Vec<f32>; 4] {
        [&self.encoder, &self.generator, &self.critic_x, &self.critic_z]
    }

    /// The vectors in the order of [`NAMES`].
    pub fn nets_mut(&mut self) -> [&mut Vec<f32>; 4] {
        [
            &mut self.encoder,
            &mut self.generator,
            &mut self.critic_x,
            &mut self.critic_z,
        ]
    }
}

impl Nets {
    /// Nets of the given sizes.
    ///
    /// # Panics
    /// When the window is odd or not above 16: the command line checks it first.
    #[must_use]
    pub fn new(sizes: Sizes) -> Self {
        assert!(
            sizes.window.is_multiple_of(2) && sizes.window > 16,
            "window is even and above 16"
        );
        Self {
            encoder: Encoder::new(&sizes),
            generator: Generator::new(&sizes),
            critic_x: Critic::of_windows(&sizes),
            critic_z: Critic::of_latents(&sizes),
            sizes,
        }
    }

    /// The layouts in the order of [`NAMES`].
    #[must_use]
    pub fn layouts(&self) -> [&crate::params::Layout; 4] {
        [
            &self.encoder.layout,
            &self.generator.layout,
            &self.critic_x.layout,
            &self.critic_z.layout,
        ]
    }

    /// Fresh weights.
    #[must_use]
    pub fn init(&self, streams: Streams) -> Weights {
        let mut weights = Weights::default();
        for (net, (slot, layout)) in weights.nets_mut().into_iter().zip(self.layouts()).enumerate() {
            *slot = layout.init(&mut streams.stream(Purpose::Weights, net, 0));
        }
        weights
    }

    /// What the manifest says about the nets.
    #[must_use]
    pub fn architecture(&self, name: &str) -> Architecture {
        Architecture {
            name: name.to_owned(),
            sizes: BTreeMap::from([
                ("encoder_units".to_owned(), self.sizes.encoder_units),
                ("generator_units".to_owned(), self.sizes.generator_units),
                ("critic_filters".to_owned(), self.sizes.critic_filters),
                ("critic_z_units".to_owned(), self.sizes.critic_z_units),
            ]),
            parameters: NAMES
                .map(str::to_owned)
                .into_iter()
                .zip(self.layouts().map(crate::params::Layout::len))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameter_counts_are_those_of_the_paper() {
        assert_eq!(
            Nets::new(Sizes::paper())
                .layouts()
                .map(crate::params::Layout::len),
            [481_620, 133_787, 67_393, 861]
        );
    }
}
