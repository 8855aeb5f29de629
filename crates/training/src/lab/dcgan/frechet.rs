//! The Fréchet distance between two clouds of features, each taken for a normal distribution: how far apart their means
//! lie and how differently they spread (Heusel et al. 2017, with a classifier of digits in place of Inception).

use crate::principal::eigen;

/// Sums over points.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cloud {
    points: usize,
    sums: Vec<f64>,
    products: Vec<f64>,
}

impl Cloud {
    pub(super) fn new(dimensions: usize) -> Self {
        Self {
            points: 0,
            sums: vec![0.0; dimensions],
            products: vec![0.0; dimensions * dimensions],
        }
    }

    /// Takes in points, side by side.
    pub(super) fn add(&mut self, values: &[f32]) {
        let n = self.sums.len();
        for point in values.chunks_exact(n) {
            self.points += 1;
            for (k, a) in point.iter().map(|a| f64::from(*a)).enumerate() {
                self.sums[k] += a;
                let row = self.products[k * n..(k + 1) * n].iter_mut();
                row.zip(point).for_each(|(sum, b)| *sum += a * f64::from(*b));
            }
        }
    }

    /// Mean and covariance.
    fn moments(&self) -> (Vec<f64>, Vec<f64>) {
        let (n, share) = (self.sums.len(), 1.0 / self.points.max(1) as f64);
        let mean: Vec<f64> = self.sums.iter().map(|sum| sum * share).collect();
        let products = self.products.iter().enumerate();
        let covariance = products.map(|(at, sum)| sum * share - mean[at / n] * mean[at % n]);
        (mean.clone(), covariance.collect())
    }

    /// The distance (squared, as is the custom): `|m₁ − m₂|² + tr(C₁ + C₂ − 2 (√C₁ C₂ √C₁)^½)`.
    pub(super) fn distance(&self, other: &Self) -> f64 {
        let n = self.sums.len();
        let ((mean_1, c_1), (mean_2, c_2)) = (self.moments(), other.moments());
        let apart: f64 = mean_1.iter().zip(&mean_2).map(|(a, b)| (a - b).powi(2)).sum();
        let trace = |matrix: &[f64]| (0..n).map(|k| matrix[k * n + k]).sum::<f64>();
        let spread = trace(&c_1) + trace(&c_2);
        let root = square_root(c_1, n);
        let mut inner = product(&product(&root, &c_2, n), &root, n);
        // Rounding leaves eigenvalues of nothing on either side of it.
        let common = eigen(&mut inner, n)
            .into_iter()
            .map(|(value, _)| value.max(0.0).sqrt());
        (apart + spread - 2.0 * common.sum::<f64>()).max(0.0)
    }
}

/// The symmetric root of a covariance.
fn square_root(mut matrix: Vec<f64>, n: usize) -> Vec<f64> {
    let mut root = vec![0.0; n * n];
    for (value, direction) in eigen(&mut matrix, n) {
        let deviation = value.max(0.0).sqrt();
        for (row, a) in root.chunks_exact_mut(n).zip(&direction) {
            let values = row.iter_mut().zip(&direction);
            values.for_each(|(sum, b)| *sum += deviation * a * b);
        }
    }
    root
}

fn product(a: &[f64], b: &[f64], n: usize) -> Vec<f64> {
    let mut out = vec![0.0; n * n];
    for (row, out) in a.chunks_exact(n).zip(out.chunks_exact_mut(n)) {
        for (a, b) in row.iter().zip(b.chunks_exact(n)) {
            out.iter_mut().zip(b).for_each(|(sum, b)| *sum += a * b);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, Streams, normals};

    /// Points `shift + scale · (x, y, x + y)`.
    fn cloud(stream: usize, shift: f32, scale: f32) -> Cloud {
        let mut values = vec![0.0; 20_000];
        normals(
            &mut Streams::new(4).stream(Purpose::Latents, stream, 0),
            &mut values,
        );
        let mut cloud = Cloud::new(3);
        for pair in values.chunks_exact(2) {
            let point = [pair[0], pair[1], pair[0] + pair[1]];
            cloud.add(&point.map(|value| shift + scale * value));
        }
        cloud
    }

    /// Clouds of the same shape: the means' distance, and `(s − 1)² tr C` with a trace of 4.
    #[test]
    fn shifts_and_scales_are_measured() {
        let one = cloud(0, 0.0, 1.0);
        assert!(one.distance(&one).abs() < 1e-9);
        assert!(one.distance(&cloud(1, 0.0, 1.0)) < 0.01);
        assert!((one.distance(&cloud(0, 2.0, 1.0)) - 12.0).abs() < 1e-4);
        let (wide, scaled) = (cloud(0, 0.0, 3.0), 4.0 * 4.0);
        assert!((one.distance(&wide) - scaled).abs() < 0.5);
        assert!((one.distance(&wide) - wide.distance(&one)).abs() < 1e-6);
    }

    /// Independent axes whose spreads differ have a distance that one can write down.
    #[test]
    fn axes_are_told_apart() {
        let of = |deviations: [f32; 2]| {
            let mut cloud = Cloud::new(2);
            for corner in [[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]] {
                cloud.add(&[corner[0] * deviations[0], corner[1] * deviations[1]]);
            }
            cloud
        };
        let distance = of([1.0, 4.0]).distance(&of([2.0, 1.0]));
        assert!((distance - (1.0 + 9.0)).abs() < 1e-9, "{distance}");
    }
}
