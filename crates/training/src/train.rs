//! `train tadgan` and `train import`: from data or weights to a bundle.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use scorer::bundle::sha256_hex;
use scorer::manifest::{AnyInterval, IntervalSpec, Manifest, TrainingRecord};
use scorer::normalise::Scaler;
use types::DurationMs;

use crate::batches::Batches;
use crate::bundle::{self, Contents, FINGERPRINT_WINDOWS};
use crate::calibrate::calibrate;
use crate::data::{DataError, Dataset, Place};
use crate::import::{self, ImportError};
use crate::nets::{Nets, Sizes};
use crate::run_dir::{self, RunConfig, RunDir};
use crate::trainer::{Settings, StepLosses, Trainer};

/// Standard deviations of a window that map to 1 with the window scaler.
pub const WINDOW_GAIN: f64 = 3.0;

/// Training or importing failed.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The data cannot be trained on.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The weights cannot be used.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// A loss stopped being a number.
    #[error(
        "training diverged at generator step {step}: a loss is not finite; the run directory holds the losses"
    )]
    Diverged {
        /// The step.
        step: usize,
    },
    /// A run cannot be gone on with.
    #[error("cannot resume the run in {path}: {source}")]
    Resume {
        /// The run directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Output cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// What was being written.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// How long to train, the warm-up aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// Generator steps.
    Steps(usize),
    /// Times over the data.
    Epochs(usize),
}

/// Which scaler to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// Seed, batch, rates, threads.
    pub settings: Settings,
    /// Whether to go on with the run in the run directory.
    pub resume: bool,
    /// How long.
    pub length: Length,
    /// Generator steps between checkpoints.
    pub checkpoint_every: usize,
    /// How windows become input.
    pub scaler: ScalerChoice,
    /// Whether the bundle is for any interval, whatever the data's is.
    pub any_interval: bool,
}

/// What happened, for whoever watches.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// Generator steps done.
    pub done: usize,
    /// Generator steps to do.
    pub steps: usize,
    /// Losses of the last one.
    pub losses: &'a StepLosses,
}

