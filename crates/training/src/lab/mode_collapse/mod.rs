//! Mode collapse: a vanilla GAN wanders between and about two peaks and ends on one; with the Wasserstein loss and gradient
//! penalty the same nets learn both.
//!
//! The vanilla GAN has the cross-entropy losses of Goodfellow et al. (2014), the generator's in the form that does not
//! saturate; the other the losses of Gulrajani et al. (2017), and the weight of the penalty that their own toy problems
//! have. Everything else is the same: nets, first weights, noise, batches, updates and optimiser.
//!
//! | file | holds |
//! |---|---|
//! | `config.toml` | the settings |
//! | `looks.csv` | a row a look: losses, shares of the peaks, Wasserstein distance, samples in each bin |
//! | `densities.svg` | data and samples at some moments, first seed |
//! | `time.svg` | where the samples lie at every look, first seed |
//! | `seeds.svg` | data and samples at the end, each seed |
//! | `collapse.svg` | the collapse measure, the share at the peaks and the distance over time |
//! | `checkpoint-<step>.safetensors` | nets and moments of the GAN at work; steps count on from GAN to GAN |

mod gan;
mod look;
mod paths;
mod peaks;
mod picture;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::dir::{LabDir, Past};
use super::{LabError, Progress};
use crate::checkpoint;
use crate::rng::{Purpose, Streams};
use crate::run_dir;
use crate::trainer::CRITIC_UPDATES;
use gan::{Gan, Losses};
use look::Look;
use peaks::Found;

/// Samples of a look.
const SAMPLES: usize = 4_000;

/// What discriminator and generator are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Binary cross-entropy: the vanilla GAN.
    CrossEntropy,
    /// Wasserstein's, with gradient penalty.
    Wasserstein,
}

impl Loss {
    /// Both, in the order of training.
    pub const ALL: [Self; 2] = [Self::CrossEntropy, Self::Wasserstein];

    /// Its name in files and pictures.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CrossEntropy => "vanilla",
            Self::Wasserstein => "wasserstein",
        }
    }
}

/// What `train mode-collapse` is to do.
#[derive(Clone, Debug)]
pub struct Job {
    /// The run directory.
    pub out: PathBuf,
    /// Whether to go on with the run that is there.
    pub resume: bool,
    /// The command line.
    pub command: String,
    /// The first seed.
    pub seed: u64,
    /// How many seeds, one after the other.
    pub seeds: usize,
    /// Generator steps of each GAN.
    pub steps: usize,
    /// Generator steps between looks.
    pub look_every: usize,
    /// Samples of a batch.
    pub batch: usize,
    /// Adam's rate at the start; it falls linearly to nothing.
    pub learning_rate: f64,
    /// Updates of the discriminator before one of the generator.
    pub discriminator_updates: usize,
    /// Values of the noise that a sample is made of. The more, the more the samples move as one.
    pub latent: usize,
    /// Weight of the gradient penalty.
    pub penalty_weight: f32,
}

/// How many of the seeds' GANs cover both peaks at the end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// With [`Loss::ALL`], in that order.
    pub cover_both: [usize; 2],
    /// Mean share of the samples at the peaks at the end, likewise.
    pub together: [f64; 2],
    /// Mean distance to the data at the end, likewise.
    pub distance: [f64; 2],
}

/// `config.toml`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    command: String,
    seed: u64,
    seeds: usize,
    steps_each: usize,
    look_every: usize,
    batch: usize,
    learning_rate: f64,
    penalty_weight: f32,
    discriminator_updates: usize,
    latent: usize,
    hidden: usize,
}

