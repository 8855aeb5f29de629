//! What the nets see: one affine map a window. Training and serving share this code.

use serde::{Deserialize, Serialize};

/// How values in data units become the nets' input in about [-1, 1].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Scaler {
    /// Minimum and maximum of the training series onto [-1, 1], unclipped; as in the reference.
    /// A zero range counts as a range of 1, as in scikit-learn.
    MinMax {
        /// Smallest training value, data units.
        min: f64,
        /// Largest training value, data units.
        max: f64,
    },
    /// Each window by its own median and standard deviation: `(w − median) / (gain · max(sd, floor))`,
    /// clipped to [-1, 1] for the nets only. For bundles that serve series they have never seen.
    Window {
        /// Standard deviations that map to 1.
        gain: f64,
    },
}

impl std::fmt::Display for Scaler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::MinMax { min, max } => write!(f, "min-max, [{min}, {max}] onto [-1, 1]"),
            Self::Window { gain } => write!(f, "each window by its own, {gain} standard deviations onto 1"),
        }
    }
}

/// The affine map of one window: `scaled = (value − center) / half_range`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Affine {
    /// Data value that maps to 0.
    pub center: f64,
    /// Data distance that maps to 1. Positive.
    pub half_range: f64,
}

impl Affine {
    /// Back to data units.
    #[must_use]
    pub fn unscale(self, scaled: f64) -> f64 {
        self.center + scaled * self.half_range
    }

    /// To the nets' units, unclipped.
    #[must_use]
    pub fn scale(self, value: f64) -> f64 {
        (value - self.center) / self.half_range
    }
}

impl Scaler {
    /// The map for `window` (data units, any length). `floor` is the smallest standard deviation
    /// (data units) worth resolving, see [`noise_floor`]; only [`Scaler::Window`] uses it.
    #[must_use]
    pub fn fit(&self, window: &[f64], floor: f64) -> Affine {
        match *self {
            Self::MinMax { min, max } => {
                let range = if max > min { max - min } else { 1.0 };
                Affine {
                    center: min + range / 2.0,
                    half_range: range / 2.0,
                }
            }
            Self::Window { gain } => {
                let n = window.len().max(1) as f64;
                let mean = window.iter().sum::<f64>() / n;
                let sd = (window.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
                let half_range = gain * sd.max(floor).max(f64::MIN_POSITIVE.sqrt());
                Affine {
                    center: median(window),
                    half_range,
                }
            }
        }
    }

    /// The map for `known` buckets and the nets' input of `length` made of them: where the nets predict, they know less than
    /// a window ([`crate::manifest::ModelKind::known`]), and the newest value stands in the places of what is to come.
    #[must_use]
    pub fn input(&self, known: &[f64], length: usize, floor: f64) -> (Affine, Vec<f32>) {
        let affine = self.fit(known, floor);
        let mut input = vec![0.0; known.len()];
        self.apply(affine, known, &mut input);
        let newest = input.last().copied().unwrap_or_default();
        input.resize(length, newest);
        (affine, input)
    }

    /// Writes the nets' input for `window` into `out` (same length).
    pub fn apply(&self, affine: Affine, window: &[f64], out: &mut [f32]) {
        let clip = matches!(self, Self::Window { .. });
        for (value, slot) in window.iter().zip(out) {
            let scaled = affine.scale(*value);
            *slot = if clip { scaled.clamp(-1.0, 1.0) } else { scaled } as f32;
        }
    }
}

/// Median (mean of the middle two for even counts); 0 for an empty slice.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    let n = sorted.len();
    if n == 0 {
        return 0.0;
    }
    sorted.sort_unstable_by(f64::total_cmp);
    if n % 2 == 1 {
        sorted[n / 2]
    } else {
        f64::midpoint(sorted[n / 2 - 1], sorted[n / 2])
    }
}

/// Scale `c0` of a series and the floor `0.05·c0` under a window's standard deviation, from its first values:
/// `c0 = max(IQR / 1.349, 0.05 · range, 1e-6 · |median|)`, and a tiny positive number for an all-zero start.
#[must_use]
pub fn noise_floor(first_values: &[f64]) -> f64 {
    let mut sorted = first_values.to_vec();
    if sorted.is_empty() {
        return 1e-9;
    }
    sorted.sort_unstable_by(f64::total_cmp);
    let quantile = |q: f64| {
        let at = q * (sorted.len() - 1) as f64;
        let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
        low + (high - low) * at.fract()
    };
    let range = sorted[sorted.len() - 1] - sorted[0];
    let c0 = ((quantile(0.75) - quantile(0.25)) / 1.349)
        .max(0.05 * range)
        .max(1e-6 * quantile(0.5).abs());
    (0.05 * c0).max(1e-9)
}

/// [`noise_floor`] of a series as its first values arrive: frozen after [`Self::VALUES`] of them, so that later scores
/// do not depend on how long the series has run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FloorEstimate {
    first: Vec<f64>,
    frozen: Option<f64>,
}

impl FloorEstimate {
    /// Values that the floor is taken from.
    pub const VALUES: usize = 256;

    /// Takes one more value in.
    pub fn push(&mut self, value: f64) {
        if self.frozen.is_some() {
            return;
        }
        self.first.push(value);
        if self.first.len() >= Self::VALUES {
            self.frozen = Some(noise_floor(&self.first));
            self.first = Vec::new();
        }
    }

    /// Memory beside the value itself (bytes).
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.first.capacity() * size_of::<f64>()
    }

    /// The floor so far, data units.
    #[must_use]
    pub fn floor(&self) -> f64 {
        self.frozen.unwrap_or_else(|| noise_floor(&self.first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn min_max_matches_the_reference() {
        let scaler = Scaler::MinMax { min: 2.0, max: 6.0 };
        let map = scaler.fit(&[], 0.0);
        assert_eq!([map.scale(2.0), map.scale(4.0), map.scale(8.0)], [-1.0, 0.0, 2.0]);
        assert_eq!(map.unscale(map.scale(5.5)), 5.5);
        // A constant training series maps to -1, a value c away from it to -1 + 2c.
        let flat = Scaler::MinMax { min: 7.0, max: 7.0 }.fit(&[], 0.0);
        assert_eq!([flat.scale(7.0), flat.scale(7.25)], [-1.0, -0.5]);
    }

    #[test]
    fn window_scaling_clips_only_what_the_nets_see() {
        let scaler = Scaler::Window { gain: 2.0 };
        let mut window = vec![1.0, -1.0, 1.0, -1.0];
        let map = scaler.fit(&window, 0.1);
        assert_eq!(
            map,
            Affine {
                center: 0.0,
                half_range: 2.0
            }
        );
        window[3] = 100.0;
        let mut out = [0.0; 4];
        scaler.apply(map, &window, &mut out);
        assert_eq!(out, [0.5, -0.5, 0.5, 1.0]);
        assert_eq!(map.scale(100.0), 50.0);
    }

    #[test]
    fn a_constant_series_has_a_positive_floor() {
        assert!(noise_floor(&[0.0; 10]) > 0.0);
        assert!(noise_floor(&[5.0; 10]) > 0.0);
        assert!(
            Scaler::Window { gain: 3.0 }
                .fit(&[5.0; 10], noise_floor(&[5.0; 10]))
                .half_range
                > 0.0
        );
    }
}
