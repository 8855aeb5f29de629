//! The anomaly score: reconstruction error and critic score combined.

use ndarray::ArrayView2;

use super::errors::{self, ErrorKind};
use super::{critic, mean, std};

/// How the two parts become one. Both are at least 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Combination {
    /// `c_t · r_t`.
    Mult,
    /// `r_t`: the critic has no say.
    Rec,
    /// `(1 - λ)(c_t - 1) + λ(r_t - 1)`.
    Sum {
        /// λ, the share of the reconstruction; 0.5 in the reference.
        lambda: f64,
    },
}

/// What [`score_anomalies`] is asked for; the defaults are the reference's pipeline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoreSpec {
    /// Error of the reconstruction.
    pub error: ErrorKind,
    /// Samples of the area and DTW windows.
    pub score_window: usize,
    /// Samples of the error's smoothing window; `None` is [`errors::default_smoothing`].
    pub error_smoothing: Option<usize>,
    /// Samples of the critic's smoothing window; `None` is [`errors::default_smoothing`].
    pub critic_smoothing: Option<usize>,
    /// How the parts are combined.
    pub combination: Combination,
}

impl Default for ScoreSpec {
    fn default() -> Self {
        Self {
            error: ErrorKind::Dtw,
            score_window: 10,
            error_smoothing: None,
            critic_smoothing: None,
            combination: Combination::Mult,
        }
    }
}

/// Every stage of the score, one value a timestamp.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    /// Median reconstruction, in the nets' units.
    pub predicted: Vec<f64>,
    /// Error before smoothing.
    pub raw_error: Vec<f64>,
    /// Error after smoothing.
    pub error: Vec<f64>,
    /// Critic values picked by density.
    pub picks: Vec<f64>,
    /// Critic score.
    pub critic: Vec<f64>,
    /// The combination.
    pub score: Vec<f64>,
}

/// Scores N windows `x` (rows of length L, one sample apart) from their reconstructions `y` and critic values.
#[must_use]
pub fn score_anomalies(
    x: ArrayView2<'_, f64>,
    y: ArrayView2<'_, f64>,
    critics: &[f64],
    spec: &ScoreSpec,
) -> Scores {
    let default = errors::default_smoothing(x.nrows());
    let predicted = errors::median_predictions(y);
    let raw_error = errors::raw(spec.error, &errors::truth(x), &predicted, spec.score_window);
    let error = errors::rolling_mean(&raw_error, spec.error_smoothing.unwrap_or(default));
    let picks = critic::picks(critics, x.ncols());
    let critic = critic::score(&picks, spec.critic_smoothing.unwrap_or(default));
    let score = combine(&critic, &normalise(&error), spec.combination);
    Scores {
        predicted,
        raw_error,
        error,
        picks,
        critic,
        score,
    }
}

/// `max(z, 0) + 1` with z over the whole series (population standard deviation): errors below the average count
/// as average. NaN everywhere for constant errors.
#[must_use]
pub fn normalise(errors: &[f64]) -> Vec<f64> {
    let (mean, std) = (mean(errors), std(errors));
    let normalised = |e: &f64| {
        let z = (e - mean) / std;
        // `f64::max` would turn NaN into 0.
        if z < 0.0 { 1.0 } else { z + 1.0 }
    };
    errors.iter().map(normalised).collect()
}

/// Combines critic scores and normalised errors of the same length.
#[must_use]
pub fn combine(critic: &[f64], error: &[f64], combination: Combination) -> Vec<f64> {
    let both = |c: f64, r: f64| match combination {
        Combination::Mult => c * r,
        Combination::Rec => r,
        Combination::Sum { lambda } => (1.0 - lambda) * (c - 1.0) + lambda * (r - 1.0),
    };
    critic.iter().zip(error).map(|(c, r)| both(*c, *r)).collect()
}
