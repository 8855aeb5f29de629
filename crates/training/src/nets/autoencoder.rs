//! Encoder and generator, whatever they are made of.

use rand_chacha::ChaCha8Rng;

use super::aer::{AerDecoder, AerDecoderTape, AerEncoder, AerEncoderTape};
use super::conv::{ConvEncoder, ConvEncoderTape, ConvGenerator, ConvGeneratorTape};
use super::recurrent::{RecurrentEncoder, RecurrentEncoderTape, RecurrentGenerator, RecurrentGeneratorTape};
use super::{Body, Sizes};
use crate::params::Layout;
use crate::principal::Principal;

/// `[batch, window] → [batch, latent]`.
#[derive(Clone, Debug)]
pub struct Encoder {
    /// Names and places of its tensors.
    pub layout: Layout,
    /// Its layers.
    pub body: EncoderBody,
}

/// The layers of an encoder.
#[derive(Clone, Debug)]
pub enum EncoderBody {
    /// As in the paper.
    Recurrent(RecurrentEncoder),
    /// A linear map and convolutions.
    Conv(ConvEncoder),
    /// Of an auto-encoder that predicts.
    Aer(AerEncoder),
}

/// Buffers of one pass through an [`Encoder`].
#[derive(Clone, Debug, Default)]
pub struct EncoderTape {
    /// Of a recurrent one.
    pub recurrent: RecurrentEncoderTape,
    /// Of a convolutional one.
    pub conv: ConvEncoderTape,
    /// Of one that helps to predict.
    pub aer: AerEncoderTape,
    /// Latents, `[batch, latent]`.
    pub out: Vec<f32>,
}

impl Encoder {
    /// An encoder of the given sizes.
    #[must_use]
    pub fn new(sizes: &Sizes) -> Self {
        let (mut layout, window, latent) = (Layout::default(), sizes.window, sizes.latent);
        let body = match sizes.body {
            Body::Recurrent { encoder_units, .. } => {
                EncoderBody::Recurrent(RecurrentEncoder::new(&mut layout, window, latent, encoder_units))
            }
            Body::Conv { encoder_filters, .. } => {
                EncoderBody::Conv(ConvEncoder::new(&mut layout, window, latent, encoder_filters))
            }
            Body::Aer { units } => EncoderBody::Aer(AerEncoder::new(&mut layout, window, units)),
        };
        Self { layout, body }
    }

    /// Encodes windows into `tape.out`. No encoder has dropout.
    pub fn forward(&self, weights: &[f32], windows: &[f32], tape: &mut EncoderTape) {
        let out = &mut tape.out;
        match &self.body {
            EncoderBody::Recurrent(net) => net.forward(weights, windows, &mut tape.recurrent, out),
            EncoderBody::Conv(net) => net.forward(weights, windows, &mut tape.conv, out),
            EncoderBody::Aer(net) => net.forward(weights, windows, &mut tape.aer, out),
        }
    }

    /// Adds the gradients of the weights, given that of the latents.
    pub fn backward(&self, weights: &[f32], d_latent: &[f32], tape: &mut EncoderTape, grads: &mut [f32]) {
        match &self.body {
            EncoderBody::Recurrent(net) => net.backward(weights, d_latent, &mut tape.recurrent, grads),
            EncoderBody::Conv(net) => net.backward(weights, d_latent, &mut tape.conv, grads),
            EncoderBody::Aer(net) => net.backward(weights, d_latent, &mut tape.aer, grads),
        }
    }

    /// Sets a convolutional encoder to the principal components of the data; leaves others as they are.
    pub fn start_at(&self, principal: &Principal, weights: &mut [f32]) {
        if let EncoderBody::Conv(net) = &self.body {
            net.start_at(principal, weights);
        }
    }
}

/// `[batch, latent] → [batch, window]`.
#[derive(Clone, Debug)]
pub struct Generator {
    /// Names and places of its tensors.
    pub layout: Layout,
    /// Its layers.
    pub body: GeneratorBody,
}

