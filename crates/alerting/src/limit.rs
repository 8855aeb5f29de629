//! Limits set by hand: one event from the first sign that a limit will be crossed to the return of value and forecast.
//!
//! It opens as a warning when the forecast lies beyond the limit while the value does not yet, and becomes critical when the
//! value crosses. A value that crosses unannounced opens it as critical at once.
//!
//! A forecast opens an event only if it is worth something ([`AlertSpec::min_confidence`]) and lies beyond the limit by more
//! than forecasts have lately been wrong ([`Outlook::margin`]). A value needs no such proof: it is a fact.

use serde::{Deserialize, Serialize};
use types::{Alert, AlertState, Bound, DurationMs, Limit, Parts, Severity, Timestamp};

use crate::identity::limit_id;
use crate::machine::{AlertSpec, Origin};

/// Limits of one series, data units.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LimitSpec {
    /// Values above this are too high.
    pub above: Option<f64>,
    /// Values below this are too low.
    pub below: Option<f64>,
}

impl LimitSpec {
    /// Whether there is any limit.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.above.is_some() || self.below.is_some()
    }

    fn of(&self, bound: Bound) -> Option<f64> {
        match bound {
            Bound::Above => self.above,
            Bound::Below => self.below,
        }
    }
}

/// A bucket as it closes, and what is forecast of the next one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// Start of the bucket that closed.
    pub start: Timestamp,
    /// Length of a bucket.
    pub interval: DurationMs,
    /// Event time at which it closed.
    pub available_at: Timestamp,
    /// Its value, data units; `None` where it was filled in, which says nothing about limits.
    pub value: Option<f64>,
    /// The bucket after it; `None` where there is no forecast.
    pub next: Option<Outlook>,
}

/// What is forecast, and how far it can be trusted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outlook {
    /// The forecast, data units.
    pub value: f64,
    /// By how much it may well be wrong, data units; `None` before any forecast could be checked.
    pub margin: Option<f64>,
    /// In [0, 1].
    pub confidence: f64,
}

/// State of one series against its limits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LimitMachine {
    above: Option<Event>,
    below: Option<Event>,
}

/// An event under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Event {
    id: String,
    limit: Limit,
    severity: Severity,
    start: Timestamp,
    end: Timestamp,
    calm: u32,
    /// The value furthest to the wrong side.
    furthest: f64,
    confidence: f64,
}

impl LimitMachine {
    /// Takes the next closed bucket of the series; appends what changed to `out`. Of `alert`, confidence and the number of
    /// calm buckets that end an event count here, too.
    pub fn observe(
        &mut self,
        spec: &LimitSpec,
        alert: &AlertSpec,
        origin: &Origin<'_>,
        seen: &Reading,
        out: &mut Vec<Alert>,
    ) {
        let Some(value) = seen.value else { return };
        for bound in Bound::ALL {
            let Some(limit) = spec.of(bound) else { continue };
            let slot = self.slot(bound);
            *slot = match slot.take() {
                Some(event) => event.go_on(alert, origin, seen, value, out),
                None => Event::begin(alert, origin, seen, value, bound, limit, out),
            };
        }
    }

    /// The series is forgotten: open events end.
    pub fn end(&mut self, origin: &Origin<'_>, available_at: Timestamp, out: &mut Vec<Alert>) {
        for event in [self.above.take(), self.below.take()].into_iter().flatten() {
            out.push(event.state(AlertState::Resolved, origin, available_at));
        }
    }

    /// Whether `other` has told others the same: the same events are open, as severe.
    #[must_use]
    pub fn is_told_as(&self, other: &Self) -> bool {
        let told = |machine: &Self| {
            [&machine.above, &machine.below]
                .map(|event| event.as_ref().map(|event| (event.id.clone(), event.severity)))
        };
        told(self) == told(other)
    }

    /// Events open now.
    #[must_use]
    pub fn open(&self) -> usize {
        usize::from(self.above.is_some()) + usize::from(self.below.is_some())
    }

    fn slot(&mut self, bound: Bound) -> &mut Option<Event> {
        match bound {
            Bound::Above => &mut self.above,
            Bound::Below => &mut self.below,
        }
    }
}

impl Event {
    fn begin(
        spec: &AlertSpec,
        origin: &Origin<'_>,
        seen: &Reading,
        value: f64,
        bound: Bound,
        limit: f64,
        out: &mut Vec<Alert>,
    ) -> Option<Self> {
        let crossed = is_beyond(bound, limit, value);
        let coming = seen.next.filter(|next| {
            let sure = next.margin.is_some_and(|margin| {
                let nearer = match bound {
                    Bound::Above => next.value - margin,
                    Bound::Below => next.value + margin,
                };
                is_beyond(bound, limit, nearer)
            });
            sure && next.confidence >= spec.min_confidence
        });
        let (start, severity, confidence) = match coming {
            _ if crossed => (seen.start, Severity::Critical, 1.0),
            Some(next) => (seen.start + seen.interval, Severity::Warning, next.confidence),
            None => return None,
        };
        let event = Self {
            id: limit_id(origin.scope, origin.series, start, bound),
            limit: Limit {
                bound,
                value: limit,
                forecast: seen.next.map(|next| next.value),
            },
            severity,
            start,
            end: start + seen.interval,
            calm: 0,
            furthest: value,
            confidence,
        };
        out.push(event.state(AlertState::Firing, origin, seen.available_at));
        Some(event)
    }

