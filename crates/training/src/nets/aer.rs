//! AER: an auto-encoder of what lies between the first and the last value of a window that also predicts those two.
//!
//! The encoder sees `x[1..L−1]`; the decoder says L values, of which the first is the prediction backward in time and
//! the last the prediction forward. No dropout, no tanh: a value outside the training range can be said.

use super::transpose;
use crate::layers::lstm::{Order, Tape};
use crate::layers::{Affine, BiLstm};
use crate::math::zeros;
use crate::params::Layout;

/// LSTM units a direction in both nets, as published.
pub(super) const UNITS: usize = 30;

/// `[batch, window] → [batch, 2·units]`: a bidirectional LSTM over the inner values; the state of each direction after
/// its last step, the forward one first.
#[derive(Clone, Debug)]
pub struct AerEncoder {
    /// The recurrent layer, `window − 2` steps.
    pub lstm: BiLstm,
}

/// Buffers of one pass through an [`AerEncoder`].
#[derive(Clone, Debug, Default)]
pub struct AerEncoderTape {
    input: Vec<f32>,
    lstm: Tape,
    d_hidden: Vec<f32>,
}

impl AerEncoder {
    /// Adds the tensors of an encoder of windows of `window` values with `units` units a direction to `layout`.
    pub fn new(layout: &mut Layout, window: usize, units: usize) -> Self {
        let steps = (window - 2, 1);
        let lstm = BiLstm::new(layout, "encoder.lstm", (1, units), steps, Order::TimeMajor, 0.0);
        Self { lstm }
    }

    /// Encodes windows into `out`.
    pub fn forward(&self, weights: &[f32], windows: &[f32], tape: &mut AerEncoderTape, out: &mut Vec<f32>) {
        let (steps, units) = (self.lstm.steps, self.lstm.units);
        let batch = windows.len() / (steps + 2);
        tape.input.resize(steps * batch, 0.0);
        for (row, window) in windows.chunks_exact(steps + 2).enumerate() {
            for (step, value) in window[1..=steps].iter().enumerate() {
                tape.input[step * batch + row] = *value;
            }
        }
        self.lstm
            .forward(weights, &tape.input, batch, None, &mut tape.lstm);
        out.resize(batch * 2 * units, 0.0);
        for (row, latent) in out.chunks_exact_mut(2 * units).enumerate() {
            let [forward, backward] = self.last_states(row, batch);
            latent[..units].copy_from_slice(&tape.lstm.out[forward..forward + units]);
            latent[units..].copy_from_slice(&tape.lstm.out[backward..backward + units]);
        }
    }

    /// Adds the gradients of the weights, given that of the latents. Consumes the tape.
    pub fn backward(&self, weights: &[f32], d_latent: &[f32], tape: &mut AerEncoderTape, grads: &mut [f32]) {
        let units = self.lstm.units;
        let batch = d_latent.len() / (2 * units);
        zeros(&mut tape.d_hidden, tape.lstm.out.len());
        for (row, latent) in d_latent.chunks_exact(2 * units).enumerate() {
            let [forward, backward] = self.last_states(row, batch);
            tape.d_hidden[forward..forward + units].copy_from_slice(&latent[..units]);
            tape.d_hidden[backward..backward + units].copy_from_slice(&latent[units..]);
        }
        self.lstm
            .backward(weights, &tape.d_hidden, &mut tape.lstm, grads, false);
    }

    /// Where in the hidden states those of the last steps of one sample begin: the forward direction ends at the last
    /// value, the backward one at the first.
    fn last_states(&self, row: usize, batch: usize) -> [usize; 2] {
        let (steps, units) = (self.lstm.steps, self.lstm.units);
        [((steps - 1) * batch + row) * 2 * units, row * 2 * units + units]
    }
}

/// `[batch, 2·units] → [batch, window]`: the latent at each step, bidirectional LSTM, dense a step, linear.
#[derive(Clone, Debug)]
pub struct AerDecoder {
    /// The recurrent layer; its repetition is the repetition of the latent.
    pub lstm: BiLstm,
    /// Dense layer of each step.
    pub head: Affine,
}

