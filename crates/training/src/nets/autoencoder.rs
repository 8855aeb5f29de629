//! Encoder and generator.

use rand_chacha::ChaCha8Rng;

use super::{GENERATOR_DROPOUT, Sizes};
use crate::layers::lstm::{Order, Tape};
use crate::layers::{Affine, BiLstm};
use crate::math::tanh_in_place;
use crate::params::Layout;

/// `[batch, window] → [batch, latent]`: bidirectional LSTM, flatten, dense.
#[derive(Clone, Debug)]
pub struct Encoder {
    /// Names and places of its tensors.
    pub layout: Layout,
    /// The recurrent layer.
    pub lstm: BiLstm,
    /// The dense layer over all hidden states.
    pub head: Affine,
    window: usize,
}

/// Buffers of one pass through an [`Encoder`].
#[derive(Clone, Debug, Default)]
pub struct EncoderTape {
    input: Vec<f32>,
    /// The recurrent layer's buffers.
    pub lstm: Tape,
    d_hidden: Vec<f32>,
    scratch: Vec<f32>,
    /// Latents, `[batch, latent]`.
    pub out: Vec<f32>,
}

impl Encoder {
    /// An encoder of the given sizes.
    #[must_use]
    pub fn new(sizes: &Sizes) -> Self {
        let mut layout = Layout::default();
        let (units, window) = (sizes.encoder_units, sizes.window);
        let lstm = BiLstm::new(
            &mut layout,
            "encoder.lstm",
            (1, units),
            (window, 1),
            Order::BatchMajor,
            0.0,
        );
        let head = Affine::dense(&mut layout, "encoder.head", window * 2 * units, sizes.latent);
        Self {
            layout,
            lstm,
            head,
            window,
        }
    }

    /// Encodes windows into `tape.out`. The encoder has no dropout.
    pub fn forward(&self, weights: &[f32], windows: &[f32], tape: &mut EncoderTape) {
        let batch = windows.len() / self.window;
        transpose(windows, batch, self.window, &mut tape.input);
        self.lstm
            .forward(weights, &tape.input, batch, None, &mut tape.lstm);
        self.head.forward(weights, &tape.lstm.out, &mut tape.out);
    }

