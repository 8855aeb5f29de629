//! The critics: linear layers with leaky ReLU and dropout between them, and the gradient penalty by hand.
//!
//! A critic is piecewise linear: at a given input each hidden layer is `out = slope ∘ (W·x + b)`, the slope being 1 or
//! 0.2 by the sign, times the dropout factor. Its input gradient is the product of the transposed layers with the
//! slopes between. So the penalty needs no second derivative: see [`Critic::penalty`].

use rand_chacha::ChaCha8Rng;

use super::{CRITIC_X_DROPOUT, CRITIC_Z_DROPOUT, Sizes};
use crate::layers::Affine;
use crate::params::Layout;
use crate::rng::dropout_mask;

/// Slope of the leaky ReLU below zero.
pub const LEAK: f32 = 0.2;

/// `[batch, …] → [batch, 1]`; larger means more real.
#[derive(Clone, Debug)]
pub struct Critic {
    /// Names and places of its tensors.
    pub layout: Layout,
    /// Linear layers; all but the last are followed by leaky ReLU and dropout.
    pub layers: Vec<Affine>,
    /// Rate of dropout.
    pub dropout: f32,
}

/// Buffers of one pass through a [`Critic`].
#[derive(Clone, Debug, Default)]
pub struct CriticTape {
    /// Input of each layer, and at the end the output, `[batch, 1]`.
    pub values: Vec<Vec<f32>>,
    /// Slope of each hidden value.
    slopes: Vec<Vec<f32>>,
    /// Gradient of the output of each layer, before the slope.
    deltas: Vec<Vec<f32>>,
    /// Gradient of the input, after a backward pass that asked for it.
    pub d_input: Vec<f32>,
    scratch: Vec<f32>,
}

/// Buffers of [`Critic::penalty`].
#[derive(Clone, Debug, Default)]
pub struct PenaltyTape {
    /// The pass at the interpolated samples; its `d_input` is the gradient whose norm is penalised.
    pub pass: CriticTape,
    tangent: Vec<f32>,
    next: Vec<f32>,
}

impl CriticTape {
    /// The critic's values, one a sample.
    #[must_use]
    pub fn out(&self) -> &[f32] {
        self.values.last().map_or(&[], Vec::as_slice)
    }
}

impl Critic {
    /// The critic of windows: four convolutions and a dense layer.
    #[must_use]
    pub fn of_windows(sizes: &Sizes) -> Self {
        let mut layout = Layout::default();
        let mut layers = Vec::new();
        let (mut steps, mut channels) = (sizes.window, 1);
        for number in 1..=4 {
            let name = format!("critic_x.conv_{number}");
            let layer = Affine::conv(&mut layout, &name, steps, channels, sizes.critic_filters);
            channels = sizes.critic_filters;
            steps = layer.output_len() / channels;
            layers.push(layer);
        }
        layers.push(Affine::dense(&mut layout, "critic_x.head", steps * channels, 1));
        Self {
            layout,
            layers,
            dropout: CRITIC_X_DROPOUT,
        }
    }

    /// The critic of latents: three dense layers.
    #[must_use]
    pub fn of_latents(sizes: &Sizes) -> Self {
        let mut layout = Layout::default();
        let units = sizes.critic_z_units;
        let layers = vec![
            Affine::dense(&mut layout, "critic_z.dense_1", sizes.latent, units),
            Affine::dense(&mut layout, "critic_z.dense_2", units, units),
            Affine::dense(&mut layout, "critic_z.head", units, 1),
        ];
        Self {
            layout,
            layers,
            dropout: CRITIC_Z_DROPOUT,
        }
    }

    /// No critic: it has no weights and is never asked.
    #[must_use]
    pub fn none() -> Self {
        Self {
            layout: Layout::default(),
            layers: Vec::new(),
            dropout: 0.0,
        }
    }

    /// A critic of any layers, without dropout.
    pub(crate) fn of_layers(layout: Layout, layers: Vec<Affine>) -> Self {
        Self {
            layout,
            layers,
            dropout: 0.0,
        }
    }

