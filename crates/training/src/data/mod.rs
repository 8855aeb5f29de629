//! What the nets are trained on: series cut into buckets and windows by the same code that serves them.
//!
//! Data is read once, file by file. Samples go to their series' [`windowing::SeriesWindow`] as they come; a bucket waits
//! for samples out of order while its series goes on by 16 buckets, and what comes later is rejected. Closed buckets go
//! to a temporary file in [`DataOptions::spool_dir`], eight bytes a bucket, and windows are read from there in any
//! order.
//!
//! Gaps of up to a window are filled in, as when serving. A series of which that would make more than three quarters is
//! too irregular for its interval and not used; one file of the Numenta benchmark has 69 %.
//!
//! # Memory
//! Does not grow with the points. What is held, beside buffers of less than 1 MiB and the line being read (16 MiB at
//! most):
//! - 3 KiB a series of the file that is being read, and 16 bytes a sample in its 17 newest buckets (of more than 4096
//!   in a bucket, the others are rejected, as when serving);
//! - 56 bytes a run of buckets at least a window long: a series has one, and one more a gap of more than a window;
//! - name and hash of each file.
//!
//! The disk holds the buckets, and for as long as a file is read those of the file once more.
//!
//! `train tadgan --data DIR --arch conv --warm-up 0 --steps 2 --threads 1` on files of 10 series of 5000 points each
//! peaked (maximum resident set) at 72.3 MiB with 10 files, at 72.7 MiB with 100, at 73.7 MiB with 1000: 50 million
//! points, 355 MB of text. The integration test `memory` counts what the reading alone allocates.

mod error;
mod inputs;
mod load;
mod source;
mod spool;
mod windows;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use ingest::synthetic::{self, SeriesSpec};
use scorer::normalise::{Affine, FloorEstimate, Scaler, noise_floor};
use sha2::{Digest as _, Sha256};
use types::{DurationMs, Kind, RejectReason, Timestamp};

use load::Loader;
use spool::Spool;
use windows::{Run, Slice};

pub use error::DataError;
pub use inputs::{InputFile, Inputs};
pub use windows::{Place, Windows};

/// First sample of generated series: 2024-01-01T00:00:00Z, a Monday.
const SYNTHETIC_START_MS: i64 = 1_704_067_200_000;

/// How data is read.
#[derive(Clone, Debug, PartialEq)]
pub struct DataOptions {
    /// Buckets of a window, at least 2.
    pub window: usize,
    /// Grid of the series in milliseconds; `None`: inferred for each.
    pub interval: Option<DurationMs>,
    /// Share of each file's time span, from its start, that is used at all, in (0, 1]: buckets that end in it. What
    /// comes after is what `agent evaluate` judges at the same fraction.
    pub train_fraction: f64,
    /// Directory, on a disk with room for the data, of the temporary files; they have no name and go with the process.
    pub spool_dir: PathBuf,
}

impl DataOptions {
    /// Windows of `window` buckets of whole series, spooled to the system's directory for temporary files.
    #[must_use]
    pub fn new(window: usize) -> Self {
        Self {
            window,
            interval: None,
            train_fraction: 1.0,
            spool_dir: std::env::temp_dir(),
        }
    }
}

/// Series as buckets on disk, and where they came from.
#[derive(Debug)]
pub struct Dataset {
    /// Grid of the series in milliseconds, when it is the same for all.
    pub interval: Option<DurationMs>,
    /// SHA-256 of each input by name.
    pub hashes: BTreeMap<String, String>,
    /// What was found, and what could not be used.
    pub summary: Summary,
    window: usize,
    spool_dir: PathBuf,
    spool: Spool,
    /// Runs at least a window long.
    runs: Vec<Run>,
    /// Windows by slice.
    windows: [usize; 3],
    /// Smallest and largest value that windows are trained on.
    range: (f64, f64),
}

