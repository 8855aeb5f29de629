//! What is measured of a set of series: the NAB score, alerts as a person lives with them, and event metrics.

use std::collections::BTreeMap;

use serde::Serialize;
use types::Timestamp;

use super::intervals::{self, Confusion, Interval};
use super::nab::{self, Corpus, PROFILES};
use super::stream::{Detections, Series};

/// Seed of the bootstrap.
const SEED: u64 = 1;
/// The score at which the product warns.
const BOUNDARY: f64 = 1.0;
const DAY_MS: f64 = 86_400_000.0;

/// A series with what was said of it.
pub type Judged<'a> = (&'a Series, &'a Detections);

/// The numbers of a set of series. What is undefined is absent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measures {
    /// Files.
    pub files: usize,
    /// Series.
    pub series: usize,
    /// Labelled windows of which some part is judged.
    pub windows: usize,
    /// Judged time, summed over the series (days).
    pub days: f64,
    /// NAB scores by profile.
    pub nab: BTreeMap<&'static str, NabScore>,
    /// Alerts.
    pub alerts: Alerts,
    /// Whole events: found when any alert was open in them.
    pub overlap: EventScore,
    /// Time in events, in alert, and in both (counts are milliseconds).
    pub weighted: EventScore,
}

/// NAB scores in one profile; 0 is a detector that is never heard, 100 a perfect one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct NabScore {
    /// The threshold on `peak` that is best for the whole corpus in this profile; absent when nothing is best flagged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// The score at that threshold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best: Option<f64>,
    /// The score at the product's own boundary, 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_boundary: Option<f64>,
}

/// Alerts as they fell, each at the time at which it fired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Alerts {
    /// Alerts that fired.
    pub fired: usize,
    /// Of these, outside every labelled window.
    pub outside: usize,
    /// Alerts a day and series.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub a_day: Option<f64>,
    /// Labelled windows in which at least one alert fired.
    pub windows_hit: usize,
    /// From the start of a window to the first alert that fired in it: median over the windows hit (seconds).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_seconds: Option<f64>,
    /// The same in buckets of the series.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_buckets: Option<f64>,
    /// Share of the judged time during which an alert was open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_in_alert: Option<f64>,
    /// The same of the judged time outside labelled windows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calm_time_in_alert: Option<f64>,
}

/// Precision, recall and F1, pooled over files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct EventScore {
    /// The counts behind them.
    #[serde(flatten)]
    pub counts: Confusion,
    /// Share of what was found that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub precision: Option<f64>,
    /// Share of what is known that was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recall: Option<f64>,
    /// Harmonic mean of both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub f1: Option<f64>,
    /// 95 % interval of F1: bootstrap over the files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub f1_interval: Option<(f64, f64)>,
}

