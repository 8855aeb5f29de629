//! The three training steps: losses and gradients of one batch, or of a share of one.
//!
//! With `C` the critics, means over the batch, and `GP` the penalty at `u = α·real + (1 − α)·fake`:
//!
//! - critic of windows: `−mean Cx(x) + mean Cx(G(z)) + 10·GP(Cx; x, G(z))`
//! - critic of latents: `−mean Cz(z) + mean Cz(E(x)) + 10·GP(Cz; z, E(x))`
//! - encoder and generator: `−mean Cx(G(z)) − mean Cz(E(x)) + 10·mean (x − G(E(x)))²`
//!
//! A run may have the pseudo-Huber loss `2e² / (1 + √(1 + (e/δ)²))` of an error e in place of its square: that is e² where e is small
//! beside δ, and 2δ·|e| where it is large. Nets that are punished by the square follow every outlier that they can; nets that are not leave
//! more of it to be found (Charbonnier et al., "Deterministic edge-preserving regularization in computed imaging", IEEE Transactions
//! on Image Processing 6(2), 1997).
//!
//! Dropout is on in every pass of a training step, frozen nets included, but off in the penalty, as in Orion.
//!
//! AER has one step, and its loss in [`AerLoss`].

use rand_chacha::ChaCha8Rng;

use crate::nets::{AerLoss, Body, CriticTape, EncoderTape, GeneratorTape, Nets, PenaltyTape, Weights};

/// Weight of the penalty, and of the reconstruction unless a run says otherwise.
pub const LOSS_WEIGHT: f32 = 10.0;

/// A batch, or consecutive samples of one.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// Windows, `[samples, window]`.
    pub x: &'a [f32],
    /// What TadGAN's encoder and generator are to make of them: `x`, unless they denoise.
    pub asked: &'a [f32],
    /// Latents drawn from N(0, 1), `[samples, latent]`.
    pub z: &'a [f32],
    /// Share of the real sample in each interpolation of the penalty, `[samples]`; unused by the generator's step.
    pub alpha: &'a [f32],
    /// Samples in the whole batch: what means divide by.
    pub whole: usize,
    /// Weight of the mean reconstruction loss; [`LOSS_WEIGHT`] in the reference.
    pub reconstruction_weight: f32,
    /// `1/δ` of the pseudo-Huber loss, in the nets' units; 0: squared errors, as in the reference.
    pub bend: f32,
}

/// Parts of a critic's loss, summed over samples and divided by the whole batch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CriticLoss {
    /// `−mean C(real)`
    pub real: f64,
    /// `mean C(fake)`
    pub fake: f64,
    /// Mean penalty, unweighted.
    pub penalty: f64,
}

impl CriticLoss {
    /// The loss.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.real + self.fake + f64::from(LOSS_WEIGHT) * self.penalty
    }

    /// Estimate of the Wasserstein distance between real and fake.
    #[must_use]
    pub fn wasserstein(&self) -> f64 {
        -(self.real + self.fake)
    }

    /// Every part times `factor`.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        Self {
            real: self.real * factor,
            fake: self.fake * factor,
            penalty: self.penalty * factor,
        }
    }

    /// Adds the share of another part of the batch.
    pub fn add(&mut self, other: Self) {
        self.real += other.real;
        self.fake += other.fake;
        self.penalty += other.penalty;
    }
}

/// Parts of the loss of encoder and generator, summed over samples and divided by the whole batch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GeneratorLoss {
    /// `−mean Cx(G(z))`
    pub critic_x: f64,
    /// `−mean Cz(E(x))`
    pub critic_z: f64,
    /// Mean reconstruction loss over samples and time: squared errors, unless the run bends them.
    pub reconstruction: f64,
    /// The loss: the sum of the two and the weighted reconstruction error.
    pub total: f64,
}

impl GeneratorLoss {
    /// Every part times `factor`.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        Self {
            critic_x: self.critic_x * factor,
            critic_z: self.critic_z * factor,
            reconstruction: self.reconstruction * factor,
            total: self.total * factor,
        }
    }

    /// Adds the share of another part of the batch.
    pub fn add(&mut self, other: Self) {
        self.critic_x += other.critic_x;
        self.critic_z += other.critic_z;
        self.reconstruction += other.reconstruction;
        self.total += other.total;
    }
}

/// Gradients and buffers of one worker.
#[derive(Clone, Debug, Default)]
pub struct Workspace {
    /// Sums of gradients; the caller sets them back to zero.
    pub grads: Weights,
    encoder: EncoderTape,
    generator: GeneratorTape,
    critic: CriticTape,
    other_critic: CriticTape,
    penalty: PenaltyTape,
    samples: Vec<f32>,
    signal: Vec<f32>,
}

