//! One labelled file: its series, and what the task code of the daemon says of them, put on the clock of what was known when.

use std::collections::BTreeMap;

use indicatif::ProgressBar;
use ingest::file::{FileOptions, ReadItem};
use ingest::labels::Labels;
use pipeline::{Host, Output, TaskSettings};
use types::{Alert, AlertState, RejectReason, Sample, ScoreRow, SeriesKey, Timestamp};
use windowing::SeriesWindow;

use super::choice::Choice;
use super::corpus::LabelledFile;
use super::intervals;
use crate::failure::Failure;
use crate::replay::{Counts, Replay, Sink};

/// One series of a labelled file: what a detector may know, and what is to be found.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The file's path below the folder.
    pub file: String,
    /// The file's first folder.
    pub family: String,
    /// The series.
    pub series: SeriesKey,
    /// Its samples in the order in which they came.
    pub samples: Vec<(Timestamp, f64)>,
    /// Its closed buckets, ascending: what a detector that works on the product's grid may know.
    pub buckets: Vec<ClosedBucket>,
    /// Length of a bucket (milliseconds); `None` when it never became known.
    pub interval: Option<i64>,
    /// Known anomalies, both ends included.
    pub windows: Vec<(Timestamp, Timestamp)>,
    /// The labels are of the whole file, with all its series.
    pub whole: bool,
    /// Nothing before this is judged.
    pub from: Timestamp,
}

/// A bucket on the grid on which the product sees a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClosedBucket {
    /// Start.
    pub start: Timestamp,
    /// Value; `None` when it held no sample. Where a long gap started the window anew its buckets are missing.
    pub value: Option<f64>,
    /// When the value was known: the series' first event time at or after the bucket's end and the lateness, whatever the
    /// product's lag.
    pub closed_at: Timestamp,
}

/// What a detector said of one series, each word at the time at which it was known, never at the bucket that it speaks of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Detections {
    /// When a score existed, and the score; ascending. What is not listed has a score of 0. A row is flagged by the score that
    /// is new on it: the product's is `peak`.
    pub scores: Vec<(Timestamp, f64)>,
    /// How far from normal the series was, for measures that rank its rows: when that was known, and the level (0 or more);
    /// ascending. A level stands until the next one; before the first it is 0. The product's is `score`.
    pub levels: Vec<(Timestamp, f64)>,
    /// When an alert fired and when it was resolved; `None` while it was still open at the end.
    pub alerts: Vec<(Timestamp, Option<Timestamp>)>,
}

/// Reads the labelled series of a file, those of them that are chosen, by their names. `task` says how they are windowed.
///
/// # Errors
/// A file that cannot be read.
pub(super) fn read(
    file: &LabelledFile,
    labels: &Labels,
    options: &FileOptions,
    task: &TaskSettings,
    choice: &Choice,
) -> Result<Vec<Series>, Failure> {
    let path = &file.path;
    let reader = ingest::file::open(path, options).map_err(|e| Failure::open(path, &e))?;
    let whole = labels.covers(path);
    let mut taken: BTreeMap<SeriesKey, Taken> = BTreeMap::new();
    let mut span: Option<(Timestamp, Timestamp)> = None;
    for item in reader {
        let item = item.map_err(|e| Failure::data(format!("{}: {e}", path.display())))?;
        let ReadItem::Sample(Sample {
            series, time, value, ..
        }) = item
        else {
            continue;
        };
        let (first, last) = span.unwrap_or((time, time));
        span = Some((first.min(time), last.max(time)));
        if let Some(one) = taken.get_mut(&series) {
            one.take(task, &series, time, value);
        } else if choice.takes(&series) && (whole || !labels.keys_of_series(&series).is_empty()) {
            let one = taken.entry(series.clone()).or_default();
            one.take(task, &series, time, value);
        }
    }
    let (first, last) = span.unwrap_or_default();
    let from = choice.from(path, first, last);
    let series = taken.into_iter().map(|(key, taken)| Series {
        file: file.name.clone(),
        family: file.family.clone(),
        samples: taken.samples,
        interval: taken
            .buckets
            .windows(2)
            .map(|pair| pair[1].start - pair[0].start)
            .min(),
        buckets: taken.buckets,
        windows: labels.windows(path, &key),
        series: key,
        whole,
        from,
    });
    Ok(series.collect())
}

/// A series as it is read.
#[derive(Default)]
struct Taken {
    samples: Vec<(Timestamp, f64)>,
    window: SeriesWindow,
    buckets: Vec<ClosedBucket>,
}

