//! Silence: one event from the first bucket that is missing to the sample that comes back, or to the end of waiting.
//!
//! That a series is silent only who sees the time of others can tell; this is what is said about it. A silence is a warning: that
//! nothing came proves nothing about what is watched.

use serde::{Deserialize, Serialize};
use types::{Alert, AlertState, DurationMs, Parts, Severity, Silence, Timestamp};

use crate::identity::silence_id;
use crate::machine::Origin;

/// A series at the moment at which it is found silent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Missed {
    /// Time of its last sample.
    pub last: Timestamp,
    /// Length of a bucket.
    pub interval: DurationMs,
    /// Value of the last bucket that closed, data units.
    pub value: f64,
    /// Share of the last window's buckets that had samples, in [0, 1].
    pub regularity: f64,
}

/// State of one series.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SilenceMachine {
    open: Option<Event>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Event {
    id: String,
    start: Timestamp,
    missed: Missed,
}

impl SilenceMachine {
    /// The series is found silent at event time `available_at`; says nothing where that was said.
    pub fn begin(
        &mut self,
        origin: &Origin<'_>,
        missed: Missed,
        available_at: Timestamp,
        out: &mut Vec<Alert>,
    ) {
        if self.open.is_some() {
            return;
        }
        let start = missed.last.floor_to(missed.interval) + missed.interval;
        let event = Event {
            id: silence_id(origin.scope, origin.series, start),
            start,
            missed,
        };
        out.push(event.state(AlertState::Firing, origin, available_at, None));
        self.open = Some(event);
    }

    /// The silence is over: by the sample at `returned`, or because the series is no longer waited for.
    pub fn end(
        &mut self,
        origin: &Origin<'_>,
        available_at: Timestamp,
        returned: Option<Timestamp>,
        out: &mut Vec<Alert>,
    ) {
        if let Some(event) = self.open.take() {
            out.push(event.state(AlertState::Resolved, origin, available_at, returned));
        }
    }

    /// Whether an event is open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }
}

impl Event {
    fn state(
        &self,
        state: AlertState,
        origin: &Origin<'_>,
        available_at: Timestamp,
        returned: Option<Timestamp>,
    ) -> Alert {
        let Missed {
            last,
            interval,
            value,
            regularity,
        } = self.missed;
        let known = returned.unwrap_or(available_at).floor_to(interval);
        Alert {
            id: self.id.clone(),
            state,
            severity: Severity::Warning,
            scope: origin.scope.to_owned(),
            series: origin.series.clone(),
            start: self.start,
            end: known.max(self.start),
            available_at,
            score: 1.0,
            value,
            expected: None,
            threshold: None,
            confidence: regularity,
            parts: Parts::default(),
            at: None,
            grounds: None,
            limit: None,
            silence: Some(Silence { last, returned }),
            bundle: origin.bundle.to_owned(),
            schema_version: Alert::SCHEMA_VERSION,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::SeriesKey;

    #[test]
    fn it_is_said_once_and_ends_once() {
        let series = SeriesKey::from_name("cpu").unwrap();
        let origin = Origin {
            scope: "t",
            series: &series,
            bundle: "general@0",
        };
        let t = Timestamp::from_millis;
        let missed = Missed {
            last: t(125_000),
            interval: 60_000,
            value: 3.0,
            regularity: 0.99,
        };
        let (mut machine, mut out) = (SilenceMachine::default(), vec![]);
        machine.begin(&origin, missed, t(1_925_000), &mut out);
        machine.begin(&origin, missed, t(1_990_000), &mut out);
        assert!(machine.is_open());
        machine.end(&origin, t(2_000_000), Some(t(1_990_000)), &mut out);
        machine.end(&origin, t(2_100_000), None, &mut out);
        let states: Vec<_> = out.iter().map(|a| a.state).collect();
        assert_eq!(states, [AlertState::Firing, AlertState::Resolved]);
        assert_eq!(out[0].id, out[1].id);
        assert_eq!((out[0].start, out[0].end), (t(180_000), t(1_920_000)));
        assert_eq!((out[1].end, out[1].available_at), (t(1_980_000), t(2_000_000)));
        assert_eq!(
            (out[0].kind(), out[0].score, out[0].confidence),
            ("silence", 1.0, 0.99)
        );
        let said = |alert: &Alert| alert.silence.unwrap();
        assert_eq!((said(&out[0]).last, said(&out[0]).returned), (t(125_000), None));
        assert_eq!(said(&out[1]).returned, Some(t(1_990_000)));
    }
}
