//! Two-dimensional convolution and its transpose, as products over patches.
//!
//! A convolution is a linear map from a wide image to a narrow one of more channels; its transpose goes back. So one
//! kind of layer does for discriminators, which narrow, and generators, which widen: what is the forward pass of the one
//! is the input's gradient of the other, and the kernel's gradient is the same.

use std::ops::Range;

use crate::math::{Mat, MatMut, Write, add_column_sums, add_row, gemm};
use crate::params::{Init, Layout};

/// Samples of a product: enough to fill the processor's units, few enough for the patches to stay in its cache.
const TOGETHER: usize = 4;

/// A square image; values row by row, its channels side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Image {
    /// Pixels of a row, and rows.
    pub side: usize,
    /// Values of a pixel.
    pub channels: usize,
}

impl Image {
    /// Values.
    #[must_use]
    pub fn len(self) -> usize {
        self.pixels() * self.channels
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    fn pixels(self) -> usize {
        self.side * self.side
    }
}

/// A convolution from `wide` to `narrow`, or its transpose; kernel `[side, side, wide channels, narrow channels]`.
#[derive(Clone, Debug)]
pub struct Conv2d {
    /// Kernel in the net's flat weights.
    pub kernel: Range<usize>,
    /// Bias in the net's flat weights, a value a channel of the output.
    pub bias: Range<usize>,
    /// Pixels of a row of the kernel, and rows.
    side: usize,
    wide: Image,
    narrow: Image,
    transposed: bool,
}

impl Conv2d {
    /// A convolution with a kernel of `side` × `side` pixels; the side of `input` is a multiple of that of `output`, which is its stride.
    pub fn new(layout: &mut Layout, name: &str, side: usize, input: Image, output: Image) -> Self {
        Self::between(layout, name, side, (input, output), false)
    }

    /// A transposed convolution; the side of `output` is a multiple of that of `input`.
    pub fn transposed(layout: &mut Layout, name: &str, side: usize, input: Image, output: Image) -> Self {
        Self::between(layout, name, side, (output, input), true)
    }

    fn between(
        layout: &mut Layout,
        name: &str,
        side: usize,
        (wide, narrow): (Image, Image),
        transposed: bool,
    ) -> Self {
        assert!(
            wide.side.is_multiple_of(narrow.side),
            "a stride is a whole number"
        );
        let (input, output) = if transposed {
            (narrow, wide)
        } else {
            (wide, narrow)
        };
        let init = Init::Glorot {
            fan_in: side * side * input.channels,
            fan_out: side * side * output.channels,
        };
        let shape = [side, side, wide.channels, narrow.channels];
        Self {
            kernel: layout.push(format!("{name}.kernel"), &shape, init),
            bias: layout.push(format!("{name}.bias"), &[output.channels], Init::Zeros),
            side,
            wide,
            narrow,
            transposed,
        }
    }

    /// What goes in.
    #[must_use]
    pub fn input(&self) -> Image {
        if self.transposed { self.narrow } else { self.wide }
    }

    /// What comes out.
    #[must_use]
    pub fn output(&self) -> Image {
        if self.transposed { self.wide } else { self.narrow }
    }

    /// `out = W·x + b` for samples side by side; `patches` is any buffer.
    pub fn forward(&self, weights: &[f32], x: &[f32], out: &mut [f32], patches: &mut Vec<f32>) {
        let kernel = &weights[self.kernel.clone()];
        if self.transposed {
            self.widen(kernel, x, out, patches);
        } else {
            self.narrow(kernel, x, out, patches);
        }
        add_row(out, &weights[self.bias.clone()]);
    }

    /// `dx = Wᵀ·dy`.
    pub fn backward_input(&self, weights: &[f32], dy: &[f32], dx: &mut [f32], patches: &mut Vec<f32>) {
        let kernel = &weights[self.kernel.clone()];
        if self.transposed {
            self.narrow(kernel, dy, dx, patches);
        } else {
            self.widen(kernel, dy, dx, patches);
        }
    }

    /// Adds the gradients of kernel and bias to `grads`, which are those of the whole net.
    pub fn backward_weights(&self, x: &[f32], dy: &[f32], grads: &mut [f32], patches: &mut Vec<f32>) {
        add_column_sums(dy, &mut grads[self.bias.clone()]);
        let (wide, narrow) = if self.transposed { (dy, x) } else { (x, dy) };
        let taps = self.taps();
        for (wide, narrow) in self.parts(wide, narrow) {
            let rows = self.gather(wide, patches);
            gemm(
                MatMut::new(&mut grads[self.kernel.clone()], taps, self.narrow.channels),
                Write::Add,
                Mat::new(patches, rows, taps).t(),
                Mat::new(narrow, rows, self.narrow.channels),
            );
        }
    }

