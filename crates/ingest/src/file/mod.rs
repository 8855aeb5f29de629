//! Metric files as streams of samples: CSV and JSON lines, plain, gzip or zstd, in bounded memory.
//!
//! What a file is is read from its content, never from its name. CSV knows three layouts, by the header (names in
//! any case):
//!
//! - `timestamp,value`: one series, named after the file's stem;
//! - long, with a `series` or `name` column, `timestamp` and `value`: every other column is a label;
//! - wide, `timestamp` and one column a metric: the series are `<stem>.<column>`.
//!
//! In all of them a column `label` is the ground truth, not a metric or a label, when it holds nothing but 0, 1 or
//! nothing in the first [`TRUTH_ROWS`] rows; a row that says something else later keeps its samples and counts one
//! reject. Columns without a name are ignored. The separator is a comma, else a semicolon, else a tab, whichever
//! finds the `timestamp` column. An empty field is a missing value and no error. Fields may be quoted, but a line
//! feed always ends the row, so that a stray quote costs one line.
//!
//! Times are spelt as [`types::Timestamp::parse`] reads them: RFC 3339, `YYYY-MM-DD HH:MM:SS`, or unix seconds. Unix
//! milliseconds are not guessed at.

mod lines;
mod source;
mod table;

use std::collections::VecDeque;
use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use types::{Rejected, Sample, SeriesKey, Timestamp};

use crate::decode::{Decoded, Decoder, Format, LabelRules, at};
use crate::inputlog;
use lines::Lines;
use source::{Progress, Source};
use table::Table;

pub use table::TRUTH_ROWS;

/// How a file is read.
#[derive(Clone, Debug, Default)]
pub struct FileOptions {
    /// Zone of naive timestamps; UTC when `None`.
    pub zone: Option<TimeZone>,
    /// Which labels make up a series.
    pub labels: LabelRules,
}

/// What a file holds, by its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileType {
    /// A table of samples.
    Csv,
    /// A recorded run: see [`inputlog`].
    InputLog,
    /// Points, one or more a line.
    JsonLines,
}