    fn go_on(
        mut self,
        spec: &AlertSpec,
        origin: &Origin<'_>,
        seen: &Reading,
        value: f64,
        out: &mut Vec<Alert>,
    ) -> Option<Self> {
        let Limit {
            bound, value: limit, ..
        } = self.limit;
        let next = seen.next.map(|next| next.value);
        let crossed = is_beyond(bound, limit, value);
        let coming = next.is_some_and(|next| is_beyond(bound, limit, next));
        self.furthest = further(bound, self.furthest, value);
        self.limit.forecast = match (self.limit.forecast, next) {
            (Some(before), Some(next)) => Some(further(bound, before, next)),
            (before, next) => before.or(next),
        };
        if crossed {
            self.end = self.end.max(seen.start + seen.interval);
        }
        if coming {
            self.end = self.end.max(seen.start + 2 * seen.interval);
        }
        if crossed && self.severity == Severity::Warning {
            (self.severity, self.confidence) = (Severity::Critical, 1.0);
            out.push(self.state(AlertState::Escalated, origin, seen.available_at));
        }
        self.calm = if crossed || coming { 0 } else { self.calm + 1 };
        if self.calm >= spec.close_after.max(1) {
            out.push(self.state(AlertState::Resolved, origin, seen.available_at));
            return None;
        }
        Some(self)
    }

    fn state(&self, state: AlertState, origin: &Origin<'_>, available_at: Timestamp) -> Alert {
        Alert {
            id: self.id.clone(),
            state,
            severity: self.severity,
            scope: origin.scope.to_owned(),
            series: origin.series.clone(),
            start: self.start,
            end: self.end,
            available_at,
            score: match self.severity {
                Severity::Warning => 1.0,
                Severity::Critical => 2.0,
            },
            value: self.furthest,
            expected: None,
            threshold: None,
            confidence: self.confidence,
            parts: Parts::default(),
            at: None,
            grounds: None,
            limit: Some(self.limit),
            silence: None,
            bundle: origin.bundle.to_owned(),
            schema_version: Alert::SCHEMA_VERSION,
        }
    }
}

fn is_beyond(bound: Bound, limit: f64, value: f64) -> bool {
    match bound {
        Bound::Above => value > limit,
        Bound::Below => value < limit,
    }
}

