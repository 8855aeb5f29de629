//! The weights of one net: named tensors in one flat vector, so that optimiser, sums of gradients, checkpoints and
//! averages are loops over a slice.

use std::ops::Range;

use rand::Rng;

use crate::rng;

/// How a tensor starts (Keras' defaults).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Init {
    /// Zeros.
    Zeros,
    /// Ones.
    Ones,
    /// Uniform in ±√(6 / (fan_in + fan_out)).
    Glorot {
        /// Inputs of a unit.
        fan_in: usize,
        /// Outputs fed by an input.
        fan_out: usize,
    },
    /// Orthonormal rows.
    Orthogonal,
    /// An LSTM bias: ones for the forget gate, zeros elsewhere.
    ForgetOne,
}

/// One tensor of a net.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// Name, e.g. `encoder.lstm.forward.kernel`.
    pub name: String,
    /// Shape, row-major; Keras layout.
    pub shape: Vec<usize>,
    /// Where it stands in the flat vector.
    pub range: Range<usize>,
    /// How it starts.
    pub init: Init,
}

/// Names, shapes and places of the tensors of a net.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    specs: Vec<TensorSpec>,
    len: usize,
}

impl Layout {
    /// Appends a tensor and says where it stands.
    pub fn push(&mut self, name: String, shape: &[usize], init: Init) -> Range<usize> {
        let range = self.len..self.len + shape.iter().product::<usize>();
        self.len = range.end;
        self.specs.push(TensorSpec {
            name,
            shape: shape.to_vec(),
            range: range.clone(),
            init,
        });
        range
    }

    /// The tensors in order.
    #[must_use]
    pub fn tensors(&self) -> &[TensorSpec] {
        &self.specs
    }

    /// Number of parameters.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no parameters.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Fresh weights.
    #[must_use]
    pub fn init(&self, rng: &mut impl Rng) -> Vec<f32> {
        let mut weights = vec![0.0; self.len];
        for spec in &self.specs {
            let values = &mut weights[spec.range.clone()];
            match spec.init {
                Init::Zeros => {}
                Init::Ones => values.fill(1.0),
                Init::Glorot { fan_in, fan_out } => {
                    let limit = (6.0 / (fan_in + fan_out) as f32).sqrt();
                    values.fill_with(|| limit * (2.0 * rng::uniform(rng) - 1.0));
                }
                Init::Orthogonal => orthonormal_rows(rng, values, spec.shape[0]),
                Init::ForgetOne => {
                    let units = values.len() / 4;
                    values[units..2 * units].fill(1.0);
                }
            }
        }
        weights
    }
}

/// Fills `values` with `rows` random orthonormal rows (Gram–Schmidt on normal draws, twice for precision).
fn orthonormal_rows(rng: &mut impl Rng, values: &mut [f32], rows: usize) {
    let cols = values.len() / rows;
    let mut basis: Vec<Vec<f64>> = Vec::with_capacity(rows);
    let mut draw = vec![0.0f32; cols];
    for row in values.chunks_exact_mut(cols) {
        rng::normals(rng, &mut draw);
        let mut v: Vec<f64> = draw.iter().map(|x| f64::from(*x)).collect();
        for other in basis.iter().chain(basis.iter()) {
            let dot: f64 = v.iter().zip(other).map(|(a, b)| a * b).sum();
            v.iter_mut().zip(other).for_each(|(a, b)| *a -= dot * b);
        }
        let norm = v.iter().map(|a| a * a).sum::<f64>().sqrt();
        v.iter_mut().for_each(|a| *a /= norm);
        row.iter_mut().zip(&v).for_each(|(slot, a)| *slot = *a as f32);
        basis.push(v);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, Streams};

    #[test]
    fn tensors_start_as_in_keras() {
        let mut layout = Layout::default();
        let kernel = layout.push(
            "k".into(),
            &[6, 2],
            Init::Glorot {
                fan_in: 6,
                fan_out: 2,
            },
        );
        let recurrent = layout.push("r".into(), &[3, 12], Init::Orthogonal);
        let bias = layout.push("b".into(), &[12], Init::ForgetOne);
        let weights = layout.init(&mut Streams::new(0).stream(Purpose::Weights, 0, 0));
        let limit = (6.0f32 / 8.0).sqrt();
        assert!(weights[kernel].iter().all(|w| w.abs() <= limit && *w != 0.0));
        let rows = &weights[recurrent];
        for a in 0..3 {
            for b in 0..3 {
                let dot: f32 = (0..12).map(|k| rows[a * 12 + k] * rows[b * 12 + k]).sum();
                assert!((dot - if a == b { 1.0 } else { 0.0 }).abs() < 1e-6);
            }
        }
        assert_eq!(&weights[bias], [0., 0., 0., 1., 1., 1., 0., 0., 0., 0., 0., 0.]);
    }
}
