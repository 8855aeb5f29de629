//! Task and Host: the only place that knows the order of the stages.
//!
//! A [`Task`] is everything of one input partition and a pure function of its records and control records: it does no
//! I/O, reads no clock and runs no net. Windows that are due leave it, results come back, in whatever order; they are
//! applied in the order in which the windows fell due. A [`Host`] holds the tasks of a process and runs inference for all
//! of them in batches. [`delivery`] is the protocol around a task: where to start, when to speak, what may be committed.
//! A [`Member`] is that for all partitions of a process.

pub mod delivery;
pub mod host;
pub mod maintenance;
pub mod member;
pub mod origin;
pub mod settings;
pub mod state;
pub mod task;

pub use host::{Host, Inference, TaskId};
pub use maintenance::Maintenance;
pub use member::{Member, Publication, Start};
pub use origin::Origin;
pub use settings::{Matcher, Model, Rule, SeriesSettings, TaskSettings};
pub use state::{Gathered, Identity, Kept, Past, StateRecord, Unusable};
pub use task::{Input, Output, Overdue, SnapshotError, Task, TaskMemory};
