//! Runs of the real binary, their answers taken apart, and what they need.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Output;

use scorer::runtime::Runtime;

use super::agent::command;

/// What a run of the binary left behind.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Exit code; -1 after a signal.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
}

impl Ran {
    /// Asserts that it ended well.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{}{}", self.stdout, self.stderr);
        self
    }
}

impl From<Output> for Ran {
    fn from(out: Output) -> Self {
        Self {
            code: out.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&out.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&out.stderr).into_owned(),
        }
    }
}

/// Runs the binary to its end.
pub(crate) fn agent<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Ran {
    command(&[]).args(arguments).output().unwrap().into()
}

/// Whether ONNX Runtime is here; without it a test that asks ends with a loud line, and where `CI=true` promises it with
/// a failure.
pub(crate) fn has_runtime(test: &str) -> bool {
    let Err(error) = Runtime::find(None) else {
        return true;
    };
    assert!(std::env::var("CI").as_deref() != Ok("true"), "on CI: {error}");
    println!("SKIPPED: {test}: {error}");
    false
}

/// The folder with the reference data, or a loud line and `None`.
pub(crate) fn reference_data(test: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("AGENT_REFERENCE_DATA").map(PathBuf::from);
    if folder.is_none() {
        println!("SKIPPED: {test}: set AGENT_REFERENCE_DATA to the folder with the reference data");
    }
    folder
}
