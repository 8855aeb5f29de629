//! From scores to alert states: one event opens, may escalate, and resolves, each at most once.
//!
//! [`AlertMachine`] decides on scores, [`LimitMachine`] on limits set by hand, [`SilenceMachine`] says that a series comes no more;
//! [`identity`] names events so that a re-run names them alike; [`wire`] is the layout on topics, [`reason`] the sentence in it.

pub mod identity;
pub mod limit;
pub mod machine;
pub mod reason;
pub mod silence;
pub mod wire;

pub use limit::{LimitMachine, LimitSpec, Outlook, Reading};
pub use machine::{AlertMachine, AlertSpec, Direction, Observation, Origin};
pub use silence::{Missed, SilenceMachine};