/// Why a file cannot be used at all. One line, without the path.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It holds something that is no text.
    #[error("it is a binary file: {0}")]
    Binary(&'static str),
    /// The path is a directory.
    #[error("it is a directory")]
    Directory,
    /// There is nothing in it.
    #[error("it is empty")]
    Empty,
    /// It is a table without the columns that are needed.
    #[error("its header is not usable: {0}")]
    Header(String),
    /// It is a recorded run, to be opened by [`open_log`].
    #[error("it is a recorded run, not a metric file")]
    IsInputLog,
    /// It is a recorded run that cannot be read.
    #[error(transparent)]
    Log(#[from] inputlog::LogError),
    /// There is no such file.
    #[error("there is no such file")]
    NotFound,
    /// Reading it failed.
    #[error("it cannot be read: {0}")]
    Read(#[from] io::Error),
}

/// Reading stopped in the middle: what came before stands, the rest is lost.
#[derive(Debug, thiserror::Error)]
#[error("reading stopped after line {line}: {source}")]
pub struct ReadError {
    /// Lines that were read whole.
    pub line: u64,
    /// What happened; for a compressed file often that its end is missing.
    pub source: io::Error,
}

/// What a file yields.
#[derive(Clone, Debug, PartialEq)]
pub enum ReadItem {
    /// A usable point.
    Sample(Sample),
    /// A point or line that could not be used.
    Rejected(Rejected),
    /// What the `label` column says of one row.
    Truth {
        /// The row's series; `None` where the row speaks for every series of the file.
        series: Option<SeriesKey>,
        /// The row's time.
        time: Timestamp,
        /// True for 1.
        anomalous: bool,
    },
}

/// Says what a file is without reading more than its start.
///
/// # Errors
/// When it is missing, a directory, empty, binary or unreadable.
pub fn sniff(path: &Path) -> Result<FileType, OpenError> {
    Ok(Source::open(path)?.file_type)
}

/// Opens a metric file.
///
/// # Errors
/// When it cannot be used at all; see [`OpenError`].
pub fn open(path: &Path, options: &FileOptions) -> Result<SampleReader, OpenError> {
    read(Source::open(path)?, path, options)
}

/// As [`open`], for who reads the file himself: `reader` gives its `total` bytes as they lie on disk, `path` names it.
///
/// # Errors
/// When it cannot be used at all; see [`OpenError`].
pub fn open_reader(
    reader: impl Read + Send + 'static,
    total: u64,
    path: &Path,
    options: &FileOptions,
) -> Result<SampleReader, OpenError> {
    read(Source::new(reader, total)?, path, options)
}

fn read(source: Source, path: &Path, options: &FileOptions) -> Result<SampleReader, OpenError> {
    let mut lines = Lines::new(source.reader);
    let body = match source.file_type {
        FileType::Csv => Body::Table(Box::new(Table::open(&mut lines, &stem(path))?)),
        FileType::JsonLines => Body::JsonLines,
        FileType::InputLog => return Err(OpenError::IsInputLog),
    };
    Ok(SampleReader {
        lines,
        body,
        options: options.clone(),
        queue: VecDeque::new(),
        progress: source.progress,
        ended: false,
    })
}

/// Opens a recorded run, compressed once more or not.
///
/// # Errors
/// When it cannot be used at all; [`OpenError::Log`] when it is no recorded run or one of another version.
pub fn open_log(path: &Path) -> Result<inputlog::Reader<Box<dyn BufRead + Send>>, OpenError> {
    let source = Source::open(path)?;
    Ok(inputlog::Reader::new(source.reader)?)
}

/// The name of a file without its directories, `.gz` or `.zst`, and one more extension.
#[must_use]
pub fn stem(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    let uncompressed = PathBuf::from(without_compression(&name.to_string_lossy()));
    let stem = uncompressed.file_stem().unwrap_or(name);
    stem.to_string_lossy().into_owned()
}

/// A file name without the extension of its compression.
pub(crate) fn without_compression(name: &str) -> &str {
    [".gz", ".zst"]
        .into_iter()
        .find_map(|end| {
            let split = name.len().checked_sub(end.len()).filter(|&at| at > 0)?;
            name.get(split..)?
                .eq_ignore_ascii_case(end)
                .then(|| &name[..split])
        })
        .unwrap_or(name)
}

/// An open metric file: an iterator over what it holds. Ends for good after the first [`ReadError`].
pub struct SampleReader {
    lines: Lines,
    body: Body,
    options: FileOptions,
    queue: VecDeque<ReadItem>,
    progress: Progress,
    ended: bool,
}

enum Body {
    Table(Box<Table>),
    JsonLines,
}

impl SampleReader {
    /// Size of the file as it lies on disk (bytes).
    #[must_use]
    pub fn bytes_total(&self) -> u64 {
        self.progress.total
    }

    /// How much of [`Self::bytes_total`] has been read (bytes), some of it ahead.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.progress.read()
    }

    /// Whether the file has a `label` column of ground truth, so that [`ReadItem::Truth`] may come.
    #[must_use]
    pub fn ground_truth(&self) -> bool {
        match &self.body {
            Body::Table(table) => table.has_truth(),
            Body::JsonLines => false,
        }
    }

    /// Reads one line into the queue; false at the end of the file.
    fn fill(&mut self) -> Result<bool, ReadError> {
        let line_before = self.lines.number();
        let advanced = self.lines.advance().map_err(|source| ReadError {
            line: line_before,
            source,
        })?;
        if !advanced {
            return Ok(false);
        }
        let number = self.lines.number();
        match self.lines.text() {
            Err(rejected) => self
                .queue
                .push_back(ReadItem::Rejected(at_line(number, rejected))),
            Ok(text) if text.trim_ascii().is_empty() => {}
            Ok(text) => match &mut self.body {
                Body::Table(table) => table.row(text, number, &self.options, &mut self.queue),
                Body::JsonLines => json_line(text, number, &self.options, &mut self.queue),
            },
        }
        Ok(true)
    }
}

impl Iterator for SampleReader {
    type Item = Result<ReadItem, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(item) = self.queue.pop_front() {
                return Some(Ok(item));
            }
            if self.ended {
                return None;
            }
            match self.fill() {
                Ok(true) => {}
                Ok(false) => self.ended = true,
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error));
                }
            }
        }
    }
}

fn json_line(text: &[u8], number: u64, options: &FileOptions, queue: &mut VecDeque<ReadItem>) {
    let mut decoded = Decoded::default();
    let decoder = Decoder {
        format: Format::Auto,
        record_time: None,
        labels: &options.labels,
        zone: options.zone.as_ref(),
    };
    decoder.payload(text, &mut decoded);
    queue.extend(decoded.samples.into_iter().map(ReadItem::Sample));
    let rejected = decoded.rejected.into_iter();
    queue.extend(rejected.map(|rejected| ReadItem::Rejected(at_line(number, rejected))));
}

fn at_line(number: u64, rejected: Rejected) -> Rejected {
    at(&format!("line {number}: "), rejected)
}

#[cfg(test)]
mod tests;
