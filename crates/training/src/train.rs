//! `train tadgan`: from data to a bundle.

use std::path::{Path, PathBuf};

use scorer::manifest::{AnyInterval, IntervalSpec, Manifest, TrainingRecord};
use scorer::normalise::Scaler;
use serde::{Deserialize, Serialize};

use crate::batches::Batches;
use crate::bundle::{self, Contents, FINGERPRINT_WINDOWS};
use crate::calibrate::calibrate;
use crate::course::{self, Course, Epoch, Trouble};
use crate::data::{DataError, Dataset, Windows};
use crate::files::WriteError;
use crate::gpu::GpuError;
use crate::judge::{JUDGED, Judge};
use crate::nets::{Nets, Sizes};
use crate::recipe::{CHECKPOINT_EVERY, Recipe, WeightUnit};
use crate::run_dir::{self, ResumeError};
use crate::session::{self, Session};
use crate::trainer::{Settings, StepLosses};
use crate::warm_start::WarmStart;

/// Standard deviations of a window that map to 1 with the window scaler.
pub const WINDOW_GAIN: f64 = 3.0;

/// Training or importing failed.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The data cannot be trained on.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Training diverged, or came to nothing.
    #[error(transparent)]
    Trouble(#[from] Trouble),
    /// It cannot be done on a GPU.
    #[error(transparent)]
    Gpu(#[from] GpuError),
    /// A run cannot be gone on with.
    #[error(transparent)]
    Resume(#[from] ResumeError),
    /// Output cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// How long to train at most, the warm-up aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// Generator steps.
    Steps(usize),
    /// Times over the data.
    Epochs(usize),
}

/// Which scaler to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScalerChoice {
    /// Range of the training part of the series onto [-1, 1].
    MinMax,
    /// Each window by itself.
    Window,
}

/// What to train and where to leave it.
#[derive(Clone, Debug)]
pub struct Job {
    /// Name of the bundle.
    pub name: String,
    /// Bundle directory.
    pub out: PathBuf,
    /// Run directory.
    pub run: PathBuf,
    /// The command line, for the record.
    pub command: String,
    /// Name of the architecture, for the record.
    pub architecture: String,
    /// Sizes of the nets.
    pub sizes: Sizes,
    /// Weights to start from, of nets of these sizes.
    pub warm_start: Option<WarmStart>,
    /// Seed, batch, rates, threads.
    pub settings: Settings,
    /// Whether to train on a GPU.
    pub gpu: bool,
    /// Whether to go on with the run in the run directory.
    pub resume: bool,
    /// What the weight of the reconstruction error in `settings` counts.
    pub weight_unit: WeightUnit,
    /// How long.
    pub length: Length,
    /// Generator steps of an epoch; `None`: a pass over the data, within [`course::EPOCH_STEPS`].
    pub epoch_steps: Option<usize>,
    /// Epochs without an improvement that end the warm-up, and later the run; 0: none do.
    pub patience: usize,
    /// Generator steps between checkpoints.
    pub checkpoint_every: usize,
    /// Whether nets that give no more than a constant are made a bundle of all the same.
    pub accept_poor: bool,
    /// How windows become input.
    pub scaler: ScalerChoice,
    /// Whether the bundle is for any interval, whatever the data's is.
    pub any_interval: bool,
}

impl Job {
    /// A job with the recipe of an architecture, the run directory beside the bundle.
    #[must_use]
    pub fn new(name: &str, out: &Path, architecture: &str, sizes: Sizes, recipe: &Recipe) -> Self {
        let mut run = out.as_os_str().to_owned();
        run.push(".run");
        Self {
            name: name.to_owned(),
            out: out.to_owned(),
            run: PathBuf::from(run),
            command: String::new(),
            architecture: architecture.to_owned(),
            sizes,
            warm_start: None,
            settings: recipe.settings(),
            gpu: false,
            resume: false,
            weight_unit: recipe.weight_unit,
            length: Length::Steps(recipe.steps),
            epoch_steps: None,
            patience: recipe.patience,
            checkpoint_every: CHECKPOINT_EVERY,
            accept_poor: false,
            scaler: ScalerChoice::MinMax,
            any_interval: false,
        }
    }
}

/// What happened, for whoever watches.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// Generator steps done.
    pub step: usize,
    /// Losses of the last one.
    pub losses: &'a StepLosses,
    /// The run so far and to come.
    pub course: &'a Course,
    /// The epoch that ended with this step.
    pub epoch: Option<&'a Epoch>,
}

impl Progress<'_> {
    /// Work done and to do in all, in units of a step of the warm-up.
    #[must_use]
    pub fn work(&self) -> (usize, usize) {
        let warm_up = self.course.warm_up();
        let work = |step: usize| step.min(warm_up) + WHOLE_STEP * step.saturating_sub(warm_up);
        (work(self.step), work(self.course.end()))
    }
}

/// Work of a generator step with its critic updates, about, in those of one on the reconstruction alone.
const WHOLE_STEP: usize = 8;

/// What a run ended with.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Manifest of the bundle.
    pub manifest: Manifest,
    /// The epoch whose averaged weights are in it.
    pub best: Epoch,
    /// Error of the constant median on the held-out windows.
    pub held_out_constant: f64,
    /// Generator steps done.
    pub steps: usize,
    /// Whether the run ended before its planned end.
    pub stopped_early: bool,
}

