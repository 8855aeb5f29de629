//! The layers on the device, forward and backward; the shapes are those of [`crate::layers`].

use rand_chacha::ChaCha8Rng;
use wgpu::Buffer;

use super::GpuError;
use super::device::{BUSY, Device, Elements, Held, Recorder, TILE, over};
use crate::layers::affine::KERNEL;
use crate::layers::conv::PAD;
use crate::layers::{Affine, BiLstm, Conv};
use crate::rng::{Purpose, Streams};
use crate::trainer::SHARD;

/// Shortest sum that is worth a workgroup of its own.
const PART: usize = 128;
/// Units that the LSTM kernels have room for.
const UNITS_MAX: usize = 256;

/// Flags of `product.wgsl`.
const TRANSPOSED: u32 = 1;
const ADD: u32 = 2;
const BIAS: u32 = 4;
const PARTS: u32 = 8;

/// How the rows of the left side of a product are read; see `product.wgsl`.
#[derive(Clone, Copy, Debug)]
struct View {
    rows: usize,
    sample: usize,
    stride: usize,
    pad: usize,
    limit: usize,
    repeat: usize,
    width: usize,
}

impl View {
    /// Rows of `width` values, one after the other.
    fn matrix(width: usize) -> Self {
        Self {
            rows: 1,
            sample: width,
            stride: 0,
            pad: 0,
            limit: 1,
            repeat: 1,
            width,
        }
    }
}

