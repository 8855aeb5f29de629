//! The linear reconstruction that leaves least of the windows it was fitted to.

/// Sweeps of rotations after which what is left off the diagonal is left there; a dozen do.
const SWEEPS: usize = 50;
/// Share of a matrix's squared entries that may be left off the diagonal.
const LEFT: f64 = 1e-20;

/// `mean + Σ ⟨w − mean, v⟩ v` over the first principal components `v` of some windows.
#[derive(Clone, Debug, Default)]
pub(super) struct Linear {
    mean: Vec<f64>,
    /// Orthonormal, by falling variance.
    components: Vec<Vec<f64>>,
}

impl Linear {
    /// Fits `rank` components to windows of one length. Without windows, every reconstruction is 0.
    pub(super) fn fit(windows: &[Vec<f64>], rank: usize) -> Self {
        let Some(length) = windows.first().map(Vec::len) else {
            return Self::default();
        };
        let share = 1.0 / windows.len() as f64;
        let mut mean = vec![0.0; length];
        for window in windows {
            mean.iter_mut().zip(window).for_each(|(m, x)| *m += share * x);
        }
        let mut covariance = vec![vec![0.0; length]; length];
        for window in windows {
            let away: Vec<f64> = window.iter().zip(&mean).map(|(x, m)| x - m).collect();
            for (row, a) in covariance.iter_mut().zip(&away) {
                row.iter_mut().zip(&away).for_each(|(c, b)| *c += share * a * b);
            }
        }
        let components = eigen(covariance).into_iter().take(rank).map(|(_, v)| v);
        Self {
            components: components.collect(),
            mean,
        }
    }

    pub(super) fn reconstruct(&self, window: &[f32]) -> Vec<f32> {
        if self.mean.is_empty() {
            return vec![0.0; window.len()];
        }
        let away: Vec<f64> = window
            .iter()
            .zip(&self.mean)
            .map(|(x, m)| f64::from(*x) - m)
            .collect();
        let mut out = self.mean.clone();
        for component in &self.components {
            let along: f64 = component.iter().zip(&away).map(|(v, a)| v * a).sum();
            out.iter_mut().zip(component).for_each(|(y, v)| *y += along * v);
        }
        out.into_iter().map(|y| y as f32).collect()
    }
}

/// Eigenvalues, falling, of a symmetric matrix and their eigenvectors: Jacobi's cyclic rotations (Golub and Van Loan, "Matrix
/// computations", 8.5).
fn eigen(mut matrix: Vec<Vec<f64>>) -> Vec<(f64, Vec<f64>)> {
    let n = matrix.len();
    let square = |rows: &[Vec<f64>], counts: fn(usize, usize) -> bool| {
        let mut sum = 0.0;
        for (i, row) in rows.iter().enumerate() {
            let counted = row.iter().enumerate().filter(|(j, _)| counts(i, *j));
            sum += counted.map(|(_, x)| x * x).sum::<f64>();
        }
        sum
    };
    let left = LEFT * square(&matrix, |_, _| true);
    // All entries at most this large would together be what may be left.
    let nothing = left.sqrt() / n.max(1) as f64;
    let mut vectors: Vec<Vec<f64>> = (0..n)
        .map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect())
        .collect();
    for _ in 0..SWEEPS {
        if square(&matrix, |i, j| i != j) <= left {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                if matrix[p][q].abs() > nothing {
                    rotate(&mut matrix, &mut vectors, p, q);
                }
            }
        }
    }
    let mut pairs: Vec<(f64, Vec<f64>)> = (0..n).map(|i| matrix[i][i]).zip(vectors).collect();
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
    pairs
}

/// Turns the plane of `p` < `q` so that their entry off the diagonal, which is not 0, becomes so; `vectors` turn with it.
fn rotate(matrix: &mut [Vec<f64>], vectors: &mut [Vec<f64>], p: usize, q: usize) {
    let off = matrix[p][q];
    let slope = (matrix[q][q] - matrix[p][p]) / (2.0 * off);
    let tan = slope.signum() / (slope.abs() + slope.hypot(1.0));
    let cos = 1.0 / tan.hypot(1.0);
    let sin = tan * cos;
    let turn = |x: &mut f64, y: &mut f64| (*x, *y) = (cos * *x - sin * *y, sin * *x + cos * *y);
    for row in matrix.iter_mut() {
        let (left, right) = row.split_at_mut(q);
        turn(&mut left[p], &mut right[0]);
    }
    for rows in [matrix, vectors] {
        let (above, below) = rows.split_at_mut(q);
        above[p]
            .iter_mut()
            .zip(&mut below[0])
            .for_each(|(x, y)| turn(x, y));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn eigenvectors_by_hand() {
        // [[2, 1], [1, 2]]: 3 along (1, 1), 1 along (1, −1).
        let found = eigen(vec![vec![2.0, 1.0], vec![1.0, 2.0]]);
        for ((value, vector), expected) in found.iter().zip([3.0, 1.0]) {
            assert!((value - expected).abs() < 1e-12);
            assert!((vector[0].abs() - 0.5_f64.sqrt()).abs() < 1e-12);
            assert!((vector[0] * vector[1] - (expected - 2.0) / 2.0).abs() < 1e-12);
        }
    }

    #[test]
    fn what_it_was_fitted_to_is_reconstructed_and_the_rest_projected() {
        // A mean of (1, 1, 1) and all variance along (3, 4, 0) and (0, 0, 1), less of it along the second.
        let windows: Vec<Vec<f64>> = [(-2.0, 1.0), (0.0, -2.0), (2.0, 1.0)]
            .map(|(a, b)| vec![1.0 + 3.0 * a, 1.0 + 4.0 * a, 1.0 + b])
            .to_vec();
        let two = Linear::fit(&windows, 2);
        for window in windows.iter().chain([&vec![4.0, 5.0, 3.0]]) {
            let window: Vec<f32> = window.iter().map(|x| *x as f32).collect();
            let found = two.reconstruct(&window);
            assert!(
                found.iter().zip(&window).all(|(y, x)| (y - x).abs() < 1e-5),
                "{found:?}"
            );
        }
        let one = Linear::fit(&windows, 1);
        // (1 + 4, 1 − 3, 7) is off that line by all that it is.
        let found = one.reconstruct(&[5.0, -2.0, 7.0]);
        assert!(found.iter().all(|y| (y - 1.0).abs() < 1e-5), "{found:?}");
        assert_eq!(Linear::fit(&[], 20).reconstruct(&[3.0, 4.0]), [0.0, 0.0]);
    }

    proptest! {
        #[test]
        fn a_symmetric_matrix_is_made_again_of_its_parts(entries in proptest::collection::vec(-5.0..5.0f64, 36)) {
            let matrix: Vec<Vec<f64>> = (0..6).map(|i| (0..6).map(|j| entries[6 * i + j] + entries[6 * j + i]).collect()).collect();
            let parts = eigen(matrix.clone());
            prop_assert!(parts.windows(2).all(|pair| pair[0].0 >= pair[1].0));
            for i in 0..6 {
                for j in 0..6 {
                    let sum: f64 = parts.iter().map(|(value, v)| value * v[i] * v[j]).sum();
                    prop_assert!((sum - matrix[i][j]).abs() < 1e-8);
                    let product: f64 = parts[i].1.iter().zip(&parts[j].1).map(|(a, b)| a * b).sum();
                    prop_assert!((product - f64::from(u8::from(i == j))).abs() < 1e-8);
                }
            }
        }
    }
}
