//! Encoder and generator of the paper: bidirectional LSTMs.

use rand_chacha::ChaCha8Rng;

use super::{GENERATOR_DROPOUT, transpose};
use crate::layers::lstm::{Order, Tape};
use crate::layers::{Affine, BiLstm};
use crate::math::tanh_in_place;
use crate::params::Layout;

/// `[batch, window] → [batch, latent]`: bidirectional LSTM, flatten, dense.
#[derive(Clone, Debug)]
pub struct RecurrentEncoder {
    /// The recurrent layer.
    pub lstm: BiLstm,
    /// The dense layer over all hidden states.
    pub head: Affine,
    window: usize,
}

/// Buffers of one pass through an [`RecurrentEncoder`].
#[derive(Clone, Debug, Default)]
pub struct RecurrentEncoderTape {
    input: Vec<f32>,
    /// The recurrent layer's buffers.
    pub lstm: Tape,
    d_hidden: Vec<f32>,
    scratch: Vec<f32>,
}

impl RecurrentEncoder {
    /// Adds the tensors of an encoder of `window` values into `latent` with `units` a direction to `layout`.
    pub fn new(layout: &mut Layout, window: usize, latent: usize, units: usize) -> Self {
        let lstm = BiLstm::new(
            layout,
            "encoder.lstm",
            (1, units),
            (window, 1),
            Order::BatchMajor,
            0.0,
        );
        let head = Affine::dense(layout, "encoder.head", window * 2 * units, latent);
        Self { lstm, head, window }
    }

    /// Encodes windows into `out`. The encoder has no dropout.
    pub fn forward(
        &self,
        weights: &[f32],
        windows: &[f32],
        tape: &mut RecurrentEncoderTape,
        out: &mut Vec<f32>,
    ) {
        let batch = windows.len() / self.window;
        transpose(windows, batch, self.window, &mut tape.input);
        self.lstm
            .forward(weights, &tape.input, batch, None, &mut tape.lstm);
        self.head.forward(weights, &tape.lstm.out, out);
    }

    /// Adds the gradients of the weights, given that of the latents.
    pub fn backward(
        &self,
        weights: &[f32],
        d_latent: &[f32],
        tape: &mut RecurrentEncoderTape,
        grads: &mut [f32],
    ) {
        self.head.backward_weights(&tape.lstm.out, d_latent, grads, true);
        self.head
            .backward_input(weights, d_latent, &mut tape.d_hidden, &mut tape.scratch);
        self.lstm
            .backward(weights, &tape.d_hidden, &mut tape.lstm, grads, false);
    }
}

/// `[batch, latent] → [batch, window]`: dense to half the steps, bidirectional LSTM, twofold upsampling,
/// bidirectional LSTM, dense a step, tanh. The upsampling is the second layer's repetition.
#[derive(Clone, Debug)]
pub struct RecurrentGenerator {
    /// Dense layer from latents to half the steps.
    pub stem: Affine,
    /// First recurrent layer, half the steps.
    pub first: BiLstm,
    /// Second recurrent layer, all steps.
    pub second: BiLstm,
    /// Dense layer of each step.
    pub head: Affine,
    window: usize,
}

/// Buffers of one pass through a [`RecurrentGenerator`].
#[derive(Clone, Debug, Default)]
pub struct RecurrentGeneratorTape {
    /// Output of the stem.
    pub stem: Vec<f32>,
    steps: Vec<f32>,
    /// The first recurrent layer's buffers.
    pub first: Tape,
    /// The second recurrent layer's buffers.
    pub second: Tape,
    line: Vec<f32>,
    d_hidden: Vec<f32>,
    d_stem: Vec<f32>,
    scratch: Vec<f32>,
}

impl RecurrentGenerator {
    /// Adds the tensors of a generator of `window` values from `latent` with `units` a direction to `layout`.
    pub fn new(layout: &mut Layout, window: usize, latent: usize, units: usize) -> Self {
        let half = window / 2;
        let stem = Affine::dense(layout, "generator.stem", latent, half);
        let mut lstm = |name: &str, inputs, steps, repeat| {
            BiLstm::new(
                layout,
                name,
                (inputs, units),
                (steps, repeat),
                Order::TimeMajor,
                GENERATOR_DROPOUT,
            )
        };
        let first = lstm("generator.lstm_1", 1, half, 1);
        let second = lstm("generator.lstm_2", 2 * units, window, 2);
        let head = Affine::dense(layout, "generator.head", 2 * units, 1);
        Self {
            stem,
            first,
            second,
            head,
            window,
        }
    }

    /// Generates windows into `out`; dropout is on when a generator of random numbers is given.
    pub fn forward(
        &self,
        weights: &[f32],
        latents: &[f32],
        mut dropout: Option<&mut ChaCha8Rng>,
        tape: &mut RecurrentGeneratorTape,
        out: &mut Vec<f32>,
    ) {
        let batch = latents.len() / self.stem.input_len();
        self.stem.forward(weights, latents, &mut tape.stem);
        transpose(&tape.stem, batch, self.window / 2, &mut tape.steps);
        self.first.forward(
            weights,
            &tape.steps,
            batch,
            dropout.as_deref_mut(),
            &mut tape.first,
        );
        self.second
            .forward(weights, &tape.first.out, batch, dropout, &mut tape.second);
        self.head.forward(weights, &tape.second.out, &mut tape.line);
        tanh_in_place(&mut tape.line);
        transpose(&tape.line, self.window, batch, out);
    }

    /// Adds the gradients of the weights, given that of the windows; leaves that of the latents in `d_latents`.
    pub fn backward(
        &self,
        weights: &[f32],
        latents: &[f32],
        d_windows: &[f32],
        tape: &mut RecurrentGeneratorTape,
        grads: &mut [f32],
        d_latents: &mut Vec<f32>,
    ) {
        let batch = d_windows.len() / self.window;
        transpose(d_windows, batch, self.window, &mut tape.scratch);
        for (d, y) in tape.line.iter_mut().zip(&tape.scratch) {
            *d = y * (1.0 - *d * *d);
        }
        self.head
            .backward_weights(&tape.second.out, &tape.line, grads, true);
        self.head
            .backward_input(weights, &tape.line, &mut tape.d_hidden, &mut tape.scratch);
        self.second
            .backward(weights, &tape.d_hidden, &mut tape.second, grads, true);
        self.first
            .backward(weights, &tape.second.d_input, &mut tape.first, grads, true);
        transpose(&tape.first.d_input, self.window / 2, batch, &mut tape.d_stem);
        self.stem.backward_weights(latents, &tape.d_stem, grads, true);
        self.stem
            .backward_input(weights, &tape.d_stem, d_latents, &mut tape.scratch);
    }
}
