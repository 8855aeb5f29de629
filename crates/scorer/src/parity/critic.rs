//! From one critic value a window to one critic score a timestamp.

use super::errors::{rolling_mean, windows_at};

/// For every timestamp, the [`pick`] among the critic values of the windows of length `length` that contain it.
#[must_use]
pub fn picks(critics: &[f64], length: usize) -> Vec<f64> {
    if critics.is_empty() {
        return Vec::new();
    }
    let at = |t: usize| -> Vec<f64> { windows_at(t, critics.len(), length).map(|i| critics[i]).collect() };
    (0..critics.len() + length - 1).map(|t| pick(&at(t))).collect()
}

/// The value with the highest Gaussian kernel density among `values`, the first one on ties: with Scott's bandwidth
/// `h = n^(-1/5)·σ` (σ with n - 1), `density(v) ∝ Σ exp(-(v - v_j)² / 2h²)`. Equal values, for which the density is
/// singular and the reference takes the median, give that value. NaN for an empty slice.
#[must_use]
pub fn pick(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let Some(first) = values.first() else {
        return f64::NAN;
    };
    if values.iter().all(|value| value == first) {
        return *first;
    }
    let mean = super::mean(values);
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let bandwidth = n.powf(-0.2) * variance.sqrt();
    let whitened: Vec<f64> = values.iter().map(|v| v / bandwidth).collect();
    let density = |at: &f64| -> f64 { whitened.iter().map(|w| (-0.5 * (w - at).powi(2)).exp()).sum() };
    let mut best = (*first, f64::NEG_INFINITY);
    for (value, at) in values.iter().zip(&whitened) {
        let density = density(at);
        if density > best.1 {
            best = (*value, density);
        }
    }
    best.0
}

/// `|k_t - μ| / σ + 1` smoothed by a [`rolling_mean`] of `smoothing` timestamps, where μ is the mean of the picks
/// between their quartiles and σ the population standard deviation of all. Two-sided: a window that looks
/// unusually real scores as high as one that does not. NaN everywhere when all picks are equal.
#[must_use]
pub fn score(picks: &[f64], smoothing: usize) -> Vec<f64> {
    let (low, high) = (quantile(picks, 0.25), quantile(picks, 0.75));
    let middle: Vec<f64> = picks
        .iter()
        .copied()
        .filter(|k| low <= *k && *k <= high)
        .collect();
    let (center, scale) = (super::mean(&middle), super::std(picks));
    let normalised: Vec<f64> = picks.iter().map(|k| (k - center).abs() / scale + 1.0).collect();
    rolling_mean(&normalised, smoothing)
}

/// Quantile with linear interpolation between order statistics; NaN for an empty slice.
fn quantile(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    let at = q * last as f64;
    let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    low + (high - low) * at.fract()
}