/// The layers of a generator.
#[derive(Clone, Debug)]
pub enum GeneratorBody {
    /// As in the paper.
    Recurrent(RecurrentGenerator),
    /// A linear map and convolutions.
    Conv(ConvGenerator),
    /// Of an auto-encoder that predicts.
    Aer(AerDecoder),
}

/// Buffers of one pass through a [`Generator`].
#[derive(Clone, Debug, Default)]
pub struct GeneratorTape {
    /// Of a recurrent one.
    pub recurrent: RecurrentGeneratorTape,
    /// Of a convolutional one.
    pub conv: ConvGeneratorTape,
    /// Of one that predicts.
    pub aer: AerDecoderTape,
    /// Windows, `[batch, window]`.
    pub out: Vec<f32>,
    /// Gradient of the latents after a backward pass, `[batch, latent]`.
    pub d_input: Vec<f32>,
}

impl Generator {
    /// A generator of the given sizes.
    #[must_use]
    pub fn new(sizes: &Sizes) -> Self {
        let (mut layout, window, latent) = (Layout::default(), sizes.window, sizes.latent);
        let body = match sizes.body {
            Body::Recurrent { generator_units, .. } => GeneratorBody::Recurrent(RecurrentGenerator::new(
                &mut layout,
                window,
                latent,
                generator_units,
            )),
            Body::Conv {
                generator_filters, ..
            } => GeneratorBody::Conv(ConvGenerator::new(&mut layout, window, latent, generator_filters)),
            Body::Aer { units } => GeneratorBody::Aer(AerDecoder::new(&mut layout, window, units)),
        };
        Self { layout, body }
    }

    /// Generates windows into `tape.out`; dropout, where the layers have any, is on when a generator of random numbers
    /// is given.
    pub fn forward(
        &self,
        weights: &[f32],
        latents: &[f32],
        dropout: Option<&mut ChaCha8Rng>,
        tape: &mut GeneratorTape,
    ) {
        let out = &mut tape.out;
        match &self.body {
            GeneratorBody::Recurrent(net) => {
                net.forward(weights, latents, dropout, &mut tape.recurrent, out);
            }
            GeneratorBody::Conv(net) => net.forward(weights, latents, &mut tape.conv, out),
            GeneratorBody::Aer(net) => net.forward(weights, latents, &mut tape.aer, out),
        }
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
        let d_latents = &mut tape.d_input;
        match &self.body {
            GeneratorBody::Recurrent(net) => {
                net.backward(weights, latents, d_windows, &mut tape.recurrent, grads, d_latents)
            }
            GeneratorBody::Conv(net) => {
                net.backward(weights, latents, d_windows, &mut tape.conv, grads, d_latents);
            }
            GeneratorBody::Aer(net) => net.backward(weights, d_windows, &mut tape.aer, grads, d_latents),
        }
    }

