//! Generator and discriminator, and one step of both.

use crate::lab::{Learner, sigmoid, softplus};
use crate::layers::{Affine, BatchNorm, Conv2d, Image, Moments};
use crate::params::Layout;
use crate::rng::{self, Purpose, Streams};

use super::net::{Layer, Net, Pass, Tape};
use super::{DIGIT, Job, LATENT};

/// A digit at half and at a quarter of its side.
const HALF: Image = Image {
    side: DIGIT.side / 2,
    channels: 32,
};
const QUARTER: Image = Image {
    side: DIGIT.side / 4,
    channels: 64,
};

/// Values of either net that belong to no place in the digit.
const WHOLE: usize = 256;

/// Drawings whose moments stand for those of all.
const REFERENCE: usize = 512;

/// Both nets in training.
#[derive(Debug)]
pub(super) struct Gan {
    streams: Streams,
    batch: usize,
    rate: f64,
    /// Steps that it is to learn for.
    steps: usize,
    ema: f64,
    /// Drawings for the moments.
    reference: usize,
    generator: Net,
    discriminator: Net,
    /// The generator's, the discriminator's.
    learners: [Learner; 2],
    /// Moving average of the generator's weights.
    average: Vec<f32>,
    tapes: [Tape; 2],
    /// Steps done.
    pub(super) step: usize,
}

/// What a step reports.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Losses {
    pub(super) discriminator: f64,
    pub(super) generator: f64,
    /// What the discriminator gives digits, and drawings, on average: the probability that they are digits.
    pub(super) judged: [f64; 2],
}

/// Noise of [`LATENT`] values → a digit.
fn generator() -> Net {
    let mut chain = Chain::of("generator");
    chain.dense(LATENT, WHOLE).norm(WHOLE).leaky();
    chain.dense(WHOLE, QUARTER.len()).norm(QUARTER.channels).leaky();
    for (side, from, to) in [(3, QUARTER, QUARTER), (4, QUARTER, HALF)] {
        chain.transposed(side, from, to).norm(to.channels).leaky();
    }
    chain.transposed(4, HALF, DIGIT).layers.push(Layer::Tanh);
    chain.net(LATENT)
}

/// A digit → the logit of its being one.
fn discriminator() -> Net {
    let mut chain = Chain::of("discriminator");
    chain.conv(4, DIGIT, HALF).leaky();
    chain.conv(4, HALF, QUARTER).norm(QUARTER.channels).leaky();
    chain.dense(QUARTER.len(), WHOLE).norm(WHOLE).leaky();
    chain.dense(WHOLE, 1);
    chain.net(DIGIT.len())
}

/// A net as it grows; layers are numbered by kind.
struct Chain {
    name: &'static str,
    layout: Layout,
    layers: Vec<Layer>,
}

impl Chain {
    fn of(name: &'static str) -> Self {
        Self {
            name,
            layout: Layout::default(),
            layers: Vec::new(),
        }
    }

    fn next(&self, kind: &str) -> String {
        let name = |layer: &Layer| match layer {
            Layer::Dense(_) => "dense",
            Layer::Conv(_) => "conv",
            Layer::Norm(_) => "norm",
            Layer::Leaky(_) | Layer::Tanh => "",
        };
        let number = 1 + self.layers.iter().filter(|layer| name(layer) == kind).count();
        format!("{}.{kind}_{number}", self.name)
    }

    fn dense(&mut self, inputs: usize, outputs: usize) -> &mut Self {
        let name = self.next("dense");
        let dense = Affine::dense(&mut self.layout, &name, inputs, outputs);
        self.layers.push(Layer::Dense(dense));
        self
    }

    fn conv(&mut self, side: usize, input: Image, output: Image) -> &mut Self {
        let name = self.next("conv");
        let conv = Conv2d::new(&mut self.layout, &name, side, input, output);
        self.layers.push(Layer::Conv(conv));
        self
    }

    fn transposed(&mut self, side: usize, input: Image, output: Image) -> &mut Self {
        let name = self.next("conv");
        let conv = Conv2d::transposed(&mut self.layout, &name, side, input, output);
        self.layers.push(Layer::Conv(conv));
        self
    }

    fn norm(&mut self, channels: usize) -> &mut Self {
        let name = self.next("norm");
        let norm = BatchNorm::new(&mut self.layout, &name, channels);
        self.layers.push(Layer::Norm(norm));
        self
    }

    fn leaky(&mut self) -> &mut Self {
        self.layers.push(Layer::Leaky(0.0));
        self
    }

    fn net(self, inputs: usize) -> Net {
        Net {
            layout: self.layout,
            layers: self.layers,
            inputs,
        }
    }
}

impl Gan {
    /// To learn for `steps` steps.
    pub(super) fn new(job: &Job, steps: usize) -> Self {
        let streams = Streams::new(job.seed);
        let (generator, discriminator) = (generator(), discriminator());
        let learners = [(&generator, 0), (&discriminator, 1)];
        let learners = learners.map(|(net, number)| Learner::new(&net.layout, streams, number));
        Self {
            streams,
            batch: job.batch,
            rate: job.learning_rate,
            steps,
            ema: job.ema,
            reference: REFERENCE.min(job.drawings),
            average: learners[0].weights.clone(),
            generator,
            discriminator,
            learners,
            tapes: [(); 2].map(|()| Tape::new(job.threads)),
            step: 0,
        }
    }

