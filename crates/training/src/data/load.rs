//! The first pass: samples become buckets on disk, series by series.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;

use ingest::file::{OpenError, ReadItem};
use scorer::normalise::{FloorEstimate, noise_floor};
use types::{DurationMs, Kind, Occurrence, RejectReason, SeriesKey, Timestamp};
use windowing::{MAX_LATENESS, SeriesWindow, WindowSpec};

use super::error::DataError;
use super::inputs::{InputFile, Inputs};
use super::source;
use super::spool::{Chain, Scratch, Spool};
use super::windows::{Run, cuts};
use super::{DataOptions, Dataset, Summary};

/// Buckets that wait for samples out of order: an hour in data of five minutes, when clocks are set back.
const LATE_BUCKETS: DurationMs = 16;

/// Before the first sample.
const NO_SPAN: (i64, i64) = (i64::MAX, i64::MIN);

/// Turns samples into a [`Dataset`].
pub(super) struct Loader<'a> {
    options: &'a DataOptions,
    data: Dataset,
    scratch: Scratch,
    occurrences: Vec<Occurrence>,
    /// Whether series have different intervals.
    mixed: bool,
    samples: u64,
    /// Smallest and largest time of the samples of the file at hand (milliseconds).
    span: (i64, i64),
    /// The first thing that could not be used.
    first: Option<String>,
    irregular: Option<DataError>,
    /// Buckets of the longest run that is too short, and its interval.
    longest: (u64, Option<DurationMs>),
}

/// A series that is being read.
struct Series {
    spec: WindowSpec,
    window: SeriesWindow,
    chain: Chain,
    /// Runs at least a window long: when they begin, and their buckets, counted within the series.
    runs: Vec<(Timestamp, Range<u64>)>,
    /// First bucket of the present run.
    from: u64,
    started: Timestamp,
    /// Buckets of the longest run that is shorter than a window.
    short: u64,
    filled: u64,
}

impl<'a> Loader<'a> {
    pub(super) fn new(options: &'a DataOptions) -> Result<Self, DataError> {
        let open = || Ok((Spool::new(&options.spool_dir)?, Scratch::new(&options.spool_dir)?));
        let (spool, scratch) = open().map_err(|source| DataError::Spool {
            dir: options.spool_dir.clone(),
            source,
        })?;
        Ok(Self {
            options,
            data: Dataset::empty(options, spool),
            scratch,
            occurrences: Vec::new(),
            mixed: false,
            samples: 0,
            span: NO_SPAN,
            first: None,
            irregular: None,
            longest: (0, None),
        })
    }

    /// Reads one file; series of the same name in another file are other series.
    pub(super) fn file(&mut self, input: &InputFile, pass_over: bool) -> Result<(), DataError> {
        let (reader, watched) = match source::open(&input.path) {
            Ok(opened) => opened,
            Err(source) => {
                let fatal = matches!(source, OpenError::NotFound | OpenError::Read(_));
                if fatal || !pass_over {
                    let path = input.path.clone();
                    return Err(DataError::Open { path, source });
                }
                let reason = source.to_string();
                self.first
                    .get_or_insert_with(|| format!("{}: {reason}", input.name));
                self.unusable(input, &reason);
                return Ok(());
            }
        };
        let (samples, runs) = (self.samples, self.data.runs.len());
        let mut all: BTreeMap<SeriesKey, Series> = BTreeMap::new();
        for item in reader {
            let item = item.map_err(|error| DataError::Read {
                path: input.path.clone(),
                source: error.source,
            })?;
            match item {
                ReadItem::Sample(sample) => {
                    let options = self.options;
                    let new = || Series::new(Kind::Gauge, options.interval, options.window);
                    let series = all.entry(sample.series).or_insert_with(new);
                    self.samples += 1;
                    self.observe(series, sample.time, sample.value)?;
                }
                ReadItem::Rejected(rejected) => {
                    self.reject(rejected.reason);
                    self.first
                        .get_or_insert_with(|| format!("{}: {}", input.name, rejected.detail));
                }
                ReadItem::Truth { .. } => {}
            }
        }
        let hash = watched.finish()?;
        for (key, series) in all {
            self.finish_series(&key.to_string(), series)?;
        }
        self.next_file()?;
        if self.data.runs.len() > runs {
            self.data.hashes.insert(input.name.clone(), hash);
        } else if self.samples == samples {
            self.unusable(input, "no usable sample");
        } else {
            self.unusable(input, "no series that is long and regular enough");
        }
        Ok(())
    }

