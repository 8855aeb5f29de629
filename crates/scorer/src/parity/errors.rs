//! From reconstructed windows to one error a timestamp.
//!
//! Windows are rows, one sample apart, so N windows of length L cover T = N + L - 1 timestamps and timestamp t is
//! element t - i of every window i that contains it.

use ndarray::ArrayView2;

use super::dtw;
use crate::normalise::median;

/// How truth and prediction are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// Absolute difference of areas around the timestamp.
    Area,
    /// Dynamic time warping distance around the timestamp.
    Dtw,
    /// Absolute difference at the timestamp.
    Point,
}

/// The series that `windows` were cut from: the first element of every window, then the rest of the last.
#[must_use]
pub fn truth(windows: ArrayView2<'_, f64>) -> Vec<f64> {
    let Some(last) = windows.rows().into_iter().next_back() else {
        return Vec::new();
    };
    let firsts = windows.rows().into_iter().map(|row| row[0]);
    firsts.chain(last.iter().skip(1).copied()).collect()
}

/// Indices of the windows that contain timestamp `t`, newest first: the order in which the reference lists their
/// values, which decides ties in [`super::critic::pick`].
pub fn windows_at(t: usize, windows: usize, length: usize) -> impl DoubleEndedIterator<Item = usize> + Clone {
    let oldest = (t + 1).saturating_sub(length);
    let newest = t.min(windows.saturating_sub(1));
    (oldest..=newest).rev()
}

/// Median over the windows that contain it, for every timestamp.
#[must_use]
pub fn median_predictions(windows: ArrayView2<'_, f64>) -> Vec<f64> {
    let (count, length) = windows.dim();
    if count == 0 {
        return Vec::new();
    }
    let at = |t: usize| -> Vec<f64> {
        windows_at(t, count, length)
            .map(|i| windows[[i, t - i]])
            .collect()
    };
    (0..count + length - 1).map(|t| median(&at(t))).collect()
}

/// The unsmoothed error of `predicted` against `truth`; `score_window` is not used by [`ErrorKind::Point`].
#[must_use]
pub fn raw(kind: ErrorKind, truth: &[f64], predicted: &[f64], score_window: usize) -> Vec<f64> {
    match kind {
        ErrorKind::Area => area(truth, predicted, score_window),
        ErrorKind::Dtw => dtw::error(truth, predicted, score_window),
        ErrorKind::Point => point(truth, predicted),
    }
}

/// `|x_t - x̂_t|`.
#[must_use]
pub fn point(truth: &[f64], predicted: &[f64]) -> Vec<f64> {
    truth.iter().zip(predicted).map(|(x, y)| (x - y).abs()).collect()
}

/// `|A_t - Â_t|` with the trapezoid integrals over the centred window of `score_window` samples, see
/// [`rolling_mean`] for its place. Signs cancel inside a window.
#[must_use]
pub fn area(truth: &[f64], predicted: &[f64], score_window: usize) -> Vec<f64> {
    let integral = |values: &[f64]| rolling(values, score_window, trapezoid);
    point(&integral(truth), &integral(predicted))
}

/// Centred rolling mean. The window of t is `[t - w/2, t + w/2 - 1]` for an even width w and
/// `[t - (w-1)/2, t + (w-1)/2]` for an odd one, cut off at the edges; NaN where it holds fewer than w / 2 samples,
/// and everywhere for a width of 0.
#[must_use]
pub fn rolling_mean(values: &[f64], width: usize) -> Vec<f64> {
    rolling(values, width, super::mean)
}

/// Exponentially weighted mean with `α = 2 / (span + 1)` over the past, weights normalised by their sum.
#[must_use]
pub fn ewma(values: &[f64], span: f64) -> Vec<f64> {
    let decay = 1.0 - 2.0 / (span + 1.0);
    let (mut sum, mut weight) = (0.0, 0.0);
    let step = |value: &f64| {
        sum = sum * decay + value;
        weight = weight * decay + 1.0;
        sum / weight
    };
    values.iter().map(step).collect()
}

/// The reference's default width of both smoothing windows, from the number of windows scored. It is 0, and every
/// score NaN, below 100 windows.
#[must_use]
pub fn default_smoothing(windows: usize) -> usize {
    windows / 100
}

fn rolling(values: &[f64], width: usize, statistic: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    if width == 0 {
        return vec![f64::NAN; values.len()];
    }
    let at = |t: usize| {
        let start = t.saturating_sub(width / 2);
        let end = (t + width.div_ceil(2)).min(values.len());
        let window = &values[start..end];
        if window.len() < width / 2 {
            f64::NAN
        } else {
            statistic(window)
        }
    };
    (0..values.len()).map(at).collect()
}

/// Integral of the broken line through `values`, one apart.
fn trapezoid(values: &[f64]) -> f64 {
    values
        .windows(2)
        .map(|pair| f64::midpoint(pair[0], pair[1]))
        .sum()
}
