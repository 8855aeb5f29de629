//! How long and how each architecture is trained unless the command line says otherwise. The reference's settings are
//! those of `paper`.

use crate::adam;
use crate::steps::LOSS_WEIGHT;
use crate::trainer::Settings;

/// Generator steps between checkpoints.
pub const CHECKPOINT_EVERY: usize = 50;

/// The settings that depend on the architecture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recipe {
    /// Generator steps on the reconstruction alone, at most.
    pub warm_up: usize,
    /// Generator steps after them, at most.
    pub steps: usize,
    /// Epochs without an improvement that end either; 0: none do.
    pub patience: usize,
    /// Weight of the mean squared reconstruction error.
    pub reconstruction_weight: f32,
    /// Adam's rate.
    pub learning_rate: f64,
    /// Samples of a batch.
    pub batch: usize,
    /// Whether dropout acts.
    pub dropout: bool,
    /// Decay a generator step of the average of the weights.
    pub average: f64,
}

impl Recipe {
    /// What the reference does, but for the averaged weights.
    pub const PAPER: Self = Self {
        warm_up: 0,
        steps: 1_000,
        patience: 0,
        reconstruction_weight: LOSS_WEIGHT,
        learning_rate: adam::LEARNING_RATE,
        batch: 64,
        dropout: true,
        average: 0.995,
    };

    /// What gives small errors soon: see the crate's documentation for why.
    pub const COMPACT: Self = Self {
        warm_up: 2_000,
        steps: 600,
        patience: 20,
        reconstruction_weight: 300.0,
        dropout: false,
        ..Self::PAPER
    };

    /// What AER's authors do, but for the averaged weights and longer.
    pub const AER: Self = Self {
        steps: 2_000,
        patience: 10,
        learning_rate: 0.001,
        dropout: false,
        ..Self::PAPER
    };

    /// The recipe of a named architecture.
    #[must_use]
    pub fn of(architecture: &str) -> Self {
        match architecture {
            "paper" => Self::PAPER,
            "aer" => Self::AER,
            _ => Self::COMPACT,
        }
    }

    /// Settings of the loop, with seed 0 and one thread.
    #[must_use]
    pub fn settings(&self) -> Settings {
        Settings {
            batch: self.batch,
            learning_rate: self.learning_rate,
            average: self.average,
            warm_up: self.warm_up,
            reconstruction_weight: self.reconstruction_weight,
            dropout: self.dropout,
            ..Settings::default()
        }
    }
}