impl Workspace {
    /// A workspace for `nets`.
    #[must_use]
    pub fn new(nets: &Nets) -> Self {
        let mut workspace = Self::default();
        for (grads, layout) in workspace.grads.nets_mut().into_iter().zip(nets.layouts()) {
            grads.resize(layout.len(), 0.0);
        }
        workspace
    }

    /// Step of the critic of windows: adds to `grads.critic_x`.
    pub fn critic_x(
        &mut self,
        nets: &Nets,
        weights: &Weights,
        batch: Batch<'_>,
        mut dropout: Option<&mut ChaCha8Rng>,
    ) -> CriticLoss {
        let tape = &mut self.generator;
        nets.generator
            .forward(&weights.generator, batch.z, dropout.as_deref_mut(), tape);
        self.samples.clear();
        self.samples.extend_from_slice(batch.x);
        self.samples.extend_from_slice(&self.generator.out);
        let (grads, w) = (&mut self.grads.critic_x, &weights.critic_x);
        critic_step(
            &nets.critic_x,
            w,
            &mut self.samples,
            batch,
            dropout,
            (&mut self.critic, &mut self.penalty),
            grads,
        )
    }

    /// Step of the critic of latents: adds to `grads.critic_z`.
    pub fn critic_z(
        &mut self,
        nets: &Nets,
        weights: &Weights,
        batch: Batch<'_>,
        dropout: Option<&mut ChaCha8Rng>,
    ) -> CriticLoss {
        nets.encoder.forward(&weights.encoder, batch.x, &mut self.encoder);
        self.samples.clear();
        self.samples.extend_from_slice(batch.z);
        self.samples.extend_from_slice(&self.encoder.out);
        let (grads, w) = (&mut self.grads.critic_z, &weights.critic_z);
        critic_step(
            &nets.critic_z,
            w,
            &mut self.samples,
            batch,
            dropout,
            (&mut self.other_critic, &mut self.penalty),
            grads,
        )
    }

    /// Step of encoder and generator: adds to `grads.encoder` and `grads.generator`.
    pub fn generator(
        &mut self,
        nets: &Nets,
        weights: &Weights,
        batch: Batch<'_>,
        mut dropout: Option<&mut ChaCha8Rng>,
    ) -> GeneratorLoss {
        nets.encoder.forward(&weights.encoder, batch.x, &mut self.encoder);
        // One pass generates both G(z), first half, and G(E(x)), second half.
        self.samples.clear();
        self.samples.extend_from_slice(batch.z);
        self.samples.extend_from_slice(&self.encoder.out);
        nets.generator.forward(
            &weights.generator,
            &self.samples,
            dropout.as_deref_mut(),
            &mut self.generator,
        );
        let (fake, rebuilt) = self.generator.out.split_at(batch.x.len());
        nets.critic_x
            .forward(&weights.critic_x, fake, dropout.as_deref_mut(), &mut self.critic);
        let latents = &self.encoder.out;
        nets.critic_z
            .forward(&weights.critic_z, latents, dropout, &mut self.other_critic);

        let n = batch.whole as f32;
        let against = vec![-1.0 / n; self.critic.out().len()];
        nets.critic_x
            .backward_input(&weights.critic_x, &against, &mut self.critic);
        nets.critic_z
            .backward_input(&weights.critic_z, &against, &mut self.other_critic);
        self.signal.clear();
        self.signal.extend_from_slice(&self.critic.d_input);
        let count = n * nets.sizes.window as f32;
        let reconstruction = push_errors(rebuilt, batch, count, &mut self.signal);

        nets.generator.backward(
            &weights.generator,
            &self.samples,
            &self.signal,
            &mut self.generator,
            &mut self.grads.generator,
        );
        let d_latent = &mut self.generator.d_input[batch.z.len()..];
        for (d, from_critic) in d_latent.iter_mut().zip(&self.other_critic.d_input) {
            *d += from_critic;
        }
        let (tape, grads) = (&mut self.encoder, &mut self.grads.encoder);
        nets.encoder.backward(&weights.encoder, d_latent, tape, grads);
        let critic_x = -sum(self.critic.out()) / f64::from(n);
        let critic_z = -sum(self.other_critic.out()) / f64::from(n);
        GeneratorLoss {
            critic_x,
            critic_z,
            reconstruction,
            total: critic_x + critic_z + f64::from(batch.reconstruction_weight) * reconstruction,
        }
    }