/// Trains both GANs for each seed and draws what came of it.
///
/// # Errors
/// When the run directory cannot be used, or a loss is no number any more.
pub fn run(job: &Job, mut progress: impl FnMut(Progress<'_>)) -> Result<Outcome, LabError> {
    let config = Config {
        command: job.command.clone(),
        seed: job.seed,
        seeds: job.seeds,
        steps_each: job.steps,
        look_every: job.look_every,
        batch: job.batch,
        learning_rate: job.learning_rate,
        penalty_weight: job.penalty_weight,
        discriminator_updates: job.discriminator_updates,
        latent: job.latent,
        hidden: gan::HIDDEN,
    };
    let (mut dir, past) = LabDir::open(&job.out, &config, ("looks.csv", look::HEADER), job.resume)?;
    let mut looks: Vec<Look> = past.rows.iter().filter_map(|row| look::read(row)).collect();
    let (from, mut at_work) = restore(job, &past)?;
    let work = job.work();
    for done in from + 1..=work {
        let (seed, loss, step) = job.place(done);
        if step == 1 {
            at_work = job.gan(seed, loss);
            let start = look_at(&mut at_work, seed, loss, Losses::default());
            dir.row(&look::row(done, &start))?;
            looks.push(start);
        }
        let losses = at_work.step();
        if !(losses.discriminator.is_finite() && losses.generator.is_finite()) {
            return Err(LabError::NotFinite { step: done });
        }
        if step % job.look_every != 0 && step != job.steps {
            progress(Progress {
                done,
                work,
                line: None,
            });
            continue;
        }
        let look = look_at(&mut at_work, seed, loss, losses);
        dir.row(&look::row(done, &look))?;
        dir.checkpoint(done, at_work.parts())?;
        let line = (step == job.steps).then(|| look.line());
        progress(Progress {
            done,
            work,
            line: line.as_deref(),
        });
        looks.push(look);
    }
    dir.file("densities.svg", picture::over_time(&looks, job.seed).as_bytes())?;
    dir.file("time.svg", paths::draw(&looks, job).as_bytes())?;
    dir.file("seeds.svg", picture::at_the_end(&looks, job.steps).as_bytes())?;
    dir.file("collapse.svg", picture::measures(&looks, job).as_bytes())?;
    Ok(outcome(job, &looks))
}

impl Job {
    /// The experiment as it is shown, with one seed.
    #[must_use]
    pub fn new(out: PathBuf) -> Self {
        Self {
            out,
            resume: false,
            command: String::new(),
            seed: 0,
            seeds: 1,
            steps: 2_000,
            look_every: 25,
            batch: 64,
            learning_rate: 5e-3,
            discriminator_updates: CRITIC_UPDATES,
            latent: 8,
            penalty_weight: 0.1,
        }
    }

    fn work(&self) -> usize {
        self.seeds * Loss::ALL.len() * self.steps
    }

    /// Seed, loss and step (from 1) of a step of the whole.
    fn place(&self, done: usize) -> (u64, Loss, usize) {
        let (unit, step) = ((done - 1) / self.steps, (done - 1) % self.steps + 1);
        let seed = self.seed + (unit / Loss::ALL.len()) as u64;
        (seed, Loss::ALL[unit % Loss::ALL.len()], step)
    }

    fn gan(&self, seed: u64, loss: Loss) -> Gan {
        Gan::new(self, loss, seed)
    }
}

/// Steps of the whole that were done, and the GAN that was at work.
fn restore(job: &Job, past: &Past) -> Result<(usize, Gan), LabError> {
    let fresh = job.gan(job.seed, Loss::CrossEntropy);
    let Some(path) = &past.checkpoint else {
        return Ok((0, fresh));
    };
    let wanted: Vec<_> = fresh.parts().map(|(part, layout, _)| (part, layout)).collect();
    let (done, values) = checkpoint::decode(path, &wanted).map_err(run_dir::reading(path))?;
    let (seed, loss, step) = job.place(done.clamp(1, job.work()));
    let mut gan = job.gan(seed, loss);
    gan.restore(step, values);
    Ok((done, gan))
}

fn look_at(gan: &mut Gan, seed: u64, loss: Loss, losses: Losses) -> Look {
    let mut real = vec![0.0; SAMPLES];
    peaks::draw(
        &mut Streams::new(seed).stream(Purpose::Judge, usize::from(u16::MAX), 1),
        &mut real,
    );
    real.sort_by(f32::total_cmp);
    Look {
        seed,
        loss,
        step: gan.step,
        losses,
        found: Found::of(gan.sample(SAMPLES), &real),
    }
}

fn outcome(job: &Job, looks: &[Look]) -> Outcome {
    let last = |loss| {
        looks
            .iter()
            .filter(move |look| look.loss == loss && look.step == job.steps)
    };
    let mean = |value: fn(&Found) -> f64| {
        Loss::ALL.map(|loss| last(loss).map(|look| value(&look.found)).sum::<f64>() / job.seeds as f64)
    };
    Outcome {
        cover_both: Loss::ALL.map(|loss| last(loss).filter(|look| look.found.covers_both()).count()),
        together: mean(Found::together),
        distance: mean(|found| found.distance),
    }
}
