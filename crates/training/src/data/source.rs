//! A metric file that is hashed as it is read, and must be the same file at the end.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ingest::file::{self, FileOptions, OpenError, SampleReader};
use sha2::{Digest as _, Sha256};

use super::error::DataError;

/// Watches over a file that is being read.
pub(super) struct Watched {
    path: PathBuf,
    /// What it was like at first; `None` of a pipe, which cannot be looked at twice.
    before: Option<Stamp>,
    tap: Tap,
}

/// What changes when somebody writes to a file or puts another in its place.
#[derive(PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    len: u64,
    modified: (i64, i64),
}

/// Opens a file for its samples and its hash.
pub(super) fn open(path: &Path) -> Result<(SampleReader, Watched), OpenError> {
    let file = File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => OpenError::NotFound,
        _ => OpenError::Read(error),
    })?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(OpenError::Directory);
    }
    let tap = Tap(Arc::new(Mutex::new(Hashing {
        file,
        hash: Sha256::new(),
        read: 0,
    })));
    let watched = Watched {
        path: path.to_owned(),
        before: metadata.is_file().then(|| Stamp::of(&metadata)),
        tap: tap.clone(),
    };
    let reader = file::open_reader(tap, metadata.len(), path, &FileOptions::default())?;
    Ok((reader, watched))
}

impl Watched {
    /// The SHA-256 of the whole file, once its samples have been read.
    pub(super) fn finish(mut self) -> Result<String, DataError> {
        let path = self.path;
        let failed = |source| DataError::Read {
            path: path.clone(),
            source,
        };
        // What lies behind the end of compressed data.
        io::copy(&mut self.tap, &mut io::sink()).map_err(failed)?;
        let hashing = self.tap.lock();
        if let Some(before) = self.before {
            let after = fs::metadata(&path).map_err(failed)?;
            if before != Stamp::of(&after) || before.len != hashing.read {
                return Err(DataError::Changed { path });
            }
        }
        Ok(hex(hashing.hash.clone()))
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            file: (metadata.dev(), metadata.ino()),
            len: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

struct Hashing {
    file: File,
    hash: Sha256,
    read: u64,
}

/// The file's bytes, for two: who reads the samples, and who wants the hash.
#[derive(Clone)]
struct Tap(Arc<Mutex<Hashing>>);

impl Tap {
    fn lock(&self) -> MutexGuard<'_, Hashing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Read for Tap {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut hashing = self.lock();
        let n = hashing.file.read(buffer)?;
        hashing.hash.update(&buffer[..n]);
        hashing.read += n as u64;
        Ok(n)
    }
}

/// Hexadecimal, as manifests write it.
pub(super) fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
