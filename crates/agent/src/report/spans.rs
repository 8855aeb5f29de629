//! Events as spans of time: what the states of one alert say together.

use std::collections::BTreeMap;

use types::{Alert, AlertState, Severity, Timestamp};

/// One event, from its first exceeding bucket to its end.
#[derive(Clone, Debug)]
pub(super) struct Span<'a> {
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    /// When its firing state was known; `None` if only later states are in the report.
    pub(super) known: Option<Timestamp>,
    /// No resolved state: it may go on.
    pub(super) open: bool,
    pub(super) severity: Severity,
    /// The first state: what was found when it began.
    pub(super) first: &'a Alert,
    /// The state with the highest score.
    pub(super) worst: &'a Alert,
}

impl Span<'_> {
    /// Limits and silence say nothing of what is normal.
    pub(super) fn is_anomaly(&self) -> bool {
        self.worst.is_anomaly()
    }

    /// The state that says what happened. That of an anomaly is the first: later buckets are held against nets that have seen the event
    /// itself, and the highest is often the way back to normal.
    pub(super) fn telling(&self) -> &Alert {
        if self.is_anomaly() { self.first } else { self.worst }
    }
}

/// The limits that `spans` are about, each once, ascending.
pub(super) fn limits(spans: &[Span<'_>]) -> Vec<f64> {
    let mut all: Vec<f64> = spans
        .iter()
        .filter_map(|s| s.worst.limit.map(|l| l.value))
        .collect();
    all.sort_by(f64::total_cmp);
    all.dedup();
    all
}

/// The events of `alerts`, in order of start.
pub(super) fn spans(alerts: &[Alert]) -> Vec<Span<'_>> {
    let mut events: BTreeMap<&str, Span<'_>> = BTreeMap::new();
    for alert in alerts {
        let span = events.entry(&alert.id).or_insert(Span {
            start: alert.start,
            end: alert.end,
            known: None,
            open: true,
            severity: alert.severity,
            first: alert,
            worst: alert,
        });
        span.start = span.start.min(alert.start);
        span.end = span.end.max(alert.end);
        span.severity = span.severity.max(alert.severity);
        if alert.score >= span.worst.score {
            span.worst = alert;
        }
        match alert.state {
            AlertState::Firing => span.known = Some(alert.available_at),
            AlertState::Escalated => {}
            AlertState::Resolved => span.open = false,
        }
    }
    let mut out: Vec<Span<'_>> = events.into_values().collect();
    out.sort_by_key(|s| (s.start, &s.worst.id));
    out
}

/// How many of `labels` have an anomaly that became known inside them, and how many anomalies did so inside none.
pub(super) fn hits(spans: &[Span<'_>], labels: &[(Timestamp, Timestamp)]) -> (usize, usize) {
    let inside = |span: &Span<'_>, label: &(Timestamp, Timestamp)| {
        (label.0..=label.1).contains(&span.known.unwrap_or(span.start))
    };
    let hit = labels
        .iter()
        .filter(|l| spans.iter().any(|s| s.is_anomaly() && inside(s, l)))
        .count();
    let outside = spans
        .iter()
        .filter(|s| s.is_anomaly())
        .filter(|s| !labels.iter().any(|l| inside(s, l)))
        .count();
    (hit, outside)
}
