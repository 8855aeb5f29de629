//! Convolutional encoder and generator: a linear map and what convolutions add to it.
//!
//! The linear maps of both start at the principal components of the training windows ([`Linear`]), the last layers
//! of the convolutions at zero. So training starts from the best linear reconstruction, with latents whose mean and
//! variance are those of the prior, and the convolutions learn what is left: the shapes that move.

use std::ops::Range;

use super::LEAK;
use crate::layers::{Affine, Conv, ConvTape};
use crate::params::Layout;
use crate::principal::Principal;

/// A convolution, its buffers aside, and the leaky ReLU behind it are one step of either net.
#[derive(Clone, Debug, Default)]
struct Hidden {
    conv: ConvTape,
    out: Vec<f32>,
    d_out: Vec<f32>,
}

/// `[batch, window] → [batch, latent]`: two convolutions of stride 2 with leaky ReLU; a dense layer over what they
/// found and the window itself.
#[derive(Clone, Debug)]
pub struct ConvEncoder {
    /// The convolutions; the second has twice the filters.
    pub convs: [Conv; 2],
    /// Dense layer over `[features, window]`.
    pub head: Affine,
    window: usize,
}

/// Buffers of one pass through a [`ConvEncoder`].
#[derive(Clone, Debug, Default)]
pub struct ConvEncoderTape {
    hidden: [Hidden; 2],
    joined: Vec<f32>,
    d_joined: Vec<f32>,
    scratch: Vec<f32>,
}

impl ConvEncoder {
    /// Adds the tensors of an encoder of `window` values (a multiple of 4) into `latent` to `layout`.
    pub fn new(layout: &mut Layout, window: usize, latent: usize, filters: usize) -> Self {
        let first = Conv::new(layout, "encoder.conv_1", window, (1, filters), 2);
        let second = Conv::new(
            layout,
            "encoder.conv_2",
            first.outputs(),
            (filters, 2 * filters),
            2,
        );
        let features = second.outputs() * second.filters;
        let head = Affine::dense(layout, "encoder.head", features + window, latent);
        Self {
            convs: [first, second],
            head,
            window,
        }
    }

    /// Values that the convolutions give of a window.
    #[must_use]
    pub fn features(&self) -> usize {
        self.head.input_len() - self.window
    }

    /// Encodes windows into `out`. The encoder has no dropout.
    pub fn forward(&self, weights: &[f32], windows: &[f32], tape: &mut ConvEncoderTape, out: &mut Vec<f32>) {
        let [first, second] = &mut tape.hidden;
        self.convs[0].forward(weights, windows, &mut first.conv, &mut first.out);
        leaky(&mut first.out);
        self.convs[1].forward(weights, &first.out, &mut second.conv, &mut second.out);
        leaky(&mut second.out);
        tape.joined.clear();
        let features = second.out.chunks_exact(self.features());
        for (features, window) in features.zip(windows.chunks_exact(self.window)) {
            tape.joined.extend_from_slice(features);
            tape.joined.extend_from_slice(window);
        }
        self.head.forward(weights, &tape.joined, out);
    }

    /// Adds the gradients of the weights, given that of the latents.
    pub fn backward(&self, weights: &[f32], d_latent: &[f32], tape: &mut ConvEncoderTape, grads: &mut [f32]) {
        self.head.backward_weights(&tape.joined, d_latent, grads, true);
        self.head
            .backward_input(weights, d_latent, &mut tape.d_joined, &mut tape.scratch);
        let [first, second] = &mut tape.hidden;
        second.d_out.clear();
        for joined in tape.d_joined.chunks_exact(self.head.input_len()) {
            second.d_out.extend_from_slice(&joined[..self.features()]);
        }
        leaky_back(&second.out, &mut second.d_out);
        self.convs[1].backward(
            weights,
            &second.d_out,
            &mut second.conv,
            grads,
            Some(&mut first.d_out),
        );
        leaky_back(&first.out, &mut first.d_out);
        self.convs[0].backward(weights, &first.d_out, &mut first.conv, grads, None);
    }

    /// Sets the linear map to `principal` and what the convolutions add to zero.
    pub fn start_at(&self, principal: &Principal, weights: &mut [f32]) {
        let latent = self.head.output_len();
        let kernel = &mut weights[self.head.kernel.clone()];
        kernel.fill(0.0);
        let rows = kernel.chunks_exact_mut(latent).skip(self.features());
        for (row, t) in rows.zip(0..) {
            row.iter_mut()
                .zip(&principal.components)
                .for_each(|(w, component)| *w = (component.direction[t] / component.deviation) as f32);
        }
        let bias = &mut weights[self.head.bias.clone()];
        for (bias, component) in bias.iter_mut().zip(&principal.components) {
            let offset: f64 = component
                .direction
                .iter()
                .zip(&principal.mean)
                .map(|(d, m)| d * m)
                .sum();
            *bias = (-offset / component.deviation) as f32;
        }
    }
}

/// `[batch, latent] → [batch, window]`: dense to a quarter of the steps, then twice {repeat each step, convolution},
/// leaky ReLU after each; a convolution to one channel, plus a dense layer straight from the latents. Linear output.
#[derive(Clone, Debug)]
pub struct ConvGenerator {
    /// Dense layer from latents to a quarter of the steps.
    pub stem: Affine,
    /// The convolutions: to `filters`, to `filters`, to 1.
    pub convs: [Conv; 3],
    /// Dense layer from the latents to the window.
    pub linear: Affine,
}

