//! The published batch scorer of AER, TadGAN's sibling whose net also predicts the first and the last value of a
//! window from what lies between them. As bound to the length of the scored slice as TadGAN's: smoothing and mask
//! are shares of it, and both parts are scaled by their own extremes.

use ndarray::{ArrayView2, s};

use super::errors::{self, ErrorKind};

/// How the errors of prediction `p` and of reconstruction `r` become one score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Combination {
    /// `p · r`, both scaled to `[1, 2]`.
    Mult,
    /// `(1 - λ)·p + λ·r`, both scaled to `[0, 1]`.
    Sum {
        /// λ, the share of the reconstruction; 0.5 in the reference.
        lambda: f64,
    },
    /// `r` alone, unscaled.
    Rec,
    /// `p` alone, unscaled.
    Reg,
}

/// What [`score_anomalies`] is asked for; the defaults are the reference's pipeline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AerSpec {
    /// Error of the reconstruction.
    pub error: ErrorKind,
    /// Samples of the area and DTW windows.
    pub score_window: usize,
    /// Share of the N windows that smooths an error and, with `mask`, that is left out at its start.
    pub smoothing: f64,
    /// Whether the first `trunc(smoothing·N)` errors of each kind are left out.
    pub mask: bool,
    /// How the parts are combined.
    pub combination: Combination,
}

impl Default for AerSpec {
    fn default() -> Self {
        Self {
            error: ErrorKind::Dtw,
            score_window: 10,
            smoothing: 0.01,
            mask: true,
            combination: Combination::Mult,
        }
    }
}

impl AerSpec {
    fn width(&self, windows: usize) -> usize {
        (self.smoothing * windows as f64) as usize
    }

    fn masked(&self, windows: usize) -> usize {
        if self.mask { self.width(windows) } else { 0 }
    }
}

/// What the net said about N windows of length L.
#[derive(Clone, Copy, Debug)]
pub struct Heads<'a> {
    /// Prediction of each window's first value, N long.
    pub reverse: &'a [f64],
    /// Reconstruction of what lies between, `[N, L - 2]`.
    pub inner: ArrayView2<'a, f64>,
    /// Prediction of each window's last value, N long.
    pub forward: &'a [f64],
}

/// Scores the N + L - 1 timestamps of N windows `x` (rows of length L > 2, one sample apart). Below `1 / smoothing`
/// windows all but [`Combination::Reg`] is NaN between the ends, as in the reference.
#[must_use]
pub fn score_anomalies(x: ArrayView2<'_, f64>, heads: Heads<'_>, spec: &AerSpec) -> Vec<f64> {
    let regression = || regression_errors(x, heads, spec);
    let reconstruction = || reconstruction_errors(x, heads.inner, spec);
    match spec.combination {
        Combination::Rec => reconstruction(),
        Combination::Reg => regression(),
        Combination::Mult => {
            let (p, r) = (scaled(regression(), 1.0), scaled(reconstruction(), 1.0));
            p.iter().zip(r).map(|(p, r)| p * r).collect()
        }
        Combination::Sum { lambda } => {
            let (p, r) = (scaled(regression(), 0.0), scaled(reconstruction(), 0.0));
            p.iter()
                .zip(r)
                .map(|(p, r)| (1.0 - lambda) * p + lambda * r)
                .collect()
        }
    }
}

/// Errors of both predictions, one value a timestamp: each smoothed by an exponentially weighted mean over the
/// windows (the reverse one too: it lags), then their mean where a timestamp has both and the one it has elsewhere.
/// A masked forward error counts as absent, a masked reverse error as the smallest there is.
#[must_use]
pub fn regression_errors(x: ArrayView2<'_, f64>, heads: Heads<'_>, spec: &AerSpec) -> Vec<f64> {
    let (windows, length) = x.dim();
    if windows == 0 {
        return Vec::new();
    }
    let masked = spec.masked(windows);
    let smooth = |column: usize, predicted: &[f64]| {
        let truth = x.column(column).to_vec();
        let span = spec.width(windows).max(1) as f64;
        errors::ewma(&errors::point(&truth, predicted), span)
    };
    let mut reverse = smooth(0, heads.reverse);
    let least = smallest(&reverse);
    reverse[..masked].fill(least);
    let mut forward = smooth(length - 1, heads.forward);
    forward[..masked].fill(0.0);

    let at = |t: usize| {
        let backward = reverse.get(t).copied().unwrap_or(0.0);
        let Some(window) = t.checked_sub(length - 1) else {
            return backward;
        };
        let both = (masked..windows).contains(&window) && t < windows;
        (backward + forward[window]) / if both { 2.0 } else { 1.0 }
    };
    (0..windows + length - 1).map(at).collect()
}

/// TadGAN's reconstruction error of the inner values, its masked start at its minimum, with a 0 for the first and
/// the last timestamp, which no inner window holds.
fn reconstruction_errors(x: ArrayView2<'_, f64>, inner: ArrayView2<'_, f64>, spec: &AerSpec) -> Vec<f64> {
    const WIDEST: usize = 200;
    let (windows, length) = x.dim();
    if windows == 0 {
        return Vec::new();
    }
    let truth = errors::truth(x.slice(s![.., 1..length - 1]));
    let predicted = errors::median_predictions(inner);
    let raw = errors::raw(spec.error, &truth, &predicted, spec.score_window);
    let mut smooth = errors::rolling_mean(&raw, spec.width(windows).min(WIDEST));
    let least = smallest(&smooth);
    smooth[..spec.masked(windows)].fill(least);
    std::iter::once(0.0).chain(smooth).chain([0.0]).collect()
}

/// Maps the range of `values` onto `[low, low + 1]`, all of them to `low` when they are equal; NaN stays NaN.
fn scaled(mut values: Vec<f64>, low: f64) -> Vec<f64> {
    let least = smallest(&values);
    let range = values.iter().copied().fold(least, f64::max) - least;
    let factor = if range == 0.0 { 1.0 } else { 1.0 / range };
    values.iter_mut().for_each(|v| *v = (*v - least) * factor + low);
    values
}

/// Smallest of the numbers among `values`.
fn smallest(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NAN, f64::min)
}