    /// What a checkpoint holds.
    pub(super) fn parts(&self) -> impl Iterator<Item = (&'static str, &Layout, &[f32])> {
        let nets = [&self.generator, &self.discriminator];
        let learners = self.learners.iter().zip(nets);
        let average = ("average", &self.generator.layout, self.average.as_slice());
        let parts = learners.flat_map(|(learner, net)| learner.parts(&net.layout));
        parts.chain(std::iter::once(average))
    }

    /// Goes on from the values of [`Self::parts`].
    pub(super) fn restore(&mut self, step: usize, values: &mut impl Iterator<Item = Vec<f32>>) {
        self.learners = [(); 2].map(|()| Learner::of_parts(values));
        self.average = values.next().unwrap_or_default();
        self.step = step;
    }

    /// One step of both nets, on digits: gradients of either at the weights before it.
    pub(super) fn step(&mut self, digits: &[f32]) -> Losses {
        let mut losses = Losses::default();
        let drawings = self.draw_to_learn();
        for (images, real) in [(digits, true), (&drawings, false)] {
            let d_out = self.judge(images, real, &mut losses);
            let Learner { weights, grads, .. } = &mut self.learners[1];
            self.discriminator
                .backward(weights, &d_out, Some(grads), false, &mut self.tapes[1]);
        }
        self.blame(&mut losses);
        let (number, rate) = (self.step + 1, self.rate());
        let learners = self.learners.iter_mut();
        learners.for_each(|learner| learner.update(number, rate));
        // Faster at first, so that it soon forgets where the weights started.
        let keep = self.ema.min(number as f64 / (10.0 + number as f64)) as f32;
        let averages = self.average.iter_mut().zip(&self.learners[0].weights);
        averages.for_each(|(average, weight)| *average = keep * *average + (1.0 - keep) * weight);
        self.step = number;
        losses
    }

    /// Adam's rate: as it was given for three quarters of the training, then falling to nothing, so that both nets come to rest.
    fn rate(&self) -> f64 {
        let left = 1.0 - self.step as f64 / self.steps as f64;
        self.rate * (4.0 * left).min(1.0)
    }

    /// A batch of drawings, the generator's tape ready to go back.
    fn draw_to_learn(&mut self) -> Vec<f32> {
        let noise = self.noise(Purpose::Latents, self.step, self.batch);
        let (weights, tape) = (&self.learners[0].weights, &mut self.tapes[0]);
        self.generator.forward(weights, &noise, Pass::default(), tape);
        tape.out().to_vec()
    }

    /// Judges images that are digits or drawings: adds to the losses, gives the loss' gradient.
    fn judge(&mut self, images: &[f32], real: bool, losses: &mut Losses) -> Vec<f32> {
        let (weights, tape) = (&self.learners[1].weights, &mut self.tapes[1]);
        self.discriminator.forward(weights, images, Pass::default(), tape);
        let share = DIGIT.len() as f64 / images.len() as f64;
        let sign = if real { -1.0 } else { 1.0 };
        let logits = tape.out().iter();
        let slopes = logits.map(|&logit| {
            losses.discriminator += share * softplus(sign * logit);
            losses.judged[usize::from(!real)] += share * f64::from(sigmoid(logit));
            share as f32 * sign * sigmoid(sign * logit)
        });
        slopes.collect()
    }

    /// The generator's loss and gradients at the drawings that were judged last: it wants them taken for digits.
    fn blame(&mut self, losses: &mut Losses) {
        let [own, judge] = &mut self.tapes;
        let share = 1.0 / judge.out().len() as f64;
        let logits = judge.out().iter();
        let slopes = logits.map(|&logit| {
            losses.generator += share * softplus(-logit);
            share as f32 * -sigmoid(-logit)
        });
        let d_out: Vec<f32> = slopes.collect();
        let [learner, frozen] = &mut self.learners;
        self.discriminator
            .backward(&frozen.weights, &d_out, None, true, judge);
        let Learner { weights, grads, .. } = learner;
        self.generator
            .backward(weights, judge.d_input(), Some(grads), false, own);
    }

    fn noise(&self, purpose: Purpose, number: usize, count: usize) -> Vec<f32> {
        let mut noise = vec![0.0; count * LATENT];
        rng::normals(&mut self.streams.stream(purpose, number, 0), &mut noise);
        noise
    }

    /// What normalises drawings for the eye, of the averaged weights: each drawing then stands for itself.
    pub(super) fn moments(&mut self) -> Vec<Moments> {
        let noise = self.noise(Purpose::Judge, 0, self.reference);
        let tape = &mut self.tapes[0];
        self.generator
            .forward(&self.average, &noise, Pass::default(), tape);
        tape.moments().to_vec()
    }

    /// Drawings of the averaged weights. The same `number` (from 1) gives the same noise.
    pub(super) fn draw(&mut self, moments: &[Moments], number: usize, count: usize) -> Vec<f32> {
        let noise = self.noise(Purpose::Judge, number, count);
        let pass = Pass {
            moments: Some(moments),
            dropout: None,
        };
        let tape = &mut self.tapes[0];
        self.generator.forward(&self.average, &noise, pass, tape);
        tape.out().to_vec()
    }
}
