//! Bundles, the ONNX backend and parity with the published method, from outside.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod bundle;
#[cfg(feature = "onnx")]
mod onnx;
mod parity_aer;
mod parity_arrays;
mod parity_find;
mod parity_vectors;
mod support;
