//! The machine of one series: quiet, pending, firing.

use serde::{Deserialize, Serialize};
use types::{Alert, AlertState, DurationMs, Grounds, Parts, SeriesKey, Severity, Timestamp};

use crate::identity::alert_id;

/// Which side of the expected value may alert.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Both.
    #[default]
    Both,
    /// Only values above what was expected.
    Up,
    /// Only values below what was expected.
    Down,
}

/// When events open and end. All scores are on the score scale.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AlertSpec {
    /// Which side may alert.
    pub direction: Direction,
    /// Smallest distance between value and expected value, data units.
    pub min_absolute_deviation: f64,
    /// Smallest distance relative to the expected value's size.
    pub min_relative_deviation: f64,
    /// Buckets in a row, the first with a peak, that must score at least 1. At least 1.
    pub min_duration: u32,
    /// Lowest confidence of a score that may open an event.
    pub min_confidence: f64,
    /// An event ends when the score stays below this …
    pub close_score: f64,
    /// … for this many buckets in a row, at least 1, …
    pub close_after: u32,
    /// … which are as long together as this (milliseconds).
    pub keep_firing_for: DurationMs,
    /// Buckets after which an event ends whatever the score: no event lasts for ever.
    pub max_duration: u32,
    /// Event time after which a regular series without samples counts as silent (milliseconds); 0: never.
    pub silence_after: DurationMs,
}

impl Default for AlertSpec {
    fn default() -> Self {
        Self {
            direction: Direction::Both,
            min_absolute_deviation: 0.0,
            min_relative_deviation: 0.0,
            min_duration: 1,
            min_confidence: 0.6,
            close_score: 0.7,
            close_after: 3,
            keep_firing_for: 15 * 60_000,
            max_duration: 288,
            silence_after: 30 * 60_000,
        }
    }
}

impl AlertSpec {
    /// Whether an event is over after so many buckets in a row, `interval` milliseconds each, with scores below
    /// [`Self::close_score`]. What begins again within minutes is one event, however short its buckets are.
    #[must_use]
    pub fn is_over(&self, calm: u32, interval: DurationMs) -> bool {
        calm >= self.close_after.max(1) && i64::from(calm).saturating_mul(interval) >= self.keep_firing_for
    }
}

/// A scored bucket as the machine sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Observation {
    /// Start of the bucket.
    pub start: Timestamp,
    /// Length of the bucket.
    pub interval: DurationMs,
    /// Event time at which the score existed.
    pub available_at: Timestamp,
    /// The bucket's value, data units.
    pub value: f64,
    /// What was expected, data units.
    pub expected: f64,
    /// The score.
    pub score: f64,
    /// The score after refractory, rarity and recurrence rules.
    pub peak: f64,
    /// Error at which the score would be 1, data units.
    pub threshold: Option<f64>,
    /// In [0, 1].
    pub confidence: f64,
    /// The parts of the score.
    pub parts: Parts,
    /// What the score rests on.
    pub grounds: Grounds,
}

/// State of one series.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum AlertMachine {
    /// No event.
    #[default]
    Quiet,
    /// Exceeding, but not yet for long enough.
    Pending(Event),
    /// An event is open.
    Firing(Event),
}

/// An event under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    id: String,
    severity: Severity,
    start: Timestamp,
    end: Timestamp,
    age: u32,
    calm: u32,
    worst: Worst,
}

/// The bucket with the highest score of an event.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Worst {
    at: Timestamp,
    score: f64,
    value: f64,
    expected: f64,
    threshold: Option<f64>,
    confidence: f64,
    parts: Parts,
    grounds: Grounds,
}

impl AlertMachine {
    /// The id of the open event.
    #[must_use]
    pub fn open_id(&self) -> Option<&str> {
        match self {
            Self::Firing(event) => Some(&event.id),
            Self::Pending(_) | Self::Quiet => None,
        }
    }

    /// Whether `other` has told others the same: the same event is open, as severe, or none is.
    #[must_use]
    pub fn is_told_as(&self, other: &Self) -> bool {
        let told = |machine: &Self| match machine {
            Self::Firing(event) => Some((event.id.clone(), event.severity)),
            Self::Pending(_) | Self::Quiet => None,
        };
        told(self) == told(other)
    }

