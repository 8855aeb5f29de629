//! A reason to stop, with the exit code that says which kind it is.

use std::fmt;
use std::path::Path;

use ingest::file::OpenError;
use scorer::onnx::OnnxError;

use crate::exit_code;

/// What is printed before the process ends, and with which code.
#[derive(Debug)]
pub struct Failure {
    /// One of [`crate::exit_code`].
    pub code: u8,
    /// For a person; one line, or one a problem.
    pub message: String,
}

impl Failure {
    /// A failure with its code.
    pub fn new(code: u8, message: impl fmt::Display) -> Self {
        Self {
            code,
            message: message.to_string(),
        }
    }

    /// The command line or the configuration is wrong.
    pub fn usage(message: impl fmt::Display) -> Self {
        Self::new(exit_code::USAGE, message)
    }

    /// The input holds nothing usable.
    pub fn data(message: impl fmt::Display) -> Self {
        Self::new(exit_code::DATA, message)
    }

    /// A file that must be there is not.
    pub fn no_input(message: impl fmt::Display) -> Self {
        Self::new(exit_code::NO_INPUT, message)
    }

    /// Something outside does not answer: a broker, a port, ONNX Runtime.
    pub fn unavailable(message: impl fmt::Display) -> Self {
        Self::new(exit_code::UNAVAILABLE, message)
    }

    /// A file cannot be written or read on.
    pub fn io(message: impl fmt::Display) -> Self {
        Self::new(exit_code::IO, message)
    }

    /// An input file that cannot be used.
    pub fn open(path: &Path, error: &OpenError) -> Self {
        let code = match error {
            OpenError::NotFound => exit_code::NO_INPUT,
            OpenError::Read(_) => exit_code::IO,
            _ => exit_code::DATA,
        };
        Self::new(code, format_args!("{}: {error}", path.display()))
    }

    /// Nets that cannot be served: a bad bundle, or a device or runtime that does not work.
    #[must_use]
    pub fn nets(bundle: &Path, error: &OnnxError) -> Self {
        match error {
            OnnxError::Cuda(_) | OnnxError::Run(_) => Self::unavailable(error),
            OnnxError::Fingerprint(_) | OnnxError::Interface { .. } | OnnxError::Load { .. } => {
                Self::data(format_args!("cannot use bundle {}: {error}", bundle.display()))
            }
        }
    }

    /// An internal fault: a bug.
    pub fn internal(message: impl fmt::Display) -> Self {
        Self::new(exit_code::INTERNAL, message)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}
