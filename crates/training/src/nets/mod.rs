//! The four nets, of which AER has two. Each owns its layout and computes over flat weights that the caller keeps, so
//! that two threads can run one net over two halves of a batch.

mod aer;
mod autoencoder;
mod conv;
mod critic;
mod recurrent;

pub use aer::{AerDecoder, AerEncoder, AerLoss};
pub use autoencoder::{Encoder, EncoderBody, EncoderTape, Generator, GeneratorBody, GeneratorTape};
pub use conv::{ConvEncoder, ConvGenerator};
pub use critic::{Critic, CriticTape, LEAK, PenaltyTape};
pub use recurrent::{RecurrentEncoder, RecurrentGenerator};

use scorer::manifest::{Architecture, ModelKind};

use crate::principal::Principal;
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
    /// Window length L; above 16, even, and a multiple of 4 for convolutional nets; at least 4 for AER.
    pub window: usize,
    /// Width of the latent space.
    pub latent: usize,
    /// What encoder and generator are made of.
    pub body: Body,
    /// Filters of each convolution of the critic of windows; unused where there are no critics.
    pub critic_filters: usize,
    /// Units of the hidden layers of the critic of latents; unused where there are no critics.
    pub critic_z_units: usize,
}

/// What encoder and generator are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// Bidirectional LSTMs, as in the paper.
    Recurrent {
        /// Units a direction in the encoder.
        encoder_units: usize,
        /// Units a direction in each of the generator's two layers.
        generator_units: usize,
    },
    /// A linear map and convolutions.
    Conv {
        /// Filters of the encoder's first convolution; the second has twice as many.
        encoder_filters: usize,
        /// Filters of the generator's convolutions.
        generator_filters: usize,
    },
    /// The auto-encoder that predicts; it has no critics, and its latent is twice as wide as it has units.
    Aer {
        /// Units a direction in encoder and decoder.
        units: usize,
    },
}

impl Body {
    /// Its sizes by the name that manifests give them.
    #[must_use]
    pub fn named(self) -> Vec<(&'static str, usize)> {
        match self {
            Self::Recurrent {
                encoder_units,
                generator_units,
            } => vec![
                ("encoder_units", encoder_units),
                ("generator_units", generator_units),
            ],
            Self::Conv {
                encoder_filters,
                generator_filters,
            } => vec![
                ("encoder_filters", encoder_filters),
                ("generator_filters", generator_filters),
            ],
            Self::Aer { units } => vec![("units", units)],
        }
    }
}

/// Names of the architectures of TadGAN, as `--arch` takes them.
pub const ARCHITECTURES: [&str; 3] = ["paper", "small", "conv"];

impl Sizes {
    /// The sizes of the paper as Orion has them (its critic of latents is 20 wide where the paper's code had 100).
    #[must_use]
    pub fn paper() -> Self {
        Self {
            window: 100,
            latent: 20,
            body: Body::Recurrent {
                encoder_units: 100,
                generator_units: 64,
            },
            critic_filters: 64,
            critic_z_units: 20,
        }
    }

    /// The paper's layers at about a twentieth of its work.
    #[must_use]
    pub fn small() -> Self {
        Self {
            body: Body::Recurrent {
                encoder_units: 24,
                generator_units: 16,
            },
            critic_filters: 16,
            ..Self::paper()
        }
    }

    /// Convolutions around a linear map.
    #[must_use]
    pub fn conv() -> Self {
        Self {
            body: Body::Conv {
                encoder_filters: 16,
                generator_filters: 16,
            },
            critic_filters: 16,
            ..Self::paper()
        }
    }

    /// The auto-encoder that predicts, at its published sizes.
    #[must_use]
    pub fn aer() -> Self {
        Self {
            window: 100,
            latent: 2 * aer::UNITS,
            body: Body::Aer { units: aer::UNITS },
            critic_filters: 0,
            critic_z_units: 0,
        }
    }

    /// Which method nets of these sizes belong to.
    #[must_use]
    pub fn model(&self) -> ModelKind {
        match self.body {
            Body::Recurrent { .. } | Body::Conv { .. } => ModelKind::Tadgan,
            Body::Aer { .. } => ModelKind::Aer,
        }
    }

    /// How many values of a window its scaling may look at: all, but not the last where that is to be predicted.
    #[must_use]
    pub fn known(&self) -> usize {
        match self.model() {
            ModelKind::Tadgan => self.window,
            ModelKind::Aer => self.window - 1,
        }
    }

    /// The sizes of a named architecture, one of [`ARCHITECTURES`].
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "paper" => Some(Self::paper()),
            "small" => Some(Self::small()),
            "conv" => Some(Self::conv()),
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
    /// When the window is odd or not above 16, or no multiple of 4 for convolutional nets, or shorter than 4 for AER:
    /// the command line checks it first.
    #[must_use]
    pub fn new(sizes: Sizes) -> Self {
        match sizes.model() {
            ModelKind::Tadgan => assert!(
                sizes.window.is_multiple_of(2) && sizes.window > 16,
                "window is even and above 16"
            ),
            ModelKind::Aer => assert!(sizes.window >= 4, "there is something between two ends"),
        }
        let quarters = matches!(sizes.body, Body::Conv { .. });
        assert!(
            !quarters || sizes.window.is_multiple_of(4),
            "the window of convolutional nets is a multiple of 4"
        );
        let (critic_x, critic_z) = match sizes.model() {
            ModelKind::Tadgan => (Critic::of_windows(&sizes), Critic::of_latents(&sizes)),
            ModelKind::Aer => (Critic::none(), Critic::none()),
        };
        Self {
            encoder: Encoder::new(&sizes),
            generator: Generator::new(&sizes),
            critic_x,
            critic_z,
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

    /// Sets what can start from data, given the principal components of some training windows, to where it starts best:
    /// the linear maps of convolutional nets.
    pub fn start_at(&self, principal: &Principal, weights: &mut Weights) {
        if !matches!(self.sizes.body, Body::Conv { .. }) {
            return;
        }
        self.encoder.start_at(principal, &mut weights.encoder);
        self.generator.start_at(principal, &mut weights.generator);
    }

    /// What the manifest says about the nets.
    #[must_use]
    pub fn architecture(&self, name: &str) -> Architecture {
        let nets = self.sizes.model().net_files().len();
        let mut sizes = self.sizes.body.named();
        if nets == NAMES.len() {
            sizes.extend([
                ("critic_filters", self.sizes.critic_filters),
                ("critic_z_units", self.sizes.critic_z_units),
            ]);
        }
        Architecture {
            name: name.to_owned(),
            sizes: sizes
                .into_iter()
                .map(|(name, size)| (name.to_owned(), size))
                .collect(),
            parameters: NAMES
                .map(str::to_owned)
                .into_iter()
                .zip(self.layouts().map(crate::params::Layout::len))
                .take(nets)
                .collect(),
        }
    }
}

/// `[rows, cols] → [cols, rows]`.
fn transpose(from: &[f32], rows: usize, cols: usize, to: &mut Vec<f32>) {
    to.resize(rows * cols, 0.0);
    for (row, values) in from.chunks_exact(cols).enumerate() {
        for (col, value) in values.iter().enumerate() {
            to[col * rows + row] = *value;
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
