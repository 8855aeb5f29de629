//! A small classifier of digits, trained on MNIST, that judges what a generator draws: what it takes a drawing for, how
//! sure it is, and where drawings lie among its features.

use crate::lab::Learner;
use crate::layers::{Affine, Conv2d, Image};
use crate::params::Layout;
use crate::rng::{Purpose, Streams};

use super::DIGIT;
use super::frechet::Cloud;
use super::mnist::{Digits, KINDS};
use super::net::{Layer, Net, Pass, Tape};

/// Values of its last layer but one.
pub(super) const FEATURES: usize = 64;

/// How sure it has to be to recognise a digit.
const SURE: f64 = 0.9;

/// Adam's rate at the start.
const RATE: f64 = 1e-3;

/// Rate of dropout.
const DROPOUT: f32 = 0.3;

/// Images of a pass that is no step.
const TOGETHER: usize = 500;

/// The net in training, and after.
#[derive(Debug)]
pub(super) struct Classifier {
    streams: Streams,
    /// Steps that it is to learn for.
    steps: usize,
    net: Net,
    learner: Learner,
    tape: Tape,
    /// Steps done.
    pub(super) step: usize,
}

/// What it finds in some images.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Findings {
    /// Images recognised as each digit.
    pub(super) recognised: [usize; KINDS],
    /// Images.
    pub(super) images: usize,
    /// Share that is taken for what it is, however surely; of digits alone.
    pub(super) right: f64,
    /// Their features.
    pub(super) cloud: Cloud,
}

fn net() -> Net {
    let (half, quarter) = (
        Image {
            side: 14,
            channels: 32,
        },
        Image {
            side: 7,
            channels: 64,
        },
    );
    let mut layout = Layout::default();
    let layers = vec![
        Layer::Conv(Conv2d::new(&mut layout, "classifier.conv_1", 5, DIGIT, half)),
        Layer::Leaky(0.0),
        Layer::Conv(Conv2d::new(&mut layout, "classifier.conv_2", 5, half, quarter)),
        Layer::Leaky(DROPOUT),
        Layer::Dense(Affine::dense(
            &mut layout,
            "classifier.dense",
            quarter.len(),
            FEATURES,
        )),
        Layer::Leaky(0.0),
        Layer::Dense(Affine::dense(&mut layout, "classifier.head", FEATURES, KINDS)),
    ];
    Net {
        layout,
        layers,
        inputs: DIGIT.len(),
    }
}

impl Classifier {
    pub(super) fn new(seed: u64, steps: usize, threads: usize) -> Self {
        let (net, streams) = (net(), Streams::new(seed));
        Self {
            streams,
            steps,
            learner: Learner::new(&net.layout, streams, 2),
            net,
            tape: Tape::new(threads),
            step: 0,
        }
    }

    /// What a checkpoint holds.
    pub(super) fn parts(&self) -> impl Iterator<Item = (&'static str, &Layout, &[f32])> {
        self.learner.parts(&self.net.layout).into_iter()
    }

    /// Goes on from the values of [`Self::parts`].
    pub(super) fn restore(&mut self, step: usize, values: &mut impl Iterator<Item = Vec<f32>>) {
        self.learner = Learner::of_parts(values);
        self.step = step;
    }

    /// One step on digits, and its loss: the cross-entropy.
    pub(super) fn step(&mut self, digits: &[f32], labels: &[u8]) -> f64 {
        let pass = Pass {
            dropout: Some((self.streams, Purpose::DropoutG, self.step)),
            moments: None,
        };
        let Learner { weights, grads, .. } = &mut self.learner;
        self.net.forward(weights, digits, pass, &mut self.tape);
        let share = 1.0 / labels.len() as f64;
        let mut loss = 0.0;
        let mut d_out = Vec::with_capacity(labels.len() * KINDS);
        for (logits, label) in self.tape.out().chunks_exact(KINDS).zip(labels) {
            let mut probabilities = softmax(logits);
            let own = &mut probabilities[usize::from(*label)];
            loss -= share * libm::log(own.max(f64::MIN_POSITIVE));
            *own -= 1.0;
            d_out.extend(probabilities.map(|slope| (share * slope) as f32));
        }
        self.net
            .backward(weights, &d_out, Some(grads), false, &mut self.tape);
        // The rate falls to nothing: fine work comes last.
        let left = 1.0 - self.step as f64 / self.steps as f64;
        self.step += 1;
        self.learner.update(self.step, RATE * left);
        loss
    }

    /// Looks at images that are asked for by number, some at a time.
    pub(super) fn look(&mut self, images: usize, mut some: impl FnMut(usize, usize) -> Vec<f32>) -> Findings {
        self.look_at(images, |from, count| (some(from, count), None))
    }

    /// Looks at digits.
    pub(super) fn test(&mut self, digits: &Digits, images: usize) -> Findings {
        self.look_at(images.min(digits.len()), |from, count| {
            let which = from..from + count;
            (digits.scaled(which.clone()), Some(&digits.labels[which]))
        })
    }

    fn look_at<'a>(
        &mut self,
        images: usize,
        mut some: impl FnMut(usize, usize) -> (Vec<f32>, Option<&'a [u8]>),
    ) -> Findings {
        let mut findings = Findings {
            recognised: [0; KINDS],
            images,
            right: 0.0,
            cloud: Cloud::new(FEATURES),
        };
        for from in (0..images).step_by(TOGETHER) {
            let (values, labels) = some(from, TOGETHER.min(images - from));
            let weights = &self.learner.weights;
            self.net
                .forward(weights, &values, Pass::default(), &mut self.tape);
            for (number, logits) in self.tape.out().chunks_exact(KINDS).enumerate() {
                let probabilities = softmax(logits);
                let best = (0..KINDS).max_by(|a, b| probabilities[*a].total_cmp(&probabilities[*b]));
                let best = best.unwrap_or_default();
                findings.recognised[best] += usize::from(probabilities[best] > SURE);
                if labels.is_some_and(|labels| usize::from(labels[number]) == best) {
                    findings.right += 1.0 / images as f64;
                }
            }
            findings.cloud.add(self.tape.before_last(1));
        }
        findings
    }
}

impl Findings {
    /// Share of the images recognised as each digit.
    pub(super) fn shares(&self) -> [f64; KINDS] {
        self.recognised.map(|count| count as f64 / self.images as f64)
    }
}

fn softmax(logits: &[f32]) -> [f64; KINDS] {
    let highest = logits.iter().fold(f32::MIN, |a, b| a.max(*b));
    let mut values = [0.0; KINDS];
    for (value, logit) in values.iter_mut().zip(logits) {
        *value = libm::exp(f64::from(logit - highest));
    }
    let sum: f64 = values.iter().sum();
    values.map(|value| value / sum)
}
