//! A bidirectional LSTM on the device: [`crate::layers::BiLstm`] and its buffers. See `lstm.wgsl`.

use wgpu::Buffer;

use super::GpuError;
use super::device::{Device, Elements, Held, Recorder};
use super::layers::{Draws, dropout_mask};
use super::product::{Product, View, column_sums};
use crate::layers::BiLstm;

/// Units that the kernels have room for.
const UNITS_MAX: usize = 256;

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

    /// The first of the kernels' parameters.
    fn words(&self, batch: usize) -> [u32; 6] {
        let [[_, forward, _], [_, backward, _]] = self.layer.tensors();
        let (steps, repeat, units) = (self.layer.steps, self.layer.repeat, self.layer.units);
        [batch, steps, repeat, units, forward.start, backward.start].map(|w| w as u32)
    }

    /// Runs sequences through the layer into `out`.
    pub(super) fn forward(
        &self,
        r: &mut Recorder<'_>,
        w: &Held,
        input: &Buffer,
        batch: usize,
        mut draws: Option<&mut Draws>,
    ) {
        let (inputs, units, rate) = (self.layer.inputs, self.layer.units, self.layer.rate);
        let steps = self.layer.steps / self.layer.repeat;
        let (rows, wide) = (batch * steps, 4 * units);
        for line in [0, batch] {
            let (x, h) = ((&self.mask_x, line * inputs), (&self.mask_h, line * units));
            dropout_mask(r, draws.as_deref_mut(), rate, x, (batch, inputs));
            dropout_mask(r, draws.as_deref_mut(), rate, h, (batch, units));
        }
        let masked = Elements {
            width: inputs,
            steps,
            ..Elements::of(rows * inputs)
        };
        r.each("mask_input", (&[input, &self.mask_x], &[&self.x]), masked);
        for (direction, [kernel, _, bias]) in self.layer.tensors().into_iter().enumerate() {
            let x = (&self.x, direction * rows * inputs, View::matrix(inputs));
            let kernel = (&w.weights, kernel.start, [wide, 1]);
            let to = (&self.projected, direction * rows * wide);
            let projection = Product::new((rows, wide, inputs), x, kernel, to);
            projection.with_bias(bias.start).make(r);
        }
        let read = [&self.projected, &w.weights, &self.mask_h];
        let written = [&self.gates, &self.cells, &self.before, &self.out];
        r.run(
            "lstm_forward",
            (&read, &written),
            &self.words(batch),
            [batch, 2, 1],
        );
    }

    /// Adds the gradients of the weights; leaves that of the input in `d_input` if it is wanted.
    pub(super) fn backward(
        &self,
        r: &mut Recorder<'_>,
        w: &Held,
        d_out: &Buffer,
        (batch, want_input): (usize, bool),
    ) {
        let (inputs, units, repeat) = (self.layer.inputs, self.layer.units, self.layer.repeat);
        let (wide, cells, rows) = (
            4 * units,
            batch * self.layer.steps,
            batch * self.layer.steps / repeat,
        );
        for (direction, [_, recurrent, _]) in self.layer.tensors().into_iter().enumerate() {
            let turned = Elements {
                begin: recurrent.start,
                to: direction * units * wide,
                width: wide,
                ..Elements::of(units * wide)
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
        // From here on `gates` and `projected` hold gradients.
        let folded = Elements {
            width: wide,
            steps: repeat,
            ..Elements::of(2 * rows * wide)
        };
        r.each("fold", (&[&self.gates], &[&self.projected]), folded);
        for (direction, [kernel, recurrent, bias]) in self.layer.tensors().into_iter().enumerate() {
            let before = (&self.before, direction * cells * units, View::matrix(units));
            let gates = (&self.gates, direction * cells * wide, [wide, 1]);
            let to = (&w.grads, recurrent.start);
            Product::new((units, wide, cells), before, gates, to)
                .summed()
                .make(r);
            let x = (&self.x, direction * rows * inputs, View::matrix(inputs));
            let at = direction * rows * wide;
            let projected = (&self.projected, at, [wide, 1]);
            let to = (&w.grads, kernel.start);
            Product::new((inputs, wide, rows), x, projected, to)
                .summed()
                .make(r);
            column_sums(r, (&self.projected, at), (rows, wide), (&w.grads, bias.start));
            if want_input {
                // The input is not needed any more: its gradient takes its place.
                let projected = (&self.projected, at, View::matrix(wide));
                let kernel = (&w.weights, kernel.start, [1, wide]);
                Product::new((rows, inputs, wide), projected, kernel, (&self.x, x.1)).make(r);
            }
        }
        if want_input {
            let merged = Elements {
                width: inputs,
                steps: self.layer.steps / repeat,
                ..Elements::of(rows * inputs)
            };
            r.each(
                "merge_input",
                (&[&self.x, &self.mask_x], &[&self.d_input]),
                merged,
            );
        }
    }
}