fn further(bound: Bound, a: f64, b: f64) -> f64 {
    match bound {
        Bound::Above => a.max(b),
        Bound::Below => a.min(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use AlertState::{Escalated, Firing, Resolved};
    use Severity::{Critical, Warning};
    use proptest::prelude::*;
    use types::SeriesKey;

    const ABOVE: LimitSpec = LimitSpec {
        above: Some(90.0),
        below: None,
    };

    fn outlook(value: f64) -> Outlook {
        Outlook {
            value,
            margin: Some(2.0),
            confidence: 0.7,
        }
    }

    /// Values with the forecast of the next one, a minute each.
    fn run(spec: &LimitSpec, buckets: &[(Option<f64>, Option<Outlook>)]) -> Vec<Alert> {
        let series = SeriesKey::from_name("disk").unwrap();
        let origin = Origin {
            scope: "t",
            series: &series,
            bundle: "aer@0",
        };
        let (mut machine, mut out) = (LimitMachine::default(), vec![]);
        for (i, (value, next)) in buckets.iter().enumerate() {
            let start = Timestamp::from_millis(i as i64 * 60_000);
            let seen = Reading {
                start,
                interval: 60_000,
                available_at: start + 60_000,
                value: *value,
                next: *next,
            };
            machine.observe(spec, &AlertSpec::default(), &origin, &seen, &mut out);
        }
        out
    }

    fn states(alerts: &[Alert]) -> Vec<(AlertState, Severity)> {
        alerts.iter().map(|a| (a.state, a.severity)).collect()
    }

    #[test]
    fn a_crossing_is_announced_confirmed_and_over() {
        let forecasts = [85.0, 93.0, 97.0, 96.0, 85.0, 80.0, 80.0, 80.0];
        let values = [80.0, 85.0, 88.0, 95.0, 89.0, 80.0, 80.0, 80.0];
        let buckets: Vec<_> = values
            .into_iter()
            .zip(forecasts)
            .map(|(v, f)| (Some(v), Some(outlook(f))))
            .collect();
        let alerts = run(&ABOVE, &buckets);
        assert_eq!(
            states(&alerts),
            [(Firing, Warning), (Escalated, Critical), (Resolved, Critical)]
        );
        let [firing, escalated, resolved] = [&alerts[0], &alerts[1], &alerts[2]];
        assert!(firing.id == escalated.id && firing.id == resolved.id);
        // Known with bucket 1, of bucket 2.
        assert_eq!(
            (firing.available_at.millis(), firing.start.millis()),
            (120_000, 120_000)
        );
        assert_eq!((firing.value, firing.score, firing.confidence), (85.0, 1.0, 0.7));
        assert_eq!(firing.limit.unwrap().forecast, Some(93.0));
        assert_eq!(
            (escalated.value, escalated.score, escalated.confidence),
            (95.0, 2.0, 1.0)
        );
        assert_eq!(
            (resolved.value, resolved.limit.unwrap().forecast),
            (95.0, Some(97.0))
        );
        assert_eq!(
            (resolved.end.millis(), resolved.available_at.millis()),
            (300_000, 420_000)
        );
        assert_eq!((resolved.kind(), resolved.expected), ("limit", None));
    }

    #[test]
    fn a_value_that_crosses_unannounced_is_critical_at_once() {
        let buckets = [(Some(80.0), None), (Some(95.0), None), (Some(80.0), None)];
        let alerts = run(&ABOVE, &buckets);
        assert_eq!(states(&alerts), [(Firing, Critical)]);
        assert_eq!(
            (alerts[0].start.millis(), alerts[0].limit.unwrap().forecast),
            (60_000, None)
        );
    }

    #[test]
    fn a_forecast_that_proves_nothing_announces_nothing() {
        let close = outlook(91.5);
        let unsure = Outlook {
            confidence: 0.2,
            ..outlook(99.0)
        };
        let unproven = Outlook {
            margin: None,
            ..outlook(99.0)
        };
        for next in [close, unsure, unproven] {
            assert!(run(&ABOVE, &[(Some(80.0), Some(next))]).is_empty(), "{next:?}");
        }
        assert!(
            run(&ABOVE, &[(None, Some(outlook(99.0)))]).is_empty(),
            "a filled-in bucket says nothing"
        );
        assert!(run(&LimitSpec::default(), &[(Some(1e9), Some(outlook(1e9)))]).is_empty());
        // Once announced, even a close forecast keeps it open.
        let mut buckets = vec![(Some(85.0), Some(outlook(93.0)))];
        buckets.extend([(Some(85.0), Some(close)); 10]);
        assert_eq!(states(&run(&ABOVE, &buckets)), [(Firing, Warning)]);
    }

    #[test]
    fn below_mirrors_above() {
        let spec = LimitSpec {
            above: None,
            below: Some(10.0),
        };
        let mut buckets = vec![(Some(15.0), Some(outlook(7.0))), (Some(9.0), Some(outlook(20.0)))];
        buckets.extend([(Some(30.0), Some(outlook(30.0))); 3]);
        let alerts = run(&spec, &buckets);
        assert_eq!(
            states(&alerts),
            [(Firing, Warning), (Escalated, Critical), (Resolved, Critical)]
        );
        assert_eq!(
            (alerts[2].value, alerts[2].limit.unwrap().forecast),
            (9.0, Some(7.0))
        );
    }

    proptest! {
        /// Of each event every state at most once, in their order; no two share an id; critical is what has crossed.
        #[test]
        fn each_state_at_most_once(
            buckets in proptest::collection::vec((proptest::option::weighted(0.9, 0.0..100.0f64), proptest::option::weighted(0.8, 0.0..100.0f64)), 1..200),
            high in 50.0..100.0f64, low in 0.0..50.0f64,
        ) {
            let spec = LimitSpec { above: Some(high), below: Some(low) };
            let buckets: Vec<_> = buckets.into_iter().map(|(v, f)| (v, f.map(outlook))).collect();
            let mut open = std::collections::BTreeMap::new();
            let mut ids = std::collections::BTreeSet::new();
            for alert in run(&spec, &buckets) {
                let limit = alert.limit.unwrap();
                let crossed = is_beyond(limit.bound, limit.value, alert.value);
                prop_assert_eq!(alert.severity == Critical, crossed);
                prop_assert!(alert.start < alert.end);
                match alert.state {
                    Firing => {
                        prop_assert!(ids.insert(alert.id.clone()));
                        prop_assert!(open.insert(limit.bound, alert).is_none());
                    }
                    Escalated => {
                        let was = open.insert(limit.bound, alert.clone()).unwrap();
                        prop_assert_eq!((was.severity, &was.id), (Warning, &alert.id));
                    }
                    Resolved => prop_assert_eq!(open.remove(&limit.bound).unwrap().id, alert.id),
                }
            }
        }
    }
}
