//! What the nets are trained on: series cut into buckets and windows by the same code that serves them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ingest::file::{self, FileOptions, ReadItem};
use ingest::synthetic::{self, SeriesSpec};
use scorer::bundle::sha256_hex;
use scorer::normalise::{Affine, FloorEstimate, Scaler};
use types::{DurationMs, Kind, SeriesKey, Timestamp};
use windowing::{SeriesWindow, WindowSpec};

/// Share of each series, from its end, that takes no gradient step and calibrates the bundle.
pub const HELD_OUT: f64 = 0.2;

/// First sample of generated series: 2024-01-01T00:00:00Z, a Monday.
const SYNTHETIC_START_MS: i64 = 1_704_067_200_000;

/// The data cannot be trained on.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file cannot be used.
    #[error("{path}: {source}")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: file::OpenError,
    },
    /// Reading stopped.
    #[error("{path}: {source}")]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No usable number anywhere.
    #[error("{what} holds no usable sample ({rejected} rejected, the first: {first})")]
    NoSamples {
        /// The input.
        what: String,
        /// How many could not be used.
        rejected: u64,
        /// What the first of them was.
        first: String,
    },
    /// No series is as long as a window.
    #[error(
        "too few points: the longest series has {longest} buckets, a window needs {window} \
         (a shorter interval or more data would help)"
    )]
    TooShort {
        /// Buckets of the longest unbroken series.
        longest: usize,
        /// Window length.
        window: usize,
    },
}

/// An unbroken run of buckets of one series.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// Bucket values, data units.
    pub values: Vec<f64>,
    /// [`scorer::normalise::noise_floor`] of the series as it was known at each bucket.
    floors: Vec<f64>,
    /// Buckets from here on are held out.
    pub cut: usize,
}

/// Series as buckets, and where they came from.
#[derive(Clone, Debug, Default)]
pub struct Dataset {
    /// Runs at least a window long.
    pub runs: Vec<Run>,
    /// Grid of the series, when it is the same for all.
    pub interval: Option<DurationMs>,
    /// SHA-256 of each input by name.
    pub hashes: BTreeMap<String, String>,
    /// Series that were too short for a window.
    pub short_series: usize,
    /// Points that could not be used.
    pub rejected: u64,
}

/// Where a window stands: run, and its first bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Index into [`Dataset::runs`].
    pub run: u32,
    /// Index of the first bucket.
    pub start: u32,
}

/// Collects buckets of many series.
struct Collector {
    window: usize,
    runs: Vec<Run>,
    intervals: Vec<DurationMs>,
    short_series: usize,
    longest: usize,
}

impl Collector {
    fn new(window: usize) -> Self {
        Self {
            window,
            runs: Vec::new(),
            intervals: Vec::new(),
            short_series: 0,
            longest: 0,
        }
    }

    /// Cuts one series, its samples in time order, into buckets and runs.
    fn series(
        &mut self,
        kind: Kind,
        interval: Option<DurationMs>,
        samples: impl Iterator<Item = (Timestamp, f64)>,
    ) -> u64 {
        let spec = WindowSpec {
            interval,
            kind,
            ..WindowSpec::new(self.window)
        };
        let (mut series, mut occurrences) = (SeriesWindow::new(), Vec::new());
        let (mut floor, mut run, mut rejected) = (FloorEstimate::default(), Run::default(), 0);
        let before = self.runs.len();
        let mut take = |collector: &mut Self, series: &mut SeriesWindow, run: &mut Run| {
            occurrences.clear();
            while let Some(closed) = series.next_closed(&spec, &mut occurrences) {
                if closed.restarted {
                    collector.keep(std::mem::take(run));
                }
                floor.push(closed.bucket.value);
                run.values.push(closed.bucket.value);
                run.floors.push(floor.floor());
            }
        };
        let mut ignored = Vec::new();
        for (time, value) in samples {
            ignored.clear();
            rejected += u64::from(series.observe(&spec, time, value, &mut ignored).is_err());
            take(self, &mut series, &mut run);
        }
        series.flush(&spec);
        take(self, &mut series, &mut run);
        self.keep(run);
        self.short_series += usize::from(self.runs.len() == before);
        self.intervals.extend(series.interval());
        rejected
    }