/// Trains nets on `data` and writes run directory and bundle.
///
/// # Errors
/// When training diverges or something cannot be written.
pub fn run(job: &Job, data: &Dataset, mut watch: impl FnMut(Progress<'_>)) -> Result<Manifest, TrainError> {
    let window = job.sizes.window;
    let scaler = match job.scaler {
        ScalerChoice::MinMax => {
            let (min, max) = data.range();
            Scaler::MinMax { min, max }
        }
        ScalerChoice::Window => Scaler::Window { gain: WINDOW_GAIN },
    };
    let places = data.training_places(window);
    let mut batches = Batches::new(job.settings.seed, places.len(), job.settings.batch);
    let adversarial = match job.length {
        Length::Steps(steps) => steps,
        Length::Epochs(epochs) => epochs * batches.steps_per_epoch(),
    };
    let steps = job.settings.warm_up + adversarial;
    bundle::check_target(&job.out).map_err(written(&job.out))?;
    let config = RunConfig {
        command: job.command.clone(),
        seed: job.settings.seed,
        architecture: job.architecture.clone(),
        data: data.hashes.clone(),
        steps,
        warm_up: job.settings.warm_up,
        reconstruction_weight: job.settings.reconstruction_weight,
        learning_rate: job.settings.learning_rate,
        dropout: job.settings.dropout,
        batch: job.settings.batch,
        windows: places.len(),
        shuffled_epochs: batches.shuffled_epochs(),
        average: job.settings.average,
    };
    let nets = Nets::new(job.sizes.clone());
    let (mut record, mut trainer) = if job.resume {
        let state = run_dir::newest_checkpoint(&job.run)
            .and_then(|path| run_dir::read_checkpoint(&nets, &path))
            .map_err(resumed(&job.run))?;
        let record = RunDir::reopen(&job.run, &config, state.step).map_err(resumed(&job.run))?;
        (record, Trainer::with_state(nets, job.settings, state))
    } else {
        let record = RunDir::create(&job.run, &config).map_err(written(&job.run))?;
        (record, Trainer::new(nets, job.settings))
    };
    while trainer.state.step < steps {
        let numbers = batches.step(trainer.state.step);
        let losses = trainer.step(|inner, x| {
            let batch = &numbers[inner * job.settings.batch..][..job.settings.batch];
            data.fill(batch.iter().map(|number| places[*number as usize]), &scaler, x);
        });
        let done = trainer.state.step;
        record.log(done, &losses).map_err(written(&job.run))?;
        if done.is_multiple_of(job.checkpoint_every) || done == steps || !losses.is_finite() {
            record
                .checkpoint(&trainer.nets, &trainer.state)
                .map_err(written(&job.run))?;
        }
        if !losses.is_finite() {
            return Err(TrainError::Diverged { step: done });
        }
        watch(Progress {
            done,
            steps,
            losses: &losses,
        });
    }
    let weights = &trainer.state.average;
    let interval = match data.interval.filter(|_| !job.any_interval) {
        Some(ms) => IntervalSpec::Ms(ms),
        None => IntervalSpec::Any(AnyInterval::Any),
    };
    let contents = Contents {
        name: &job.name,
        nets: &trainer.nets,
        weights,
        architecture: &job.architecture,
        interval,
        scaler,
        training: TrainingRecord {
            command: job.command.clone(),
            seed: job.settings.seed,
            generator_steps: trainer.state.step,
            data: data.hashes.clone(),
        },
        calibration: calibrate(&trainer.nets, weights, data, &scaler),
        fingerprint: &fingerprint_input(data, &places, window, &scaler),
    };
    bundle::write(&job.out, contents).map_err(written(&job.out))
}

fn written(path: &Path) -> impl FnOnce(io::Error) -> TrainError {
    let path = path.to_owned();
    |source| TrainError::Write { path, source }
}

fn resumed(path: &Path) -> impl FnOnce(io::Error) -> TrainError {
    let path = path.to_owned();
    |source| TrainError::Resume { path, source }
}

/// Windows spread evenly over the training windows.
fn fingerprint_input(data: &Dataset, places: &[Place], window: usize, scaler: &Scaler) -> Vec<f32> {
    let count = FINGERPRINT_WINDOWS.min(places.len());
    let mut input = vec![0.0; count * window];
    let chosen = (0..count).map(|k| places[k * places.len() / count]);
    data.fill(chosen, scaler, &mut input);
    input
}

/// A bundle from weights in the reference's layout.
#[derive(Clone, Debug)]
pub struct ImportJob {
    /// Name of the bundle.
    pub name: String,
    /// Bundle directory.
    pub out: PathBuf,
    /// The command line, for the record.
    pub command: String,
    /// The weights.
    pub weights: PathBuf,
    /// Smallest and largest training value, data units.
    pub range: (f64, f64),
    /// Interval the nets were trained at.
    pub interval: DurationMs,
    /// Sizes of the nets.
    pub sizes: Sizes,
    /// Series to calibrate on; its last fifth is used.
    pub calibrate_on: Option<PathBuf>,
}

/// Makes a bundle of imported weights. Without a series to calibrate on, the calibration is that of a sine over the
/// training range, which is good for parity tests only.
///
/// # Errors
/// When weights or series cannot be used, or the bundle cannot be written.
pub fn import(job: &ImportJob) -> Result<Manifest, TrainError> {
    let nets = Nets::new(job.sizes.clone());
    let weights = import::reference_weights(&nets, &job.weights)?;
    let (min, max) = job.range;
    let scaler = Scaler::MinMax { min, max };
    let window = job.sizes.window;
    let data = match &job.calibrate_on {
        Some(path) => Dataset::from_files(std::slice::from_ref(path), window, Some(job.interval), |_| {})?,
        None => Dataset::sine(min, max, window),
    };
    let bytes = std::fs::read(&job.weights).map_err(|source| TrainError::Write {
        path: job.weights.clone(),
        source,
    })?;
    let mut hashes = data.hashes.clone();
    hashes.extend(BTreeMap::from([("weights".to_owned(), sha256_hex(&bytes))]));
    let places = data.training_places(window);
    let contents = Contents {
        name: &job.name,
        nets: &nets,
        weights: &weights,
        architecture: "paper",
        interval: IntervalSpec::Ms(job.interval),
        scaler,
        training: TrainingRecord {
            command: job.command.clone(),
            seed: 0,
            generator_steps: 0,
            data: hashes,
        },
        calibration: calibrate(&nets, &weights, &data, &scaler),
        fingerprint: &fingerprint_input(&data, &places, window, &scaler),
    };
    bundle::write(&job.out, contents).map_err(|source| TrainError::Write {
        path: job.out.clone(),
        source,
    })
}