impl Taken {
    fn take(&mut self, task: &TaskSettings, series: &SeriesKey, time: Timestamp, value: f64) {
        self.samples.push((time, value));
        let spec = &task.settings(task.rule_of(series)).window;
        let mut ignored = Vec::new();
        // What is refused here is refused by the task, too.
        let _ = self.window.observe(spec, time, value, &mut ignored);
        while let Some(closed) = self.window.next_closed(spec, &mut ignored) {
            self.buckets.push(ClosedBucket {
                start: closed.bucket.start,
                value: (!closed.bucket.filled).then_some(closed.bucket.value),
                closed_at: closed.available_at,
            });
        }
    }
}

/// Replays a file and gives what was said of each of `series`.
///
/// # Errors
/// When it cannot be used.
pub(super) fn replay(
    file: &LabelledFile,
    options: &FileOptions,
    (host, task): (&mut Host, &TaskSettings),
    series: &[Series],
) -> Result<(Counts, Vec<Detections>), Failure> {
    let mut heard = Heard::of(series);
    let mut replay = Replay::new(&file.path, false, host, &mut heard);
    replay.plain(task, options, &ProgressBar::hidden())?;
    let counts = replay.counts();
    let said = series.iter().map(|one| heard.detections(&one.series));
    Ok((counts, said.collect()))
}

/// Labelled windows that overlap are one anomaly.
pub(super) fn apart(windows: &[(Timestamp, Timestamp)]) -> Vec<(Timestamp, Timestamp)> {
    let windows: Vec<_> = windows.iter().map(|(a, b)| (a.millis(), b.millis())).collect();
    let apart = intervals::merged(&windows).into_iter();
    apart
        .map(|(a, b)| (Timestamp::from_millis(a), Timestamp::from_millis(b)))
        .collect()
}

/// What a replay said of the series that are judged.
pub(super) struct Heard {
    by_series: BTreeMap<SeriesKey, Said>,
}

#[derive(Default)]
struct Said {
    scores: Vec<(Timestamp, f64)>,
    levels: Vec<(Timestamp, f64)>,
    /// By id.
    alerts: BTreeMap<String, (Timestamp, Option<Timestamp>)>,
}

impl Heard {
    /// Nothing yet, of each of `series`.
    pub(super) fn of(series: &[Series]) -> Self {
        let names = series.iter().map(|one| one.series.clone());
        Self {
            by_series: names.map(|name| (name, Said::default())).collect(),
        }
    }

    /// All that was said of a series; it is given once.
    pub(super) fn detections(&mut self, series: &SeriesKey) -> Detections {
        let said = self.by_series.remove(series).unwrap_or_default();
        let mut detections = Detections {
            scores: said.scores,
            levels: said.levels,
            alerts: said.alerts.into_values().collect(),
        };
        detections.scores.sort_by_key(|(at, _)| *at);
        detections.levels.sort_by_key(|(at, _)| *at);
        detections.alerts.sort_unstable();
        detections
    }

    /// Takes one output of a task.
    pub(super) fn hear(&mut self, output: Output) {
        match output {
            Output::Row(row) => self.row(&row),
            // A limit that is crossed is no anomaly found, nor is a series that comes no more.
            Output::Alert(alert) if alert.limit.is_none() && alert.silence.is_none() => self.alert(alert),
            Output::Alert(_)
            | Output::Forecast(_)
            | Output::Due { .. }
            | Output::Occurred(_)
            | Output::Processed { .. }
            | Output::Rejected { .. } => {}
        }
    }

    fn row(&mut self, row: &ScoreRow) {
        let Some(said) = self.by_series.get_mut(&row.series) else {
            return;
        };
        let Some(at) = row.available_at else { return };
        said.levels.extend(row.score.map(|score| (at, score)));
        let peak = row.peak.filter(|peak| *peak > 0.0);
        said.scores.extend(peak.map(|peak| (at, peak)));
    }

    fn alert(&mut self, alert: Alert) {
        let Some(said) = self.by_series.get_mut(&alert.series) else {
            return;
        };
        match alert.state {
            AlertState::Firing => {
                said.alerts.insert(alert.id, (alert.available_at, None));
            }
            AlertState::Escalated => {}
            AlertState::Resolved => {
                if let Some((_, resolved)) = said.alerts.get_mut(&alert.id) {
                    *resolved = Some(alert.available_at);
                }
            }
        }
    }
}

impl Sink for Heard {
    fn admits(&self, sample: &Sample) -> bool {
        self.by_series.contains_key(&sample.series)
    }

    fn take(&mut self, output: Output) -> Result<(), Failure> {
        self.hear(output);
        Ok(())
    }

    fn reject(&mut self, _: RejectReason) {}

    fn truth(&mut self, _: Option<SeriesKey>, _: Timestamp, _: bool) {}
}