    /// Takes a series from elsewhere, its samples in about the order of time.
    pub(super) fn series(
        &mut self,
        name: &str,
        kind: Kind,
        interval: DurationMs,
        samples: impl Iterator<Item = (Timestamp, f64)>,
    ) -> Result<(), DataError> {
        let mut series = Series::new(kind, Some(interval), self.options.window);
        for (time, value) in samples {
            self.samples += 1;
            self.observe(&mut series, time, value)?;
        }
        self.finish_series(name, series)?;
        self.next_file()
    }

    /// What has been read, if it can be trained on.
    pub(super) fn finish(mut self, inputs: Option<&Inputs>) -> Result<Dataset, DataError> {
        if !self.data.runs.is_empty() {
            if self.mixed {
                self.data.interval = None;
            }
            return Ok(self.data);
        }
        if let (0, Some(inputs)) = (self.samples, inputs) {
            let name = inputs.files.first().map_or("", |file| file.name.as_str());
            let what = match inputs.files.len() {
                0 | 1 => name.to_owned(),
                n => format!("{n} files, {name} the first"),
            };
            return Err(DataError::NoSamples {
                what,
                rejected: self.data.summary.rejected.values().sum(),
                first: self.first,
            });
        }
        let (longest, interval) = self.longest;
        let late = self.data.summary.rejected.get(&RejectReason::Late);
        Err(self.irregular.unwrap_or(DataError::TooShort {
            longest,
            interval,
            late: late.copied().unwrap_or_default(),
            window: self.options.window,
        }))
    }

    fn next_file(&mut self) -> Result<(), DataError> {
        self.span = NO_SPAN;
        self.scratch
            .clear()
            .map_err(|source| self.data.spool_failed(source))
    }

    fn unusable(&mut self, input: &InputFile, reason: &str) {
        let line = format!("{}: {reason}", input.name);
        self.data.summary.unusable(line);
    }

    fn reject(&mut self, reason: RejectReason) {
        *self.data.summary.rejected.entry(reason).or_default() += 1;
    }

    fn observe(&mut self, series: &mut Series, time: Timestamp, value: f64) -> Result<(), DataError> {
        self.occurrences.clear();
        if let Err(reason) = series
            .window
            .observe(&series.spec, time, value, &mut self.occurrences)
        {
            self.reject(reason);
            return Ok(());
        }
        self.span = (self.span.0.min(time.millis()), self.span.1.max(time.millis()));
        series.set_lateness();
        series
            .take_closed(&mut self.scratch, &mut self.occurrences)
            .map_err(|source| self.data.spool_failed(source))
    }

    /// Cuts a series into runs and moves it into the spool, if any of them is as long as a window.
    fn finish_series(&mut self, name: &str, mut series: Series) -> Result<(), DataError> {
        series.window.flush(&series.spec);
        series
            .take_closed(&mut self.scratch, &mut self.occurrences)
            .map_err(|source| self.data.spool_failed(source))?;
        series.end_run();
        let (window, total) = (self.options.window as u64, series.chain.len());
        let interval = series.window.interval();
        let cut = self.cut();
        let clip = |(started, run): &(Timestamp, Range<u64>)| {
            let ended = cut.saturating_sub(started.millis()).max(0) / interval.unwrap_or(1);
            run.start..run.end.min(run.start + ended.unsigned_abs())
        };
        let clipped: Vec<Range<u64>> = series.runs.iter().map(clip).collect();
        let length = |run: &Range<u64>| run.end - run.start;
        if 4 * series.filled > 3 * total && !clipped.is_empty() {
            self.data.summary.irregular_series += 1;
            self.irregular.get_or_insert_with(|| DataError::Irregular {
                series: name.to_owned(),
                share: 100 * series.filled / total,
                what: match self.options.interval {
                    Some(_) => "the given",
                    None => "the inferred",
                },
                interval: interval.unwrap_or_default(),
            });
            return Ok(());
        }
        let (runs, short): (Vec<_>, Vec<_>) = clipped.into_iter().partition(|run| length(run) >= window);
        if runs.is_empty() {
            let longest = short.iter().map(length).max().unwrap_or(0).max(series.short);
            if longest >= self.longest.0 {
                self.longest = (longest, interval);
            }
            self.data.summary.short_series += 1;
            return Ok(());
        }
        self.mixed |= !self.data.runs.is_empty() && self.data.interval != interval;
        self.data.interval = interval;
        self.data.summary.buckets += total;
        self.data.summary.filled += series.filled;
        self.keep(series.chain, &runs)
            .map_err(|source| self.data.spool_failed(source))
    }

