//! Everything that is worth counting, as values: the edge turns them into metrics and log lines.

use serde::{Deserialize, Serialize};

/// Why a sample or record was not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RejectReason {
    /// Its time is too far ahead of its record's own time.
    Future,
    /// A field that must be there is missing.
    MissingField,
    /// The value is NaN or infinite.
    NotFinite,
    /// The value is no number.
    NotANumber,
    /// A series name or label that makes no key.
    BadSeries,
    /// The time cannot be read.
    BadTimestamp,
    /// The bytes are not of the expected format.
    Malformed,
    /// The task holds as many series as it may and could evict none.
    TooManySeries,
    /// More samples in one open bucket than it may hold.
    BucketFull,
    /// The sample's bucket has closed already.
    Late,
}

impl RejectReason {
    /// All reasons, in the order of [`Self::name`].
    pub const ALL: [Self; 10] = [
        Self::BadSeries,
        Self::BadTimestamp,
        Self::BucketFull,
        Self::Future,
        Self::Late,
        Self::Malformed,
        Self::MissingField,
        Self::NotANumber,
        Self::NotFinite,
        Self::TooManySeries,
    ];

    /// Stable name in metrics, headers and documents.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::BadSeries => "bad_series",
            Self::BadTimestamp => "bad_timestamp",
            Self::BucketFull => "bucket_full",
            Self::Future => "future",
            Self::Late => "late",
            Self::Malformed => "malformed",
            Self::MissingField => "missing_field",
            Self::NotANumber => "not_a_number",
            Self::NotFinite => "not_finite",
            Self::TooManySeries => "too_many_series",
        }
    }
}

/// Something that happened inside a task and is counted outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Occurrence {
    /// A sample was taken in.
    SampleAccepted,
    /// A sample replaced an earlier one of the same series and time.
    SampleDuplicate,
    /// A sample or record was not used.
    Rejected(RejectReason),
    /// A counter went down and was taken as restarted.
    CounterReset,
    /// A series was seen for the first time.
    SeriesCreated,
    /// A series was forgotten to make room, or because it was silent for too long.
    SeriesEvicted,
    /// A regular series fell silent; series that do so together share one alert.
    SeriesSilent,
    /// A series' window was started anew after a long silence: what was before it counts as filled in.
    WindowRestarted,
    /// A bucket closed with samples in it.
    BucketClosed,
    /// A bucket closed without samples and was filled in.
    BucketFilled,
    /// A window went to the nets.
    WindowDue,
    /// A window held too many filled-in buckets and was not scored. A series that has just begun lacks some, and is not counted.
    WindowSkipped,
    /// A bucket got its final score.
    BucketScored,
    /// An alert state was emitted.
    AlertEmitted,
    /// An alert was held back because the input is being re-read.
    AlertMuted,
}