    /// Takes the next scored bucket of the series; appends what changed to `out`.
    pub fn observe(
        &mut self,
        spec: &AlertSpec,
        origin: &Origin<'_>,
        seen: &Observation,
        out: &mut Vec<Alert>,
    ) {
        *self = match std::mem::take(self) {
            Self::Quiet if opens(spec, seen) => self.begin(spec, origin, seen, out),
            Self::Quiet => Self::Quiet,
            Self::Pending(mut event) if seen.score >= 1.0 => {
                event.take(seen);
                event.open_when_due(spec, origin, seen, out)
            }
            // The run broke; this bucket may start another.
            Self::Pending(_) if opens(spec, seen) => self.begin(spec, origin, seen, out),
            Self::Pending(_) => Self::Quiet,
            Self::Firing(event) => event.go_on(spec, origin, seen, out),
        };
    }

    /// A bucket without a score: an open event grows older.
    pub fn observe_unscored(
        &mut self,
        spec: &AlertSpec,
        origin: &Origin<'_>,
        available_at: Timestamp,
        out: &mut Vec<Alert>,
    ) {
        if let Self::Firing(event) = self {
            event.age += 1;
            if event.age >= spec.max_duration {
                self.end(origin, available_at, out);
            }
        }
    }

    /// The series is forgotten: an open event ends, so that nothing stays open for ever.
    pub fn end(&mut self, origin: &Origin<'_>, available_at: Timestamp, out: &mut Vec<Alert>) {
        if let Self::Firing(event) = std::mem::take(self) {
            out.push(event.state(AlertState::Resolved, origin, available_at));
        }
    }

    fn begin(&self, spec: &AlertSpec, origin: &Origin<'_>, seen: &Observation, out: &mut Vec<Alert>) -> Self {
        let event = Event {
            id: alert_id(origin.scope, origin.series, seen.start),
            severity: Severity::Warning,
            start: seen.start,
            end: seen.start + seen.interval,
            age: 1,
            calm: 0,
            worst: Worst::from(seen),
        };
        event.open_when_due(spec, origin, seen, out)
    }
}

/// What an alert says about where it comes from.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// Topic and tenant.
    pub scope: &'a str,
    /// The series.
    pub series: &'a SeriesKey,
    /// Bundle name and hash.
    pub bundle: &'a str,
}

fn opens(spec: &AlertSpec, seen: &Observation) -> bool {
    let deviation = seen.value - seen.expected;
    let side = match spec.direction {
        Direction::Both => true,
        Direction::Up => deviation > 0.0,
        Direction::Down => deviation < 0.0,
    };
    seen.peak >= 1.0
        && side
        && seen.confidence >= spec.min_confidence
        && deviation.abs() >= spec.min_absolute_deviation
        && deviation.abs() >= spec.min_relative_deviation * seen.expected.abs()
}

impl Event {
    fn open_when_due(
        mut self,
        spec: &AlertSpec,
        origin: &Origin<'_>,
        seen: &Observation,
        out: &mut Vec<Alert>,
    ) -> AlertMachine {
        if self.age < spec.min_duration {
            return AlertMachine::Pending(self);
        }
        self.severity = severity(self.worst.score);
        out.push(self.state(AlertState::Firing, origin, seen.available_at));
        AlertMachine::Firing(self)
    }

    fn go_on(
        mut self,
        spec: &AlertSpec,
        origin: &Origin<'_>,
        seen: &Observation,
        out: &mut Vec<Alert>,
    ) -> AlertMachine {
        self.take(seen);
        if self.severity == Severity::Warning && severity(self.worst.score) == Severity::Critical {
            self.severity = Severity::Critical;
            out.push(self.state(AlertState::Escalated, origin, seen.available_at));
        }
        self.calm = if seen.score < spec.close_score {
            self.calm + 1
        } else {
            0
        };
        if spec.is_over(self.calm, seen.interval) || self.age >= spec.max_duration {
            out.push(self.state(AlertState::Resolved, origin, seen.available_at));
            return AlertMachine::Quiet;
        }
        AlertMachine::Firing(self)
    }

