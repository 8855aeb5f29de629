//! What comes in: samples, and the records that carry them.

use serde::{Deserialize, Serialize};

use crate::{RejectReason, SeriesKey, Timestamp};

/// One value of one series at one event time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// The series it belongs to.
    pub series: SeriesKey,
    /// Event time.
    pub time: Timestamp,
    /// The value, in the metric's own unit. Finite: decoders reject the rest.
    pub value: f64,
}

/// One record of an input partition, as it came.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Position in the partition.
    pub offset: i64,
    /// The record's own timestamp (Kafka's), the measure for samples from the future. `None`: no guard.
    pub time: Option<Timestamp>,
    /// What it carries.
    pub payload: Payload,
}

/// The content of a record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Payload {
    /// Encoded, as on the wire: decoded inside the task, so that a recorded run decodes again.
    Bytes(Vec<u8>),
    /// Samples that a file reader has decoded already.
    Samples(Vec<Sample>),
}

/// A part of a record that could not be used, and why. Goes to the dead-letter topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// Why, from a closed list.
    pub reason: RejectReason,
    /// One line for a person: what was wrong where.
    pub detail: String,
}

/// Whatever acts on a task and is no record of its partition, stamped with the offset it took effect at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Control {
    /// It took effect after every record below this offset and before the record at it.
    pub offset: i64,
    /// What it does.
    pub kind: ControlKind,
}

/// The kinds of control records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ControlKind {
    /// Open buckets of series that have gone quiet close, once they have been waited for long enough.
    IdleClose {
        /// The event time that has come, as the edge sees it.
        until: Timestamp,
        /// Only series that took no sample from a record at this offset or later: one that is catching up is not quiet.
        quiet_since: u64,
    },
    /// The partition was assigned: the task begins anew, silent about the past if `muted`.
    Start {
        /// Whether alerts and rows are held back until [`Self::Live`].
        muted: bool,
    },
    /// The re-read of the past is over: alerts are emitted from here on.
    Live,
}
