//! Dense layers, convolutions and dropout on the device; the shapes are those of [`crate::layers`].

use rand_chacha::ChaCha8Rng;
use wgpu::Buffer;

use super::device::{Device, Elements, Held, Recorder};
use super::product::{Product, View, column_sums};
use crate::layers::affine::KERNEL;
use crate::layers::conv::PAD;
use crate::layers::{Affine, Conv};
use crate::rng::{Purpose, Streams};
use crate::trainer::SHARD;

/// A dense layer or a convolution.
#[derive(Debug)]
pub(super) struct Linear {
    kernel: usize,
    bias: usize,
    view: View,
    /// Values that a row sees, and values that it becomes.
    seen: usize,
    outputs: usize,
    /// Gradients of what all rows see, where some of it is the same.
    d_seen: Option<Buffer>,
}

impl Linear {
    /// For batches of up to `batch`.
    pub(super) fn of(device: &Device, layer: &Affine, batch: usize) -> Self {
        let outputs = layer.bias.len();
        let (len, seen) = (layer.input_len(), layer.kernel.len() / outputs);
        // A layer that sees all of its input at once is dense.
        let width = if len == seen { seen } else { seen / KERNEL };
        let view = View {
            rows: layer.output_len() / outputs,
            sample: len,
            stride: 1,
            pad: 0,
            limit: len / width,
            repeat: 1,
            width,
        };
        Self {
            kernel: layer.kernel.start,
            bias: layer.bias.start,
            view,
            seen,
            outputs,
            d_seen: (len != seen).then(|| device.zeros(batch * view.rows * seen)),
        }
    }

    /// A convolution over steps that are each repeated `repeat` times.
    pub(super) fn of_conv(device: &Device, layer: &Conv, repeat: usize, batch: usize) -> Self {
        let seen = layer.kernel.len() / layer.filters;
        let view = View {
            rows: layer.outputs(),
            sample: layer.steps / repeat * layer.channels,
            stride: layer.stride,
            pad: PAD,
            limit: layer.steps,
            repeat,
            width: layer.channels,
        };
        Self {
            kernel: layer.kernel.start,
            bias: layer.bias.start,
            view,
            seen,
            outputs: layer.filters,
            d_seen: Some(device.zeros(batch * view.rows * seen)),
        }
    }

    /// Values of one output sample.
    pub(super) fn output_len(&self) -> usize {
        self.view.rows * self.outputs
    }

    /// Values of one input sample.
    pub(super) fn input_len(&self) -> usize {
        self.view.sample
    }

    fn product<'a>(&self, w: &'a Held, x: &'a Buffer, out: &'a Buffer, batch: usize) -> Product<'a> {
        let shape = (batch * self.view.rows, self.outputs, self.seen);
        let kernel = (&w.weights, self.kernel, [self.outputs, 1]);
        Product::new(shape, (x, 0, self.view), kernel, (out, 0))
    }

    /// `out = W·x + b`.
    pub(super) fn forward(&self, r: &mut Recorder<'_>, w: &Held, x: &Buffer, out: &Buffer, batch: usize) {
        self.product(w, x, out, batch).with_bias(self.bias).make(r);
    }

    /// `out = W·x`.
    pub(super) fn tangent(&self, r: &mut Recorder<'_>, w: &Held, x: &Buffer, out: &Buffer, batch: usize) {
        self.product(w, x, out, batch).make(r);
    }

    /// `dx = Wᵀ·dy`.
    pub(super) fn backward_input(
        &self,
        r: &mut Recorder<'_>,
        w: &Held,
        dy: &Buffer,
        dx: &Buffer,
        batch: usize,
    ) {
        let shape = (batch * self.view.rows, self.seen, self.outputs);
        let kernel = (&w.weights, self.kernel, [1, self.outputs]);
        let dy = (dy, 0, View::matrix(self.outputs));
        let d_seen = self.d_seen.as_ref().unwrap_or(dx);
        Product::new(shape, dy, kernel, (d_seen, 0)).make(r);
        if let Some(d_seen) = &self.d_seen {
            let len = batch * self.view.sample;
            self.product(w, d_seen, dx, batch).scatter(r, len);
        }
    }

    /// Adds `dW = xᵀ·dy` and, if `with_bias`, `db = Σ dy` to the gradients.
    pub(super) fn backward_weights(
        &self,
        r: &mut Recorder<'_>,
        w: &Held,
        (x, dy): (&Buffer, &Buffer),
        (batch, with_bias): (usize, bool),
    ) {
        let rows = batch * self.view.rows;
        if with_bias {
            column_sums(r, (dy, 0), (rows, self.outputs), (&w.grads, self.bias));
        }
        let (shape, dy) = ((self.seen, self.outputs, rows), (dy, 0, [self.outputs, 1]));
        let to = (&w.grads, self.kernel);
        Product::new(shape, (x, 0, self.view), dy, to).summed().make(r);
    }
}

/// The streams of a batch's shards: the draws of the processor's shards, in the same order.
#[derive(Debug)]
pub(super) struct Draws {
    shards: Vec<ChaCha8Rng>,
    batch: usize,
}

impl Draws {
    pub(super) fn new(streams: Streams, purpose: Purpose, step: usize, batch: usize) -> Self {
        let shards = 0..batch.div_ceil(SHARD);
        Self {
            shards: shards.map(|shard| streams.stream(purpose, step, shard)).collect(),
            batch,
        }
    }
}

/// Fills `rows` rows of `width` dropout factors, from `to` on; ones without draws. Of twice the batch, a shard holds
/// its rows of the first half, then those of the second.
pub(super) fn dropout_mask(
    r: &mut Recorder<'_>,
    draws: Option<&mut Draws>,
    rate: f32,
    (out, to): (&Buffer, usize),
    (rows, width): (usize, usize),
) {
    let Some(draws) = draws else {
        let ones = Elements {
            count: rows * width,
            to,
            factor: 1.0,
            ..Elements::default()
        };
        return r.each("fill", (&[], &[out]), ones);
    };
    let mut row = 0;
    for rng in &mut draws.shards {
        let shard = SHARD.min(draws.batch - row);
        let count = rows / draws.batch * shard * width;
        let drawn = rng.get_word_pos() as usize;
        let words = count.div_ceil(2);
        let blocks = (drawn + words).div_ceil(16) - drawn / 16;
        let mut parameters: Vec<u32> = rng
            .get_seed()
            .chunks_exact(4)
            .map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect();
        let stream = rng.get_stream();
        let cut = (rate * 65_536.0).round() as usize;
        let numbers = [drawn, count, width, shard, row, draws.batch, to, cut];
        parameters.extend([stream as u32, (stream >> 32) as u32]);
        parameters.extend(numbers.map(|n| n as u32));
        parameters.push((1.0 / (1.0 - rate)).to_bits());
        r.run("dropout", (&[], &[out]), &parameters, [blocks.div_ceil(64), 1, 1]);
        rng.set_word_pos((drawn + words) as u128);
        row += shard;
    }
}
