//! TadGAN scoring: what the nets see, what is made of their answers.
//!
//! [`normalise`] and [`manifest`] are shared with training, so that training and serving cannot drift apart.

pub mod backend;
pub mod manifest;
pub mod normalise;

pub use backend::{Backend, BackendError, WindowOutput};
