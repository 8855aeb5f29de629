//! Digits: a DCGAN (Radford, Metz and Chintala 2016) learns to draw what MNIST holds, and a classifier, trained first,
//! judges what it draws.
//!
//! The generator makes noise of 50 values into 256 and these into 7 × 7 × 64 by dense layers, and that into the same, into
//! 14 × 14 × 32 and into 28 × 28 × 1 by transposed convolutions, with batch normalisation and leaky ReLU but after the last, which has
//! tanh. The discriminator goes back by two convolutions to 7 × 7 × 64, by a dense layer to 256, and by another to one value: the logit
//! of the probability that it sees a digit. It has batch normalisation but at its two ends.
//!
//! The 256 values on either side are what makes digits of strokes. A discriminator without them adds up what it sees in each place, and
//! two halves of different digits look well to it; with them it sees the whole, and a batch beside it.
//! Both have cross-entropy losses, the generator's in the form that does not saturate. What is shown and judged is drawn
//! with the moving average of the generator's weights.
//!
//! | file | holds |
//! |---|---|
//! | `config.toml` | the settings and the hash of the data |
//! | `looks.csv` | losses every few steps; after each epoch what the classifier says of 10 000 drawings |
//! | `epoch-<number>.png` | drawings of the same noise before training (0) and after each epoch |
//! | `digits.png` | the same, one after the other |
//! | `curves.svg` | what `looks.csv` says |
//! | `checkpoint-<step>.safetensors` | all nets and moments; steps count on from classifier to GAN |

mod classifier;
mod frechet;
mod gan;
mod look;
mod mnist;
mod net;
mod picture;
mod png;

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::dir::{LabDir, Past};
use super::{LabError, Progress};
use crate::batches::Batches;
use crate::checkpoint;
use crate::files::writing;
use crate::layers::Image;
use crate::params::Layout;
use crate::run_dir;
use classifier::{Classifier, Findings};
use gan::Gan;
pub use look::Judged;
use look::{Kind, Look};
use mnist::Mnist;
pub use mnist::MnistError;

/// A digit.
const DIGIT: Image = Image {
    side: 28,
    channels: 1,
};

/// Values of the noise that a digit is drawn from.
const LATENT: usize = 50;

/// Milliseconds that a picture is shown among those that move.
const SHOWN_FOR: u16 = 600;

/// What `train dcgan` is to do.
#[derive(Clone, Debug)]
pub struct Job {
    /// Where the four files of MNIST are.
    pub mnist: PathBuf,
    /// The run directory.
    pub out: PathBuf,
    /// Whether to go on with the run that is there.
    pub resume: bool,
    /// The command line.
    pub command: String,
    /// The one seed.
    pub seed: u64,
    /// Passes of the classifier over the training digits.
    pub classifier_epochs: usize,
    /// Passes of the GAN.
    pub epochs: usize,
    /// Images of a batch.
    pub batch: usize,
    /// Adam's rate for both nets, for three quarters of the training; then it falls to nothing.
    pub learning_rate: f64,
    /// Decay a step of the average of the generator's weights.
    pub ema: f64,
    /// Drawings that are judged after an epoch.
    pub drawings: usize,
    /// Steps between looks at the losses, and checkpoints.
    pub look_every: usize,
    /// Threads; the drawings are the same on any number.
    pub threads: usize,
}

impl Job {
    /// The experiment as it is shown.
    #[must_use]
    pub fn new(mnist: PathBuf, out: PathBuf) -> Self {
        Self {
            mnist,
            out,
            resume: false,
            command: String::new(),
            seed: 0,
            classifier_epochs: 4,
            epochs: 8,
            batch: 64,
            learning_rate: 5e-4,
            ema: 0.999,
            drawings: 10_000,
            look_every: 200,
            threads: 1,
        }
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// What to hold drawings against.
    pub baseline: Baseline,
    /// Before the GAN's training.
    pub before: Judged,
    /// After it.
    pub after: Judged,
}

/// The classifier on digits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Baseline {
    /// Share of the test digits that it takes for what they are.
    pub accuracy: f64,
    /// Share of them that it is sure of.
    pub recognised: f64,
    /// Fréchet distance between training and test digits.
    pub frechet: f64,
}

/// `config.toml`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    command: String,
    seed: u64,
    classifier_epochs: usize,
    epochs: usize,
    batch: usize,
    learning_rate: f64,
    ema: f64,
    drawings: usize,
    look_every: usize,
    latent: usize,
    data: String,
}

