//! Bytes and files to samples.
//!
//! [`decode`](mod@decode) reads records as they come off the wire, [`file`](mod@file) reads metric files with the same decoders,
//! [`inputlog`] records a run so that it can be replayed exactly, [`labels`] reads known anomalies,
//! [`synthetic`] makes streams with faults of known time, and `kafka` (feature) is the live edge.
//!
//! Bad input is data: whatever cannot be used comes out as a [`types::Rejected`] with a reason, and the rest is
//! used.

pub mod decode;
pub mod file;
pub mod inputlog;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod labels;
pub mod synthetic;

pub use decode::{Decoded, Format, LabelRules, decode};