    /// Buckets that end by this time (milliseconds) are used.
    fn cut(&self) -> i64 {
        let fraction = self.options.train_fraction;
        if fraction >= 1.0 {
            return i64::MAX;
        }
        let (first, last) = self.span;
        first + ((last - first) as f64 * fraction).round() as i64
    }

    fn keep(&mut self, chain: Chain, runs: &[Range<u64>]) -> io::Result<()> {
        let window = self.options.window as u64;
        let used = runs.last().map_or(0, |run| run.end);
        let trained = |run: &Range<u64>| run.start..run.start + cuts(run.end - run.start, window).0;
        let trained: Vec<Range<u64>> = runs.iter().map(trained).collect();
        let Dataset { spool, range, .. } = &mut self.data;
        let start = self.scratch.finish(chain, used, spool, |from, piece| {
            let to = from + piece.len() as u64;
            let first = trained.partition_point(|part| part.end <= from);
            for part in trained[first..].iter().take_while(|part| part.start < to) {
                let (a, b) = (part.start.max(from) - from, part.end.min(to) - from);
                for value in &piece[a as usize..b as usize] {
                    *range = (range.0.min(*value), range.1.max(*value));
                }
            }
        })?;
        let first = spool.read(start, FloorEstimate::VALUES.min(used as usize))?;
        let floor = noise_floor(&first);
        for run in runs {
            let windows = self.data.windows;
            let run = Run {
                series: start,
                start: start + run.start,
                len: run.end - run.start,
                floor,
                before: windows,
            };
            for (count, starts) in self.data.windows.iter_mut().zip(run.starts(window)) {
                *count += (starts.end - starts.start) as usize;
            }
            self.data.runs.push(run);
        }
        Ok(())
    }
}

impl Series {
    fn new(kind: Kind, interval: Option<DurationMs>, window: usize) -> Self {
        let spec = WindowSpec {
            interval,
            kind,
            lateness: MAX_LATENESS,
            // Windows are read from the spool; this one holds no more than it must.
            window: 1,
            restart_after: window,
            ..WindowSpec::new(window)
        };
        Self {
            spec,
            window: SeriesWindow::new(),
            chain: Chain::default(),
            runs: Vec::new(),
            from: 0,
            started: Timestamp::from_millis(0),
            short: 0,
            filled: 0,
        }
    }

    /// The lateness is counted in intervals, and so known once the interval is.
    fn set_lateness(&mut self) {
        if let Some(interval) = self.window.interval() {
            self.spec.lateness = interval.saturating_mul(LATE_BUCKETS).min(MAX_LATENESS);
        }
    }

    fn take_closed(&mut self, scratch: &mut Scratch, occurrences: &mut Vec<Occurrence>) -> io::Result<()> {
        while let Some(closed) = self.window.next_closed(&self.spec, occurrences) {
            occurrences.clear();
            if closed.restarted {
                self.end_run();
            }
            if self.chain.len() == self.from {
                self.started = closed.bucket.start;
            }
            self.filled += u64::from(closed.bucket.filled);
            scratch.push(&mut self.chain, closed.bucket.value)?;
        }
        Ok(())
    }

    fn end_run(&mut self) {
        let run = self.from..self.chain.len();
        let len = run.end - run.start;
        // Of the spec's two lengths the ring's is 1; a window is as long as the gap that restarts it.
        if len >= self.spec.restart_after as u64 {
            self.runs.push((self.started, run));
        } else {
            self.short = self.short.max(len);
        }
        self.from = self.chain.len();
    }
}

impl Summary {
    fn unusable(&mut self, line: String) {
        self.unusable_files += 1;
        if self.unusable_named.len() < Self::NAMED {
            self.unusable_named.push(line);
        }
    }
}
