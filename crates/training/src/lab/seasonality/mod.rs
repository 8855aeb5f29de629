//! A season that changes: TadGAN learns a wave that comes once a day; one day it comes every six hours.
//!
//! What trains is what `train tadgan` runs, so the run directory holds all that it leaves, and beside it:
//!
//! | file | holds |
//! |---|---|
//! | `series.csv` | the series |
//! | `labels.json` | where the season changes: the two periods from there on |
//! | `bundle/` | the nets |
//! | `season.svg` | actual values, reconstruction, score, and the span that is found |
//!
//! The picture is the published method's, which sees the whole series at once ([`scorer::parity`]). What an agent would
//! have said at the time is `agent replay`'s to say, with the same file and bundle.

mod picture;
mod series;

use std::path::PathBuf;

use ndarray::ArrayView2;
use scorer::normalise::Scaler;
use scorer::parity::anomalies::{FindSpec, find_anomalies};
use scorer::parity::score::{ScoreSpec, score_anomalies};
use types::Timestamp;

use crate::calibrate::infer;
use crate::data::{DataError, DataOptions, Dataset, Inputs};
use crate::files::{self, WriteError, writing};
use crate::nets::{Nets, Sizes};
use crate::recipe::Recipe;
use crate::train::{self, Length, Progress, TrainError};
use crate::warm_start::{self, WarmStartError};

pub use series::{CHANGE, PERIOD};

/// Names in the run directory.
const SERIES: &str = "series.csv";
const LABELS: &str = "labels.json";

/// What `train seasonality` is to do.
#[derive(Clone, Debug)]
pub struct Job {
    /// The run directory.
    pub out: PathBuf,
    /// Whether to go on with the run that is there.
    pub resume: bool,
    /// The command line.
    pub command: String,
    /// Seed of the series and of the nets.
    pub seed: u64,
    /// Generator steps on the reconstruction alone.
    pub warm_up: usize,
    /// Generator steps after them.
    pub steps: usize,
    /// Threads; they change nothing but the time.
    pub threads: usize,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Of the training.
    pub trained: train::Outcome,
    /// First and last bucket of what the published method finds, by start.
    pub found: Vec<[usize; 2]>,
}

/// The experiment ended early.
#[derive(Debug, thiserror::Error)]
pub enum SeasonalityError {
    /// In training.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// The bundle cannot be read back.
    #[error(transparent)]
    Bundle(#[from] WarmStartError),
}

impl From<WriteError> for SeasonalityError {
    fn from(error: WriteError) -> Self {
        Self::Train(error.into())
    }
}

impl From<DataError> for SeasonalityError {
    fn from(error: DataError) -> Self {
        Self::Train(error.into())
    }
}

/// What the published method makes of the whole series.
#[derive(Clone, Debug)]
struct Seen {
    /// Reconstruction, data units, one a bucket.
    expected: Vec<f64>,
    /// Score, one a bucket.
    score: Vec<f64>,
    /// First and last bucket of each anomaly.
    found: Vec<[usize; 2]>,
}

/// Makes the series, trains on its first part, and draws what the nets see in all of it.
///
/// # Errors
/// When training fails, or something cannot be read or written.
pub fn run(job: &Job, watch: impl FnMut(Progress<'_>)) -> Result<Outcome, SeasonalityError> {
    let values = series::values(job.seed);
    let file = job.out.join(SERIES);
    if !job.resume {
        std::fs::create_dir_all(&job.out).map_err(writing(&job.out))?;
        files::replace(&file, series::csv(&values).as_bytes())?;
        files::replace(&job.out.join(LABELS), series::labels(SERIES).as_bytes())?;
    }
    let training = job.training();
    let options = DataOptions {
        train_fraction: series::LEARNED as f64 / series::LEN as f64,
        spool_dir: job.out.clone(),
        ..DataOptions::new(training.sizes.window)
    };
    let data = Dataset::from_files(&Inputs::files(&[file]), &options, |_| {})?;
    let trained = train::run(&training, &data, watch)?;
    let seen = look(&training, &trained.manifest.scaler, &values)?;
    let picture = picture::draw(job.seed, &values, &seen);
    files::replace(&job.out.join("season.svg"), picture.as_bytes())?;
    Ok(Outcome {
        trained,
        found: seen.found,
    })
}

impl Job {
    /// The experiment as it is shown.
    #[must_use]
    pub fn new(out: PathBuf) -> Self {
        Self {
            out,
            resume: false,
            command: String::new(),
            seed: 0,
            warm_up: 400,
            steps: 60,
            threads: 1,
        }
    }

    /// What is trained, as `train tadgan` has it.
    #[must_use]
    pub fn training(&self) -> train::Job {
        let recipe = Recipe {
            warm_up: self.warm_up,
            steps: self.steps,
            patience: 0,
            ..Recipe::COMPACT
        };
        let bundle = self.out.join("bundle");
        let mut job = train::Job::new("seasonality", &bundle, "conv", Sizes::conv(), &recipe);
        job.run.clone_from(&self.out);
        job.command.clone_from(&self.command);
        job.resume = self.resume;
        job.length = Length::Steps(self.steps);
        job.settings.seed = self.seed;
        job.settings.threads = self.threads;
        job
    }
}

/// When a bucket starts.
#[must_use]
pub fn time(bucket: usize) -> Timestamp {
    series::time(bucket)
}

/// Scores all windows of the series with the nets of the bundle, as Orion's pipeline does.
fn look(training: &train::Job, scaler: &Scaler, values: &[f64]) -> Result<Seen, WarmStartError> {
    let origin = warm_start::load(&training.out)?;
    let length = origin.sizes.window;
    // The map of a fixed range is the same for every window.
    let affine = scaler.fit(values, 0.0);
    let windows = values.windows(length);
    let rows = windows.len();
    let mut x = vec![0.0; rows * length];
    for (window, slot) in windows.zip(x.chunks_exact_mut(length)) {
        scaler.apply(affine, window, slot);
    }
    let out = infer(&Nets::new(origin.sizes), &origin.start.weights, &x);
    let wide = |values: &[f32]| values.iter().copied().map(f64::from).collect::<Vec<_>>();
    let (x, y, critics) = (wide(&x), wide(&out.reconstruction), wide(&out.critic_x));
    let view = |values| ArrayView2::from_shape((rows, length), values).expect("a row a window");
    let scores = score_anomalies(view(&x), view(&y), &critics, &ScoreSpec::default());
    let found = find_anomalies(&scores.score, &FindSpec::tadgan());
    Ok(Seen {
        expected: scores.predicted.iter().map(|y| affine.unscale(*y)).collect(),
        found: found.iter().map(|one| [one.start, one.stop]).collect(),
        score: scores.score,
    })
}
