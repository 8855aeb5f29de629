//! The labelled signals and what the published batch method makes of them before a net sees them.

use std::path::Path;

use agent::evaluate::intervals::Interval;
use ingest::file::{self, FileOptions, ReadItem};
use ingest::labels::Labels;
use scorer::parity::preprocess::{Method, aggregate, impute_mean};
use types::{SeriesKey, Timestamp};

/// Length of the windows that nets see.
pub(crate) const WINDOW: usize = 100;

/// A labelled series. Times are unix seconds, values data units.
#[derive(Clone, Debug)]
pub(crate) struct Signal {
    /// Family and file without its extension: `realTweets/Twitter_volume_KO`.
    pub(crate) name: String,
    /// The first part of the name.
    pub(crate) family: String,
    /// Samples as they came.
    pub(crate) samples: Vec<(i64, f64)>,
    /// Length of a bucket.
    pub(crate) interval: i64,
    /// Known anomalies, both ends included.
    pub(crate) known: Vec<Interval>,
    /// What nets are trained on: the whole series, or the part of it that its publisher set aside for that.
    pub(crate) trained: Grid,
    /// What is scored and judged: the whole series, or the rest of it.
    pub(crate) judged: Grid,
}

/// A series as the batch method sees it: buckets from its first sample on, the mean of each, those without a sample filled with
/// the mean of what is trained on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Grid {
    /// Starts of the buckets.
    pub(crate) index: Vec<i64>,
    /// Their values.
    pub(crate) values: Vec<f64>,
}

impl Grid {
    /// Of samples by time; what is missing is the mean of the rest.
    pub(crate) fn of(samples: &[(i64, f64)], interval: i64) -> Self {
        let (index, values) = aggregate(samples, interval, Method::Mean);
        let values = impute_mean(&values);
        Self { index, values }
    }

    /// First and last second.
    pub(crate) fn span(&self, interval: i64) -> Interval {
        let first = self.index.first().copied().unwrap_or_default();
        (first, self.index.last().map_or(first, |last| last + interval - 1))
    }
}

/// Length of a bucket of a family of the Numenta benchmark, as the reference benchmarks it; of `realKnownCause`, which it does
/// not, the files' own.
pub(crate) fn numenta_interval(family: &str) -> i64 {
    match family {
        "realAdExchange" => 3_600,
        "realKnownCause" => 300,
        _ => 600,
    }
}

impl Signal {
    /// Reads a file with one series. `split` is where its publisher cut it, if he did.
    pub(crate) fn read(
        path: &Path,
        family: &str,
        labels: &Labels,
        interval: i64,
        split: Option<i64>,
    ) -> Self {
        let reader = file::open(path, &FileOptions::default()).expect("a metric file");
        let (mut samples, mut key): (Vec<(i64, f64)>, Option<SeriesKey>) = (Vec::new(), None);
        for item in reader {
            if let ReadItem::Sample(sample) = item.expect("a readable file") {
                samples.push((seconds(sample.time), sample.value));
                key.get_or_insert(sample.series);
            }
        }
        samples.sort_by_key(|(time, _)| *time);
        let key = key.expect("a file with samples");
        let known = labels.windows(path, &key).into_iter();
        Self::new(
            format!("{family}/{}", file::stem(path)),
            samples,
            interval,
            known.map(|(start, end)| (seconds(start), seconds(end))).collect(),
            split,
        )
    }

    /// Cuts and aggregates samples by time.
    pub(crate) fn new(
        name: String,
        samples: Vec<(i64, f64)>,
        interval: i64,
        known: Vec<Interval>,
        split: Option<i64>,
    ) -> Self {
        let cut = split.map_or(0, |at| samples.partition_point(|(time, _)| *time < at));
        let (before, after) = samples.split_at(cut);
        let train = if cut > 0 { before } else { after };
        let trained = Grid::of(train, interval);
        let judged = if cut > 0 {
            let (index, values) = aggregate(after, interval, Method::Mean);
            let values = impute_with(&values, mean(&trained.values));
            Grid { index, values }
        } else {
            trained.clone()
        };
        Self {
            family: name.split('/').next().unwrap_or_default().to_owned(),
            name,
            samples,
            interval,
            known,
            trained,
            judged,
        }
    }
}

/// Replaces NaN by what was learnt elsewhere.
fn impute_with(values: &[f64], by: f64) -> Vec<f64> {
    values.iter().map(|v| if v.is_nan() { by } else { *v }).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn seconds(time: Timestamp) -> i64 {
    time.millis().div_euclid(1_000)
}

/// The checks of this program's own arithmetic; they run before anything else does, as nothing else would run them.
pub(crate) fn check() {
    let samples: Vec<(i64, f64)> = [(7, 1.0), (12, 3.0), (17, 2.0), (30, 6.0), (41, 4.0)].into();
    let whole = Signal::new("a/b".to_owned(), samples.clone(), 10, Vec::new(), None);
    // The grid starts at the first sample, and the mean of 2, 2, 6 and 4 stands where there is none.
    assert_eq!(whole.judged.index, [7, 17, 27, 37]);
    assert_eq!(whole.judged.values, [2.0, 2.0, 6.0, 4.0]);
    assert_eq!(whole.trained.values, whole.judged.values);
    assert_eq!(whole.judged.span(10), (7, 46));
    let cut = Signal::new("a/b".to_owned(), samples, 10, Vec::new(), Some(17));
    assert_eq!((cut.trained.index, cut.trained.values), (vec![7], vec![2.0]));
    assert_eq!(
        (cut.judged.index, cut.judged.values),
        (vec![17, 27, 37], vec![2.0, 6.0, 4.0])
    );
    assert_eq!(impute_with(&[1.0, f64::NAN], 5.0), [1.0, 5.0]);
}
