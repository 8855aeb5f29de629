//! The run directory: settings, losses and checkpoints, written as training goes.
//!
//! | file | holds |
//! |---|---|
//! | `config.toml` | the settings, the seed and the hashes of the data |
//! | `losses.csv` | a row a generator step |
//! | `epochs.csv` | a row an epoch, see [`crate::course`] and [`crate::judge`] |
//! | `losses.svg` | the epochs, drawn |
//! | `checkpoint-<step>.safetensors` | weights, moments, averages; the two newest and the best epoch's |
//!
//! A checkpoint is written after the rows that it stands for, and a run goes on from the newest by forgetting the rows
//! after it. So a process that is killed at any moment loses what it did since then and nothing else.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use types::DurationMs;

use crate::checkpoint;
use crate::course::{Course, Epoch, Plan};
use crate::files::{self, WriteError, writing};
use crate::nets::Nets;
use crate::recipe::WeightUnit;
use crate::record;
use crate::train::ScalerChoice;
use crate::trainer::{State, StepLosses};

/// Newest checkpoints that are kept.
const KEPT: usize = 2;

const CONFIG: &str = "config.toml";
const LOSSES: &str = "losses.csv";
const EPOCHS: &str = "epochs.csv";
const PLOT: &str = "losses.svg";

/// What `config.toml` says: the settings of the run, for people and for going on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// The command line.
    pub command: String,
    /// The one seed.
    pub seed: u64,
    /// Name of the architecture.
    pub architecture: String,
    /// Hash of the bundle that the first weights came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warm_start: Option<String>,
    /// Generator steps after the warm-up, at most.
    pub steps: usize,
    /// Generator steps of the warm-up, at most.
    pub warm_up: usize,
    /// Generator steps of an epoch.
    pub epoch_steps: usize,
    /// Epochs without an improvement that end the warm-up, and later the run; 0: none do.
    pub patience: usize,
    /// Weight of the reconstruction error.
    pub reconstruction_weight: f32,
    /// What it counts.
    pub weight_unit: WeightUnit,
    /// Share of the rate that encoder and generator keep after the warm-up.
    pub final_rate: f64,
    /// Adam's rate.
    pub learning_rate: f64,
    /// Whether dropout acts in training.
    pub dropout: bool,
    /// Error beyond which the reconstruction loss grows with it and no longer with its square; 0: nowhere.
    #[serde(default)]
    pub huber: f64,
    /// Share of the windows that are shown with a jump and are to be rebuilt without it.
    #[serde(default)]
    pub denoise: f64,
    /// Samples of a batch.
    pub batch: usize,
    /// Whether it is done on a GPU, which rounds otherwise.
    pub gpu: bool,
    /// Windows that are trained on.
    pub windows: usize,
    /// Grid of the series in milliseconds, when it is the same for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<DurationMs>,
    /// How windows become input.
    pub scaler: ScalerChoice,
    /// Whether batches are shuffled epochs, as in Orion, or drawn with replacement.
    pub shuffled_epochs: bool,
    /// Decay of the average of the weights.
    pub average: f64,
    /// Sizes of the nets by name.
    pub sizes: BTreeMap<String, usize>,
    /// SHA-256 of each input by name.
    pub data: BTreeMap<String, String>,
}

/// A run cannot be gone on with.
#[derive(Debug, thiserror::Error)]
pub enum ResumeError {
    /// Something cannot be read.
    #[error("cannot resume the run: {path}: {source}")]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not what a run leaves.
    #[error("cannot resume the run: {path}: {reason}")]
    Format {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// It is another run.
    #[error("cannot resume the run in {path}, it has other settings or data: {}", .differences.join(", "))]
    Other {
        /// The run directory.
        path: PathBuf,
        /// `key: then, not now` for each setting.
        differences: Vec<String>,
    },
    /// It has gone further than it is to go.
    #[error(
        "cannot resume the run in {path}: it has done {done} generator steps already, and is to do {steps}"
    )]
    Further {
        /// The run directory.
        path: PathBuf,
        /// Generator steps done.
        done: usize,
        /// Generator steps to do.
        steps: usize,
    },
    /// Output cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// An open run directory.
#[derive(Debug)]
pub struct RunDir {
    dir: PathBuf,
    losses: BufWriter<File>,
    epochs: File,
}

/// A run as far as its newest checkpoint.
#[derive(Debug)]
pub struct Past {
    /// The command line of the whole run: the first, unless the run is to be longer or shorter now.
    pub command: String,
    /// The checkpoint; `None` when there was none yet.
    pub state: Option<State>,
    /// The epochs.
    pub course: Course,
    /// Losses since the last of them.
    pub since: Vec<StepLosses>,
}

