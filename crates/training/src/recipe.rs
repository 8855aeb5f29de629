//! How long and how each architecture is trained unless the command line says otherwise. The reference's settings are
//! those of `paper`.

use serde::{Deserialize, Serialize};

use crate::adam;
use crate::steps::LOSS_WEIGHT;
use crate::trainer::Settings;

/// Generator steps between checkpoints.
pub const CHECKPOINT_EVERY: usize = 50;

/// What the weight of the reconstruction error counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WeightUnit {
    /// Mean squared errors, as in the reference: the easier the series, the more the critics drown the reconstruction.
    One,
    /// Mean squared errors relative to that of the principal components, as many as latents: what the critics weigh
    /// then does not depend on how easy the series is.
    Linear,
}

impl WeightUnit {
    /// Name, as manifests and the command line have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::One => "one",
            Self::Linear => "linear",
        }
    }
}

/// The settings that depend on the architecture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recipe {
    /// Generator steps on the reconstruction alone, at most.
    pub warm_up: usize,
    /// Generator steps after them, at most.
    pub steps: usize,
    /// Epochs without an improvement that end either; 0: none do.
    pub patience: usize,
    /// Weight of the mean squared reconstruction error, in this unit.
    pub reconstruction_weight: f32,
    /// What that weight counts.
    pub weight_unit: WeightUnit,
    /// Share of the rate that encoder and generator keep after the warm-up, to which it falls linearly.
    pub final_rate: f64,
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
        weight_unit: WeightUnit::One,
        final_rate: 1.0,
        learning_rate: adam::LEARNING_RATE,
        batch: 64,
        dropout: true,
        average: 0.995,
    };

    /// What gives small errors soon: see the crate's documentation for why.
    pub const COMPACT: Self = Self {
        warm_up: 2_000,
        steps: 400,
        patience: 10,
        reconstruction_weight: 30.0,
        weight_unit: WeightUnit::Linear,
        final_rate: 0.1,
        dropout: false,
        ..Self::PAPER
    };

    /// What AER's authors do, but with averaged weights, and as long as it helps: see the crate's documentation.
    pub const AER: Self = Self {
        steps: 5_000,
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
            final_rate: self.final_rate,
            falls_over: self.warm_up,
            dropout: self.dropout,
            ..Settings::default()
        }
    }
}
