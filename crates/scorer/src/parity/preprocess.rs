//! From samples to windows.

use crate::normalise::{Scaler, median};

/// How the samples of a bucket become one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Arithmetic mean.
    Mean,
    /// Median, mean of the middle two for even counts.
    Median,
}

/// Cuts `(timestamp, value)` samples into half-open buckets of length `interval` (same unit as the timestamps, at
/// least 1), the first of which starts at the earliest timestamp. NaN values are left out; an empty bucket is NaN.
/// Gives the start and the value of each bucket up to the last sample. The agent's own grid is the epoch's instead.
#[must_use]
pub fn aggregate(samples: &[(i64, f64)], interval: i64, method: Method) -> (Vec<i64>, Vec<f64>) {
    let times = samples.iter().map(|(time, _)| *time);
    let (Some(first), Some(last)) = (times.clone().min(), times.max()) else {
        return (Vec::new(), Vec::new());
    };
    let interval = interval.max(1);
    let buckets = ((last - first) / interval + 1) as usize;
    let mut contents = vec![Vec::new(); buckets];
    for (time, value) in samples.iter().filter(|(_, value)| !value.is_nan()) {
        contents[((time - first) / interval) as usize].push(*value);
    }
    let index = (0..buckets as i64).map(|k| first + k * interval).collect();
    let values = contents.iter().map(|values| match method {
        _ if values.is_empty() => f64::NAN,
        Method::Mean => super::mean(values),
        Method::Median => median(values),
    });
    (index, values.collect())
}

/// Replaces NaN by the mean of the other values.
#[must_use]
pub fn impute_mean(values: &[f64]) -> Vec<f64> {
    let known: Vec<f64> = values.iter().copied().filter(|v| !v.is_nan()).collect();
    let mean = super::mean(&known);
    values
        .iter()
        .map(|v| if v.is_nan() { mean } else { *v })
        .collect()
}

/// The scaler that maps the range of `values` onto [-1, 1], see [`Scaler::MinMax`] for a constant series.
#[must_use]
pub fn min_max(values: &[f64]) -> Scaler {
    let min = values.iter().copied().fold(f64::INFINITY, f64::min);
    let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    Scaler::MinMax { min, max }
}

/// Starts of the windows of `window` samples that are followed by `target` samples, `step` apart, in a series of
/// `length` samples. A window whose samples or targets are marked in `drop` is left out, and the next one starts
/// after the last marked sample in it.
#[must_use]
pub fn window_starts(length: usize, window: usize, target: usize, step: usize, drop: &[bool]) -> Vec<usize> {
    let span = window + target;
    let mut starts = Vec::new();
    let mut start = 0;
    while start + span <= length {
        let marked = drop.get(start..start + span).unwrap_or_default();
        if let Some(last) = marked.iter().rposition(|marked| *marked) {
            start += last + 1;
        } else {
            starts.push(start);
            start += step;
        }
    }
    starts
}
