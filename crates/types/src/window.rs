//! Buckets: what the grid makes of samples.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// What a series' values mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A level, used as it is.
    #[default]
    Gauge,
    /// A running total: turned into a rate per second, aware of resets, before anything else.
    Counter,
}

/// How the samples of one bucket become its value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aggregate {
    /// Arithmetic mean.
    #[default]
    Mean,
    /// Sum.
    Sum,
    /// Largest.
    Max,
    /// Smallest.
    Min,
    /// The latest by event time.
    Last,
}

/// One closed bucket of one series.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bucket {
    /// Its start, a multiple of the interval.
    pub start: Timestamp,
    /// Its value; where [`Self::filled`] is set, carried over from the last bucket that had samples.
    pub value: f64,
    /// True when no sample fell into it.
    pub filled: bool,
    /// Number in the series' sequence of closed buckets: grows by one a bucket, also across window restarts.
    pub index: u64,
}