/// What reading found. Its display is one line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Buckets of the series that are used, filled-in ones included.
    pub buckets: u64,
    /// Of them, buckets that had no sample and were filled in.
    pub filled: u64,
    /// Series that were too short for a window.
    pub short_series: usize,
    /// Series of which more than three quarters would have been filled in; they are not used.
    pub irregular_series: usize,
    /// Points that could not be used, by reason.
    pub rejected: BTreeMap<RejectReason, u64>,
    /// Files that were passed over.
    pub unusable_files: usize,
    /// The first [`Self::NAMED`] of them, with the reason.
    pub unusable_named: Vec<String>,
}

impl Summary {
    /// How many unusable files are named.
    pub const NAMED: usize = 10;
}

impl Dataset {
    /// Reads files, calling `progress` before each. Series of the same name in different files are different series.
    ///
    /// # Errors
    /// When a file cannot be read or changes meanwhile, when one holds nothing usable and is not to be passed over,
    /// when there is no usable series as long as a window, or the spool cannot be written.
    pub fn from_files(
        inputs: &Inputs,
        options: &DataOptions,
        mut progress: impl FnMut(&Path),
    ) -> Result<Self, DataError> {
        let mut loader = Loader::new(options)?;
        for input in &inputs.files {
            progress(&input.path);
            loader.file(input, inputs.pass_over)?;
        }
        loader.finish(Some(inputs))
    }

    /// `points` samples of each of `count` generated series.
    ///
    /// # Errors
    /// When `points` is less than a window, or the spool cannot be written.
    pub fn synthetic(
        seed: u64,
        count: usize,
        points: usize,
        options: &DataOptions,
    ) -> Result<Self, DataError> {
        let mut hash = Sha256::new();
        let corpus = synthetic::corpus(seed, count);
        let mut dataset = generated(&corpus, points, options, |value| {
            hash.update(value.to_bits().to_le_bytes());
        })?;
        let name = format!("synthetic-{count}x{points}-seed-{seed}");
        dataset.hashes.insert(name, source::hex(hash));
        Ok(dataset)
    }

    /// `points` samples of each of some specified series.
    ///
    /// # Errors
    /// When `points` is less than a window, or the spool cannot be written.
    pub fn generated(specs: &[SeriesSpec], points: usize, options: &DataOptions) -> Result<Self, DataError> {
        generated(specs, points, options, |_| {})
    }

    /// Ten windows of a sine between two values, for bundles that come without data.
    ///
    /// # Errors
    /// When the spool cannot be written.
    pub fn sine(min: f64, max: f64, options: &DataOptions) -> Result<Self, DataError> {
        let angle = |k: usize| k as f64 * std::f64::consts::TAU / 36.0;
        let samples = (0..10 * options.window).map(|k| {
            let value = min + (max - min) * (0.5 + 0.5 * libm::sin(angle(k)));
            (Timestamp::from_millis(60_000 * k as i64), value)
        });
        let mut loader = Loader::new(options)?;
        loader.series("sine", Kind::Gauge, 60_000, samples)?;
        loader.finish(None)
    }

    fn empty(options: &DataOptions, spool: Spool) -> Self {
        Self {
            interval: None,
            hashes: BTreeMap::new(),
            summary: Summary::default(),
            window: options.window,
            spool_dir: options.spool_dir.clone(),
            spool,
            runs: Vec::new(),
            windows: [0; 3],
            range: (f64::INFINITY, f64::NEG_INFINITY),
        }
    }

    fn spool_failed(&self, source: io::Error) -> DataError {
        DataError::Spool {
            dir: self.spool_dir.clone(),
            source,
        }
    }

    /// Runs of buckets without a gap.
    #[must_use]
    pub fn runs(&self) -> usize {
        self.runs.len()
    }

    /// Smallest and largest value that windows are trained on, data units.
    #[must_use]
    pub fn range(&self) -> (f64, f64) {
        self.range
    }

