//! Bundles, the ONNX backend and parity with the published method, from outside.

mod bundle;
#[cfg(feature = "onnx")]
mod onnx;
mod support;
