//! Alerts: the states of one event.

use serde::{Deserialize, Serialize};

use crate::{Grounds, Parts, SeriesKey, Timestamp};

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

/// What a silence alert is about: a series that came regularly and comes no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// Time of its last sample before.
    pub last: Timestamp,
    /// Time of the sample that ended it; `None` while it lasts, and where it ended because the series is given up.
    pub returned: Option<Timestamp>,
}

/// One state of one event, the value that goes to the alert topic.
///
/// Holds no wall time, host or agent id, so that a re-run is byte-equal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Deterministic: from scope, series, the first exceeding bucket and what tells the kinds apart, see
    /// `alerting::identity`. 32 hexadecimal digits.
    pub id: String,
    /// Firing, escalated or resolved.
    pub state: AlertState,
    /// Highest severity so far.
    pub severity: Severity,
    /// Topic and tenant that scope the series; empty for a bare file.
    pub scope: String,
    /// The series.
    pub series: SeriesKey,
    /// Start of the first exceeding bucket. Of a limit alert: of the first beyond the limit, forecast or seen. Of a
    /// silence alert: of the first that is missing.
    pub start: Timestamp,
    /// End of the last exceeding bucket so far; of a silence alert, of the last that is missing.
    pub end: Timestamp,
    /// Event time at which this state was known.
    pub available_at: Timestamp,
    /// The highest score of the event so far. Of a limit alert: 1 while the limit is forecast to be crossed, 2 once it was.
    /// Of a silence alert: 1.
    pub score: f64,
    /// Value of the bucket with that score. Of a limit alert: the value furthest to the wrong side so far. Of a silence
    /// alert: of the last bucket that closed.
    pub value: f64,
    /// What was expected there, in data units.
    pub expected: Option<f64>,
    /// Half width of the band around `expected` beyond which that bucket's score would reach 1.
    pub threshold: Option<f64>,
    /// Confidence of that score, in [0, 1]. Of a silence alert: the share of the last window's buckets that had samples.
    pub confidence: f64,
    /// The parts of that score.
    pub parts: Parts,
    /// Start of the bucket with that score; of an anomaly only.
    pub at: Option<Timestamp>,
    /// What that score rests on; of an anomaly only.
    pub grounds: Option<Grounds>,
    /// The limit that is about to be crossed, or was; of limit alerts only.
    pub limit: Option<Limit>,
    /// Since when the series is silent; of silence alerts only.
    pub silence: Option<Silence>,
    /// Bundle name and the first 12 hexadecimal digits of its hash.
    pub bundle: String,
    /// Version of this layout.
    pub schema_version: u32,
}

impl Alert {
    /// The layout version written today; additive changes only.
    pub const SCHEMA_VERSION: u32 = 1;

    /// Name of its kind on the wire: `anomaly`, `limit` or `silence`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match (self.limit, self.silence) {
            (Some(_), _) => "limit",
            (None, Some(_)) => "silence",
            (None, None) => "anomaly",
        }
    }

    /// Whether a bucket was not normal: limits and silence say nothing of that.
    #[must_use]
    pub fn is_anomaly(&self) -> bool {
        self.limit.is_none() && self.silence.is_none()
    }

    /// Lower and upper end of the values around `expected` whose error alone would score below 1.
    #[must_use]
    pub fn band(&self) -> Option<[f64; 2]> {
        let (expected, half) = self.expected.zip(self.threshold)?;
        // A band that no number can hold says nothing.
        Some([expected - half, expected + half]).filter(|band| band.iter().all(|edge| edge.is_finite()))
    }

    /// How far the value lies above (positive) or below what was expected, data units.
    #[must_use]
    pub fn deviation(&self) -> Option<f64> {
        Some(self.value - self.expected?).filter(|deviation| deviation.is_finite())
    }

    /// The deviation as a share of the expected value's size; `None` where that is 0 or too small to divide by.
    #[must_use]
    pub fn relative_deviation(&self) -> Option<f64> {
        let share = self.deviation()? / self.expected?.abs();
        Some(share).filter(|share| share.is_finite())
    }

    /// The CloudEvents id of this state: alert id and state.
    #[must_use]
    pub fn event_id(&self) -> String {
        format!("{}.{}", self.id, self.state.name())
    }
}