/// Buffers of one pass through an [`AerDecoder`].
#[derive(Clone, Debug, Default)]
pub struct AerDecoderTape {
    lstm: Tape,
    line: Vec<f32>,
    d_hidden: Vec<f32>,
    scratch: Vec<f32>,
}

impl AerDecoder {
    /// Adds the tensors of a decoder to windows of `window` values with `units` units a direction to `layout`.
    pub fn new(layout: &mut Layout, window: usize, units: usize) -> Self {
        let (inputs, steps) = ((2 * units, units), (window, window));
        let lstm = BiLstm::new(layout, "generator.lstm", inputs, steps, Order::TimeMajor, 0.0);
        let head = Affine::dense(layout, "generator.head", 2 * units, 1);
        Self { lstm, head }
    }

    /// Decodes latents into `out`: the prediction of the first value, those between, the prediction of the last.
    pub fn forward(&self, weights: &[f32], latents: &[f32], tape: &mut AerDecoderTape, out: &mut Vec<f32>) {
        let batch = latents.len() / self.lstm.inputs;
        self.lstm.forward(weights, latents, batch, None, &mut tape.lstm);
        self.head.forward(weights, &tape.lstm.out, &mut tape.line);
        transpose(&tape.line, self.lstm.steps, batch, out);
    }

    /// Adds the gradients of the weights, given that of the windows; leaves that of the latents in `d_latents`.
    /// Consumes the tape.
    pub fn backward(
        &self,
        weights: &[f32],
        d_windows: &[f32],
        tape: &mut AerDecoderTape,
        grads: &mut [f32],
        d_latents: &mut Vec<f32>,
    ) {
        let batch = d_windows.len() / self.lstm.steps;
        transpose(d_windows, batch, self.lstm.steps, &mut tape.line);
        self.head
            .backward_weights(&tape.lstm.out, &tape.line, grads, true);
        self.head
            .backward_input(weights, &tape.line, &mut tape.d_hidden, &mut tape.scratch);
        self.lstm
            .backward(weights, &tape.d_hidden, &mut tape.lstm, grads, true);
        std::mem::swap(d_latents, &mut tape.lstm.d_input);
    }
}

/// Share of the two predictions in the loss, half of it each, as published.
const PREDICTION_SHARE: f64 = 0.5;

/// Parts of AER's loss, summed over samples and divided by the whole batch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AerLoss {
    /// Mean squared error of the prediction of the first value.
    pub reverse: f64,
    /// Mean squared error of the values between.
    pub inner: f64,
    /// Mean squared error of the prediction of the last value.
    pub forward: f64,
}

impl AerLoss {
    /// `ρ/2·reverse + (1 − ρ)·inner + ρ/2·forward` with ρ = 0.5.
    #[must_use]
    pub fn total(&self) -> f64 {
        PREDICTION_SHARE / 2.0 * (self.reverse + self.forward) + (1.0 - PREDICTION_SHARE) * self.inner
    }

    /// Loss of what the decoder said of `x`, both `[samples, window]`, `whole` being the samples of the whole batch;
    /// puts its gradient into `signal`.
    #[must_use]
    pub fn of(said: &[f32], x: &[f32], window: usize, whole: usize, signal: &mut Vec<f32>) -> Self {
        let mut loss = Self::default();
        let ends = (PREDICTION_SHARE / whole as f64) as f32;
        let between = 2.0 * (1.0 - PREDICTION_SHARE) / (whole * (window - 2)) as f64;
        signal.clear();
        for (said, x) in said.chunks_exact(window).zip(x.chunks_exact(window)) {
            for (k, (y, x)) in said.iter().zip(x).enumerate() {
                let off = y - x;
                let square = f64::from(off).powi(2) / whole as f64;
                let slope = if k == 0 {
                    loss.reverse += square;
                    ends
                } else if k == window - 1 {
                    loss.forward += square;
                    ends
                } else {
                    loss.inner += square / (window - 2) as f64;
                    between as f32
                };
                signal.push(slope * off);
            }
        }
        loss
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, Streams, normals};

