//! Principal components of windows: where convolutional nets start.
//!
//! The covariance of some training windows, and its largest eigenvalues by cyclic Jacobi rotations, which are slow,
//! short, and give the same bits on every run.

/// The mean of some windows and the directions in which they vary most.
#[derive(Clone, Debug, PartialEq)]
pub struct Principal {
    /// Mean window, the nets' units.
    pub mean: Vec<f64>,
    /// Largest variance first.
    pub components: Vec<Component>,
    /// Mean squared error, over windows and time, of what the components reconstruct; floored at a small share of the
    /// windows' variance, for it is divided by.
    pub error: f64,
}

/// One direction.
#[derive(Clone, Debug, PartialEq)]
pub struct Component {
    /// Of length 1.
    pub direction: Vec<f64>,
    /// Standard deviation of the windows along it, floored at a thousandth of the largest: it is divided by.
    pub deviation: f64,
}

/// Sweeps after which Jacobi's method has long converged at these sizes.
const SWEEPS: usize = 15;
/// Least deviation relative to the largest.
const FLOOR: f64 = 1e-3;
/// Least error relative to the variance, and at all: that of windows that never vary.
const LEAST_ERROR: f64 = 1e-4;
const TINY: f64 = 1e-8;

impl Principal {
    /// Of windows of length `window`, side by side; `count` components.
    #[must_use]
    pub fn of(windows: &[f32], window: usize, count: usize) -> Self {
        let n = (windows.len() / window).max(1) as f64;
        let mut mean = vec![0.0; window];
        for values in windows.chunks_exact(window) {
            mean.iter_mut()
                .zip(values)
                .for_each(|(m, v)| *m += f64::from(*v) / n);
        }
        let mut covariance = vec![0.0; window * window];
        let mut centred = vec![0.0; window];
        for values in windows.chunks_exact(window) {
            for ((c, v), m) in centred.iter_mut().zip(values).zip(&mean) {
                *c = f64::from(*v) - m;
            }
            for (row, a) in covariance.chunks_exact_mut(window).zip(&centred) {
                row.iter_mut()
                    .zip(&centred)
                    .for_each(|(sum, b)| *sum += a * b / n);
            }
        }
        let mut pairs = eigen(&mut covariance, window);
        pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
        let variances: Vec<f64> = pairs.iter().map(|pair| pair.0.max(0.0) / window as f64).collect();
        let left: f64 = variances.iter().skip(count).sum();
        let error = left.max(LEAST_ERROR * variances.iter().sum::<f64>()).max(TINY);
        let largest = pairs.first().map_or(0.0, |pair| pair.0.max(0.0).sqrt());
        // Windows that never vary have no direction, but for what rounding makes of them; any deviation will do.
        let varies = largest * largest > TINY;
        let floor = if varies { FLOOR * largest } else { 1.0 };
        let components = pairs
            .into_iter()
            .take(count)
            .map(|(variance, direction)| Component {
                direction,
                deviation: variance.max(0.0).sqrt().max(floor),
            });
        Self {
            mean,
            components: components.collect(),
            error,
        }
    }
}

/// Eigenvalues and eigenvectors of a symmetric matrix of `n` rows, in no order; consumes the matrix.
pub(crate) fn eigen(matrix: &mut [f64], n: usize) -> Vec<(f64, Vec<f64>)> {
    let mut vectors = vec![0.0; n * n];
    (0..n).for_each(|k| vectors[k * n + k] = 1.0);
    for _ in 0..SWEEPS {
        for p in 0..n {
            for q in p + 1..n {
                let off = matrix[p * n + q];
                if off == 0.0 {
                    continue;
                }
                let theta = (matrix[q * n + q] - matrix[p * n + p]) / (2.0 * off);
                let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                let cos = 1.0 / (t * t + 1.0).sqrt();
                let sin = t * cos;
                for k in 0..n {
                    rotate(matrix, k * n + p, k * n + q, cos, sin);
                }
                for k in 0..n {
                    rotate(matrix, p * n + k, q * n + k, cos, sin);
                }
                // Rows of `vectors` are the eigenvectors.
                for k in 0..n {
                    rotate(&mut vectors, p * n + k, q * n + k, cos, sin);
                }
            }
        }
    }
    let vectors = vectors.chunks_exact(n).map(<[f64]>::to_vec);
    (0..n).map(|k| matrix[k * n + k]).zip(vectors).collect()
}

fn rotate(values: &mut [f64], p: usize, q: usize, cos: f64, sin: f64) {
    let (a, b) = (values[p], values[q]);
    values[p] = cos * a - sin * b;
    values[q] = sin * a + cos * b;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_directions_are_found() {
        // Windows a·(1, 1, 1, 1) + b·(1, -1, 1, -1) + (0, 0, 0, 5), a = ±2, b = ±1.
        let mut windows = Vec::new();
        for (a, b) in [(2.0, 1.0), (2.0, -1.0), (-2.0, 1.0), (-2.0, -1.0)] {
            windows.extend([a + b, a - b, a + b, a - b + 5.0]);
        }
        let found = Principal::of(&windows, 4, 2);
        assert_eq!(found.mean, [0.0, 0.0, 0.0, 5.0]);
        for (component, (deviation, signs)) in found
            .components
            .iter()
            .zip([(4.0, [1.0, 1.0]), (2.0, [1.0, -1.0])])
        {
            assert!((component.deviation - deviation).abs() < 1e-12);
            let sign = component.direction[0].signum();
            for (k, d) in component.direction.iter().enumerate() {
                assert!((d * sign - 0.5 * signs[k % 2]).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn windows_that_never_vary_have_components() {
        // Of 1101 equal values the mean is not quite the value.
        for windows in [10, 1101] {
            let found = Principal::of(&vec![-1.0; 4 * windows], 4, 2);
            let usable = |c: &Component| c.deviation == 1.0 && c.direction.iter().all(|d| d.is_finite());
            assert!(found.components.iter().all(usable));
        }
    }
}
