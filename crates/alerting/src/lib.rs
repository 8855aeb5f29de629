//! From scores to alert states: one event opens, may escalate, and resolves, each at most once.
//!
//! [`AlertMachine`] decides; [`identity`] names events so that a re-run names them alike; [`wire`] is the layout on topics.

pub mod identity;
pub mod machine;
pub mod wire;

pub use machine::{AlertMachine, AlertSpec, Direction, Observation, Origin};
