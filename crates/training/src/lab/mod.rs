//! The GAN lab: what GANs are, shown on examples small enough to watch, with the nets' parts, the optimiser, the run
//! directory, the checkpoints and the plots of the trainer. Nothing that the agent uses stands here; `docs/gan-lab.md`
//! tells the story.

pub mod dcgan;
mod dir;
pub mod mode_collapse;
pub mod seasonality;

use crate::adam;
use crate::files::WriteError;
use crate::params::Layout;
use crate::rng::{Purpose, Streams};
use crate::run_dir::ResumeError;

/// An experiment ended early.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// It cannot go on from where it stopped.
    #[error(transparent)]
    Resume(#[from] ResumeError),
    /// Its digits cannot be used.
    #[error(transparent)]
    Mnist(#[from] dcgan::MnistError),
    /// Output cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A loss is no number any more.
    #[error("a loss is not finite at step {step}")]
    NotFinite {
        /// Steps done.
        step: usize,
    },
}

/// How far an experiment is, for people.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// Steps done.
    pub done: usize,
    /// Steps to do.
    pub work: usize,
    /// What there is to say after this step.
    pub line: Option<&'a str>,
}

/// Decay of Adam's first moment unless an experiment says otherwise, shorter than the trainer's: with a long memory GANs
/// overshoot what they are after.
const BETA_1: f64 = 0.5;

/// The weights of a net in training, with Adam's moments.
#[derive(Clone, Debug, PartialEq)]
struct Learner {
    weights: Vec<f32>,
    first: Vec<f32>,
    second: Vec<f32>,
    grads: Vec<f32>,
}

impl Learner {
    /// Fresh weights of net number `net`.
    fn new(layout: &Layout, streams: Streams, net: usize) -> Self {
        let weights = layout.init(&mut streams.stream(Purpose::Weights, net, 0));
        let zeros = vec![0.0; weights.len()];
        Self {
            weights,
            first: zeros.clone(),
            second: zeros.clone(),
            grads: zeros,
        }
    }

    /// Update number `number` (from 1) with the gradients so far, which start anew.
    fn update(&mut self, number: usize, rate: f64) {
        self.update_decaying(BETA_1, number, rate);
    }

    /// [`Self::update`] with another decay of the first moment.
    fn update_decaying(&mut self, beta_1: f64, number: usize, rate: f64) {
        let Self {
            weights,
            first,
            second,
            grads,
        } = self;
        adam::update_decaying(beta_1, number as u64, rate, grads, first, second, weights);
        grads.fill(0.0);
    }

    /// What a checkpoint holds of it.
    fn parts<'a>(&'a self, layout: &'a Layout) -> [(&'static str, &'a Layout, &'a [f32]); 3] {
        [
            ("weights", layout, &self.weights),
            ("adam_first", layout, &self.first),
            ("adam_second", layout, &self.second),
        ]
    }

    /// From the values of [`Self::parts`].
    fn of_parts(parts: &mut impl Iterator<Item = Vec<f32>>) -> Self {
        let mut next = || parts.next().unwrap_or_default();
        let (weights, first, second) = (next(), next(), next());
        Self {
            grads: vec![0.0; weights.len()],
            weights,
            first,
            second,
        }
    }
}

/// `ln(1 + eˣ)`, the cross-entropy of a logit whose label is 0.
fn softplus(x: f32) -> f64 {
    let x = f64::from(x);
    x.max(0.0) + libm::log1p(libm::exp(-x.abs()))
}

/// `1 / (1 + e⁻ˣ)`, the probability of a logit.
fn sigmoid(x: f32) -> f32 {
    (1.0 / (1.0 + libm::exp(-f64::from(x)))) as f32
}