    const WINDOW: usize = 8;
    const UNITS: usize = 3;

    fn numbers(stream: usize, len: usize) -> Vec<f32> {
        let mut values = vec![0.0; len];
        let mut rng = Streams::new(5).stream(Purpose::Latents, stream, 0);
        normals(&mut rng, &mut values);
        values
    }

    /// An encoder and a decoder with their layouts.
    fn nets(window: usize, units: usize) -> (AerEncoder, AerDecoder, [Layout; 2]) {
        let mut layouts = [Layout::default(), Layout::default()];
        let encoder = AerEncoder::new(&mut layouts[0], window, units);
        let decoder = AerDecoder::new(&mut layouts[1], window, units);
        (encoder, decoder, layouts)
    }

    fn weights(layout: &Layout, stream: usize) -> Vec<f32> {
        numbers(stream, layout.len()).iter().map(|w| 0.5 * w).collect()
    }

    #[test]
    fn parameters_are_as_many_as_published() {
        let (_, _, [encoder, decoder]) = nets(100, super::UNITS);
        assert_eq!(encoder.len() + decoder.len(), 29_581);
    }

    fn say(e: &[f32], d: &[f32], x: &[f32]) -> Vec<f32> {
        let (encoder, decoder, _) = nets(WINDOW, UNITS);
        let (mut latents, mut said) = (Vec::new(), Vec::new());
        encoder.forward(e, x, &mut AerEncoderTape::default(), &mut latents);
        decoder.forward(d, &latents, &mut AerDecoderTape::default(), &mut said);
        said
    }

    /// The states of one direction of an LSTM over `steps`, straight from the equations.
    fn walk(tensors: [&[f32]; 3], steps: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let [kernel, recurrent, bias] = tensors;
        let sigmoid = |v: f64| 1.0 / (1.0 + (-v).exp());
        let (mut h, mut c) = (vec![0.0; UNITS], vec![0.0; UNITS]);
        let mut states = Vec::new();
        for x in steps {
            let gate = |gate: usize, unit: usize| -> f64 {
                let column = gate * UNITS + unit;
                let weigh = |values: &[f64], matrix: &[f32]| -> f64 {
                    let rows = values.iter().enumerate();
                    rows.map(|(k, v)| v * f64::from(matrix[k * 4 * UNITS + column]))
                        .sum()
                };
                weigh(x, kernel) + weigh(&h, recurrent) + f64::from(bias[column])
            };
            let after: Vec<(f64, f64)> = (0..UNITS)
                .map(|u| {
                    let c = sigmoid(gate(1, u)) * c[u] + sigmoid(gate(0, u)) * gate(2, u).tanh();
                    (sigmoid(gate(3, u)) * c.tanh(), c)
                })
                .collect();
            (h, c) = after.into_iter().unzip();
            states.push(h.clone());
        }
        states
    }

    /// Both directions over `steps`: the states in time order.
    fn both(layer: &BiLstm, weights: &[f32], steps: &[Vec<f64>]) -> [Vec<Vec<f64>>; 2] {
        let [forward, backward] = layer.tensors().map(|t| t.map(|range| &weights[range]));
        let reversed: Vec<Vec<f64>> = steps.iter().rev().cloned().collect();
        let mut back = walk(backward, &reversed);
        back.reverse();
        [walk(forward, steps), back]
    }

    #[test]
    fn the_nets_are_what_the_equations_say() {
        let (encoder, decoder, layouts) = nets(WINDOW, UNITS);
        let (e, d) = (weights(&layouts[0], 0), weights(&layouts[1], 1));
        let x = numbers(2, 2 * WINDOW);
        let said = say(&e, &d, &x);
        for (window, said) in x.chunks_exact(WINDOW).zip(said.chunks_exact(WINDOW)) {
            let inner: Vec<Vec<f64>> = window[1..WINDOW - 1]
                .iter()
                .map(|v| vec![f64::from(*v)])
                .collect();
            let [forward, backward] = both(&encoder.lstm, &e, &inner);
            let latent = [forward[inner.len() - 1].clone(), backward[0].clone()].concat();
            let [forward, backward] = both(&decoder.lstm, &d, &vec![latent; WINDOW]);
            let (kernel, bias) = (&d[decoder.head.kernel.clone()], d[decoder.head.bias.start]);
            for t in 0..WINDOW {
                let states = forward[t].iter().chain(&backward[t]).zip(kernel);
                let want = f64::from(bias) + states.map(|(h, w)| h * f64::from(*w)).sum::<f64>();
                assert!(
                    (f64::from(said[t]) - want).abs() < 1e-6,
                    "step {t}: {} is not {want}",
                    said[t]
                );
            }
        }
    }

