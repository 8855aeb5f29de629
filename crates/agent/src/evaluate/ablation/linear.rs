//! A rank-20 linear reconstruction, fitted to the beginning of a series.

use pipeline::SeriesSettings;
use scorer::normalise::Affine;
use types::Timestamp;
use windowing::SeriesWindow;

use super::Reconstruct;

/// Principal components kept.
pub const RANK: usize = 20;

/// The first principal components of a series' first windows: `mean + Σ ⟨w − mean, v⟩ v`.
#[derive(Clone, Debug, Default)]
pub struct Linear {
    mean: Vec<f64>,
    /// Orthonormal, by falling variance.
    components: Vec<Vec<f64>>,
}

impl Linear {
    /// From the windows that end in the first `buckets` of the series.
    pub fn fit(own: &SeriesSettings, samples: &[(Timestamp, f64)], buckets: u64) -> Self {
        let (mut window, mut ignored) = (SeriesWindow::new(), vec![]);
        let mut windows: Vec<Vec<f64>> = vec![];
        'all: for &(time, value) in samples {
            let _ = window.observe(&own.window, time, value, &mut ignored);
            while let Some(closed) = window.next_closed(&own.window, &mut ignored) {
                if closed.bucket.index >= buckets {
                    break 'all;
                }
                let seen = window.window().filter(|w| w.filled_share() <= own.max_filled_share);
                windows.extend(seen.map(|w| w.values().collect::<Vec<f64>>()));
            }
            ignored.clear();
        }
        Self::of(&windows)
    }

    fn of(windows: &[Vec<f64>]) -> Self {
        let Some(length) = windows.first().map(Vec::len) else {
            return Self::default();
        };
        let n = windows.len() as f64;
        let mean: Vec<f64> = (0..length).map(|i| windows.iter().map(|w| w[i]).sum::<f64>() / n).collect();
        let mut covariance = vec![0.0; length * length];
        for w in windows {
            for i in 0..length {
                let a = w[i] - mean[i];
                for j in i..length {
                    covariance[i * length + j] += a * (w[j] - mean[j]) / n;
                }
            }
        }
        for i in 0..length {
            for j in 0..i {
                covariance[i * length + j] = covariance[j * length + i];
            }
        }
        let components = eigen(covariance, length).into_iter().take(RANK).map(|(_, v)| v).collect();
        Self { mean, components }
    }
}

impl Reconstruct for Linear {
    fn window(&mut self, values: &[f64], _: f64) -> (Affine, Vec<f32>) {
        let mut y = self.mean.clone();
        if y.is_empty() {
            // nothing
            return super::Median.window(values, 0.0);
        }
        for v in &self.components {
            let score: f64 = v.iter().zip(values).zip(&self.mean).map(|((v, x), m)| v * (x - m)).sum();
            for (y, v) in y.iter_mut().zip(v) {
                *y += score * v;
            }
        }
        let affine = Affine { center: y[y.len() - 1], half_range: 1.0 };
        let y = y.iter().map(|y| affine.scale(*y) as f32).collect();
        (affine, y)
    }
}

/// Eigenvalues, falling, and eigenvectors of a symmetric matrix, by cyclic Jacobi rotations.
fn eigen(mut a: Vec<f64>, n: usize) -> Vec<(f64, Vec<f64>)> {
    let mut v = vec![0.0; n * n];
    for i in 0..n {
        v[i * n + i] = 1.0;
    }
    let total: f64 = a.iter().map(|x| x * x).sum();
    for _ in 0..50 {
        let off: f64 = (0..n).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| a[i * n + j].powi(2)).sum();
        if off <= 1e-22 * total {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                let apq = a[p * n + q];
                if apq == 0.0 {
                    continue;
                }
                let theta = (a[q * n + q] - a[p * n + p]) / (2.0 * apq);
                let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                let c = 1.0 / (t * t + 1.0).sqrt();
                let s = t * c;
                for k in 0..n {
                    let (x, y) = (a[k * n + p], a[k * n + q]);
                    a[k * n + p] = c * x - s * y;
                    a[k * n + q] = s * x + c * y;
                }
                for k in 0..n {
                    let (x, y) = (a[p * n + k], a[q * n + k]);
                    a[p * n + k] = c * x - s * y;
                    a[q * n + k] = s * x + c * y;
                }
                for k in 0..n {
                    // rows of v are vectors
                    let (x, y) = (v[p * n + k], v[q * n + k]);
                    v[p * n + k] = c * x - s * y;
                    v[q * n + k] = s * x + c * y;
                }
            }
        }
    }
    let mut pairs: Vec<(f64, Vec<f64>)> = (0..n).map(|i| (a[i * n + i], v[i * n..(i + 1) * n].to_vec())).collect();
    pairs.sort_by(|x, y| y.0.total_cmp(&x.0));
    pairs
}
