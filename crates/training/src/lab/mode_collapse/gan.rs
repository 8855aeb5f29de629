//! The two GANs: the same nets, optimiser and updates, and either loss.

use crate::lab::{Learner, sigmoid, softplus};
use crate::layers::Affine;
use crate::nets::{Critic, CriticTape, PenaltyTape};
use crate::params::Layout;
use crate::rng::{self, Purpose, Streams};

use super::{Job, Loss, peaks};

/// Units of each of the two hidden layers of either net.
pub(super) const HIDDEN: usize = 64;

/// Decay of Adam's first moment, the trainer's: with a memory that long the vanilla GAN wanders for all to see.
const BETA_1: f64 = 0.9;

/// A generator and a discriminator (a critic, with Wasserstein's loss) in training.
#[derive(Debug)]
pub(super) struct Gan {
    loss: Loss,
    batch: usize,
    /// Adam's rate at the start; it falls linearly to nothing over so many steps.
    rate: f64,
    steps: usize,
    latent: usize,
    updates: usize,
    penalty_weight: f32,
    streams: Streams,
    /// A critic's layers make a generator, too.
    nets: [Critic; 2],
    learners: [Learner; 2],
    /// Generator steps done.
    pub(super) step: usize,
    tapes: [CriticTape; 2],
    penalty: PenaltyTape,
}

/// Losses of a generator step: the mean of the discriminator's updates, and the generator's.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Losses {
    pub(super) discriminator: f64,
    pub(super) generator: f64,
}

fn net(name: &str, inputs: usize) -> Critic {
    let mut layout = Layout::default();
    let layers = vec![
        Affine::dense(&mut layout, &format!("{name}.dense_1"), inputs, HIDDEN),
        Affine::dense(&mut layout, &format!("{name}.dense_2"), HIDDEN, HIDDEN),
        Affine::dense(&mut layout, &format!("{name}.head"), HIDDEN, 1),
    ];
    Critic::of_layers(layout, layers)
}

impl Gan {
    pub(super) fn new(job: &Job, loss: Loss, seed: u64) -> Self {
        let streams = Streams::new(seed);
        let nets = [net("generator", job.latent), net("discriminator", 1)];
        Self {
            loss,
            batch: job.batch,
            rate: job.learning_rate,
            steps: job.steps,
            latent: job.latent,
            updates: job.discriminator_updates,
            penalty_weight: job.penalty_weight,
            streams,
            learners: [0, 1].map(|number| Learner::new(&nets[number].layout, streams, number)),
            nets,
            step: 0,
            tapes: Default::default(),
            penalty: PenaltyTape::default(),
        }
    }

    /// What a checkpoint holds.
    pub(super) fn parts(&self) -> impl Iterator<Item = (&'static str, &Layout, &[f32])> {
        let nets = self.learners.iter().zip(&self.nets);
        nets.flat_map(|(learner, net)| learner.parts(&net.layout))
    }

    /// Goes on from the values of [`Self::parts`].
    pub(super) fn restore(&mut self, step: usize, values: Vec<Vec<f32>>) {
        let mut values = values.into_iter();
        self.learners = [(); 2].map(|()| Learner::of_parts(&mut values));
        self.step = step;
    }

    /// One update of the generator after several of the discriminator.
    pub(super) fn step(&mut self) -> Losses {
        let mut losses = Losses::default();
        let updates = self.updates;
        for inner in 0..updates {
            losses.discriminator += self.teach_discriminator(self.step * updates + inner) / updates as f64;
        }
        losses.generator = self.teach_generator();
        self.step += 1;
        losses
    }

    /// Draws from the generator into the first tape.
    fn generate(&mut self, purpose: Purpose, number: usize, count: usize) {
        let mut z = vec![0.0; count * self.latent];
        rng::normals(&mut self.streams.stream(purpose, number, 0), &mut z);
        self.nets[0].forward(&self.learners[0].weights, &z, None, &mut self.tapes[0]);
    }

    /// Samples of the generator for the eye, drawn by latents of their own.
    pub(super) fn sample(&mut self, count: usize) -> Vec<f32> {
        self.generate(Purpose::Judge, self.step, count);
        self.tapes[0].out().to_vec()
    }

    /// Adam's rate now.
    fn falling_rate(&self) -> f64 {
        self.rate * (1.0 - self.step as f64 / self.steps as f64)
    }