    #[test]
    fn the_ends_of_a_window_are_not_seen() {
        let (_, _, layouts) = nets(WINDOW, UNITS);
        let (e, d) = (weights(&layouts[0], 0), weights(&layouts[1], 1));
        let mut x = numbers(3, WINDOW);
        let before = say(&e, &d, &x);
        (x[0], x[WINDOW - 1]) = (17.0, -40.0);
        assert_eq!(say(&e, &d, &x), before);
        x[WINDOW - 2] += 1.0;
        assert_ne!(say(&e, &d, &x), before);
    }

    #[test]
    fn the_loss_weighs_the_three_parts_as_published() {
        let mut signal = Vec::new();
        let said = [1.0, 2.0, 2.0, 3.0, 1.0, 0.0, 0.0, 0.0];
        let loss = AerLoss::of(&said, &[0.0; 8], 4, 2, &mut signal);
        assert_eq!((loss.reverse, loss.inner, loss.forward), (1.0, 2.0, 4.5));
        assert_eq!(loss.total(), 0.25 * 1.0 + 0.5 * 2.0 + 0.25 * 4.5);
        // In two shares of the batch the parts add up to the same.
        let mut other = Vec::new();
        let (a, b) = said.split_at(4);
        let shares = [a, b].map(|said| AerLoss::of(said, &[0.0; 4], 4, 2, &mut other).total());
        assert_eq!(shares[0] + shares[1], loss.total());
    }

    /// Gradients of the loss along a random direction in each tensor.
    #[test]
    fn gradients_follow_finite_differences() {
        let (encoder, decoder, layouts) = nets(WINDOW, UNITS);
        let (e, d) = (weights(&layouts[0], 0), weights(&layouts[1], 1));
        let x = numbers(4, 3 * WINDOW);
        let loss = |e: &[f32], d: &[f32]| AerLoss::of(&say(e, d, &x), &x, WINDOW, 3, &mut Vec::new()).total();
        let (mut read, mut latents) = (AerEncoderTape::default(), Vec::new());
        encoder.forward(&e, &x, &mut read, &mut latents);
        let (mut told, mut said) = (AerDecoderTape::default(), Vec::new());
        decoder.forward(&d, &latents, &mut told, &mut said);
        let mut signal = Vec::new();
        let _ = AerLoss::of(&said, &x, WINDOW, 3, &mut signal);
        let mut grads = [vec![0.0; e.len()], vec![0.0; d.len()]];
        decoder.backward(&d, &signal, &mut told, &mut grads[1], &mut latents);
        encoder.backward(&e, &latents, &mut read, &mut grads[0]);

        let h = 2e-3;
        for (net, (layout, grads)) in layouts.iter().zip(&grads).enumerate() {
            for spec in layout.tensors() {
                let direction = numbers(6, spec.range.len());
                let at = |h: f32| {
                    let mut moved = [e.clone(), d.clone()];
                    let pairs = moved[net][spec.range.clone()].iter_mut().zip(&direction);
                    pairs.for_each(|(w, step)| *w += h * step);
                    loss(&moved[0], &moved[1])
                };
                let want = (at(h) - at(-h)) / f64::from(2.0 * h);
                let pairs = grads[spec.range.clone()].iter().zip(&direction);
                let got: f64 = pairs.map(|(g, step)| f64::from(g * step)).sum();
                assert!(
                    (got - want).abs() < 1e-3 * (0.1 + want.abs()),
                    "{}: {got} is not {want}",
                    spec.name
                );
            }
        }
    }
}
