//! One labelled file through the task code of the daemon, and what came out, put on the clock of what was known when.

use std::collections::BTreeMap;

use indicatif::ProgressBar;
use ingest::file::FileOptions;
use ingest::labels::Labels;
use pipeline::{Host, Output, TaskSettings};
use types::{Alert, AlertState, RejectReason, Sample, ScoreRow, SeriesKey, Timestamp};
use windowing::SeriesWindow;

use super::corpus::LabelledFile;
use super::intervals;
use crate::failure::Failure;
use crate::replay::{Counts, Replay, Sink};
use crate::settings::AgentSettings;

/// One series of a labelled file: what is to be found in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// The file's path below the folder.
    pub file: String,
    /// The file's first folder.
    pub family: String,
    /// The series.
    pub series: String,
    /// Its samples in the order in which they came.
    pub samples: Vec<(Timestamp, f64)>,
    /// Its closed buckets, ascending: what a detector that works on the product's grid may know.
    pub buckets: Vec<ClosedBucket>,
    /// Times of its samples, ascending.
    pub rows: Vec<Timestamp>,
    /// Length of a bucket (milliseconds); `None` when it never became known.
    pub interval: Option<i64>,
    /// Known anomalies, both ends included, ascending and apart.
    pub windows: Vec<(Timestamp, Timestamp)>,
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

/// Replays a file and gives its labelled series, by their names.
///
/// # Errors
/// When it cannot be used.
pub(super) fn replay(
    file: &LabelledFile,
    labels: &Labels,
    settings: &AgentSettings,
    (host, task): (&mut Host, &TaskSettings),
    train_fraction: f64,
) -> Result<(Counts, Vec<(Series, Detections)>), Failure> {
    let mut heard = Heard {
        task,
        by_series: BTreeMap::new(),
    };
    let mut replay = Replay::new(&file.path, false, host, &mut heard);
    let read = FileOptions {
        zone: settings.zone(),
        labels: settings.labels(),
    };
    replay.plain(task, &read, &ProgressBar::hidden())?;
    let counts = replay.counts();
    let from = heard.cut(train_fraction);
    let whole = labels.covers(&file.path);
    let judged = heard
        .by_series
        .into_iter()
        .filter(|(key, _)| whole || !labels.keys_of_series(key).is_empty())
        .map(|(key, said)| {
            let mut rows: Vec<Timestamp> = said.samples.iter().map(|(t, _)| *t).collect();
            rows.sort_unstable();
            let series = Series {
                file: file.name.clone(),
                family: file.family.clone(),
                series: key.to_string(),
                samples: said.samples,
                buckets: said.buckets,
                rows,
                interval: said.interval,
                windows: windows(&labels.windows(&file.path, &key)),
                from,
            };
            let mut detections = Detections {
                scores: said.scores,
                levels: said.levels,
                alerts: said.alerts.into_values().collect(),
            };
            detections.scores.sort_by_key(|(at, _)| *at);
            detections.levels.sort_by_key(|(at, _)| *at);
            detections.alerts.sort_unstable();
            (series, detections)
        });
    Ok((counts, judged.collect()))
}

/// Labelled windows that overlap are one anomaly.
fn windows(labelled: &[(Timestamp, Timestamp)]) -> Vec<(Timestamp, Timestamp)> {
    let labelled: Vec<_> = labelled.iter().map(|(a, b)| (a.millis(), b.millis())).collect();
    let apart = intervals::merged(&labelled).into_iter();
    apart
        .map(|(a, b)| (Timestamp::from_millis(a), Timestamp::from_millis(b)))
        .collect()
}

/// What a replay said.
struct Heard<'a> {
    task: &'a TaskSettings,
    by_series: BTreeMap<SeriesKey, Said>,
}

#[derive(Default)]
struct Said {
    samples: Vec<(Timestamp, f64)>,
    window: SeriesWindow,
    buckets: Vec<ClosedBucket>,
    last_bucket: Option<Timestamp>,
    interval: Option<i64>,
    scores: Vec<(Timestamp, f64)>,
    levels: Vec<(Timestamp, f64)>,
    /// By id.
    alerts: BTreeMap<String, (Timestamp, Option<Timestamp>)>,
}

impl Heard<'_> {
    /// The moment at which `fraction` of the file's time span has passed.
    fn cut(&self, fraction: f64) -> Timestamp {
        let times = || {
            self.by_series
                .values()
                .flat_map(|said| said.samples.iter().map(|(t, _)| *t))
        };
        match (times().min(), times().max()) {
            (Some(first), Some(last)) => first + ((last - first) as f64 * fraction).round() as i64,
            _ => Timestamp::from_millis(0),
        }
    }

    fn row(&mut self, row: ScoreRow) {
        let said = self.by_series.entry(row.series).or_default();
        if let Some(last) = said.last_bucket.replace(row.timestamp) {
            let step = row.timestamp - last;
            said.interval = Some(said.interval.map_or(step, |known| known.min(step)));
        }
        let Some(at) = row.available_at else { return };
        said.levels.extend(row.score.map(|score| (at, score)));
        let peak = row.peak.filter(|peak| *peak > 0.0);
        said.scores.extend(peak.map(|peak| (at, peak)));
    }

    fn alert(&mut self, alert: Alert) {
        let alerts = &mut self.by_series.entry(alert.series).or_default().alerts;
        match alert.state {
            AlertState::Firing => {
                alerts.insert(alert.id, (alert.available_at, None));
            }
            AlertState::Escalated => {}
            AlertState::Resolved => {
                if let Some((_, resolved)) = alerts.get_mut(&alert.id) {
                    *resolved = Some(alert.available_at);
                }
            }
        }
    }
}

impl Sink for Heard<'_> {
    fn sample(&mut self, sample: &Sample) {
        let said = self.by_series.entry(sample.series.clone()).or_default();
        said.samples.push((sample.time, sample.value));
        let spec = &self.task.settings(self.task.rule_of(&sample.series)).window;
        // What is refused here is refused by the task, too, which says so.
        let _ = said
            .window
            .observe(spec, sample.time, sample.value, &mut Vec::new());
        while let Some(closed) = said.window.next_closed(spec, &mut Vec::new()) {
            said.buckets.push(ClosedBucket {
                start: closed.bucket.start,
                value: (!closed.bucket.filled).then_some(closed.bucket.value),
                closed_at: closed.available_at,
            });
        }
    }

    fn take(&mut self, output: Output) -> Result<(), Failure> {
        match output {
            Output::Row(row) => self.row(row),
            // A limit that is crossed is no anomaly found.
            Output::Alert(alert) if alert.limit.is_none() => self.alert(alert),
            Output::Alert(_)
            | Output::Forecast(_)
            | Output::Due { .. }
            | Output::Occurred(_)
            | Output::Processed { .. }
            | Output::Rejected { .. } => {}
        }
        Ok(())
    }

    fn reject(&mut self, _: RejectReason) {}

    fn truth(&mut self, _: Option<SeriesKey>, _: Timestamp, _: bool) {}
}
