//! The run directory of an experiment: `config.toml`, one file of rows and checkpoints, by the rules of
//! [`crate::run_dir`]. The first column of a row is its step.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::checkpoint;
use crate::files::{self, WriteError, writing};
use crate::params::Layout;
use crate::run_dir::{self, ResumeError};

/// An open run directory.
#[derive(Debug)]
pub(super) struct LabDir {
    dir: PathBuf,
    path: PathBuf,
    rows: File,
}

/// An experiment as far as its newest checkpoint.
#[derive(Debug)]
pub(super) struct Past {
    /// Rows up to it.
    pub(super) rows: Vec<String>,
    /// Its file, when there was one yet.
    pub(super) checkpoint: Option<PathBuf>,
}

impl LabDir {
    /// Starts an experiment, or goes on with one whose settings are the same; rows are in the file `name`.
    ///
    /// # Errors
    /// When something cannot be read or written, or the settings are others.
    pub(super) fn open<C: Serialize + DeserializeOwned>(
        dir: &Path,
        config: &C,
        (name, header): (&str, &str),
        resume: bool,
    ) -> Result<(Self, Past), ResumeError> {
        let path = dir.join(name);
        let mut past = Past {
            rows: Vec::new(),
            checkpoint: None,
        };
        if resume {
            run_dir::check_config(dir, config)?;
            past.checkpoint = run_dir::checkpoints(dir).map_err(run_dir::reading(dir))?.pop();
            let last = past.checkpoint.as_deref().map_or(0, step_of);
            past.rows = run_dir::rows(&path, |line| row_until(line, last, header))?;
        } else {
            std::fs::create_dir_all(dir).map_err(writing(dir))?;
            run_dir::remove_checkpoints(dir)?;
            run_dir::write_config(dir, config)?;
        }
        run_dir::remove_halves(dir).map_err(writing(dir))?;
        let rows = past.rows.iter().map(|row| format!("{row}\n"));
        let text = format!("{header}\n{}", rows.collect::<String>());
        files::replace(&path, text.as_bytes())?;
        let rows = OpenOptions::new().append(true).open(&path);
        let rows = rows.map_err(writing(&path))?;
        let dir = dir.to_owned();
        Ok((Self { dir, path, rows }, past))
    }

    /// Appends a row.
    pub(super) fn row(&mut self, row: &str) -> Result<(), WriteError> {
        writeln!(self.rows, "{row}").map_err(writing(&self.path))
    }

    /// Writes a checkpoint after `step` steps.
    pub(super) fn checkpoint<'a>(
        &self,
        step: usize,
        parts: impl Iterator<Item = (&'static str, &'a Layout, &'a [f32])>,
    ) -> Result<(), WriteError> {
        self.rows.sync_data().map_err(writing(&self.path))?;
        let bytes = checkpoint::encode(step, parts).map_err(writing(&self.dir))?;
        run_dir::write_checkpoint(&self.dir, step, &bytes, None)
    }

    /// Writes a picture or a table.
    pub(super) fn file(&self, name: &str, bytes: &[u8]) -> Result<(), WriteError> {
        files::replace(&self.dir.join(name), bytes)
    }
}

/// The step that a checkpoint's name says.
fn step_of(path: &Path) -> usize {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let step = stem.rsplit('-').next().and_then(|step| step.parse().ok());
    step.unwrap_or(0)
}

/// A whole row of step `last` or earlier.
fn row_until(line: &str, last: usize, header: &str) -> Option<String> {
    let step: usize = line.split(',').next()?.parse().ok()?;
    let whole = line.split(',').count() == header.split(',').count();
    (whole && step <= last).then(|| line.to_owned())
}