    fn take(&mut self, seen: &Observation) {
        self.age += 1;
        if seen.score >= 1.0 {
            self.end = seen.start + seen.interval;
        }
        if seen.score > self.worst.score {
            self.worst = Worst::from(seen);
        }
    }

    fn state(&self, state: AlertState, origin: &Origin<'_>, available_at: Timestamp) -> Alert {
        let worst = &self.worst;
        Alert {
            id: self.id.clone(),
            state,
            severity: self.severity,
            scope: origin.scope.to_owned(),
            series: origin.series.clone(),
            start: self.start,
            end: self.end,
            available_at,
            score: worst.score,
            value: worst.value,
            expected: Some(worst.expected),
            threshold: worst.threshold,
            confidence: worst.confidence,
            parts: worst.parts,
            at: Some(worst.at),
            grounds: Some(worst.grounds),
            limit: None,
            silence: None,
            bundle: origin.bundle.to_owned(),
            schema_version: Alert::SCHEMA_VERSION,
        }
    }
}

impl From<&Observation> for Worst {
    fn from(seen: &Observation) -> Self {
        Self {
            at: seen.start,
            score: seen.score,
            value: seen.value,
            expected: seen.expected,
            threshold: seen.threshold,
            confidence: seen.confidence,
            parts: seen.parts,
            grounds: seen.grounds,
        }
    }
}

