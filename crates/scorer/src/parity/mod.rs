//! The published batch method, stage by stage, in double precision: TadGAN as Orion 0.7 runs it.
//!
//! For tests and comparison only. It looks into the future, its numbers change with the length of the slice that is
//! scored, and its quirks (the shifted DTW error, the "+1" of normalised errors) are kept on purpose; the agent
//! scores with [`crate::causal`]. The stages, in order:
//!
//! 1. [`preprocess`]: first-sample grid, mean imputation, min-max scaling, rolling windows of length L;
//! 2. the nets (elsewhere): `ŷ_i = G(E(x_i))` and `c_i = Cx(x_i)` for every window;
//! 3. [`errors`]: one prediction a timestamp, its point, area or DTW ([`dtw`]) error, smoothed;
//! 4. [`critic`]: one critic value a timestamp, normalised, smoothed;
//! 5. [`score`]: both combined;
//! 6. [`anomalies`]: a [`threshold`] in each of many sliding windows, runs above it, pruning, merging.
//!
//! [`aer`] is 3 to 5 for its sibling AER.
//!
//! Where the reference raises an exception or yields nothing but NaN, the functions say what they do.

pub mod aer;
pub mod anomalies;
pub mod critic;
pub mod dtw;
pub mod errors;
pub mod preprocess;
pub mod score;
pub mod threshold;

/// Mean; NaN for an empty slice.
fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Population standard deviation (divides by n); NaN for an empty slice.
fn std(values: &[f64]) -> f64 {
    let mean = mean(values);
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    (squares / values.len() as f64).sqrt()
}