/// Trains the classifier, then the GAN, and draws what came of it.
///
/// # Errors
/// When MNIST or the run directory cannot be used, or a loss is no number any more.
pub fn run(job: &Job, mut progress: impl FnMut(Progress<'_>)) -> Result<Outcome, LabError> {
    let mnist = Mnist::read(&job.mnist)?;
    let mut lab = Lab::open(job, &mnist)?;
    let work = lab.plan.work();
    for done in lab.done + 1..=work {
        let line = lab.step(done)?;
        let line = line.as_deref();
        progress(Progress { done, work, line });
    }
    lab.finish()
}

/// Which step does what.
#[derive(Clone, Copy, Debug)]
struct Plan {
    /// Steps of the classifier, which come first.
    classifier: usize,
    /// Steps of a pass over the digits.
    epoch: usize,
    epochs: usize,
}

impl Plan {
    fn work(self) -> usize {
        self.classifier + self.epoch * self.epochs
    }

    /// The epoch of the GAN (0: none yet) that ends with a step.
    fn ends(self, done: usize) -> Option<usize> {
        let own = done.checked_sub(self.classifier)?;
        own.is_multiple_of(self.epoch).then(|| own / self.epoch)
    }
}

/// The experiment as it goes.
struct Lab<'a> {
    job: &'a Job,
    mnist: &'a Mnist,
    batches: Batches,
    plan: Plan,
    dir: LabDir,
    classifier: Classifier,
    gan: Gan,
    /// What the classifier finds in the test digits, once it is trained.
    test: Option<Findings>,
    looks: Vec<Look>,
    /// Of the losses since the last look.
    sums: [f64; 4],
    since: usize,
    /// Steps done when this process began.
    done: usize,
}

impl<'a> Lab<'a> {
    fn open(job: &'a Job, mnist: &'a Mnist) -> Result<Self, LabError> {
        let config = Config {
            command: job.command.clone(),
            seed: job.seed,
            classifier_epochs: job.classifier_epochs,
            epochs: job.epochs,
            batch: job.batch,
            learning_rate: job.learning_rate,
            ema: job.ema,
            drawings: job.drawings,
            look_every: job.look_every,
            latent: LATENT,
            data: mnist.hash.clone(),
        };
        let rows = ("looks.csv", look::header());
        let (dir, past) = LabDir::open(&job.out, &config, (rows.0, &rows.1), job.resume)?;
        if !job.resume {
            remove_grids(&job.out)?;
        }
        let batches = Batches::new(job.seed, mnist.train.len(), job.batch);
        let epoch = batches.steps_per_epoch();
        let classifier = epoch * job.classifier_epochs;
        let mut lab = Self {
            job,
            mnist,
            batches,
            plan: Plan {
                classifier,
                epoch,
                epochs: job.epochs,
            },
            dir,
            classifier: Classifier::new(job.seed, classifier, job.threads),
            gan: Gan::new(job, epoch * job.epochs),
            test: None,
            looks: past.rows.iter().filter_map(|row| look::read(row)).collect(),
            sums: [0.0; 4],
            since: 0,
            done: 0,
        };
        lab.restore(&past)?;
        Ok(lab)
    }

    fn restore(&mut self, past: &Past) -> Result<(), LabError> {
        let Some(path) = &past.checkpoint else {
            return Ok(());
        };
        let wanted: Vec<_> = self.parts().map(|(part, layout, _)| (part, layout)).collect();
        let (done, values) = checkpoint::decode(path, &wanted).map_err(run_dir::reading(path))?;
        let mut values = values.into_iter();
        let learned = done.min(self.plan.classifier);
        self.classifier.restore(learned, &mut values);
        self.gan.restore(done - learned, &mut values);
        self.done = done;
        if learned == self.plan.classifier {
            self.test = Some(self.classifier.test(&self.mnist.test, usize::MAX));
        }
        Ok(())
    }

    fn parts(&self) -> impl Iterator<Item = (&'static str, &Layout, &[f32])> {
        self.classifier.parts().chain(self.gan.parts())
    }