    /// Values of a patch.
    fn taps(&self) -> usize {
        self.side * self.side * self.wide.channels
    }

    fn narrow(&self, kernel: &[f32], wide: &[f32], narrow: &mut [f32], patches: &mut Vec<f32>) {
        let taps = self.taps();
        let parts = wide.chunks(TOGETHER * self.wide.len());
        for (wide, narrow) in parts.zip(narrow.chunks_mut(TOGETHER * self.narrow.len())) {
            let rows = self.gather(wide, patches);
            gemm(
                MatMut::new(narrow, rows, self.narrow.channels),
                Write::Set,
                Mat::new(patches, rows, taps),
                Mat::new(kernel, taps, self.narrow.channels),
            );
        }
    }

    fn widen(&self, kernel: &[f32], narrow: &[f32], wide: &mut [f32], patches: &mut Vec<f32>) {
        let taps = self.taps();
        wide.fill(0.0);
        let parts = narrow.chunks(TOGETHER * self.narrow.len());
        for (narrow, wide) in parts.zip(wide.chunks_mut(TOGETHER * self.wide.len())) {
            let rows = narrow.len() / self.narrow.channels;
            patches.resize(rows * taps, 0.0);
            gemm(
                MatMut::new(patches, rows, taps),
                Write::Set,
                Mat::new(narrow, rows, self.narrow.channels),
                Mat::new(kernel, taps, self.narrow.channels).t(),
            );
            self.for_each_run(rows, |image, patch| {
                let runs = wide[image].iter_mut().zip(&patches[patch]);
                runs.for_each(|(sum, value)| *sum += value);
            });
        }
    }

    /// Copies out what each pixel of the narrow side sees of some wide images, a row each; says how many rows.
    fn gather(&self, wide: &[f32], patches: &mut Vec<f32>) -> usize {
        let rows = wide.len() / self.wide.len() * self.narrow.pixels();
        // The zeros off the edge stand where they stood: a buffer is cleared when its size changes.
        patches.clear();
        patches.resize(rows * self.taps(), 0.0);
        self.for_each_run(rows, |image, patch| patches[patch].copy_from_slice(&wide[image]));
        rows
    }

    /// Neighbours in a row of an image are neighbours in a patch: for each such run, where it stands in either.
    fn for_each_run(&self, rows: usize, mut act: impl FnMut(Range<usize>, Range<usize>)) {
        let Image { side, channels } = self.wide;
        let stride = side / self.narrow.side;
        // Pixels off the image that a patch at its edge reaches; they count as zeros.
        let pad = (self.side - 1) / 2;
        // First and last pixel of a patch on the image, and how far the first is off it.
        let reach = |at: usize| {
            let from = (at * stride).saturating_sub(pad);
            let to = (at * stride + self.side - pad).min(side);
            (from, to, (from + pad) - at * stride)
        };
        for row in 0..rows {
            let (sample, pixel) = (row / self.narrow.pixels(), row % self.narrow.pixels());
            let (top, bottom, skipped) = reach(pixel / self.narrow.side);
            let (left, right, off) = reach(pixel % self.narrow.side);
            let len = (right - left) * channels;
            for y in top..bottom {
                let image = sample * self.wide.len() + (y * side + left) * channels;
                let tap = (skipped + y - top) * self.side + off;
                let patch = row * self.taps() + tap * channels;
                act(image..image + len, patch..patch + len);
            }
        }
    }

    /// Both sides of a batch, cut into parts of a product each.
    fn parts<'a>(
        &self,
        wide: &'a [f32],
        narrow: &'a [f32],
    ) -> impl Iterator<Item = (&'a [f32], &'a [f32])> + use<'a> {
        let narrow = narrow.chunks(TOGETHER * self.narrow.len());
        wide.chunks(TOGETHER * self.wide.len()).zip(narrow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, Streams, normals};

    const WIDE: Image = Image { side: 6, channels: 2 };
    const NARROW: Image = Image { side: 3, channels: 3 };
    /// More samples than one product takes.
    const SAMPLES: usize = 5;

    fn numbers(stream: usize, len: usize) -> Vec<f32> {
        let mut values = vec![0.0; len];
        let mut rng = Streams::new(3).stream(Purpose::Weights, stream, 0);
        normals(&mut rng, &mut values);
        values
    }

    /// A convolution and its transpose, with kernels of several sides.
    fn all() -> impl Iterator<Item = [(Conv2d, Layout); 2]> {
        [3, 4, 5].into_iter().map(|side| {
            let (mut a, mut b) = (Layout::default(), Layout::default());
            let down = Conv2d::new(&mut a, "down", side, WIDE, NARROW);
            let up = Conv2d::transposed(&mut b, "up", side, NARROW, WIDE);
            [(down, a), (up, b)]
        })
    }