/// Buffers of one pass through a [`ConvGenerator`].
#[derive(Clone, Debug, Default)]
pub struct ConvGeneratorTape {
    stem: Vec<f32>,
    d_stem: Vec<f32>,
    hidden: [Hidden; 3],
    wide: Vec<f32>,
    scratch: Vec<f32>,
    line: Vec<f32>,
}

impl ConvGenerator {
    /// Adds the tensors of a generator of `window` values (a multiple of 4) from `latent` to `layout`.
    pub fn new(layout: &mut Layout, window: usize, latent: usize, filters: usize) -> Self {
        let stem = Affine::dense(layout, "generator.stem", latent, window / 4 * 2 * filters);
        let mut conv = |name: &str, steps, channels| Conv::new(layout, name, steps, channels, 1);
        let convs = [
            conv("generator.conv_1", window / 2, (2 * filters, filters)),
            conv("generator.conv_2", window, (filters, filters)),
            conv("generator.conv_3", window, (filters, 1)),
        ];
        let linear = Affine::dense(layout, "generator.linear", latent, window);
        Self { stem, convs, linear }
    }

    /// Generates windows into `out`. There is no dropout.
    pub fn forward(
        &self,
        weights: &[f32],
        latents: &[f32],
        tape: &mut ConvGeneratorTape,
        out: &mut Vec<f32>,
    ) {
        self.stem.forward(weights, latents, &mut tape.stem);
        leaky(&mut tape.stem);
        let [first, second, third] = &mut tape.hidden;
        repeat(&tape.stem, self.convs[0].channels, &mut tape.wide);
        self.convs[0].forward(weights, &tape.wide, &mut first.conv, &mut first.out);
        leaky(&mut first.out);
        repeat(&first.out, self.convs[1].channels, &mut tape.wide);
        self.convs[1].forward(weights, &tape.wide, &mut second.conv, &mut second.out);
        leaky(&mut second.out);
        self.convs[2].forward(weights, &second.out, &mut third.conv, &mut third.out);
        self.linear.forward(weights, latents, out);
        out.iter_mut().zip(&third.out).for_each(|(y, add)| *y += add);
    }

    /// Adds the gradients of the weights, given that of the windows; leaves that of the latents in `d_latents`.
    pub fn backward(
        &self,
        weights: &[f32],
        latents: &[f32],
        d_windows: &[f32],
        tape: &mut ConvGeneratorTape,
        grads: &mut [f32],
        d_latents: &mut Vec<f32>,
    ) {
        self.linear.backward_weights(latents, d_windows, grads, true);
        self.linear
            .backward_input(weights, d_windows, d_latents, &mut tape.scratch);
        let [first, second, third] = &mut tape.hidden;
        self.convs[2].backward(
            weights,
            d_windows,
            &mut third.conv,
            grads,
            Some(&mut second.d_out),
        );
        leaky_back(&second.out, &mut second.d_out);
        let wide = &mut tape.wide;
        self.convs[1].backward(weights, &second.d_out, &mut second.conv, grads, Some(wide));
        repeat_back(wide, self.convs[1].channels, &mut first.d_out);
        leaky_back(&first.out, &mut first.d_out);
        self.convs[0].backward(weights, &first.d_out, &mut first.conv, grads, Some(wide));
        repeat_back(wide, self.convs[0].channels, &mut tape.d_stem);
        leaky_back(&tape.stem, &mut tape.d_stem);
        self.stem.backward_weights(latents, &tape.d_stem, grads, true);
        self.stem
            .backward_input(weights, &tape.d_stem, &mut tape.line, &mut tape.scratch);
        d_latents
            .iter_mut()
            .zip(&tape.line)
            .for_each(|(d, add)| *d += add);
    }

    /// Sets the linear map to `principal` and what the convolutions add to zero.
    pub fn start_at(&self, principal: &Principal, weights: &mut [f32]) {
        let last: [Range<usize>; 2] = [self.convs[2].kernel.clone(), self.convs[2].bias.clone()];
        last.into_iter().for_each(|range| weights[range].fill(0.0));
        let window = self.linear.output_len();
        let rows = weights[self.linear.kernel.clone()].chunks_exact_mut(window);
        for (row, component) in rows.zip(&principal.components) {
            row.iter_mut()
                .zip(&component.direction)
                .for_each(|(w, d)| *w = (d * component.deviation) as f32);
        }
        let bias = weights[self.linear.bias.clone()].iter_mut();
        bias.zip(&principal.mean)
            .for_each(|(bias, mean)| *bias = *mean as f32);
    }
}

fn leaky(values: &mut [f32]) {
    values
        .iter_mut()
        .for_each(|y| *y *= if *y > 0.0 { 1.0 } else { LEAK });
}

/// Gradient through a leaky ReLU whose output was `out`: its sign is that of its input.
fn leaky_back(out: &[f32], d_out: &mut [f32]) {
    for (d, y) in d_out.iter_mut().zip(out) {
        *d *= if *y > 0.0 { 1.0 } else { LEAK };
    }
}

/// Each step of `channels` values twice.
fn repeat(steps: &[f32], channels: usize, out: &mut Vec<f32>) {
    out.clear();
    for step in steps.chunks_exact(channels) {
        out.extend_from_slice(step);
        out.extend_from_slice(step);
    }
}

/// Gradient through [`repeat`].
fn repeat_back(d_out: &[f32], channels: usize, d_steps: &mut Vec<f32>) {
    d_steps.clear();
    for pair in d_out.chunks_exact(2 * channels) {
        let (once, twice) = pair.split_at(channels);
        d_steps.extend(once.iter().zip(twice).map(|(a, b)| a + b));
    }
}
