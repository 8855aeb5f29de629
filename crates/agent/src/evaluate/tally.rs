//! What a person lives with: alerts, how late they are, how long they stay, and the events that they found.

use serde::Serialize;
use types::Timestamp;

use super::intervals::{self, Confusion, Interval};
use super::subject::{Subject, Verdict};

const DAY_MS: f64 = 86_400_000.0;

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

/// Sums from which alerts and events are measured.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) windows: usize,
    /// Judged time of each series, and the part of it outside windows (milliseconds, summed).
    series_ms: u64,
    calm_ms: u64,
    /// The same with an open alert.
    alert_ms: u64,
    calm_alert_ms: u64,
    fired: usize,
    outside: usize,
    /// Delay of each window hit: milliseconds, and buckets where their length is known.
    delays: Vec<(f64, Option<f64>)>,
    pub(super) overlap: Confusion,
    pub(super) weighted: Confusion,
}

impl Tally {
    pub(super) fn of(subject: &Subject, verdict: &Verdict) -> Self {
        let (Some(first), Some(last)) = (subject.rows.first(), subject.rows.last()) else {
            return Self::default();
        };
        let span = (subject.from.max(*first).millis(), last.millis());
        let clip = |(start, end): Interval| -> Option<Interval> {
            let clipped = (start.max(span.0), end.min(span.1));
            (clipped.0 <= clipped.1).then_some(clipped)
        };
        let windows = subject.windows.iter().map(|(a, b)| (a.millis(), b.millis()));
        let known: Vec<Interval> = windows.filter_map(clip).collect();
        let open = |alerts: &Vec<(Timestamp, Option<Timestamp>)>| -> Vec<Interval> {
            let open = alerts.iter().map(|(fired, resolved)| {
                let end = resolved.map_or(span.1.max(fired.millis()), Timestamp::millis);
                (fired.millis(), end)
            });
            intervals::merged(&open.filter_map(clip).collect::<Vec<_>>())
        };
        let by_series: Vec<Vec<Interval>> = verdict.alerts.iter().map(open).collect();
        let found = intervals::merged(&by_series.concat());
        let fired = verdict.alerts.iter().flatten().map(|(fired, _)| fired.millis());
        let fired: Vec<i64> = fired.filter(|t| (span.0..=span.1).contains(t)).collect();
        let delays = known.iter().filter_map(|(start, end)| {
            let first = fired.iter().filter(|t| (start..=end).contains(t)).min()?;
            let delay = (first - start) as f64;
            Some((delay, subject.interval.map(|i| delay / i as f64)))
        });
        let outside = |t: &&i64| !known.iter().any(|(start, end)| (start..=end).contains(t));
        let (whole, series) = (intervals::length(&[span]), subject.series as u64);
        Self {
            windows: known.len(),
            series_ms: whole * series,
            calm_ms: (whole - intervals::length(&known)) * series,
            alert_ms: by_series.iter().map(|own| intervals::length(own)).sum(),
            calm_alert_ms: by_series
                .iter()
                .map(|own| intervals::by_length(&known, own).false_positive)
                .sum(),
            outside: fired.iter().filter(outside).count(),
            delays: delays.collect(),
            overlap: intervals::by_overlap(&known, &found),
            weighted: intervals::by_length(&known, &found),
            fired: fired.len(),
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.windows += other.windows;
        self.series_ms += other.series_ms;
        self.calm_ms += other.calm_ms;
        self.alert_ms += other.alert_ms;
        self.calm_alert_ms += other.calm_alert_ms;
        self.fired += other.fired;
        self.outside += other.outside;
        self.delays.extend_from_slice(&other.delays);
        self.overlap += other.overlap;
        self.weighted += other.weighted;
    }

    pub(super) fn days(&self) -> f64 {
        self.series_ms as f64 / DAY_MS
    }

    pub(super) fn alerts(&self) -> Alerts {
        let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        Alerts {
            fired: self.fired,
            outside: self.outside,
            a_day: (self.series_ms > 0).then(|| self.fired as f64 * DAY_MS / self.series_ms as f64),
            windows_hit: self.delays.len(),
            delay_seconds: median(self.delays.iter().map(|(ms, _)| ms / 1000.0)),
            delay_buckets: median(self.delays.iter().filter_map(|(_, buckets)| *buckets)),
            time_in_alert: share(self.alert_ms, self.series_ms),
            calm_time_in_alert: share(self.calm_alert_ms, self.calm_ms),
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

    #[test]
    fn medians() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(median([4.0, 1.0].into_iter()), Some(2.5));
        assert_eq!(median(std::iter::empty()), None);
    }
}