    fn keep(&mut self, mut run: Run) {
        let len = run.values.len();
        self.longest = self.longest.max(len);
        if len >= self.window {
            run.cut = (((1.0 - HELD_OUT) * len as f64).ceil() as usize).max(self.window);
            self.runs.push(run);
        }
    }

    fn finish(self, hashes: BTreeMap<String, String>, rejected: u64) -> Result<Dataset, DataError> {
        if self.runs.is_empty() {
            return Err(DataError::TooShort {
                longest: self.longest,
                window: self.window,
            });
        }
        let first = self.intervals.first().copied();
        Ok(Dataset {
            interval: first.filter(|first| self.intervals.iter().all(|other| other == first)),
            runs: self.runs,
            hashes,
            short_series: self.short_series,
            rejected,
        })
    }
}

impl Dataset {
    /// Reads files. Series of the same name in different files are different series. Samples are sorted by time
    /// first: training looks at a file as a whole.
    ///
    /// # Errors
    /// When a file cannot be used, nothing usable is in them, or no series is as long as `window`.
    pub fn from_files(
        files: &[PathBuf],
        window: usize,
        interval: Option<DurationMs>,
        mut progress: impl FnMut(&Path),
    ) -> Result<Self, DataError> {
        let mut collector = Collector::new(window);
        let (mut hashes, mut rejected, mut samples) = (BTreeMap::new(), 0, 0);
        let mut first = None;
        for path in files {
            progress(path);
            let reader = file::open(path, &FileOptions::default()).map_err(|source| DataError::Open {
                path: path.clone(),
                source,
            })?;
            let bytes = std::fs::read(path).map_err(|source| DataError::Read {
                path: path.clone(),
                source,
            })?;
            hashes.insert(display_name(path), sha256_hex(&bytes));
            let mut series: BTreeMap<SeriesKey, Vec<(Timestamp, f64)>> = BTreeMap::new();
            for item in reader {
                let item = item.map_err(|error| DataError::Read {
                    path: path.clone(),
                    source: error.source,
                })?;
                match item {
                    ReadItem::Sample(sample) => {
                        let points = series.entry(sample.series).or_default();
                        points.push((sample.time, sample.value));
                        samples += 1;
                    }
                    ReadItem::Rejected(reject) => {
                        rejected += 1;
                        first.get_or_insert_with(|| format!("{}: {}", display_name(path), reject.detail));
                    }
                    ReadItem::Truth { .. } => {}
                }
            }
            for mut points in series.into_values() {
                points.sort_by_key(|(time, _)| *time);
                rejected += collector.series(Kind::Gauge, interval, points.into_iter());
            }
        }
        if samples == 0 {
            return Err(DataError::NoSamples {
                what: files
                    .iter()
                    .map(|f| display_name(f))
                    .collect::<Vec<_>>()
                    .join(", "),
                rejected,
                first: first.unwrap_or_else(|| "none".to_owned()),
            });
        }
        collector.finish(hashes, rejected)
    }

    /// `points` samples of each of `count` generated series.
    ///
    /// # Errors
    /// When `points` is less than a window.
    pub fn synthetic(seed: u64, count: usize, points: usize, window: usize) -> Result<Self, DataError> {
        let corpus = synthetic::corpus(seed, count);
        let mut dataset = Self::generated(&corpus, points, window)?;
        let bits = dataset.runs.iter().flat_map(|run| &run.values);
        let bytes: Vec<u8> = bits.flat_map(|value| value.to_bits().to_le_bytes()).collect();
        let name = format!("synthetic-{count}x{points}-seed-{seed}");
        dataset.hashes.insert(name, sha256_hex(&bytes));
        Ok(dataset)
    }