    /// Judges `input` (samples side by side) into `tape`; dropout is on when a generator is given.
    pub fn forward(
        &self,
        weights: &[f32],
        input: &[f32],
        mut dropout: Option<&mut ChaCha8Rng>,
        tape: &mut CriticTape,
    ) {
        let hidden = self.layers.len() - 1;
        tape.values.resize(hidden + 2, Vec::new());
        tape.slopes.resize(hidden, Vec::new());
        tape.values[0].clear();
        tape.values[0].extend_from_slice(input);
        for (number, layer) in self.layers.iter().enumerate() {
            let (before, after) = tape.values.split_at_mut(number + 1);
            let out = &mut after[0];
            layer.forward(weights, &before[number], out);
            let Some(slopes) = tape.slopes.get_mut(number) else {
                continue;
            };
            slopes.resize(out.len(), 0.0);
            match dropout.as_deref_mut() {
                Some(rng) => dropout_mask(rng, self.dropout, slopes),
                None => slopes.fill(1.0),
            }
            for (value, slope) in out.iter_mut().zip(slopes) {
                *slope *= if *value > 0.0 { 1.0 } else { LEAK };
                *value *= *slope;
            }
        }
    }

    /// Sends `d_out` (one a sample) back: fills the deltas, and `tape.d_input` if `want_input`.
    fn signals(&self, weights: &[f32], d_out: &[f32], tape: &mut CriticTape, want_input: bool) {
        tape.deltas.resize(self.layers.len(), Vec::new());
        let last = self.layers.len() - 1;
        tape.deltas[last].clear();
        tape.deltas[last].extend_from_slice(d_out);
        for number in (1..=last).rev() {
            let (below, above) = tape.deltas.split_at_mut(number);
            let delta = &mut below[number - 1];
            self.layers[number].backward_input(weights, &above[0], delta, &mut tape.scratch);
            let slopes = &tape.slopes[number - 1];
            delta.iter_mut().zip(slopes).for_each(|(d, slope)| *d *= slope);
        }
        if want_input {
            self.layers[0].backward_input(weights, &tape.deltas[0], &mut tape.d_input, &mut tape.scratch);
        }
    }

    /// Adds the gradients of the weights for `d_out`, the gradient of the critic's values.
    pub fn backward(&self, weights: &[f32], d_out: &[f32], tape: &mut CriticTape, grads: &mut [f32]) {
        self.signals(weights, d_out, tape, false);
        for (number, layer) in self.layers.iter().enumerate() {
            layer.backward_weights(&tape.values[number], &tape.deltas[number], grads, true);
        }
    }

    /// Leaves the gradient of the input for `d_out` in `tape.d_input`; the weights are frozen.
    pub fn backward_input(&self, weights: &[f32], d_out: &[f32], tape: &mut CriticTape) {
        self.signals(weights, d_out, tape, true);
    }

