//! What the spectrum of a window does not lead to expect.

use std::collections::VecDeque;
use std::f64::consts::TAU;

use super::{Detector, Point};

/// Points of a window, the extrapolated ones included: a power of two, for the transform.
const WINDOW: usize = 256;
/// Points put behind the newest (the paper's κ), so that it does not lie at the edge.
const AHEAD: usize = 5;
/// Points whose slopes are averaged for these (m).
const SLOPES: usize = 5;
/// Frequencies over which the log spectrum is averaged (q).
const SPECTRAL_MEAN: usize = 3;
/// Points before one over which the saliency is averaged (z).
const SALIENCY_MEAN: usize = 21;
/// Times that average by which a saliency exceeds it at the boundary 1 (τ).
const BOUNDARY: f64 = 3.0;
/// Amplitudes below this share of the largest are rounding.
const SMALLEST: f64 = 1e-9;

/// Spectral residual (Ren et al., "Time-series anomaly detection service at Microsoft", KDD 2019): the transform of a window with
/// its log amplitudes less their local mean, transformed back, is large where something stands out. The newest point's is
/// compared with those before it. Constants are the paper's; the window, 30 to 1440 there, is the last 251 points.
#[derive(Clone, Debug, Default)]
pub(super) struct SpectralResidual {
    window: VecDeque<f64>,
}

impl Detector for SpectralResidual {
    fn score(&mut self, point: Point) -> Option<f64> {
        self.window.push_back(point.value);
        while self.window.len() > WINDOW - AHEAD {
            self.window.pop_front();
        }
        if self.window.len() < WINDOW - AHEAD {
            return None;
        }
        let saliency = saliency(&extended(&self.window));
        let newest = WINDOW - AHEAD - 1;
        let before = &saliency[newest - SALIENCY_MEAN..newest];
        let mean = before.iter().sum::<f64>() / SALIENCY_MEAN as f64;
        let above = if mean > 0.0 {
            (saliency[newest] - mean) / mean
        } else {
            0.0
        };
        Some(above.max(0.0) / BOUNDARY)
    }
}

/// The window and behind it, [`AHEAD`] times, where a line leads that starts [`SLOPES`] points back and rises by the mean of the
/// slopes from these points on. It is drawn to the last point but one, as in the authors' own code (not in their paper): a line to
/// a spike would lead beyond the spike, and hide it.
fn extended(window: &VecDeque<f64>) -> Vec<f64> {
    let mut values: Vec<f64> = window.iter().copied().collect();
    let last = values.len() - 2;
    let slopes = (1..=SLOPES).map(|i| (values[last] - values[last - i]) / i as f64);
    let next = values[last + 1 - SLOPES] + slopes.sum::<f64>();
    values.extend([next; AHEAD]);
    values
}

fn saliency(values: &[f64]) -> Vec<f64> {
    let mut spectrum: Vec<(f64, f64)> = values.iter().map(|v| (*v, 0.0)).collect();
    transform(&mut spectrum);
    let amplitude: Vec<f64> = spectrum.iter().map(|(re, im)| re.hypot(*im)).collect();
    let floor = SMALLEST * amplitude.iter().copied().fold(0.0, f64::max);
    if floor == 0.0 {
        return vec![0.0; values.len()];
    }
    let log: Vec<f64> = amplitude.iter().map(|a| a.max(floor).ln()).collect();
    let n = log.len();
    for (i, (re, im)) in spectrum.iter_mut().enumerate() {
        // The spectrum is a circle, and stays symmetric.
        let around = (0..SPECTRAL_MEAN).map(|k| log[(i + n + k - SPECTRAL_MEAN / 2) % n]);
        let residual = (log[i] - around.sum::<f64>() / SPECTRAL_MEAN as f64).exp();
        let gain = residual / amplitude[i].max(floor);
        // Conjugated: the forward transform of it is the inverse one, conjugated, of which only the size is asked.
        (*re, *im) = (*re * gain, -*im * gain);
    }
    transform(&mut spectrum);
    spectrum.iter().map(|(re, im)| re.hypot(*im) / n as f64).collect()
}

/// The discrete Fourier transform in place (Cooley and Tukey, radix 2); the length is a power of two.
fn transform(values: &mut [(f64, f64)]) {
    let n = values.len();
    let bits = n.trailing_zeros();
    for i in 0..n {
        let j = i.reverse_bits() >> (usize::BITS - bits);
        if i < j {
            values.swap(i, j);
        }
    }
    let mut half = 1;
    while half < n {
        for k in 0..half {
            let (sin, cos) = (-TAU * k as f64 / (2 * half) as f64).sin_cos();
            for i in (k..n).step_by(2 * half) {
                let ((a, b), (c, d)) = (values[i], values[i + half]);
                let (re, im) = (c * cos - d * sin, c * sin + d * cos);
                values[i] = (a + re, b + im);
                values[i + half] = (a - re, b - im);
            }
        }
        half *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::Timestamp;

    fn scores(values: impl IntoIterator<Item = f64>) -> Vec<Option<f64>> {
        let mut detector = SpectralResidual::default();
        let point = |value| Point {
            start: Timestamp::from_millis(0),
            value,
            filled: false,
        };
        values.into_iter().map(|v| detector.score(point(v))).collect()
    }

    fn wave(i: usize) -> f64 {
        10.0 + (i as f64 * 0.31).sin() + 0.3 * (i as f64 * 1.7).cos()
    }

    #[test]
    fn the_transform_is_that_of_the_definition() {
        let values: Vec<(f64, f64)> = (0..16).map(|i| (wave(i), wave(i + 40))).collect();
        let mut fast = values.clone();
        transform(&mut fast);
        for (k, found) in fast.iter().enumerate() {
            let mut sum = (0.0, 0.0);
            for (i, (re, im)) in values.iter().enumerate() {
                let (sin, cos) = (-TAU * (i * k) as f64 / 16.0).sin_cos();
                sum = (sum.0 + re * cos - im * sin, sum.1 + re * sin + im * cos);
            }
            assert!(
                (sum.0 - found.0).abs() < 1e-12 && (sum.1 - found.1).abs() < 1e-12,
                "{k}"
            );
        }
    }

    /// The last of 0, 2, 4, … are 490, …, 498 and the newest, 500: slopes of 2, and 490 + 5 · 2 = 500.
    #[test]
    fn a_line_goes_on() {
        let line: VecDeque<f64> = (0..251).map(|i| f64::from(2 * i)).collect();
        let extended = extended(&line);
        assert_eq!(extended.len(), WINDOW);
        assert_eq!(extended[250..], [500.0; 6]);
    }

    #[test]
    fn a_spike_stands_out_and_its_size_in_units_does_not_matter() {
        let value = |i: usize| if i == 400 { 20.0 } else { wave(i) };
        let found = scores((0..=400).map(value));
        assert!(found[..250].iter().all(Option::is_none));
        assert!(found[400].unwrap() > 1.0, "{:?}", found[400]);
        let calm = found[250..400].iter().flatten().filter(|s| **s >= 1.0).count();
        assert!(calm < 8, "{calm}");
        let scaled = scores((0..=400).map(|i| 1000.0 * value(i)));
        assert!((found[400].unwrap() - scaled[400].unwrap()).abs() < 1e-6);
    }

    #[test]
    fn a_constant_series_is_calm() {
        for constant in [0.0, 7.3, -1e9] {
            let found = scores(std::iter::repeat_n(constant, 300));
            assert!(found.iter().flatten().all(|s| *s < 0.5), "{constant}");
        }
    }
}
