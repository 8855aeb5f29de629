//! The layers, forward and backward, over flat slices.
//!
//! A layer knows its sizes and where its tensors stand in the net's flat weights; activations live in tapes that the
//! caller keeps and that are reused from step to step.

pub mod affine;
pub mod batch_norm;
pub mod conv;
pub mod conv2d;
pub mod lstm;

pub use affine::Affine;
pub use batch_norm::{BatchNorm, Moments};
pub use conv::{Conv, ConvTape};
pub use conv2d::{Conv2d, Image};
pub use lstm::BiLstm;