    /// Adds the gradients of the weights, given that of the latents.
    pub fn backward(&self, weights: &[f32], d_latent: &[f32], tape: &mut EncoderTape, grads: &mut [f32]) {
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
pub struct Generator {
    /// Names and places of its tensors.
    pub layout: Layout,
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

/// Buffers of one pass through a [`Generator`].
#[derive(Clone, Debug, Default)]
pub struct GeneratorTape {
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
    /// Windows, `[batch, window]`.
    pub out: Vec<f32>,
    /// Gradient of the latents after a backward pass, `[batch, latent]`.
    pub d_input: Vec<f32>,
}

impl Generator {
    /// A generator of the given sizes.
    #[must_use]
    pub fn new(sizes: &Sizes) -> Self {
        let mut layout = Layout::default();
        let (units, window) = (sizes.generator_units, sizes.window);
        let half = window / 2;
        let stem = Affine::dense(&mut layout, "generator.stem", sizes.latent, half);
        let mut lstm = |name: &str, inputs, steps, repeat| {
            BiLstm::new(
                &mut layout,
                name,
                (inputs, units),
                (steps, repeat),
                Order::TimeMajor,
                GENERATOR_DROPOUT,
            )
        };
        let first = lstm("generator.lstm_1", 1, half, 1);
        let second = lstm("generator.lstm_2", 2 * units, window, 2);
        let head = Affine::dense(&mut layout, "generator.head", 2 * units, 1);
        Self {
            layout,
            stem,
            first,
            second,
            head,
            window,
        }
    }

    /// Generates windows into `tape.out`; dropout is on when a generator of random numbers is given.
    pub fn forward(
        &self,
        weights: &[f32],
        latents: &[f32],
        mut dropout: Option<&mut ChaCha8Rng>,
        tape: &mut GeneratorTape,
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
        transpose(&tape.line, self.window, batch, &mut tape.out);
    }

    /// Adds the gradients of the weights, given that of the windows; leaves that of the latents in `tape.d_input`.
    pub fn backward(
        &self,
        weights: &[f32],
        latents: &[f32],
        d_windows: &[f32],
        tape: &mut GeneratorTape,
        grads: &mut [f32],
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
            .backward_input(weights, &tape.d_stem, &mut tape.d_input, &mut tape.scratch);
    }
}

/// `[rows, cols] → [cols, rows]`.
fn transpose(from: &[f32], rows: usize, cols: usize, to: &mut Vec<f32>) {
    to.resize(rows * cols, 0.0);
    for (row, values) in from.chunks_exact(cols).enumerate() {
        for (col, value) in values.iter().enumerate() {
            to[col * rows + row] = *value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nets::Nets;
    use crate::rng::{Purpose, Streams, normals};

    fn numbers(stream: usize, len: usize) -> Vec<f32> {
        let mut values = vec![0.0; len];
        normals(
            &mut Streams::new(9).stream(Purpose::Latents, stream, 0),
            &mut values,
        );
        values
    }

    fn tiny() -> Nets {
        Nets::new(Sizes {
            window: 18,
            latent: 3,
            encoder_units: 4,
            generator_units: 5,
            critic_filters: 3,
            critic_z_units: 4,
        })
    }

    /// With dropout on, which the reference's gradients do not cover: the same stream draws the same masks, so
    /// central differences see the function whose gradient is taken.
    #[test]
    fn the_generator_follows_finite_differences_under_dropout() {
        let nets = tiny();
        let weights = nets.init(Streams::new(2)).generator;
        let (latents, signal) = (numbers(0, 6), numbers(1, 36));
        let mut tape = GeneratorTape::default();
        let mut value = |weights: &[f32], latents: &[f32]| -> f64 {
            let mut rng = Streams::new(3).stream(Purpose::DropoutG, 0, 0);
            nets.generator
                .forward(weights, latents, Some(&mut rng), &mut tape);
            tape.out.iter().zip(&signal).map(|(y, d)| f64::from(y * d)).sum()
        };
        let h = 2e-3;
        let mut wanted = Vec::new();
        for spec in nets.generator.layout.tensors() {
            let direction = numbers(2, spec.range.len());
            let mut at = |h: f32| {
                let mut moved = weights.clone();
                let tensor = moved[spec.range.clone()].iter_mut();
                tensor.zip(&direction).for_each(|(w, d)| *w += h * d);
                value(&moved, &latents)
            };
            wanted.push((at(h) - at(-h)) / f64::from(2.0 * h));
        }
        let direction = numbers(3, latents.len());
        let mut at = |h: f32| {
            let moved: Vec<f32> = latents.iter().zip(&direction).map(|(z, d)| z + h * d).collect();
            value(&weights, &moved)
        };
        let wanted_input = (at(h) - at(-h)) / f64::from(2.0 * h);

        value(&weights, &latents);
        let mut grads = vec![0.0; weights.len()];
        nets.generator
            .backward(&weights, &latents, &signal, &mut tape, &mut grads);
        for (spec, want) in nets.generator.layout.tensors().iter().zip(wanted) {
            let direction = numbers(2, spec.range.len());
            let got: f64 = dot(&grads[spec.range.clone()], &direction);
            assert!(
                (got - want).abs() < 2e-3 * (1.0 + want.abs()),
                "{}: {got} is not {want}",
                spec.name
            );
        }
        let got = dot(&tape.d_input, &direction);
        assert!((got - wanted_input).abs() < 2e-3, "{got} is not {wanted_input}");
    }

    fn dot(a: &[f32], b: &[f32]) -> f64 {
        assert_eq!(a.len(), b.len());
        a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum()
    }

    #[test]
    fn dropout_acts_in_training_only() {
        let nets = tiny();
        let weights = nets.init(Streams::new(1)).generator;
        let latents = numbers(4, 6);
        let generate = |mut rng: Option<ChaCha8Rng>| {
            let mut tape = GeneratorTape::default();
            nets.generator
                .forward(&weights, &latents, rng.as_mut(), &mut tape);
            tape.out
        };
        let stream = |shard| Some(Streams::new(1).stream(Purpose::DropoutG, 0, shard));
        assert_eq!(generate(None), generate(None));
        assert_ne!(generate(stream(0)), generate(stream(1)));
        assert_ne!(generate(stream(0)), generate(None));
    }

    /// Zero weights and a forget bias of 1 give zero states; so the encoder says its head's bias.
    #[test]
    fn an_lstm_without_weights_says_nothing() {
        let nets = tiny();
        let mut weights = vec![0.0; nets.encoder.layout.len()];
        for [_, _, bias] in nets.encoder.lstm.tensors() {
            weights[bias][4..8].fill(1.0);
        }
        weights[nets.encoder.head.bias.clone()].fill(0.5);
        let mut tape = EncoderTape::default();
        nets.encoder.forward(&weights, &numbers(5, 36), &mut tape);
        assert!(tape.lstm.out.iter().all(|h| *h == 0.0));
        assert_eq!(tape.out, [0.5; 6]);
    }

    /// With equal weights in both directions, a palindrome gives the same states from either end.
    #[test]
    fn the_backward_half_reads_from_the_end() {
        let nets = tiny();
        let mut weights = nets.init(Streams::new(6)).encoder;
        let [forward, backward] = nets.encoder.lstm.tensors();
        for (from, to) in forward.into_iter().zip(backward) {
            weights.copy_within(from, to.start);
        }
        let half = numbers(6, 9);
        let palindrome: Vec<f32> = half.iter().chain(half.iter().rev()).copied().collect();
        let mut tape = EncoderTape::default();
        nets.encoder.forward(&weights, &palindrome, &mut tape);
        let states: Vec<&[f32]> = tape.lstm.out.chunks_exact(8).collect();
        for (t, state) in states.iter().enumerate() {
            assert_eq!(state[..4], states[17 - t][4..]);
        }
    }
}
