//! Scores on the one fixed scale: 1 is the boundary of a warning, 2 of a critical alert.

use serde::{Deserialize, Serialize};

use crate::{SeriesKey, Timestamp};

/// What a score is made of, each part on the score scale (1 is where this part alone would warn).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Parts {
    /// Reconstruction error against the series' own past.
    pub reconstruction: f64,
    /// Error of what was forecast before the bucket closed, against the series' own past; `None` where there was
    /// none.
    pub prediction: Option<f64>,
    /// Distance of the critic's value from its centre, against the series' own past.
    pub critic: f64,
    /// How far outside everything seen so far.
    pub range: f64,
    /// How far outside what this time of day has shown.
    pub envelope: f64,
    /// How far outside what their times of day have shown the last buckets were, taken together.
    #[serde(default)]
    pub drift: f64,
    /// Error of the coarse bucket that it ends or follows, against the series' own past.
    #[serde(default)]
    pub coarse: f64,
}

impl Parts {
    /// One of them; 0 where there is none.
    #[must_use]
    pub fn get(&self, part: Part) -> f64 {
        match part {
            Part::Reconstruction => self.reconstruction,
            Part::Prediction => self.prediction.unwrap_or_default(),
            Part::Critic => self.critic,
            Part::Range => self.range,
            Part::Envelope => self.envelope,
            Part::Drift => self.drift,
            Part::Coarse => self.coarse,
        }
    }

    /// The largest, the first in the order of [`Part::ALL`] among equals; `None` where all are 0.
    #[must_use]
    pub fn largest(&self) -> Option<Part> {
        let larger = |best: Option<Part>, part: Part| match best {
            Some(best) if self.get(best) >= self.get(part) => Some(best),
            _ => Some(part).filter(|part| self.get(*part) > 0.0),
        };
        Part::ALL.into_iter().fold(None, larger)
    }
}

/// Names one of [`Parts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// [`Parts::reconstruction`].
    Reconstruction,
    /// [`Parts::prediction`].
    Prediction,
    /// [`Parts::critic`].
    Critic,
    /// [`Parts::range`].
    Range,
    /// [`Parts::envelope`].
    Envelope,
    /// [`Parts::drift`].
    Drift,
    /// [`Parts::coarse`].
    Coarse,
}

impl Part {
    /// All, in the order in which they are written.
    pub const ALL: [Self; 7] = [
        Self::Reconstruction,
        Self::Prediction,
        Self::Critic,
        Self::Range,
        Self::Envelope,
        Self::Drift,
        Self::Coarse,
    ];

    /// Name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Reconstruction => "reconstruction",
            Self::Prediction => "prediction",
            Self::Critic => "critic",
            Self::Range => "range",
            Self::Envelope => "envelope",
            Self::Drift => "drift",
            Self::Coarse => "coarse",
        }
    }
}

/// What a score rests on, for whoever has to explain it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Grounds {
    /// How much of the score is due to each part, in [0, 1]: they add up to 1. Of parts that are alternatives the
    /// largest counts, the others are 0.
    pub shares: Parts,
    /// Smallest and largest value ever seen before, data units; `None` while the history is short.
    pub seen: Option<[f64; 2]>,
    /// Smallest and largest value that this time of day showed over the last days, data units; `None` where that is not
    /// known.
    pub time_of_day: Option<[f64; 2]>,
    /// How far above (below where negative) what their times of day had shown the last buckets were, a mean, data units; `None`
    /// where that is not known.
    #[serde(default)]
    pub drift: Option<f64>,
}

/// What the nets say of a bucket before it closes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// The series.
    pub series: SeriesKey,
    /// Start of the bucket that is forecast: the one after the bucket that closed last.
    pub timestamp: Timestamp,
    /// Its value, data units.
    pub value: f64,
    /// Values around it of which the prediction alone would score below 1; absent while the history is short.
    pub band: Option<[f64; 2]>,
    /// How much it is worth, in [0, 1]: grows with the history, falls with the share of filled-in buckets.
    pub confidence: f64,
    /// Event time at which it was known.
    pub available_at: Timestamp,
}

/// Whether a row can still change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowStatus {
    /// Never changes.
    Final,
    /// Not scored yet when the input ended.
    Pending,
}

/// One row of `--scores`: one bucket of one series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoreRow {
    /// Start of the bucket.
    pub timestamp: Timestamp,
    /// The series.
    pub series: SeriesKey,
    /// Value of the bucket; absent when it was filled in.
    pub value: Option<f64>,
    /// What the nets expected, in data units: a forecast where they predict, else a reconstruction.
    pub expected: Option<f64>,
    /// How far from normal.
    pub score: Option<f64>,
    /// The score after the refractory, rarity and recurrence rules: what alerts open on.
    pub peak: Option<f64>,
    /// The raw combined error, in data units, at which the score is 1.
    pub threshold: Option<f64>,
    /// In [0, 1]; 0 for a bucket that will never be scored.
    pub confidence: f64,
    /// Final or pending.
    pub status: RowStatus,
    /// Event time at which the score existed; absent while pending.
    pub available_at: Option<Timestamp>,
    /// Id of the alert that was open at `available_at`.
    pub alert: Option<String>,
}