/// The threshold that is best for all of `judged` in each profile.
#[must_use]
pub fn thresholds(judged: &[Judged<'_>]) -> [Option<f64>; PROFILES.len()] {
    let corpus = nab_corpus(judged);
    PROFILES.map(|profile| {
        let best = corpus.best(profile)?;
        best.threshold.is_finite().then_some(best.threshold)
    })
}

/// Measures a set of series; `thresholds` are those of the whole corpus, by profile.
#[must_use]
pub fn measure(judged: &[Judged<'_>], thresholds: [Option<f64>; PROFILES.len()]) -> Measures {
    let corpus = nab_corpus(judged);
    let nab = PROFILES.into_iter().zip(thresholds).map(|(profile, threshold)| {
        let score = NabScore {
            threshold,
            best: corpus.at(profile, threshold.unwrap_or(f64::INFINITY)),
            at_boundary: corpus.at(profile, BOUNDARY),
        };
        (profile.name, score)
    });
    let mut by_file: BTreeMap<&str, Tally> = BTreeMap::new();
    let mut total = Tally::default();
    for &(series, detections) in judged {
        let tally = Tally::of(series, detections);
        total.add(&tally);
        by_file.entry(&series.file).or_default().add(&tally);
    }
    let events = |of: fn(&Tally) -> Confusion| {
        let files: Vec<Confusion> = by_file.values().map(of).collect();
        let counts = of(&total);
        EventScore {
            counts,
            precision: counts.precision(),
            recall: counts.recall(),
            f1: counts.f1(),
            f1_interval: intervals::f1_interval(&files, SEED),
        }
    };
    Measures {
        files: by_file.len(),
        series: judged.len(),
        windows: total.windows,
        days: total.judged_ms as f64 / DAY_MS,
        nab: nab.collect(),
        alerts: total.alerts(),
        overlap: events(|t| t.overlap),
        weighted: events(|t| t.weighted),
    }
}

fn nab_corpus(judged: &[Judged<'_>]) -> Corpus {
    let mut corpus = Corpus::default();
    for (series, detections) in judged {
        let rows = &series.rows;
        let windows: Vec<(usize, usize)> = series
            .windows
            .iter()
            .filter_map(|(start, end)| {
                let left = rows.partition_point(|t| t < start);
                let right = rows.partition_point(|t| t <= end);
                (left < right).then(|| (left, right - 1))
            })
            .collect();
        let first = nab::probation(rows.len()).max(rows.partition_point(|t| *t < series.from));
        corpus.add(&windows, &on_rows(rows, &detections.scores), first);
    }
    corpus
}

/// Puts each score on the first row not before the time at which it existed, the highest where there are several; what existed
/// only after the last row comes too late.
fn on_rows(rows: &[Timestamp], scores: &[(Timestamp, f64)]) -> Vec<(usize, f64)> {
    let mut out: Vec<(usize, f64)> = Vec::new();
    for &(at, score) in scores {
        let row = rows.partition_point(|t| *t < at);
        match out.last_mut() {
            Some(last) if last.0 == row => last.1 = last.1.max(score),
            _ if row < rows.len() => out.push((row, score)),
            _ => {}
        }
    }
    out
}

/// Sums from which alerts and events are measured.
#[derive(Clone, Debug, Default)]
struct Tally {
    windows: usize,
    judged_ms: u64,
    fired: usize,
    outside: usize,
    /// Delay of each window hit: milliseconds, and buckets where their length is known.
    delays: Vec<(f64, Option<f64>)>,
    overlap: Confusion,
    weighted: Confusion,
}

impl Tally {
    fn of(series: &Series, detections: &Detections) -> Self {
        let (Some(first), Some(last)) = (series.rows.first(), series.rows.last()) else {
            return Self::default();
        };
        let span = (series.from.max(*first).millis(), last.millis());
        let clip = |(start, end): Interval| -> Option<Interval> {
            let clipped = (start.max(span.0), end.min(span.1));
            (clipped.0 <= clipped.1).then_some(clipped)
        };
        let windows = series.windows.iter().map(|(a, b)| (a.millis(), b.millis()));
        let known: Vec<Interval> = windows.filter_map(clip).collect();
        let open = detections.alerts.iter().map(|(fired, resolved)| {
            let end = resolved.map_or(span.1.max(fired.millis()), Timestamp::millis);
            (fired.millis(), end)
        });
        let found: Vec<Interval> = open.filter_map(clip).collect();
        let fired = detections.alerts.iter().map(|(fired, _)| fired.millis());
        let fired: Vec<i64> = fired.filter(|t| (span.0..=span.1).contains(t)).collect();
        let delays = known.iter().filter_map(|(start, end)| {
            let first = fired.iter().filter(|t| (start..=end).contains(t)).min()?;
            let delay = (first - start) as f64;
            Some((delay, series.interval.map(|i| delay / i as f64)))
        });
        let outside = |t: &&i64| !known.iter().any(|(start, end)| (start..=end).contains(t));
        Self {
            windows: known.len(),
            judged_ms: intervals::length(&[span]),
            outside: fired.iter().filter(outside).count(),
            delays: delays.collect(),
            overlap: intervals::by_overlap(&known, &found),
            weighted: intervals::by_length(&known, &found),
            fired: fired.len(),
        }
    }

    fn add(&mut self, other: &Self) {
        self.windows += other.windows;
        self.judged_ms += other.judged_ms;
        self.fired += other.fired;
        self.outside += other.outside;
        self.delays.extend_from_slice(&other.delays);
        self.overlap += other.overlap;
        self.weighted += other.weighted;
    }

    fn alerts(&self) -> Alerts {
        let Confusion {
            true_positive,
            false_positive,
            false_negative,
        } = self.weighted;
        let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        let calm_ms = self.judged_ms - true_positive - false_negative;
        Alerts {
            fired: self.fired,
            outside: self.outside,
            a_day: (self.judged_ms > 0).then(|| self.fired as f64 * DAY_MS / self.judged_ms as f64),
            windows_hit: self.delays.len(),
            delay_seconds: median(self.delays.iter().map(|(ms, _)| ms / 1000.0)),
            delay_buckets: median(self.delays.iter().filter_map(|(_, buckets)| *buckets)),
            time_in_alert: share(true_positive + false_positive, self.judged_ms),
            calm_time_in_alert: share(false_positive, calm_ms),
        }
    }
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    let lower = if values.len() % 2 == 1 {
        upper
    } else {
        values[middle - 1]
    };
    Some((lower + upper) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute(n: i64) -> Timestamp {
        Timestamp::from_millis(n * 60_000)
    }

    fn series(windows: &[(i64, i64)]) -> Series {
        Series {
            file: "a.csv".to_owned(),
            rows: (0..1000).map(minute).collect(),
            interval: Some(60_000),
            windows: windows.iter().map(|(a, b)| (minute(*a), minute(*b))).collect(),
            from: minute(0),
            ..Series::default()
        }
    }

    fn alerts(alerts: &[(i64, Option<i64>)]) -> Detections {
        Detections {
            scores: alerts.iter().map(|(t, _)| (minute(*t), 2.0)).collect(),
            alerts: alerts.iter().map(|(a, b)| (minute(*a), b.map(minute))).collect(),
            ..Detections::default()
        }
    }

    #[test]
    fn alerts_are_counted_when_they_fire() {
        let series = series(&[(200, 299), (500, 599), (800, 899)]);
        // Found late, found at once, open at the start and so not hit, outside and open to the end.
        let said = alerts(&[(220, Some(240)), (500, Some(510)), (790, Some(810)), (950, None)]);
        let alerts = measure(&[(&series, &said)], [None; 3]).alerts;
        assert_eq!((alerts.fired, alerts.outside, alerts.windows_hit), (4, 2, 2));
        assert_eq!(
            (alerts.delay_seconds, alerts.delay_buckets),
            (Some(600.0), Some(10.0))
        );
        assert!((alerts.a_day.unwrap() - 4.0 * 1440.0 / 999.0).abs() < 1e-4);
        let open = 20.0 + 10.0 + 20.0 + 49.0;
        assert!((alerts.time_in_alert.unwrap() - open / 999.0).abs() < 1e-5);
        let calm = 10.0 + 49.0;
        assert!((alerts.calm_time_in_alert.unwrap() - calm / (999.0 - 3.0 * 99.0)).abs() < 1e-5);
    }

    #[test]
    fn one_endless_alert_finds_every_event_and_pays_for_it_in_time() {
        let series = series(&[(200, 209), (500, 509)]);
        let said = alerts(&[(100, None)]);
        let measures = measure(&[(&series, &said)], [None; 3]);
        assert_eq!(measures.overlap.f1, Some(1.0));
        assert!(measures.weighted.f1.unwrap() < 0.05);
        assert_eq!(measures.alerts.windows_hit, 0);
    }

    #[test]
    fn what_lies_before_the_cut_is_not_judged() {
        let mut series = series(&[(200, 299), (450, 549), (800, 899)]);
        series.from = minute(500);
        let said = alerts(&[
            (210, Some(220)),
            (480, Some(520)),
            (700, Some(710)),
            (850, Some(860)),
        ]);
        let measures = measure(&[(&series, &said)], [Some(2.0); 3]);
        assert_eq!(
            (measures.windows, measures.alerts.fired, measures.alerts.outside),
            (2, 2, 1)
        );
        // The alert that was open over the cut finds what is left of the window there.
        let overlap = measures.overlap.counts;
        assert_eq!((overlap.true_positive, overlap.false_positive), (2, 1));
        // For NAB a row is flagged or not, and at the cut none was.
        let standard = measures.nab["standard"].best.unwrap();
        assert!(standard > 30.0 && standard < 50.0, "{standard}");
    }

    #[test]
    fn a_score_counts_on_the_first_row_that_knew_it() {
        let rows: Vec<Timestamp> = (0..10).map(minute).collect();
        let after = Timestamp::from_millis(61_000);
        let scores = [
            (minute(1), 1.0),
            (after, 3.0),
            (minute(2), 2.0),
            (minute(10), 9.0),
        ];
        assert_eq!(on_rows(&rows, &scores), [(1, 1.0), (2, 3.0)]);
    }

    #[test]
    fn medians() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(median([4.0, 1.0].into_iter()), Some(2.5));
        assert_eq!(median(std::iter::empty()), None);
    }
}
