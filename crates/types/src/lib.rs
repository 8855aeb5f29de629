//! The vocabulary of the agent: plain values without I/O, clocks or threads.
//!
//! Every other crate speaks in these words; their meaning is fixed in `ARCHITECTURE.md`.

pub mod alert;
pub mod occurrence;
pub mod sample;
pub mod score;
pub mod series;
pub mod time;
pub mod window;

pub use alert::{Alert, AlertState, Bound, Limit, Severity, Silence};
pub use occurrence::{Occurrence, RejectReason};
pub use sample::{Control, ControlKind, Payload, Record, Rejected, Sample};
pub use score::{Forecast, Grounds, Part, Parts, RowStatus, ScoreRow};
pub use series::{SeriesKey, SeriesKeyError};
pub use time::{DurationMs, ParseTimestampError, Timestamp};
pub use window::{Aggregate, Bucket, Kind};