impl RunDir {
    /// Creates the directory with `config.toml` and rows of nothing yet; what an earlier run left there is replaced.
    ///
    /// # Errors
    /// When something cannot be written.
    pub fn create(dir: &Path, config: &RunConfig) -> Result<Self, WriteError> {
        fs::create_dir_all(dir).map_err(writing(dir))?;
        remove_checkpoints(dir)?;
        write_config(dir, config)?;
        files::replace(&dir.join(LOSSES), record::losses_header().as_bytes())?;
        files::replace(&dir.join(EPOCHS), record::epochs_header().as_bytes())?;
        Self::open(dir)
    }

    /// Opens the directory of a run that stopped, to go on from its newest checkpoint as `plan` says: rows after it go,
    /// and an epoch that was short because the run was to end there.
    ///
    /// # Errors
    /// When its settings are not `config`, the command and the number of steps aside, or something cannot be read or
    /// written.
    pub fn reopen(
        dir: &Path,
        config: &RunConfig,
        plan: Plan,
        nets: &Nets,
    ) -> Result<(Self, Past), ResumeError> {
        let old = check_config(dir, config)?;
        let command = if old.steps == config.steps {
            old.command
        } else {
            config.command.clone()
        };
        let newest = checkpoints(dir).map_err(reading(dir))?.pop();
        let state = newest.map(|path| read_checkpoint(nets, &path)).transpose()?;
        let step = state.as_ref().map_or(0, |state| state.step);
        let mut course = Course::new(plan);
        for epoch in rows(&dir.join(EPOCHS), record::read_epoch)? {
            if epoch.step <= step && course.ends_epoch(epoch.step) {
                // A run that diverged has no checkpoint after it did.
                let _ = course.take(epoch);
            }
        }
        if step > course.end() {
            return Err(ResumeError::Further {
                path: dir.to_owned(),
                done: step,
                steps: course.end(),
            });
        }
        let losses = rows(&dir.join(LOSSES), record::read_losses)?;
        if losses.len() < step {
            return Err(ResumeError::Format {
                path: dir.join(LOSSES),
                reason: format!(
                    "it ends at generator step {}, before the checkpoint",
                    losses.len()
                ),
            });
        }
        let mut text = record::losses_header();
        text.extend(
            losses[..step]
                .iter()
                .map(|(step, row)| record::losses_line(*step, row)),
        );
        files::replace(&dir.join(LOSSES), text.as_bytes())?;
        let mut text = record::epochs_header();
        let epochs = course.epochs().iter().enumerate();
        text.extend(epochs.map(|(k, epoch)| record::epoch_line(k + 1, epoch)));
        files::replace(&dir.join(EPOCHS), text.as_bytes())?;
        let config = RunConfig {
            command: command.clone(),
            ..config.clone()
        };
        write_config(dir, &config)?;
        let from = course.epochs().last().map_or(0, |last| last.step);
        let since = losses[from..step].iter().map(|row| row.1).collect();
        Ok((
            Self::open(dir)?,
            Past {
                command,
                state,
                course,
                since,
            },
        ))
    }

    fn open(dir: &Path) -> Result<Self, WriteError> {
        remove_halves(dir).map_err(writing(dir))?;
        let open = |name: &str| {
            let path = dir.join(name);
            let file = OpenOptions::new().append(true).open(&path);
            file.map_err(writing(&path))
        };
        Ok(Self {
            losses: BufWriter::new(open(LOSSES)?),
            epochs: open(EPOCHS)?,
            dir: dir.to_owned(),
        })
    }

    /// Appends the losses of one generator step.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn log(&mut self, step: usize, losses: &StepLosses) -> Result<(), WriteError> {
        let line = record::losses_line(step, losses);
        self.losses
            .write_all(line.as_bytes())
            .map_err(writing(&self.dir.join(LOSSES)))
    }

    /// Appends an epoch, the `number`th, and draws all so far.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn epoch(&mut self, number: usize, epoch: &Epoch, plot: &str) -> Result<(), WriteError> {
        self.flush()?;
        self.epochs
            .write_all(record::epoch_line(number, epoch).as_bytes())
            .map_err(writing(&self.dir.join(EPOCHS)))?;
        files::replace(&self.dir.join(PLOT), plot.as_bytes())
    }

    /// Writes out what is buffered.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn flush(&mut self) -> Result<(), WriteError> {
        self.losses.flush().map_err(writing(&self.dir.join(LOSSES)))
    }

    /// Writes a checkpoint and deletes old ones, but not that of generator step `best`.
    ///
    /// # Errors
    /// When something cannot be written.
    pub fn checkpoint(&mut self, nets: &Nets, state: &State, best: Option<usize>) -> Result<(), WriteError> {
        self.flush()?;
        let rows = self
            .losses
            .get_ref()
            .sync_data()
            .and_then(|()| self.epochs.sync_data());
        rows.map_err(writing(&self.dir))?;
        let bytes = checkpoint::to_bytes(nets, state).map_err(writing(&self.dir))?;
        write_checkpoint(&self.dir, state.step, &bytes, best)
    }
}