    /// Step of encoder and generator without critics, an eighth of the work of a whole generator step with its critic
    /// updates: weighted reconstruction error, and in Cz's place `10 · mean (‖E(x)‖² / latent − 1)²`. Nets whose latents
    /// start out with the moments of the prior, convolutional ones, do without that. Adds to `grads.encoder` and
    /// `grads.generator`.
    pub fn reconstruction(
        &mut self,
        nets: &Nets,
        weights: &Weights,
        batch: Batch<'_>,
        dropout: Option<&mut ChaCha8Rng>,
    ) -> GeneratorLoss {
        nets.encoder.forward(&weights.encoder, batch.x, &mut self.encoder);
        let latents = &self.encoder.out;
        nets.generator
            .forward(&weights.generator, latents, dropout, &mut self.generator);
        self.signal.clear();
        let count = (batch.whole * nets.sizes.window) as f32;
        let reconstruction = push_errors(&self.generator.out, batch, count, &mut self.signal);
        nets.generator.backward(
            &weights.generator,
            &self.encoder.out,
            &self.signal,
            &mut self.generator,
            &mut self.grads.generator,
        );
        let d_latent = &mut self.generator.d_input;
        let distance = match nets.sizes.body {
            Body::Conv { .. } => 0.0,
            _ => push_to_sphere(&self.encoder.out, nets.sizes.latent, batch.whole, d_latent),
        };
        let (tape, grads) = (&mut self.encoder, &mut self.grads.encoder);
        nets.encoder.backward(&weights.encoder, d_latent, tape, grads);
        GeneratorLoss {
            reconstruction,
            total: f64::from(batch.reconstruction_weight) * reconstruction
                + f64::from(LOSS_WEIGHT) * distance,
            ..GeneratorLoss::default()
        }
    }

    /// Step of AER: adds to `grads.encoder` and `grads.generator`. Of the loss, `reconstruction` is the part between the ends.
    pub fn prediction(&mut self, nets: &Nets, weights: &Weights, batch: Batch<'_>) -> GeneratorLoss {
        let (window, tape) = (nets.sizes.window, &mut self.generator);
        nets.encoder.forward(&weights.encoder, batch.x, &mut self.encoder);
        let latents = &self.encoder.out;
        nets.generator.forward(&weights.generator, latents, None, tape);
        let loss = AerLoss::of(&tape.out, batch.x, window, batch.whole, &mut self.signal);
        let (signal, grads) = (&self.signal, &mut self.grads);
        nets.generator
            .backward(&weights.generator, latents, signal, tape, &mut grads.generator);
        nets.encoder.backward(
            &weights.encoder,
            &tape.d_input,
            &mut self.encoder,
            &mut grads.encoder,
        );
        GeneratorLoss {
            reconstruction: loss.inner,
            total: loss.total(),
            ..GeneratorLoss::default()
        }
    }
}

/// Adds the gradient of `10 · mean (‖z‖²/d − 1)²` to `d_latent`, and returns the mean.
///
/// Draws of N(0, I) in d dimensions lie near the sphere of radius √d. Nets that learned to reconstruct without such a
/// pull put latents far outside of it, and lose what they learned as soon as Cz draws them in.
fn push_to_sphere(latents: &[f32], width: usize, whole: usize, d_latent: &mut [f32]) -> f64 {
    let (d, n) = (width as f32, whole as f32);
    let mut total = 0.0;
    for (z, dz) in latents.chunks_exact(width).zip(d_latent.chunks_exact_mut(width)) {
        let off = z.iter().map(|z| z * z).sum::<f32>() / d - 1.0;
        total += f64::from(off * off);
        let factor = LOSS_WEIGHT * 4.0 * off / (d * n);
        dz.iter_mut().zip(z).for_each(|(dz, z)| *dz += factor * z);
    }
    total / f64::from(n)
}

/// Appends the gradient of the weighted reconstruction loss; returns its mean, `count` being the values of the whole batch.
fn push_errors(rebuilt: &[f32], batch: Batch<'_>, count: f32, signal: &mut Vec<f32>) -> f64 {
    let scale = batch.reconstruction_weight * 2.0 / count;
    let errors = rebuilt.iter().zip(batch.asked).map(|(y, x)| y - x);
    let root = |error: f32| (1.0 + (error * batch.bend).powi(2)).sqrt();
    signal.extend(errors.clone().map(|error| scale * error / root(error)));
    let loss = |error| 2.0 * f64::from(error).powi(2) / f64::from(1.0 + root(error));
    errors.map(loss).sum::<f64>() / f64::from(count)
}

