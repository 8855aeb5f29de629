//! Alerts: the states of one event.

use serde::{Deserialize, Serialize};

use crate::{Parts, SeriesKey, Timestamp};

/// State of an event. Each is emitted at most once an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    /// It began.
    Firing,
    /// A warning became critical.
    Escalated,
    /// It ended.
    Resolved,
}

impl AlertState {
    /// Name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Escalated => "escalated",
            Self::Resolved => "resolved",
        }
    }
}

/// How bad it is: the highest an event has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Score at least 1.
    Warning,
    /// Score at least 2.
    Critical,
}

impl Severity {
    /// Name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// Which side of a limit is the wrong one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// Values above it.
    Above,
    /// Values below it.
    Below,
}

impl Bound {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Above, Self::Below];

    /// Name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Above => "above",
            Self::Below => "below",
        }
    }
}

/// What a limit alert is about. Data units.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Limit {
    /// The wrong side.
    pub bound: Bound,
    /// The limit as configured.
    pub value: f64,
    /// The forecast of the event that went furthest to the wrong side; `None` where there was none.
    pub forecast: Option<f64>,
}

/// One state of one event, the value that goes to the alert topic.
///
/// Holds no wall time, host or agent id, so that a re-run is byte-equal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Deterministic: from scope, series, the first exceeding bucket and, of a limit alert, its bound. 32 hexadecimal
    /// digits.
    pub id: String,
    /// Firing, escalated or resolved.
    pub state: AlertState,
    /// Highest severity so far.
    pub severity: Severity,
    /// Topic and tenant that scope the series; empty for a bare file.
    pub scope: String,
    /// The series.
    pub series: SeriesKey,
    /// Start of the first exceeding bucket. Of a limit alert: of the first beyond the limit, forecast or seen.
    pub start: Timestamp,
    /// End of the last exceeding bucket so far.
    pub end: Timestamp,
    /// Event time at which this state was known.
    pub available_at: Timestamp,
    /// The highest score of the event so far. Of a limit alert: 1 while the limit is forecast to be crossed, 2 once it was.
    pub score: f64,
    /// Value of the bucket with that score. Of a limit alert: the value furthest to the wrong side so far.
    pub value: f64,
    /// What was expected there, in data units.
    pub expected: Option<f64>,
    /// Half width of the band around `expected` beyond which that bucket's score would reach 1.
    pub threshold: Option<f64>,
    /// Confidence of that score, in [0, 1].
    pub confidence: f64,
    /// The parts of that score.
    pub parts: Parts,
    /// The limit that is about to be crossed, or was; `None` for an anomaly.
    pub limit: Option<Limit>,
    /// Bundle name and the first 12 hexadecimal digits of its hash.
    pub bundle: String,
    /// Version of this layout.
    pub schema_version: u32,
}

impl Alert {
    /// The layout version written today; additive changes only.
    pub const SCHEMA_VERSION: u32 = 1;

    /// Name of its kind on the wire: `anomaly` or `limit`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        if self.limit.is_some() { "limit" } else { "anomaly" }
    }

    /// The CloudEvents id of this state: alert id and state.
    #[must_use]
    pub fn event_id(&self) -> String {
        format!("{}.{}", self.id, self.state.name())
    }
}