/// A product to be made.
struct Product<'a> {
    /// Rows, columns, and the length of the sums.
    shape: (usize, usize, usize),
    /// Left side, where it begins, how it is read.
    a: (&'a Buffer, usize, View),
    /// Right side, where it begins, steps from row to row and from column to column.
    b: (&'a Buffer, usize, [usize; 2]),
    flags: u32,
    /// Where the bias stands in the buffer of the right side.
    bias: usize,
    out: (&'a Buffer, usize),
}

impl Product<'_> {
    /// As `product.wgsl` has them.
    fn words(&self, part: usize, flags: u32) -> Vec<u32> {
        let ((m, n, k), (_, a, view), (_, b, [b_row, b_column])) = (self.shape, self.a, self.b);
        let View {
            rows,
            sample,
            stride,
            pad,
            limit,
            repeat,
            width,
        } = view;
        let a = [a, rows, sample, stride, pad, limit, repeat, width];
        let after = [b, b_row, b_column, self.bias, self.out.1];
        let words = [&[m, n, k, part, flags as usize][..], &a, &after].concat();
        words.into_iter().map(|w| w as u32).collect()
    }
}

fn product(r: &mut Recorder<'_>, p: &Product<'_>) {
    let (m, n, k) = p.shape;
    let tiles = m.div_ceil(TILE) * n.div_ceil(TILE);
    let parts = (BUSY / tiles).min(k / PART).max(1);
    let part = k.div_ceil(parts);
    let parts = k.div_ceil(part);
    let groups = [n.div_ceil(TILE), m.div_ceil(TILE), parts];
    if parts == 1 {
        r.run(
            "product",
            (&[p.a.0, p.b.0], &[p.out.0]),
            &p.words(part, p.flags),
            groups,
        );
    } else {
        let scratch = &r.device.parts;
        r.run(
            "product",
            (&[p.a.0, p.b.0], &[scratch]),
            &p.words(part, p.flags | PARTS),
            groups,
        );
        r.run(
            "gather",
            (&[scratch, p.b.0], &[p.out.0]),
            &p.words(part, p.flags),
            over(m * n),
        );
    }
}

/// Adds the sums of the columns of a matrix to `grads`.
fn column_sums(
    r: &mut Recorder<'_>,
    (dy, from): (&Buffer, usize),
    (rows, n): (usize, usize),
    to: (&Buffer, usize),
) {
    // A row of ones, read from a single one.
    let ones = View {
        limit: rows,
        repeat: rows,
        width: 1,
        sample: 0,
        ..View::matrix(1)
    };
    product(
        r,
        &Product {
            shape: (1, n, rows),
            a: (&r.device.one, 0, ones),
            b: (dy, from, [n, 1]),
            flags: ADD,
            bias: 0,
            out: to,
        },
    );
}

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

    /// `out = W·x + b`.
    pub(super) fn forward(&self, r: &mut Recorder<'_>, w: &Held, x: &Buffer, out: &Buffer, batch: usize) {
        self.apply(r, w, x, out, (batch, BIAS));
    }

    /// `out = W·x`.
    pub(super) fn tangent(&self, r: &mut Recorder<'_>, w: &Held, x: &Buffer, out: &Buffer, batch: usize) {
        self.apply(r, w, x, out, (batch, 0));
    }

    fn apply(&self, r: &mut Recorder<'_>, w: &Held, x: &Buffer, out: &Buffer, (batch, flags): (usize, u32)) {
        let p = Product {
            shape: (batch * self.view.rows, self.outputs, self.seen),
            a: (x, 0, self.view),
            b: (&w.weights, self.kernel, [self.outputs, 1]),
            flags,
            bias: self.bias,
            out: (out, 0),
        };
        product(r, &p);
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
        let p = Product {
            shape: (batch * self.view.rows, self.seen, self.outputs),
            a: (dy, 0, View::matrix(self.outputs)),
            b: (&w.weights, self.kernel, [1, self.outputs]),
            flags: 0,
            bias: 0,
            out: (self.d_seen.as_ref().unwrap_or(dx), 0),
        };
        product(r, &p);
        if let Some(d_seen) = &self.d_seen {
            let back = Product {
                shape: (p.shape.0, self.outputs, self.seen),
                a: (d_seen, 0, self.view),
                ..p
            };
            let groups = over(batch * self.view.sample);
            r.run("scatter", (&[d_seen], &[dx]), &back.words(0, 0), groups);
        }
    }

    /// Adds `dW = xᵀ·dy` and, if `with_bias`, `db = Σ dy` to `grads`.
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
        let p = Product {
            shape: (self.seen, self.outputs, rows),
            a: (x, 0, self.view),
            b: (dy, 0, [self.outputs, 1]),
            flags: ADD | TRANSPOSED,
            bias: 0,
            out: (&w.grads, self.kernel),
        };
        product(r, &p);
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

/// A bidirectional LSTM and its buffers. Sequences are batch-major on both sides.
#[derive(Debug)]
pub(super) struct Lstm {
    layer: BiLstm,
    mask_x: Buffer,
    mask_h: Buffer,
    x: Buffer,
    projected: Buffer,
    gates: Buffer,
    cells: Buffer,
    before: Buffer,
    transposed: Buffer,
    /// Hidden states, `[batch, steps, 2·units]`.
    pub(super) out: Buffer,
    /// Gradient of the input, `[batch, steps / repeat, inputs]`.
    pub(super) d_input: Buffer,
}

impl Lstm {
    /// For batches of up to `batch`.
    pub(super) fn of(device: &Device, layer: &BiLstm, batch: usize) -> Result<Self, GpuError> {
        let (inputs, units) = (layer.inputs, layer.units);
        if units > UNITS_MAX {
            return Err(GpuError::Nets("an LSTM on a GPU has at most 256 units"));
        }
        let (lines, cells) = (2 * batch, 2 * batch * layer.steps);
        let zeros = |len| device.zeros(len);
        Ok(Self {
            mask_x: zeros(lines * inputs),
            mask_h: zeros(lines * units),
            x: zeros(cells / layer.repeat * inputs),
            projected: zeros(cells / layer.repeat * 4 * units),
            gates: zeros(cells * 4 * units),
            cells: zeros(cells * units),
            before: zeros(cells * units),
            transposed: zeros(2 * units * 4 * units),
            out: zeros(cells * units),
            d_input: zeros(cells / layer.repeat / 2 * inputs),
            layer: layer.clone(),
        })
    }

    /// The projection of one direction's input, and where that input and its result begin.
    fn projection(&self, direction: usize, batch: usize) -> (Linear, usize, usize) {
        let [kernel, _, bias] = &self.layer.tensors()[direction];
        let (inputs, wide) = (self.layer.inputs, 4 * self.layer.units);
        let rows = direction * batch * self.layer.steps / self.layer.repeat;
        let linear = Linear {
            kernel: kernel.start,
            bias: bias.start,
            view: View::matrix(inputs),
            seen: inputs,
            outputs: wide,
            d_seen: None,
        };
        (linear, rows * inputs, rows * wide)
    }

    fn words(&self, batch: usize) -> [u32; 6] {
        let [[_, forward, _], [_, backward, _]] = self.layer.tensors();
        let layer = &self.layer;
        [
            batch,
            layer.steps,
            layer.repeat,
            layer.units,
            forward.start,
            backward.start,
        ]
        .map(|w| w as u32)
    }

    pub(super) fn forward(
        &self,
        r: &mut Recorder<'_>,
        w: &Held,
        input: &Buffer,
        batch: usize,
        mut draws: Option<&mut Draws>,
    ) {
        let layer = &self.layer;
        let rows = batch * layer.steps / layer.repeat;
        for line in [0, batch] {
            let (x, h) = (
                (&self.mask_x, line * layer.inputs),
                (&self.mask_h, line * layer.units),
            );
            dropout_mask(r, draws.as_deref_mut(), layer.rate, x, (batch, layer.inputs));
            dropout_mask(r, draws.as_deref_mut(), layer.rate, h, (batch, layer.units));
        }
        let masked = Elements {
            count: rows * layer.inputs,
            width: layer.inputs,
            steps: layer.steps / layer.repeat,
            ..Elements::default()
        };
        r.each("mask_input", (&[input, &self.mask_x], &[&self.x]), masked);
        for direction in 0..2 {
            let (linear, from, to) = self.projection(direction, batch);
            let p = Product {
                shape: (rows, linear.outputs, linear.seen),
                a: (&self.x, from, linear.view),
                b: (&w.weights, linear.kernel, [linear.outputs, 1]),
                flags: BIAS,
                bias: linear.bias,
                out: (&self.projected, to),
            };
            product(r, &p);
        }
        let written = [&self.gates, &self.cells, &self.before, &self.out];
        let read = [&self.projected, &w.weights, &self.mask_h];
        r.run(
            "lstm_forward",
            (&read, &written),
            &self.words(batch),
            [batch, 2, 1],
        );
    }

    /// Adds the gradients of the weights to `grads`; leaves that of the input in `d_input` if it is wanted.
    pub(super) fn backward(
        &self,
        r: &mut Recorder<'_>,
        w: &Held,
        d_out: &Buffer,
        (batch, want_input): (usize, bool),
    ) {
        let layer = &self.layer;
        let (units, wide) = (layer.units, 4 * layer.units);
        let (steps, input_rows) = (batch * layer.steps, batch * layer.steps / layer.repeat);
        for (direction, [_, recurrent, _]) in layer.tensors().into_iter().enumerate() {
            let turned = Elements {
                count: units * wide,
                from: recurrent.start,
                to: direction * units * wide,
                width: wide,
                ..Elements::default()
            };
            r.each("transpose", (&[&w.weights], &[&self.transposed]), turned);
        }
        let read = [d_out, &self.transposed, &self.mask_h, &self.cells];
        r.run(
            "lstm_backward",
            (&read, &[&self.gates]),
            &self.words(batch),
            [batch, 2, 1],
        );
        let folded = Elements {
            count: 2 * input_rows * wide,
            width: wide,
            steps: layer.repeat,
            ..Elements::default()
        };
        r.each("fold", (&[&self.gates], &[&self.projected]), folded);
        for (direction, [_, recurrent, _]) in layer.tensors().into_iter().enumerate() {
            let (linear, from, to) = self.projection(direction, batch);
            let mut sum = |shape, a, b, out| {
                let (flags, bias) = (ADD | TRANSPOSED, 0);
                product(
                    r,
                    &Product {
                        shape,
                        a,
                        b,
                        flags,
                        bias,
                        out,
                    },
                );
            };
            sum(
                (units, wide, steps),
                (&self.before, direction * steps * units, View::matrix(units)),
                (&self.gates, direction * steps * wide, [wide, 1]),
                (&w.grads, recurrent.start),
            );
            sum(
                (layer.inputs, wide, input_rows),
                (&self.x, from, linear.view),
                (&self.projected, to, [wide, 1]),
                (&w.grads, linear.kernel),
            );
            column_sums(
                r,
                (&self.projected, to),
                (input_rows, wide),
                (&w.grads, linear.bias),
            );
            if want_input {
                // The masked input is not needed any more: its gradient takes its place.
                let p = Product {
                    shape: (input_rows, layer.inputs, wide),
                    a: (&self.projected, to, View::matrix(wide)),
                    b: (&w.weights, linear.kernel, [1, wide]),
                    flags: 0,
                    bias: 0,
                    out: (&self.x, from),
                };
                product(r, &p);
            }
        }
        if want_input {
            let merged = Elements {
                count: input_rows * layer.inputs,
                width: layer.inputs,
                steps: layer.steps / layer.repeat,
                ..Elements::default()
            };
            r.each(
                "merge_input",
                (&[&self.x, &self.mask_x], &[&self.d_input]),
                merged,
            );
        }
    }
}
