//! Why data cannot be trained on.

use std::io;
use std::path::PathBuf;

use ingest::file::OpenError;
use types::DurationMs;

/// The data cannot be trained on.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file changed between the first look at it and the last.
    #[error("{path} changed while it was read; train on a copy that nothing writes to")]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The samples do not keep the interval, so that most of what would be trained on would be made up.
    #[error(
        "irregular timestamps: {share} % of the buckets of `{series}` hold no sample at {what} interval of {} s, and at \
         most 75 % may be filled in; --interval sets a longer one",
        seconds(*interval)
    )]
    Irregular {
        /// The first such series.
        series: String,
        /// Its buckets without a sample, percent.
        share: u64,
        /// How the interval came about: `the inferred` or `the given`.
        what: &'static str,
        /// The interval in milliseconds.
        interval: DurationMs,
    },
    /// Nothing was found to read.
    #[error("{argument} names no metric file: {reason}")]
    NoFile {
        /// What was asked for.
        argument: String,
        /// Why it names none.
        reason: String,
    },
    /// No usable number anywhere.
    #[error("no usable sample in {what}: {rejected} points rejected{}", also(first))]
    NoSamples {
        /// The input.
        what: String,
        /// How many could not be used.
        rejected: u64,
        /// The first thing that could not be used.
        first: Option<String>,
    },
    /// A file cannot be used.
    #[error("{path}: {source}")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: OpenError,
    },
    /// Reading stopped.
    #[error("{path}: {source}")]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The spool cannot be written or read.
    #[error("the temporary file in {dir} that holds the training data failed: {source}")]
    Spool {
        /// The directory it lies in.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No series is as long as a window.
    #[error(
        "too few points: the longest unbroken series has {longest} buckets{}, a window needs {window} ({})",
        of(*interval),
        help(*late)
    )]
    TooShort {
        /// Buckets of the longest unbroken series.
        longest: u64,
        /// Its interval in milliseconds, if it is known.
        interval: Option<DurationMs>,
        /// Points that came too late for their bucket.
        late: u64,
        /// Window length.
        window: usize,
    },
}

fn seconds(interval: DurationMs) -> f64 {
    interval as f64 / 1000.0
}

fn also(first: &Option<String>) -> String {
    first
        .as_ref()
        .map_or_else(String::new, |line| format!("; first {line}"))
}

fn help(late: u64) -> String {
    match late {
        0 => "more data or another --interval would help".to_owned(),
        n => format!("{n} points came late: files must be sorted by time"),
    }
}

fn of(interval: Option<DurationMs>) -> String {
    interval.map_or_else(String::new, |ms| format!(" of {} s", seconds(ms)))
}
