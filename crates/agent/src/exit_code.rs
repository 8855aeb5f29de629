//! Exit codes of `agent`, after the BSD `sysexits` convention.

/// Everything went well.
pub const OK: u8 = 0;
/// The command line or the configuration is wrong.
pub const USAGE: u8 = 64;
/// The input, or a bundle, holds nothing usable.
pub const DATA: u8 = 65;
/// A file that must be there is not.
pub const NO_INPUT: u8 = 66;
/// A broker, a port or ONNX Runtime is not to be had.
pub const UNAVAILABLE: u8 = 69;
/// A fault of the agent itself.
pub const INTERNAL: u8 = 70;
/// A file cannot be read on or written.
pub const IO: u8 = 74;