/// Loss and gradients of a critic on `samples`: the real ones, then as many fakes. Leaves the interpolations there.
fn critic_step(
    critic: &crate::nets::Critic,
    weights: &[f32],
    samples: &mut Vec<f32>,
    batch: Batch<'_>,
    dropout: Option<&mut ChaCha8Rng>,
    (tape, penalty): (&mut CriticTape, &mut PenaltyTape),
    grads: &mut [f32],
) -> CriticLoss {
    let share = 1.0 / batch.whole as f32;
    let shard = batch.alpha.len();
    critic.forward(weights, samples, dropout, tape);
    let (real, fake) = tape.out().split_at(shard);
    let loss = CriticLoss {
        real: -sum(real) * f64::from(share),
        fake: sum(fake) * f64::from(share),
        penalty: 0.0,
    };
    let signs: Vec<f32> = (0..2 * shard)
        .map(|k| if k < shard { -share } else { share })
        .collect();
    critic.backward(weights, &signs, tape, grads);

    let half = samples.len() / 2;
    let len = half / shard;
    let (real, fake) = samples.split_at_mut(half);
    for (sample, alpha) in batch.alpha.iter().enumerate() {
        let at = sample * len..(sample + 1) * len;
        for (real, fake) in real[at.clone()].iter_mut().zip(&fake[at]) {
            *real = alpha * *real + (1.0 - alpha) * fake;
        }
    }
    samples.truncate(half);
    let total = critic.penalty(weights, samples, LOSS_WEIGHT * share, penalty, grads);
    CriticLoss {
        penalty: total * f64::from(share),
        ..loss
    }
}

fn sum(values: &[f32]) -> f64 {
    values.iter().map(|v| f64::from(*v)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bent_loss_is_of_squares_where_errors_are_small_and_follows_finite_differences() {
        const ERRORS: [f32; 4] = [1e-3, -0.3, 2.0, 0.0];
        let asked = [0.0; 4];
        let loss = |errors: &[f32], bend| {
            let batch = Batch {
                x: &asked,
                asked: &asked,
                z: &[],
                alpha: &[],
                whole: 4,
                reconstruction_weight: 3.0,
                bend,
            };
            let mut signal = vec![];
            (push_errors(errors, batch, 4.0, &mut signal), signal)
        };
        let (squares, straight) = loss(&ERRORS, 0.0);
        assert!((squares - (1e-6 + 0.09 + 4.0) / 4.0).abs() < 1e-6);
        assert_eq!(straight[2], 3.0);
        let (bent, signal) = loss(&ERRORS, 10.0);
        assert!(bent < squares);
        // About twice 0.1 times the size, less twice the square of 0.1.
        assert!((loss(&[2.0], 10.0).0 - 0.38 / 4.0).abs() < 1e-3);
        for (k, error) in ERRORS.into_iter().enumerate() {
            let at = |h: f32| {
                let mut moved = ERRORS;
                moved[k] = error + h;
                3.0 * loss(&moved, 10.0).0
            };
            let want = (at(1e-2) - at(-1e-2)) / 2e-2;
            let got = f64::from(signal[k]);
            assert!(
                (got - want).abs() < 1e-2 * (1.0 + want.abs()),
                "{got} is not {want}"
            );
        }
        let [small, same] = [10.0, 0.0].map(|bend| loss(&[1e-3], bend).1[0]);
        assert!((small / same - 1.0).abs() < 1e-3);
    }

    #[test]
    fn the_pull_to_the_sphere_follows_finite_differences() {
        let mut at_rest = [0.0; 2];
        assert_eq!(push_to_sphere(&[1.0, 1.0], 2, 1, &mut at_rest), 0.0);
        assert_eq!(at_rest, [0.0; 2]);
        let z = [0.5, -2.0, 0.3, 0.1];
        let mut gradient = [0.0; 4];
        push_to_sphere(&z, 2, 2, &mut gradient);
        for (k, got) in gradient.iter().enumerate() {
            let at = |h: f32| {
                let mut moved = z;
                moved[k] += h;
                push_to_sphere(&moved, 2, 2, &mut [0.0; 4])
            };
            let want = f64::from(LOSS_WEIGHT) * (at(1e-2) - at(-1e-2)) / 2e-2;
            assert!(
                (f64::from(*got) - want).abs() < 1e-2 * (1.0 + want.abs()),
                "{got} is not {want}"
            );
        }
    }
}
