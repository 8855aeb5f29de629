//! The linear layers of encoder head, generator head and critics: dense, and one-dimensional convolution.
//!
//! Both are `out = W·x + b` a sample, with the three products that training needs: forward, gradient of the input,
//! gradient of the weights.

use std::ops::Range;

use crate::math::{Mat, MatMut, Write, add_column_sums, add_row, gemm};
use crate::params::{Init, Layout};

/// Width of the critic's convolutions.
pub const KERNEL: usize = 5;

/// A linear layer and where its tensors stand.
#[derive(Clone, Debug)]
pub struct Affine {
    /// Kernel in the net's flat weights.
    pub kernel: Range<usize>,
    /// Bias in the net's flat weights.
    pub bias: Range<usize>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// `[inputs] → [outputs]`, kernel `[inputs, outputs]`.
    Dense { inputs: usize, outputs: usize },
    /// `[steps, channels] → [steps − 4, filters]`, no padding, kernel `[5, channels, filters]`.
    Conv {
        steps: usize,
        channels: usize,
        filters: usize,
    },
}

impl Affine {
    /// A dense layer.
    pub fn dense(layout: &mut Layout, name: &str, inputs: usize, outputs: usize) -> Self {
        let init = Init::Glorot {
            fan_in: inputs,
            fan_out: outputs,
        };
        Self {
            kernel: layout.push(format!("{name}.kernel"), &[inputs, outputs], init),
            bias: layout.push(format!("{name}.bias"), &[outputs], Init::Zeros),
            kind: Kind::Dense { inputs, outputs },
        }
    }

    /// A convolution over `steps` steps of `channels` channels.
    pub fn conv(layout: &mut Layout, name: &str, steps: usize, channels: usize, filters: usize) -> Self {
        assert!(steps >= KERNEL, "a convolution needs at least {KERNEL} steps");
        let init = Init::Glorot {
            fan_in: KERNEL * channels,
            fan_out: KERNEL * filters,
        };
        Self {
            kernel: layout.push(format!("{name}.kernel"), &[KERNEL, channels, filters], init),
            bias: layout.push(format!("{name}.bias"), &[filters], Init::Zeros),
            kind: Kind::Conv {
                steps,
                channels,
                filters,
            },
        }
    }

    /// Values of one input sample.
    #[must_use]
    pub fn input_len(&self) -> usize {
        match self.kind {
            Kind::Dense { inputs, .. } => inputs,
            Kind::Conv { steps, channels, .. } => steps * channels,
        }
    }

    /// Values of one output sample.
    #[must_use]
    pub fn output_len(&self) -> usize {
        match self.kind {
            Kind::Dense { outputs, .. } => outputs,
            Kind::Conv { steps, filters, .. } => (steps - KERNEL + 1) * filters,
        }
    }

    /// `out = W·x + b`.
    pub fn forward(&self, weights: &[f32], x: &[f32], out: &mut Vec<f32>) {
        self.tangent(weights, x, out);
        add_row(out, &weights[self.bias.clone()]);
    }

    /// `out = W·x`: what a small change of the input does to the output.
    pub fn tangent(&self, weights: &[f32], x: &[f32], out: &mut Vec<f32>) {
        let batch = x.len() / self.input_len();
        out.resize(batch * self.output_len(), 0.0);
        let kernel = &weights[self.kernel.clone()];
        match self.kind {
            Kind::Dense { inputs, outputs } => gemm(
                MatMut::new(out, batch, outputs),
                Write::Set,
                Mat::new(x, batch, inputs),
                Mat::new(kernel, inputs, outputs),
            ),
            Kind::Conv {
                steps,
                channels,
                filters,
            } => {
                let (taps, rows) = (KERNEL * channels, steps - KERNEL + 1);
                let samples = x.chunks_exact(steps * channels);
                for (x, out) in samples.zip(out.chunks_exact_mut(rows * filters)) {
                    gemm(
                        MatMut::new(out, rows, filters),
                        Write::Set,
                        Mat::with_stride(x, rows, taps, channels),
                        Mat::new(kernel, taps, filters),
                    );
                }
            }
        }
    }

    /// `dx = Wᵀ·dy`; `scratch` is any buffer.
    pub fn backward_input(&self, weights: &[f32], dy: &[f32], dx: &mut Vec<f32>, scratch: &mut Vec<f32>) {
        let batch = dy.len() / self.output_len();
        dx.resize(batch * self.input_len(), 0.0);
        let kernel = &weights[self.kernel.clone()];
        match self.kind {
            Kind::Dense { inputs, outputs } => gemm(
                MatMut::new(dx, batch, inputs),
                Write::Set,
                Mat::new(dy, batch, outputs),
                Mat::new(kernel, inputs, outputs).t(),
            ),
            Kind::Conv {
                steps,
                channels,
                filters,
            } => transposed_conv(kernel, dy, dx, scratch, (steps, channels, filters)),
        }
    }

    /// Adds `dW = xᵀ·dy` and, if `with_bias`, `db = Σ dy` to `grads`.
    pub fn backward_weights(&self, x: &[f32], dy: &[f32], grads: &mut [f32], with_bias: bool) {
        if with_bias {
            add_column_sums(dy, &mut grads[self.bias.clone()]);
        }
        let grad = &mut grads[self.kernel.clone()];
        match self.kind {
            Kind::Dense { inputs, outputs } => {
                let batch = dy.len() / outputs;
                gemm(
                    MatMut::new(grad, inputs, outputs),
                    Write::Add,
                    Mat::new(x, batch, inputs).t(),
                    Mat::new(dy, batch, outputs),
                );
            }
            Kind::Conv {
                steps,
                channels,
                filters,
            } => {
                let (taps, rows) = (KERNEL * channels, steps - KERNEL + 1);
                let samples = x.chunks_exact(steps * channels);
                for (x, dy) in samples.zip(dy.chunks_exact(rows * filters)) {
                    gemm(
                        MatMut::new(grad, taps, filters),
                        Write::Add,
                        Mat::with_stride(x, rows, taps, channels).t(),
                        Mat::new(dy, rows, filters),
                    );
                }
            }
        }
    }
}

/// Input gradient of a convolution: the padded output gradient convolved with the kernel, taps reversed.
fn transposed_conv(
    kernel: &[f32],
    dy: &[f32],
    dx: &mut [f32],
    scratch: &mut Vec<f32>,
    (steps, channels, filters): (usize, usize, usize),
) {
    let rows = steps - KERNEL + 1;
    let (flipped_len, pad) = (KERNEL * filters * channels, (KERNEL - 1) * filters);
    scratch.clear();
    scratch.resize(flipped_len + rows * filters + 2 * pad, 0.0);
    let (flipped, padded) = scratch.split_at_mut(flipped_len);
    for tap in 0..KERNEL {
        for channel in 0..channels {
            for filter in 0..filters {
                flipped[(tap * filters + filter) * channels + channel] =
                    kernel[((KERNEL - 1 - tap) * channels + channel) * filters + filter];
            }
        }
    }
    let samples = dy.chunks_exact(rows * filters);
    for (dy, dx) in samples.zip(dx.chunks_exact_mut(steps * channels)) {
        padded[pad..pad + dy.len()].copy_from_slice(dy);
        gemm(
            MatMut::new(dx, steps, channels),
            Write::Set,
            Mat::with_stride(padded, steps, KERNEL * filters, filters),
            Mat::new(flipped, KERNEL * filters, channels),
        );
    }
}