    fn out(layer: &Conv2d, weights: &[f32], x: &[f32]) -> Vec<f32> {
        let mut out = vec![f32::NAN; x.len() / layer.input().len() * layer.output().len()];
        layer.forward(weights, x, &mut out, &mut Vec::new());
        out
    }

    fn dot(a: &[f32], b: &[f32]) -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    }

    /// Value number `at` of what comes out.
    fn one(layer: &Conv2d, weights: &[f32], x: &[f32], at: usize) -> f32 {
        let (side, pad) = (layer.side, [1, 1, 2][layer.side - 3]);
        let (sample, rest) = (at / NARROW.len(), at % NARROW.len());
        let (pixel, filter) = (rest / NARROW.channels, rest % NARROW.channels);
        let mut sum = weights[layer.bias.start + filter];
        for tap in 0..side * side {
            let y = (2 * (pixel / NARROW.side) + tap / side).wrapping_sub(pad);
            let column = (2 * (pixel % NARROW.side) + tap % side).wrapping_sub(pad);
            if y >= WIDE.side || column >= WIDE.side {
                continue;
            }
            for channel in 0..WIDE.channels {
                let input = sample * WIDE.len() + (y * WIDE.side + column) * WIDE.channels + channel;
                let tap = (tap * WIDE.channels + channel) * NARROW.channels + filter;
                sum += x[input] * weights[layer.kernel.start + tap];
            }
        }
        sum
    }

    /// Against the definition, value by value.
    #[test]
    fn a_convolution_is_a_sum_over_its_patch() {
        for [(layer, layout), _] in all() {
            let (weights, x) = (numbers(0, layout.len()), numbers(1, 2 * WIDE.len()));
            for (at, got) in out(&layer, &weights, &x).iter().enumerate() {
                let want = one(&layer, &weights, &x, at);
                let side = layer.side;
                assert!((got - want).abs() < 1e-4, "{side}, {at}: {got}, not {want}");
            }
        }
    }

    /// `⟨W·x, y⟩ = ⟨x, Wᵀ·y⟩`, with the same kernel in both.
    #[test]
    fn the_transposed_layer_is_the_transpose() {
        for [(down, layout), (up, _)] in all() {
            let mut weights = numbers(0, layout.len());
            weights[down.bias.clone()].fill(0.0);
            let (x, y) = (
                numbers(1, SAMPLES * WIDE.len()),
                numbers(2, SAMPLES * NARROW.len()),
            );
            let forth = dot(&out(&down, &weights, &x), &y);
            let back = dot(&x, &out(&up, &weights, &y));
            assert!((forth - back).abs() < 1e-3 * forth.abs(), "{forth}, {back}");
        }
    }

    /// Input, kernel and bias of either layer against central differences of `⟨out, r⟩`.
    #[test]
    fn gradients_follow_finite_differences() {
        for (layer, layout) in all().flatten() {
            let weights = numbers(0, layout.len());
            let x = numbers(1, SAMPLES * layer.input().len());
            let r = numbers(2, SAMPLES * layer.output().len());
            let (mut dx, mut grads) = (vec![f32::NAN; x.len()], vec![0.0; weights.len()]);
            let mut scratch = Vec::new();
            layer.backward_input(&weights, &r, &mut dx, &mut scratch);
            layer.backward_weights(&x, &r, &mut grads, &mut scratch);
            let step = |values: &[f32], direction: &[f32], h: f32| -> Vec<f32> {
                let moved = values.iter().zip(direction);
                moved.map(|(value, d)| value + h * d).collect()
            };
            let close = |what: &str, got: f64, [above, below]: [f64; 2]| {
                let want = (above - below) / 0.02;
                assert!(
                    (got - want).abs() < 1e-2 * (1.0 + want.abs()),
                    "{what}: {got}, {want}"
                );
            };
            let direction = numbers(3, x.len());
            let at = |h| dot(&out(&layer, &weights, &step(&x, &direction, h)), &r);
            close("input", dot(&dx, &direction), [at(0.01), at(-0.01)]);
            for spec in layout.tensors() {
                let mut direction = vec![0.0; weights.len()];
                direction[spec.range.clone()].copy_from_slice(&numbers(4, spec.range.len()));
                let at = |h| dot(&out(&layer, &step(&weights, &direction, h), &x), &r);
                close(&spec.name, dot(&grads, &direction), [at(0.01), at(-0.01)]);
            }
        }
    }
}
