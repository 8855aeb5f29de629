//! Writing files so that each is whole or not there at all, and saying which one could not be written.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Extension of a file that is being written.
pub(crate) const STAGING: &str = "part";

/// A file or directory cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {path}: {source}")]
pub struct WriteError {
    /// Which.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// Puts the path to an error of writing.
pub(crate) fn writing(path: &Path) -> impl FnOnce(io::Error) -> WriteError {
    let path = path.to_owned();
    |source| WriteError { path, source }
}

/// Writes a file beside `path` first, which then takes its place.
///
/// # Errors
/// When it cannot be written; `path` is as before.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    let mut staging = path.as_os_str().to_owned();
    staging.push(format!(".{STAGING}"));
    let staging = PathBuf::from(staging);
    let written = write_synced(&staging, bytes).and_then(|()| fs::rename(&staging, path));
    written.map_err(|source| {
        // What is left of it only takes room on a disk that may be full.
        let _ = fs::remove_file(&staging);
        WriteError {
            path: path.to_owned(),
            source,
        }
    })
}

/// Writes a new file and waits until it is on disk.
pub(crate) fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
