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
        // What lies behind the end of compressed data.
        if let Err(source) = io::copy(&mut self.tap, &mut io::sink()) {
            return Err(DataError::Read { path, source });
        }
        let hashing = self.tap.lock();
        let same = self.before.is_none_or(|before| {
            let after = fs::metadata(&path).map(|after| Stamp::of(&after));
            before.len == hashing.read && after.is_ok_and(|after| after == before)
        });
        if same {
            Ok(hex(hashing.hash.clone()))
        } else {
            Err(DataError::Changed { path })
        }
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

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use scorer::bundle::sha256_hex;

    use super::*;

    /// Opens a file of 20 000 rows, reads some, lets `change` happen, reads on to the end.
    fn read_while(change: impl FnOnce(&Path)) -> Result<String, DataError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metric.csv");
        fs::write(&path, rows()).unwrap();
        let (mut reader, watched) = open(&path).unwrap();
        assert!(reader.by_ref().take(100).all(|item| item.is_ok()));
        change(&path);
        // What it still reads is not looked at: the change makes all of it worthless.
        reader.for_each(drop);
        watched.finish()
    }

    fn rows() -> String {
        let rows = (0..20_000).map(|k| format!("{},{}\n", 1_700_000_000 + 60 * k, k % 7));
        std::iter::once("timestamp,value\n".to_owned())
            .chain(rows)
            .collect()
    }

    #[test]
    fn the_hash_is_that_of_the_file() {
        assert_eq!(read_while(|_| {}).unwrap(), sha256_hex(rows().as_bytes()));
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(rows().as_bytes()).unwrap();
        let packed = packed.finish().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metric.csv.gz");
        fs::write(&path, &packed).unwrap();
        let (reader, watched) = open(&path).unwrap();
        assert_eq!(reader.count(), 20_000);
        assert_eq!(watched.finish().unwrap(), sha256_hex(&packed));
    }

    #[test]
    fn a_change_under_the_reader_is_seen() {
        let append = |path: &Path| {
            let mut file = File::options().append(true).open(path).unwrap();
            file.write_all(b"1800000000,1\n").unwrap();
        };
        let replace = |path: &Path| {
            let other = path.with_extension("new");
            fs::write(&other, rows()).unwrap();
            fs::rename(&other, path).unwrap();
        };
        let cut = |path: &Path| {
            File::options()
                .write(true)
                .open(path)
                .unwrap()
                .set_len(500_000)
                .unwrap()
        };
        let rewrite = |path: &Path| {
            // The clock of a file system may be too coarse to see a change so soon after the file was made.
            let file = File::options().write(true).open(path).unwrap();
            let later = file.metadata().unwrap().modified().unwrap() + std::time::Duration::from_secs(1);
            file.set_modified(later).unwrap();
        };
        let remove = |path: &Path| fs::remove_file(path).unwrap();
        let changes: [fn(&Path); 5] = [append, replace, cut, rewrite, remove];
        for (number, change) in changes.into_iter().enumerate() {
            let error = read_while(change).unwrap_err();
            assert!(matches!(error, DataError::Changed { .. }), "{number}: {error}");
            assert!(error.to_string().contains("changed while it was read"));
        }
    }
}
