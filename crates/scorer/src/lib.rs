//! TadGAN scoring: what the nets see, what is made of their answers.
//!
//! [`normalise`] and [`manifest`] are shared with training, so that training and serving cannot drift apart.

pub mod backend;
pub mod bundle;
pub mod causal;
mod coarse;
pub mod companions;
#[cfg(feature = "onnx")]
pub mod fingerprint;
pub mod manifest;
pub mod normalise;
#[cfg(feature = "onnx")]
pub mod onnx;
pub mod parity;
#[cfg(feature = "onnx")]
pub mod runtime;
pub mod tail;

pub use backend::{Backend, BackendError, WindowOutput};