    /// Windows that take gradient steps; at least one.
    #[must_use]
    pub fn train_windows(&self) -> Windows<'_> {
        self.slice(Slice::Training)
    }

    /// Windows that take none, but choose the checkpoint and the end of training.
    #[must_use]
    pub fn validation_windows(&self) -> Windows<'_> {
        self.slice(Slice::Validation)
    }

    /// Windows that took part in nothing.
    #[must_use]
    pub fn calibration_windows(&self) -> Windows<'_> {
        self.slice(Slice::Calibration)
    }

    fn slice(&self, slice: Slice) -> Windows<'_> {
        Windows { data: self, slice }
    }

    /// Values of a window and the map to the nets' units, fitted on the first `known` of them: all of them, but for
    /// nets that predict the last.
    ///
    /// # Errors
    /// When the spool cannot be read, or there is no such window.
    pub fn window(
        &self,
        place: Place,
        scaler: &Scaler,
        known: usize,
    ) -> Result<(Vec<f64>, Affine), DataError> {
        self.read_window(place, scaler, known.min(self.window))
            .map_err(|source| self.spool_failed(source))
    }

    fn read_window(&self, place: Place, scaler: &Scaler, known: usize) -> io::Result<(Vec<f64>, Affine)> {
        let run = self.runs.get(place.run).filter(|run| place.start < run.len);
        let run = run.ok_or(io::ErrorKind::InvalidInput)?;
        let start = run.start + place.start;
        // The floor is that of the series' values up to the last known one, as when serving.
        let seen = (start - run.series) as usize + known;
        if seen >= FloorEstimate::VALUES || matches!(scaler, Scaler::MinMax { .. }) {
            let values = self.spool.read(start, self.window)?;
            let affine = scaler.fit(&values[..known], run.floor);
            return Ok((values, affine));
        }
        let from_first = self.spool.read(run.series, seen - known + self.window)?;
        let floor = noise_floor(&from_first[..seen]);
        let values = from_first[seen - known..].to_vec();
        let affine = scaler.fit(&values[..known], floor);
        Ok((values, affine))
    }

    /// Writes the nets' input for windows side by side, scaled as by [`Self::window`].
    ///
    /// # Errors
    /// As [`Self::window`].
    pub fn fill(
        &self,
        places: impl IntoIterator<Item = Place>,
        scaler: &Scaler,
        known: usize,
        out: &mut [f32],
    ) -> Result<(), DataError> {
        for (place, slot) in places.into_iter().zip(out.chunks_exact_mut(self.window)) {
            let (values, affine) = self.window(place, scaler, known)?;
            scaler.apply(affine, &values, slot);
        }
        Ok(())
    }
}

fn generated(
    specs: &[SeriesSpec],
    points: usize,
    options: &DataOptions,
    mut see: impl FnMut(f64),
) -> Result<Dataset, DataError> {
    let mut loader = Loader::new(options)?;
    for spec in specs {
        let stream = spec.stream(Timestamp::from_millis(SYNTHETIC_START_MS));
        let samples = stream.take(points).inspect(|(_, value)| see(*value));
        loader.series(&spec.key.to_string(), spec.kind, spec.interval, samples)?;
    }
    loader.finish(None)
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = 100.0 * self.filled as f64 / self.buckets.max(1) as f64;
        write!(f, "{} buckets, {share:.1} % of them filled in", self.buckets)?;
        if self.short_series > 0 {
            write!(f, "; {} series too short for a window", self.short_series)?;
        }
        if self.irregular_series > 0 {
            write!(f, "; {} series too irregular", self.irregular_series)?;
        }
        if !self.rejected.is_empty() {
            let reasons = self.rejected.iter();
            let reasons: Vec<String> = reasons.map(|(why, n)| format!("{n} {}", why.name())).collect();
            write!(f, "; points rejected: {}", reasons.join(", "))?;
        }
        if self.unusable_files > 0 {
            let more = match self.unusable_files - self.unusable_named.len() {
                0 => String::new(),
                more => format!(", and {more} more"),
            };
            let holds = match self.unusable_files {
                1 => "file holds",
                _ => "files hold",
            };
            let named = self.unusable_named.join(", ");
            write!(
                f,
                "; {} {holds} nothing usable ({named}{more})",
                self.unusable_files
            )?;
        }
        Ok(())
    }
}