    /// Sets a convolutional generator to the principal components of the data; leaves others as they are.
    pub fn start_at(&self, principal: &Principal, weights: &mut [f32]) {
        if let GeneratorBody::Conv(net) = &self.body {
            net.start_at(principal, weights);
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

    fn tiny_of(window: usize, body: Body) -> Nets {
        Nets::new(Sizes {
            window,
            latent: 3,
            body,
            critic_filters: 3,
            critic_z_units: 4,
        })
    }

    fn tiny() -> Nets {
        tiny_of(
            18,
            Body::Recurrent {
                encoder_units: 4,
                generator_units: 5,
            },
        )
    }

    fn tiny_conv() -> Nets {
        tiny_of(
            20,
            Body::Conv {
                encoder_filters: 2,
                generator_filters: 3,
            },
        )
    }

    /// With dropout on, which the reference's gradients do not cover: the same stream draws the same masks, so
    /// central differences see the function whose gradient is taken.
    #[test]
    fn the_generator_follows_finite_differences_under_dropout() {
        for nets in [tiny(), tiny_conv()] {
            let (latents, signal) = (numbers(0, 6), numbers(1, 2 * nets.sizes.window));
            let weights = without_kinks(&nets.generator.layout, nets.init(Streams::new(2)).generator);
            let mut tape = GeneratorTape::default();
            let mut value = |weights: &[f32], latents: &[f32]| -> f64 {
                let mut rng = Streams::new(3).stream(Purpose::DropoutG, 0, 0);
                nets.generator
                    .forward(weights, latents, Some(&mut rng), &mut tape);
                dot(&tape.out, &signal)
            };
            let want = slopes(&nets.generator.layout, &weights, |weights| {
                value(weights, &latents)
            });
            let (input, want_input) = slope(&latents, 3, |latents| value(&weights, latents));

            value(&weights, &latents);
            let mut grads = vec![0.0; weights.len()];
            nets.generator
                .backward(&weights, &latents, &signal, &mut tape, &mut grads);
            assert_slopes(&nets.generator.layout, &grads, &want);
            assert_near("latents", dot(&tape.d_input, &input), want_input);
        }
    }

    #[test]
    fn the_encoder_follows_finite_differences() {
        for nets in [tiny(), tiny_conv()] {
            let (windows, signal) = (numbers(0, 2 * nets.sizes.window), numbers(1, 6));
            let weights = without_kinks(&nets.encoder.layout, nets.init(Streams::new(2)).encoder);
            let mut tape = EncoderTape::default();
            let mut value = |weights: &[f32]| -> f64 {
                nets.encoder.forward(weights, &windows, &mut tape);
                dot(&tape.out, &signal)
            };
            let want = slopes(&nets.encoder.layout, &weights, &mut value);
            value(&weights);
            let mut grads = vec![0.0; weights.len()];
            nets.encoder.backward(&weights, &signal, &mut tape, &mut grads);
            assert_slopes(&nets.encoder.layout, &grads, &want);
        }
    }

    /// Central differences say nothing where a leaky ReLU bends: biases far from zero, of both signs, keep away from it.
    fn without_kinks(layout: &Layout, mut weights: Vec<f32>) -> Vec<f32> {
        let biases = layout
            .tensors()
            .iter()
            .filter(|spec| spec.name.ends_with(".bias"));
        for spec in biases.filter(|spec| spec.name.contains(".conv_") || spec.name.contains(".stem")) {
            let bias = weights[spec.range.clone()]
                .iter_mut()
                .zip([6.0, -6.0].into_iter().cycle());
            bias.for_each(|(bias, far)| *bias = far);
        }
        weights
    }

    /// A random direction from `at`, and the central difference of `value` along it.
    fn slope(at: &[f32], stream: usize, mut value: impl FnMut(&[f32]) -> f64) -> (Vec<f32>, f64) {
        const H: f32 = 2e-3;
        let direction = numbers(stream, at.len());
        let mut moved = |h: f32| -> f64 {
            let moved: Vec<f32> = at.iter().zip(&direction).map(|(w, d)| w + h * d).collect();
            value(&moved)
        };
        let slope = (moved(H) - moved(-H)) / f64::from(2.0 * H);
        (direction, slope)
    }

    /// The same for each tensor of a layout by itself.
    fn slopes(layout: &Layout, weights: &[f32], mut value: impl FnMut(&[f32]) -> f64) -> Vec<f64> {
        let tensors = layout.tensors().iter();
        let slopes = tensors.map(|spec| {
            let mut moved = weights.to_vec();
            let along = slope(&weights[spec.range.clone()], 2, |tensor| {
                moved[spec.range.clone()].copy_from_slice(tensor);
                value(&moved)
            });
            along.1
        });
        slopes.collect()
    }

    fn assert_slopes(layout: &Layout, grads: &[f32], want: &[f64]) {
        for (spec, want) in layout.tensors().iter().zip(want) {
            let direction = numbers(2, spec.range.len());
            assert_near(&spec.name, dot(&grads[spec.range.clone()], &direction), *want);
        }
    }

    fn assert_near(what: &str, got: f64, want: f64) {
        assert!(
            (got - want).abs() < 2e-3 * (1.0 + want.abs()),
            "{what}: {got} is not {want}"
        );
    }

    /// What convolutional nets start from reconstructs as well as the principal components do: here exactly.
    #[test]
    fn convolutional_nets_start_at_the_principal_components() {
        let nets = tiny_conv();
        let mut weights = nets.init(Streams::new(4));
        // Windows from a three-dimensional family.
        let (shapes, amounts) = (numbers(7, 60), numbers(8, 3 * 50));
        let windows: Vec<f32> = amounts
            .chunks_exact(3)
            .flat_map(|a| {
                let at = |t: usize| (0..3).map(|k| a[k] * shapes[k * 20 + t]).sum::<f32>() + 0.5;
                (0..20).map(at).collect::<Vec<_>>()
            })
            .collect();
        nets.start_at(&Principal::of(&windows, 20, 3), &mut weights);
        let (mut encoder, mut generator) = (EncoderTape::default(), GeneratorTape::default());
        nets.encoder.forward(&weights.encoder, &windows, &mut encoder);
        nets.generator
            .forward(&weights.generator, &encoder.out, None, &mut generator);
        for (y, x) in generator.out.iter().zip(&windows) {
            assert!((y - x).abs() < 1e-4, "{y} is not {x}");
        }
        for k in 0..3 {
            let latents: Vec<f64> = encoder
                .out
                .iter()
                .skip(k)
                .step_by(3)
                .map(|z| f64::from(*z))
                .collect();
            let mean = latents.iter().sum::<f64>() / 50.0;
            let variance = latents.iter().map(|z| (z - mean).powi(2)).sum::<f64>() / 50.0;
            assert!(
                mean.abs() < 1e-4 && (variance - 1.0).abs() < 1e-3,
                "{mean}, {variance}"
            );
        }
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

    fn recurrent(nets: &Nets) -> &RecurrentEncoder {
        match &nets.encoder.body {
            EncoderBody::Recurrent(net) => net,
            other => panic!("{other:?} is not recurrent"),
        }
    }

    /// Zero weights and a forget bias of 1 give zero states; so the encoder says its head's bias.
    #[test]
    fn an_lstm_without_weights_says_nothing() {
        let nets = tiny();
        let mut weights = vec![0.0; nets.encoder.layout.len()];
        let net = recurrent(&nets);
        for [_, _, bias] in net.lstm.tensors() {
            weights[bias][4..8].fill(1.0);
        }
        weights[net.head.bias.clone()].fill(0.5);
        let mut tape = EncoderTape::default();
        nets.encoder.forward(&weights, &numbers(5, 36), &mut tape);
        assert!(tape.recurrent.lstm.out.iter().all(|h| *h == 0.0));
        assert_eq!(tape.out, [0.5; 6]);
    }

    /// With equal weights in both directions, a palindrome gives the same states from either end.
    #[test]
    fn the_backward_half_reads_from_the_end() {
        let nets = tiny();
        let mut weights = nets.init(Streams::new(6)).encoder;
        let [forward, backward] = recurrent(&nets).lstm.tensors();
        for (from, to) in forward.into_iter().zip(backward) {
            weights.copy_within(from, to.start);
        }
        let half = numbers(6, 9);
        let palindrome: Vec<f32> = half.iter().chain(half.iter().rev()).copied().collect();
        let mut tape = EncoderTape::default();
        nets.encoder.forward(&weights, &palindrome, &mut tape);
        let states: Vec<&[f32]> = tape.recurrent.lstm.out.chunks_exact(8).collect();
        for (t, state) in states.iter().enumerate() {
            assert_eq!(state[..4], states[17 - t][4..]);
        }
    }
}