    /// Step `done`, and what is due after it; gives what there is to say.
    fn step(&mut self, done: usize) -> Result<Option<String>, LabError> {
        let learning = done <= self.plan.classifier;
        let which = self.batches.step(done - 1);
        let digits = self.mnist.train.scaled(which.iter().copied());
        let losses = if learning {
            let labels: Vec<u8> = which.iter().map(|at| self.mnist.train.labels[*at]).collect();
            [self.classifier.step(&digits, &labels), 0.0, 0.0, 0.0]
        } else {
            let losses = self.gan.step(&digits);
            let [of_digits, of_drawings] = losses.judged;
            [losses.discriminator, losses.generator, of_digits, of_drawings]
        };
        if !losses.iter().all(|loss| loss.is_finite()) {
            return Err(LabError::NotFinite { step: done });
        }
        self.sums
            .iter_mut()
            .zip(losses)
            .for_each(|(sum, loss)| *sum += loss);
        self.since += 1;
        let ends = self.plan.ends(done);
        if ends.is_none() && !done.is_multiple_of(self.job.look_every) {
            return Ok(None);
        }
        let share = 1.0 / std::mem::take(&mut self.since) as f64;
        let means = std::mem::take(&mut self.sums).map(|sum| sum * share);
        let kind = if learning {
            Kind::Classifier(means[0])
        } else {
            Kind::Gan(means)
        };
        self.look(done, kind)?;
        let line = ends.map(|epoch| self.end_epoch(done, epoch)).transpose()?;
        self.dir.checkpoint(done, self.parts())?;
        Ok(line)
    }

    fn look(&mut self, step: usize, kind: Kind) -> Result<(), LabError> {
        let look = Look { step, kind };
        self.dir.row(&look::row(&look))?;
        self.looks.push(look);
        Ok(())
    }

    /// Judges and shows what the generator draws after an epoch, or before the first.
    fn end_epoch(&mut self, done: usize, epoch: usize) -> Result<String, LabError> {
        if self.test.is_none() {
            self.test = Some(self.classifier.test(&self.mnist.test, usize::MAX));
        }
        let moments = self.gan.moments();
        let shown = self.gan.draw(&moments, 1, picture::SHOWN);
        let share = epoch as f64 / self.plan.epochs as f64;
        self.dir.file(&grid_name(epoch), &picture::grid(&shown, share))?;
        let gan = &mut self.gan;
        let found = self.classifier.look(self.job.drawings, |from, count| {
            // Noise of numbers of its own; 1 is shown.
            gan.draw(&moments, 2 + from, count)
        });
        let judged = Judged {
            recognised: found.shares(),
            frechet: self
                .test
                .as_ref()
                .map_or(f64::NAN, |test| test.cloud.distance(&found.cloud)),
        };
        self.look(done, Kind::Judged(judged))?;
        Ok(match epoch {
            0 => format!("classifier trained; untrained drawings: {}", judged.line()),
            epoch => format!("epoch {epoch}: {}", judged.line()),
        })
    }

    fn finish(mut self) -> Result<Outcome, LabError> {
        let stills = (0..=self.plan.epochs).map(|epoch| {
            let path = self.job.out.join(grid_name(epoch));
            fs::read(&path).map_err(run_dir::reading(&path))
        });
        let stills: Vec<Vec<u8>> = stills.collect::<Result<_, _>>()?;
        if let Some(moving) = png::moving(&stills, SHOWN_FOR) {
            self.dir.file("digits.png", &moving)?;
        }
        let train = self.classifier.test(&self.mnist.train, self.mnist.test.len());
        let test = self.test.take();
        let test = test.unwrap_or_else(|| self.classifier.test(&self.mnist.test, usize::MAX));
        let baseline = Baseline {
            accuracy: test.right,
            recognised: test.shares().iter().sum(),
            frechet: test.cloud.distance(&train.cloud),
        };
        let end = self.plan.work() - self.plan.classifier;
        let curves = picture::curves(&self.looks, self.plan.classifier, end, &baseline);
        self.dir.file("curves.svg", curves.as_bytes())?;
        let judged = self.looks.iter().filter_map(|look| match &look.kind {
            Kind::Judged(judged) => Some(*judged),
            Kind::Classifier(_) | Kind::Gan(_) => None,
        });
        let judged: Vec<Judged> = judged.collect();
        let none = Judged {
            recognised: [f64::NAN; mnist::KINDS],
            frechet: f64::NAN,
        };
        Ok(Outcome {
            baseline,
            before: judged.first().copied().unwrap_or(none),
            after: judged.last().copied().unwrap_or(none),
        })
    }
}

fn grid_name(epoch: usize) -> String {
    format!("epoch-{epoch:02}.png")
}

/// Deletes the grids of an earlier run.
fn remove_grids(dir: &Path) -> Result<(), LabError> {
    for entry in fs::read_dir(dir).map_err(writing(dir))? {
        let path = entry.map_err(writing(dir))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("epoch-") && name.ends_with(".png") {
            fs::remove_file(&path).map_err(writing(&path))?;
        }
    }
    Ok(())
}