    fn teach_discriminator(&mut self, number: usize) -> f64 {
        let rate = self.falling_rate();
        let mut real = vec![0.0; self.batch];
        peaks::draw(&mut self.streams.stream(Purpose::Batches, number, 0), &mut real);
        // Updates of the discriminator have latents of odd numbers, those of the generator even ones.
        self.generate(Purpose::Latents, 2 * number + 1, self.batch);
        let fake = self.tapes[0].out().to_vec();
        let mut loss = 0.0;
        for (samples, is_real) in [(&real, true), (&fake, false)] {
            let d_out = self.judge(samples, is_real, &mut loss);
            let learner = &mut self.learners[1];
            self.nets[1].backward(&learner.weights, &d_out, &mut self.tapes[1], &mut learner.grads);
        }
        let learner = &mut self.learners[1];
        if self.loss == Loss::Wasserstein {
            let mut alphas = self.streams.stream(Purpose::Alphas, number, 0);
            let between: Vec<f32> = real
                .iter()
                .zip(&fake)
                .map(|(real, fake)| fake + rng::uniform(&mut alphas) * (real - fake))
                .collect();
            let weight = self.penalty_weight / self.batch as f32;
            let (tape, grads) = (&mut self.penalty, &mut learner.grads);
            let penalty = self.nets[1].penalty(&learner.weights, &between, weight, tape, grads);
            loss += f64::from(weight) * penalty;
        }
        learner.update_decaying(BETA_1, number + 1, rate);
        loss
    }

    fn teach_generator(&mut self) -> f64 {
        let rate = self.falling_rate();
        self.generate(Purpose::Latents, 2 * self.step, self.batch);
        let fake = self.tapes[0].out().to_vec();
        let mut loss = 0.0;
        // The generator wants its samples taken for real.
        let d_out = self.judge(&fake, true, &mut loss);
        self.nets[1].backward_input(&self.learners[1].weights, &d_out, &mut self.tapes[1]);
        let learner = &mut self.learners[0];
        let [own, judge] = &mut self.tapes;
        self.nets[0].backward(&learner.weights, &judge.d_input, own, &mut learner.grads);
        learner.update_decaying(BETA_1, self.step + 1, rate);
        loss
    }

    /// Judges samples that are to be called real or not: adds to the loss, gives its gradient.
    fn judge(&mut self, samples: &[f32], real: bool, loss: &mut f64) -> Vec<f32> {
        self.nets[1].forward(&self.learners[1].weights, samples, None, &mut self.tapes[1]);
        let share = 1.0 / samples.len() as f32;
        let sign = if real { -1.0 } else { 1.0 };
        let judged = self.tapes[1].out().iter().map(|&out| match self.loss {
            Loss::CrossEntropy => (softplus(sign * out), sign * sigmoid(sign * out)),
            Loss::Wasserstein => (f64::from(sign * out), sign),
        });
        judged
            .map(|(one, slope)| {
                *loss += f64::from(share) * one;
                share * slope
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// The generator's gradient through the discriminator, for either loss, against central differences.
    #[test]
    fn the_generators_gradient_follows_finite_differences() {
        for loss in Loss::ALL {
            let mut gan = Gan::new(&Job::new(PathBuf::new()), loss, 3);
            let value = |gan: &mut Gan| {
                gan.generate(Purpose::Latents, 0, 16);
                let fake = gan.tapes[0].out().to_vec();
                let mut loss = 0.0;
                let d_out = gan.judge(&fake, true, &mut loss);
                (loss, d_out)
            };
            let (_, d_out) = value(&mut gan);
            gan.nets[1].backward_input(&gan.learners[1].weights, &d_out, &mut gan.tapes[1]);
            let learner = &mut gan.learners[0];
            let [own, judge] = &mut gan.tapes;
            gan.nets[0].backward(&learner.weights, &judge.d_input, own, &mut learner.grads);
            let grads = gan.learners[0].grads.clone();
            let mut direction = vec![0.0; grads.len()];
            rng::normals(
                &mut Streams::new(9).stream(Purpose::Weights, 0, 0),
                &mut direction,
            );
            let start = gan.learners[0].weights.clone();
            let mut at = |h: f32| {
                let moved = start.iter().zip(&direction).map(|(w, d)| w + h * d);
                gan.learners[0].weights = moved.collect();
                value(&mut gan).0
            };
            let h = 1e-3;
            let want = (at(h) - at(-h)) / f64::from(2.0 * h);
            let got: f64 = grads.iter().zip(&direction).map(|(g, d)| f64::from(g * d)).sum();
            assert!(
                (got - want).abs() < 2e-2 * (0.1 + want.abs()),
                "{got} is not {want}"
            );
        }
    }
}