fn severity(score: f64) -> Severity {
    if score >= 2.0 {
        Severity::Critical
    } else {
        Severity::Warning
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn observation(i: i64, score: f64) -> Observation {
        let start = Timestamp::from_millis(i * 60_000);
        Observation {
            start,
            interval: 60_000,
            available_at: start + 60_000,
            value: 10.0 + score,
            expected: 10.0,
            score,
            peak: score,
            threshold: Some(1.0),
            confidence: 0.9,
            parts: Parts::default(),
            grounds: Grounds::default(),
        }
    }

    fn run(spec: &AlertSpec, scores: &[f64]) -> Vec<Alert> {
        let series = SeriesKey::from_name("cpu").unwrap();
        let origin = Origin {
            scope: "t",
            series: &series,
            bundle: "general@0",
        };
        let (mut machine, mut out) = (AlertMachine::default(), vec![]);
        for (i, score) in scores.iter().enumerate() {
            machine.observe(spec, &origin, &observation(i as i64, *score), &mut out);
        }
        out
    }

    fn states(alerts: &[Alert]) -> Vec<(AlertState, Severity)> {
        alerts.iter().map(|a| (a.state, a.severity)).collect()
    }

    /// Ends are by the number of buckets alone.
    fn by_buckets() -> AlertSpec {
        AlertSpec {
            keep_firing_for: 0,
            ..AlertSpec::default()
        }
    }

    #[test]
    fn an_event_opens_escalates_and_resolves_once_each() {
        use AlertState::{Escalated, Firing, Resolved};
        use Severity::{Critical, Warning};
        let alerts = run(&by_buckets(), &[0.1, 1.2, 0.9, 2.5, 3.0, 0.8, 0.2, 0.2, 0.2, 0.2]);
        assert_eq!(
            states(&alerts),
            [(Firing, Warning), (Escalated, Critical), (Resolved, Critical)]
        );
        let resolved = &alerts[2];
        assert_eq!(resolved.id, alerts[0].id);
        assert_eq!(
            (resolved.start.millis(), resolved.end.millis()),
            (60_000, 300_000)
        );
        assert_eq!((resolved.score, resolved.value), (3.0, 13.0));
        assert_eq!(resolved.available_at.millis(), 9 * 60_000);
    }

    #[test]
    fn short_buckets_keep_an_event_for_as_long_as_three_of_five_minutes() {
        let spec = AlertSpec::default();
        let again: Vec<f64> = [[1.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]; 3].concat();
        let calm = |n| [&again[..], &vec![0.5; n]].concat();
        assert_eq!(
            run(&spec, &calm(8)).len(),
            1,
            "six and eight minutes are no quarter of an hour"
        );
        let alerts = run(&spec, &calm(9));
        assert_eq!(alerts.len(), 2);
        assert_eq!(alerts[1].state, AlertState::Resolved);
        for (interval, buckets) in [
            (300_000, 3),
            (3_600_000, 3),
            (240_000, 4),
            (60_000, 15),
            (1000, 900),
        ] {
            assert!(
                !spec.is_over(buckets - 1, interval) && spec.is_over(buckets, interval),
                "{interval}"
            );
        }
    }

    #[test]
    fn hysteresis_keeps_a_flapping_event_together() {
        let alerts = run(&by_buckets(), &[1.5, 0.75, 0.6, 1.1, 0.6, 0.6, 0.6]);
        assert_eq!(alerts.len(), 2);
    }

    #[test]
    fn nothing_lasts_for_ever() {
        let spec = AlertSpec {
            max_duration: 5,
            ..by_buckets()
        };
        let alerts = run(&spec, &[1.5; 6]);
        assert_eq!(alerts[1].state, AlertState::Resolved);
    }

    #[test]
    fn gates_hold_back() {
        let base = by_buckets();
        assert!(
            run(
                &AlertSpec {
                    direction: Direction::Down,
                    ..base
                },
                &[5.0]
            )
            .is_empty()
        );
        assert!(
            run(
                &AlertSpec {
                    min_absolute_deviation: 6.0,
                    ..base
                },
                &[5.0]
            )
            .is_empty()
        );
        assert!(
            run(
                &AlertSpec {
                    min_relative_deviation: 0.6,
                    ..base
                },
                &[5.0]
            )
            .is_empty()
        );
        assert!(
            run(
                &AlertSpec {
                    min_confidence: 0.95,
                    ..base
                },
                &[5.0]
            )
            .is_empty()
        );
        let alerts = run(
            &AlertSpec {
                min_duration: 3,
                ..base
            },
            &[1.5, 1.5, 0.9, 1.5, 1.6, 1.7],
        );
        assert_eq!(alerts.len(), 1);
        assert_eq!(alerts[0].start.millis(), 3 * 60_000);
        assert_eq!(alerts[0].available_at.millis(), 6 * 60_000);
    }

    #[test]
    fn a_forgotten_series_resolves() {
        let series = SeriesKey::from_name("cpu").unwrap();
        let origin = Origin {
            scope: "t",
            series: &series,
            bundle: "b",
        };
        let (mut machine, mut out) = (AlertMachine::default(), vec![]);
        machine.observe(&by_buckets(), &origin, &observation(0, 1.5), &mut out);
        machine.end(&origin, Timestamp::from_millis(120_000), &mut out);
        machine.end(&origin, Timestamp::from_millis(120_000), &mut out);
        assert_eq!(out.len(), 2);
        assert_eq!(out[1].state, AlertState::Resolved);
    }

    proptest! {
        /// Every event: firing first, escalated at most once between, resolved at most once and last; no two share an id.
        #[test]
        fn each_state_at_most_once(scores in proptest::collection::vec(0.0..3.0f64, 1..200), min in 1u32..4, max in 3u32..40) {
            let spec = AlertSpec { min_duration: min, max_duration: max, ..by_buckets() };
            let mut open: Option<Alert> = None;
            let mut ids = std::collections::BTreeSet::new();
            for alert in run(&spec, &scores) {
                match alert.state {
                    AlertState::Firing => {
                        prop_assert!(open.is_none());
                        prop_assert!(ids.insert(alert.id.clone()));
                        open = Some(alert);
                    }
                    AlertState::Escalated => {
                        let was = open.as_ref().unwrap();
                        prop_assert_eq!(was.severity, Severity::Warning);
                        prop_assert_eq!(&was.id, &alert.id);
                        open = Some(alert);
                    }
                    AlertState::Resolved => prop_assert_eq!(open.take().unwrap().id, alert.id),
                }
            }
        }
    }
}