    /// The gradient penalty `Σ_b (‖g_b‖ − 1)²`, `g_b` the gradient of the critic at sample `b` of `samples`, without
    /// dropout; adds `scale` times its gradient to `grads`.
    ///
    /// With slopes `D_k`, `g = W₁ᵀ D₁ W₂ᵀ D₂ … Wₙᵀ·1`. For a fixed vector `v`, `v·g` is the output of the critic's
    /// linearisation run forward on `v`, so its gradient in `W_k` is (signal at the output of layer k) ⊗ (tangent at
    /// its input). With `v = ∂penalty/∂g = 2 (‖g‖ − 1) g / ‖g‖` that is the penalty's gradient; the slopes are
    /// constant almost everywhere and the biases do not appear. Where `‖g‖ = 0` the gradient is taken as 0.
    pub fn penalty(
        &self,
        weights: &[f32],
        samples: &[f32],
        scale: f32,
        tape: &mut PenaltyTape,
        grads: &mut [f32],
    ) -> f64 {
        self.forward(weights, samples, None, &mut tape.pass);
        let len = self.layers[0].input_len();
        let ones = vec![1.0; samples.len() / len];
        self.signals(weights, &ones, &mut tape.pass, true);

        tape.tangent.resize(samples.len(), 0.0);
        let mut total = 0.0;
        for (g, v) in tape
            .pass
            .d_input
            .chunks_exact(len)
            .zip(tape.tangent.chunks_exact_mut(len))
        {
            let norm = g.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
            total += (norm - 1.0).powi(2);
            let factor = if norm > 0.0 {
                f64::from(scale) * 2.0 * (norm - 1.0) / norm
            } else {
                0.0
            };
            v.iter_mut().zip(g).for_each(|(v, g)| *v = factor as f32 * g);
        }
        for (number, layer) in self.layers.iter().enumerate() {
            layer.backward_weights(&tape.tangent, &tape.pass.deltas[number], grads, false);
            let Some(slopes) = tape.pass.slopes.get(number) else {
                break;
            };
            layer.tangent(weights, &tape.tangent, &mut tape.next);
            tape.next
                .iter_mut()
                .zip(slopes)
                .for_each(|(t, slope)| *t *= slope);
            std::mem::swap(&mut tape.tangent, &mut tape.next);
        }
        total
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
            &mut Streams::new(5).stream(Purpose::Weights, stream, 0),
            &mut values,
        );
        values
    }

    /// For `C(u) = w·u` the penalty is `(‖w‖ − 1)²`, its gradient `2 (‖w‖ − 1) w / ‖w‖`.
    #[test]
    fn the_penalty_of_a_linear_critic_is_known() {
        let mut layout = Layout::default();
        let layers = vec![Affine::dense(&mut layout, "head", 3, 1)];
        let critic = Critic::of_layers(layout, layers);
        let weights = [1.0, 2.0, 2.0, 7.0];
        let mut grads = [0.0; 4];
        let samples = numbers(0, 6);
        let total = critic.penalty(&weights, &samples, 0.5, &mut PenaltyTape::default(), &mut grads);
        // Two samples, each weighing a half.
        assert!((total - 8.0).abs() < 1e-5);
        for (got, want) in grads.iter().zip([4.0 / 3.0, 8.0 / 3.0, 8.0 / 3.0, 0.0]) {
            assert!((got - want).abs() < 1e-5, "{grads:?}");
        }
    }

    #[test]
    fn the_penalty_of_a_zero_critic_has_no_gradient() {
        let mut layout = Layout::default();
        let layers = vec![Affine::dense(&mut layout, "head", 3, 1)];
        let critic = Critic::of_layers(layout, layers);
        let mut grads = [0.0; 4];
        let total = critic.penalty(&[0.0; 4], &[1.0; 3], 1.0, &mut PenaltyTape::default(), &mut grads);
        assert_eq!((total, grads), (1.0, [0.0; 4]));
    }

    /// Along random directions, against central differences of the penalty itself.
    #[test]
    fn the_penalty_follows_finite_differences() {
        let mut layout = Layout::default();
        let conv_1 = Affine::conv(&mut layout, "a", 14, 1, 3);
        let conv_2 = Affine::conv(&mut layout, "b", 10, 3, 2);
        let head = Affine::dense(&mut layout, "c", 12, 1);
        let critic = Critic::of_layers(layout, vec![conv_1, conv_2, head]);
        let weights: Vec<f32> = numbers(1, critic.layout.len()).iter().map(|w| 0.5 * w).collect();
        let samples = numbers(2, 4 * 14);
        let mut tape = PenaltyTape::default();
        let mut grads = vec![0.0; weights.len()];
        critic.penalty(&weights, &samples, 1.0, &mut tape, &mut grads);
        for spec in critic.layout.tensors() {
            let mut direction = vec![0.0; weights.len()];
            direction[spec.range.clone()].copy_from_slice(&numbers(3, spec.range.len()));
            let mut at = |h: f32| {
                let moved: Vec<f32> = weights.iter().zip(&direction).map(|(w, d)| w + h * d).collect();
                critic.penalty(&moved, &samples, 0.0, &mut tape, &mut vec![0.0; weights.len()])
            };
            let h = 2e-4;
            let want = (at(h) - at(-h)) / f64::from(2.0 * h);
            let got: f64 = grads.iter().zip(&direction).map(|(g, d)| f64::from(g * d)).sum();
            assert!(
                (got - want).abs() < 5e-3 * (1.0 + want.abs()),
                "{}: {got} is not {want}",
                spec.name
            );
        }
    }

    #[test]
    fn dropout_acts_in_training_only() {
        let nets = Nets::new(Sizes::small());
        let weights = nets.init(Streams::new(1)).critic_x;
        let x = numbers(4, 300);
        let judge = |mut rng: Option<ChaCha8Rng>| {
            let mut tape = CriticTape::default();
            nets.critic_x.forward(&weights, &x, rng.as_mut(), &mut tape);
            tape.out().to_vec()
        };
        let stream = |shard| Some(Streams::new(1).stream(Purpose::DropoutX, 0, shard));
        assert_eq!(judge(None), judge(None));
        assert_eq!(judge(stream(0)), judge(stream(0)));
        assert_ne!(judge(stream(0)), judge(stream(1)));
        assert_ne!(judge(stream(0)), judge(None));
    }
}
