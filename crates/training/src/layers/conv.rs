//! One-dimensional convolution with padding and stride, as one product over a whole batch.
//!
//! The critic's convolutions ([`super::affine`]) work sample by sample on overlapping rows, without a copy. Here the
//! rows are copied out side by side first, so that a batch of short sequences is one large product.

use std::ops::Range;

use crate::math::{Mat, MatMut, Write, add_column_sums, add_row, gemm, zeros};
use crate::params::{Init, Layout};

/// Width of the convolutions.
pub const TAPS: usize = 5;
/// Zeros before and after a sequence: with a stride of 1 the length stays as it is.
pub const PAD: usize = TAPS / 2;

/// `[batch, steps, channels] → [batch, steps / stride, filters]` (rounded up), kernel `[5, channels, filters]`.
#[derive(Clone, Debug)]
pub struct Conv {
    /// Kernel in the net's flat weights.
    pub kernel: Range<usize>,
    /// Bias in the net's flat weights.
    pub bias: Range<usize>,
    /// Steps of the input.
    pub steps: usize,
    /// Channels of the input.
    pub channels: usize,
    /// Channels of the output.
    pub filters: usize,
    /// Steps between two outputs.
    pub stride: usize,
}

/// Buffers of one pass through a [`Conv`].
#[derive(Clone, Debug, Default)]
pub struct ConvTape {
    /// What each output sees, `[batch · outputs, 5 · channels]`.
    seen: Vec<f32>,
    d_seen: Vec<f32>,
}

impl Conv {
    /// Adds the tensors of the layer to `layout` under `name`.
    pub fn new(
        layout: &mut Layout,
        name: &str,
        steps: usize,
        (channels, filters): (usize, usize),
        stride: usize,
    ) -> Self {
        let init = Init::Glorot {
            fan_in: TAPS * channels,
            fan_out: TAPS * filters,
        };
        Self {
            kernel: layout.push(format!("{name}.kernel"), &[TAPS, channels, filters], init),
            bias: layout.push(format!("{name}.bias"), &[filters], Init::Zeros),
            steps,
            channels,
            filters,
            stride,
        }
    }

    /// Steps of the output.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.steps.div_ceil(self.stride)
    }

    /// Convolves `x` into `out`.
    pub fn forward(&self, weights: &[f32], x: &[f32], tape: &mut ConvTape, out: &mut Vec<f32>) {
        let rows = x.len() / (self.steps * self.channels) * self.outputs();
        let wide = TAPS * self.channels;
        zeros(&mut tape.seen, rows * wide);
        self.for_each_row(x.len(), |row, input, taps| {
            tape.seen[row * wide + taps.start..row * wide + taps.end].copy_from_slice(&x[input]);
        });
        out.resize(rows * self.filters, 0.0);
        gemm(
            MatMut::new(out, rows, self.filters),
            Write::Set,
            Mat::new(&tape.seen, rows, wide),
            Mat::new(&weights[self.kernel.clone()], wide, self.filters),
        );
        add_row(out, &weights[self.bias.clone()]);
    }

    /// Adds the gradients of the weights to `grads`, given that of the output; puts that of the input into `dx` if it
    /// is asked for.
    pub fn backward(
        &self,
        weights: &[f32],
        dy: &[f32],
        tape: &mut ConvTape,
        grads: &mut [f32],
        dx: Option<&mut Vec<f32>>,
    ) {
        let (rows, wide) = (dy.len() / self.filters, TAPS * self.channels);
        add_column_sums(dy, &mut grads[self.bias.clone()]);
        gemm(
            MatMut::new(&mut grads[self.kernel.clone()], wide, self.filters),
            Write::Add,
            Mat::new(&tape.seen, rows, wide).t(),
            Mat::new(dy, rows, self.filters),
        );
        let Some(dx) = dx else {
            return;
        };
        tape.d_seen.resize(rows * wide, 0.0);
        gemm(
            MatMut::new(&mut tape.d_seen, rows, wide),
            Write::Set,
            Mat::new(dy, rows, self.filters),
            Mat::new(&weights[self.kernel.clone()], wide, self.filters).t(),
        );
        let len = rows / self.outputs() * self.steps * self.channels;
        zeros(dx, len);
        self.for_each_row(len, |row, input, taps| {
            let from = &tape.d_seen[row * wide + taps.start..row * wide + taps.end];
            dx[input].iter_mut().zip(from).for_each(|(dx, d)| *dx += d);
        });
    }

    /// For each output row of a batch whose input has `len` values: where in the input stands what it sees, and where
    /// among its taps (all of them but at the ends of a sequence).
    fn for_each_row(&self, len: usize, mut act: impl FnMut(usize, Range<usize>, Range<usize>)) {
        let (outputs, channels) = (self.outputs(), self.channels);
        for sample in 0..len / (self.steps * channels) {
            for output in 0..outputs {
                let first = (output * self.stride) as isize - PAD as isize;
                let from = first.max(0) as usize;
                let to = ((first + TAPS as isize) as usize).min(self.steps);
                let tap = (from as isize - first) as usize * channels;
                let start = sample * self.steps * channels;
                act(
                    sample * outputs + output,
                    start + from * channels..start + to * channels,
                    tap..tap + (to - from) * channels,
                );
            }
        }
    }
}