    /// `points` samples of each of some specified series.
    ///
    /// # Errors
    /// When `points` is less than a window.
    pub fn generated(specs: &[SeriesSpec], points: usize, window: usize) -> Result<Self, DataError> {
        let mut collector = Collector::new(window);
        for spec in specs {
            let stream = spec
                .stream(Timestamp::from_millis(SYNTHETIC_START_MS))
                .take(points);
            collector.series(spec.kind, Some(spec.interval), stream);
        }
        collector.finish(BTreeMap::new(), 0)
    }

    /// Ten windows of a sine between two values, for bundles that come without data.
    #[must_use]
    pub fn sine(min: f64, max: f64, window: usize) -> Self {
        let angle = |k: usize| k as f64 * std::f64::consts::TAU / 36.0;
        let values = (0..10 * window).map(|k| min + (max - min) * (0.5 + 0.5 * libm::sin(angle(k))));
        let mut collector = Collector::new(window);
        collector.keep(Run {
            values: values.collect(),
            floors: vec![0.0; 10 * window],
            cut: 0,
        });
        Self {
            runs: collector.runs,
            ..Self::default()
        }
    }

    /// Smallest and largest value that is not held out, data units.
    #[must_use]
    pub fn range(&self) -> (f64, f64) {
        let values = self.runs.iter().flat_map(|run| &run.values[..run.cut]);
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), v| {
            (min.min(*v), max.max(*v))
        })
    }

    /// Windows to train on: those that end before the cut.
    #[must_use]
    pub fn training_places(&self, window: usize) -> Vec<Place> {
        self.places(|run| 0..run.cut + 1 - window)
    }

    /// Windows that take no gradient step: those that end at or after the cut, the last bucket being unseen.
    #[must_use]
    pub fn held_out_places(&self, window: usize) -> Vec<Place> {
        self.places(|run| run.cut + 1 - window..run.values.len() + 1 - window)
    }

    fn places(&self, range: impl Fn(&Run) -> std::ops::Range<usize>) -> Vec<Place> {
        let runs = self.runs.iter().enumerate();
        runs.flat_map(|(run, data)| {
            range(data).map(move |start| Place {
                run: run as u32,
                start: start as u32,
            })
        })
        .collect()
    }

    /// Values of a window and the map to the nets' units.
    #[must_use]
    pub fn window(&self, place: Place, window: usize, scaler: &Scaler) -> (&[f64], Affine) {
        let run = &self.runs[place.run as usize];
        let start = place.start as usize;
        let values = &run.values[start..start + window];
        (values, scaler.fit(values, run.floors[start + window - 1]))
    }

    /// Writes the nets' input for windows side by side, each as long as `out` over the number of places.
    pub fn fill(&self, places: impl ExactSizeIterator<Item = Place>, scaler: &Scaler, out: &mut [f32]) {
        let window = out.len() / places.len();
        for (place, slot) in places.zip(out.chunks_exact_mut(window)) {
            let (values, affine) = self.window(place, window, scaler);
            scaler.apply(affine, values, slot);
        }
    }
}

/// File name without directories: what a bundle says about its data must not depend on where it lay.
fn display_name(path: &Path) -> String {
    path.file_name().map_or_else(
        || path.display().to_string(),
        |name| name.to_string_lossy().into_owned(),
    )
}

/// Metric files under a directory, sorted.
///
/// # Errors
/// When a directory cannot be read.
pub fn files_under(dir: &Path) -> Result<Vec<PathBuf>, DataError> {
    let failed = |source| DataError::Read {
        path: dir.to_owned(),
        source,
    };
    let mut entries = std::fs::read_dir(dir)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(failed)?;
    entries.sort_by_key(std::fs::DirEntry::path);
    let mut files = Vec::new();
    for entry in entries {
        let (path, kind) = (entry.path(), entry.file_type().map_err(failed)?);
        if kind.is_dir() {
            files.extend(files_under(&path)?);
        } else if is_metric_file(&path) {
            files.push(path);
        }
    }
    Ok(files)
}

fn is_metric_file(path: &Path) -> bool {
    let name = path.to_string_lossy().to_lowercase();
    let plain = name.trim_end_matches(".gz").trim_end_matches(".zst");
    [".csv", ".jsonl", ".ndjson"]
        .iter()
        .any(|end| plain.ends_with(end))
}