/// Writes a checkpoint and deletes old ones, but not that of step `best`.
pub(crate) fn write_checkpoint(
    dir: &Path,
    step: usize,
    bytes: &[u8],
    best: Option<usize>,
) -> Result<(), WriteError> {
    files::replace(&checkpoint_path(dir, step), bytes)?;
    let all = checkpoints(dir).map_err(writing(dir))?;
    let best = best.map(|step| checkpoint_path(dir, step));
    for old in &all[..all.len().saturating_sub(KEPT)] {
        if best.as_ref() != Some(old) {
            fs::remove_file(old).map_err(writing(old))?;
        }
    }
    Ok(())
}

/// Deletes the checkpoints of an earlier run.
pub(crate) fn remove_checkpoints(dir: &Path) -> Result<(), WriteError> {
    for old in checkpoints(dir).map_err(writing(dir))? {
        fs::remove_file(&old).map_err(writing(&old))?;
    }
    Ok(())
}

/// Writes `config.toml`.
pub(crate) fn write_config(dir: &Path, config: &impl Serialize) -> Result<(), WriteError> {
    let path = dir.join(CONFIG);
    let text = toml::to_string_pretty(config).map_err(|error| writing(&path)(io::Error::other(error)))?;
    files::replace(&path, text.as_bytes())
}

/// Removes what a process left that was killed while it wrote a file.
pub(crate) fn remove_halves(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == files::STAGING)
        {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// The settings of a run.
///
/// # Errors
/// When they cannot be read.
pub fn read_config(dir: &Path) -> Result<RunConfig, ResumeError> {
    read_any_config(dir)
}

fn read_any_config<C: DeserializeOwned>(dir: &Path) -> Result<C, ResumeError> {
    let path = dir.join(CONFIG);
    let text = fs::read_to_string(&path).map_err(reading(&path))?;
    toml::from_str(&text).map_err(|error| ResumeError::Format {
        path,
        reason: error.message().to_owned(),
    })
}

/// The settings of a run that `config` goes on with.
pub(crate) fn check_config<C: Serialize + DeserializeOwned>(
    dir: &Path,
    config: &C,
) -> Result<C, ResumeError> {
    let then = read_any_config(dir)?;
    let format = |reason: String| ResumeError::Format {
        path: dir.join(CONFIG),
        reason,
    };
    let table = |config: &C| toml::Table::try_from(config).map_err(|error| format(error.to_string()));
    let (old, mut new) = (table(&then)?, table(config)?);
    new.extend(
        ["command", "steps"]
            .into_iter()
            .filter_map(|key| Some((key.to_owned(), old.get(key)?.clone()))),
    );
    let keys: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let differences: Vec<String> = keys
        .into_iter()
        .filter(|key| old.get(*key) != new.get(*key))
        .map(|key| {
            let shown = |table: &toml::Table| table.get(key).map_or("none".to_owned(), ToString::to_string);
            format!("{key} was {}, not {}", shown(&old), shown(&new))
        })
        .collect();
    if differences.is_empty() {
        Ok(then)
    } else {
        let path = dir.to_owned();
        Err(ResumeError::Other { path, differences })
    }
}

pub(crate) fn reading(path: &Path) -> impl FnOnce(io::Error) -> ResumeError {
    let path = path.to_owned();
    |source| ResumeError::Read { path, source }
}

/// The rows of a file; the first line, and a last one cut short, are none.
pub(crate) fn rows<T>(path: &Path, read: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, ResumeError> {
    let text = fs::read_to_string(path).map_err(reading(path))?;
    Ok(text.lines().filter_map(read).collect())
}

/// Reads a checkpoint of a run with such nets.
///
/// # Errors
/// When it cannot be read, or is none of such nets.
pub fn read_checkpoint(nets: &Nets, path: &Path) -> Result<State, ResumeError> {
    checkpoint::read(nets, path).map_err(reading(path))
}

/// Where the checkpoint of a generator step is.
#[must_use]
pub fn checkpoint_path(dir: &Path, step: usize) -> PathBuf {
    dir.join(format!("checkpoint-{step:08}.safetensors"))
}

/// Checkpoints in a run directory, oldest first.
///
/// # Errors
/// When the directory cannot be read.
pub fn checkpoints(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("checkpoint-") && name.ends_with(".safetensors") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