/// Trains nets on `data` and writes run directory and bundle.
///
/// # Errors
/// When training diverges or comes to nothing, or something cannot be read or written.
pub fn run(job: &Job, data: &Dataset, mut watch: impl FnMut(Progress<'_>)) -> Result<Outcome, TrainError> {
    check(job)?;
    let scaler = match job.scaler {
        ScalerChoice::MinMax => {
            let (min, max) = data.range();
            Scaler::MinMax { min, max }
        }
        ScalerChoice::Window => Scaler::Window { gain: WINDOW_GAIN },
    };
    let nets = Nets::new(job.sizes.clone());
    let input = Input {
        data,
        scaler,
        sizes: &job.sizes,
    };
    let judge = input.judge(job, &nets)?;
    let mut session = session::open(job, &input, nets)?;
    let windows = data.train_windows();
    let batches = Batches::new(job.settings.seed, windows.len(), job.a_step());
    let mut x = vec![0.0; job.a_step() * job.sizes.window];
    while session.trainer.state.step < session.course.end() {
        let numbers = batches.step(session.trainer.state.step);
        let places = numbers.iter().map(|number| windows.place(*number));
        data.fill(places, &scaler, job.sizes.known(), &mut x)?;
        let losses = session.step(job, &judge, &x)?;
        let (course, step) = (&session.course, session.trainer.state.step);
        watch(Progress {
            step,
            losses: &losses,
            course,
            epoch: course.epochs().last().filter(|epoch| epoch.step == step),
        });
    }
    finish(job, &input, &judge, session)
}

/// Whether the bundle may be written where it is to be, and there is a run to go on with: what can be known before the
/// data is read.
///
/// # Errors
/// When it is not so.
pub fn check(job: &Job) -> Result<(), TrainError> {
    bundle::check_target(&job.out)?;
    if job.resume {
        run_dir::read_config(&job.run)?;
    }
    Ok(())
}

/// Makes the bundle of the best epoch's averaged weights.
fn finish(job: &Job, input: &Input<'_>, judge: &Judge, session: Session) -> Result<Outcome, TrainError> {
    let Session {
        course,
        trainer,
        command,
        ..
    } = session;
    let data = input.data;
    let best = *course
        .best()
        .expect("a run has a step, and its last ends an epoch");
    if !job.accept_poor {
        course::check_worth(judge, &best)?;
    }
    let weights = if best.step == trainer.state.step {
        trainer.state.average
    } else {
        run_dir::read_checkpoint(&trainer.nets, &run_dir::checkpoint_path(&job.run, best.step))?.average
    };
    let interval = match data.interval.filter(|_| !job.any_interval) {
        Some(ms) => IntervalSpec::Ms(ms),
        None => IntervalSpec::Any(AnyInterval::Any),
    };
    let contents = Contents {
        name: &job.name,
        nets: &trainer.nets,
        weights: &weights,
        architecture: &job.architecture,
        interval,
        scaler: input.scaler,
        training: TrainingRecord {
            command,
            seed: job.settings.seed,
            generator_steps: best.step,
            held_out_error: Some(best.measures.held_out_error),
            diversity: Some(best.measures.diversity).filter(|diversity| diversity.is_finite()),
            warm_start: job.warm_start.as_ref().map(|start| start.hash.clone()),
            data: data.hashes.clone(),
        },
        calibration: calibrate(&trainer.nets, &weights, data, &input.scaler)?,
        fingerprint: &input.fingerprint()?,
    };
    Ok(Outcome {
        manifest: bundle::write(&job.out, contents)?,
        best,
        held_out_constant: judge.held_out_constant,
        steps: trainer.state.step,
        stopped_early: course.stopped_early(),
    })
}

/// Data as the nets see it.
pub(crate) struct Input<'a> {
    pub(crate) data: &'a Dataset,
    scaler: Scaler,
    sizes: &'a Sizes,
}

impl Input<'_> {
    pub(crate) fn sample(&self, windows: Windows<'_>, count: usize) -> Result<Vec<f32>, DataError> {
        sample(self.data, windows, count, &self.scaler, self.sizes)
    }

    fn fingerprint(&self) -> Result<Vec<f32>, DataError> {
        self.sample(self.data.train_windows(), FINGERPRINT_WINDOWS)
    }

    /// A series so short that no window is left to validate on is judged by those it is trained on.
    fn judge(&self, job: &Job, nets: &Nets) -> Result<Judge, DataError> {
        let training = self.sample(self.data.train_windows(), JUDGED)?;
        let held_out = match self.data.validation_windows() {
            windows if windows.is_empty() => training.clone(),
            windows => self.sample(windows, JUDGED)?,
        };
        Ok(Judge::new(
            nets,
            job.settings.seed,
            job.settings.threads,
            training,
            held_out,
        ))
    }
}

/// The nets' input for at most `count` windows spread evenly over a slice, side by side.
pub(crate) fn sample(
    data: &Dataset,
    windows: Windows<'_>,
    count: usize,
    scaler: &Scaler,
    sizes: &Sizes,
) -> Result<Vec<f32>, DataError> {
    let count = count.min(windows.len());
    let mut input = vec![0.0; count * sizes.window];
    let chosen = (0..count).map(|k| windows.place(k * windows.len() / count));
    data.fill(chosen, scaler, sizes.known(), &mut input)?;
    Ok(input)
}
