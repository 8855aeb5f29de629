//! From a path to plain bytes: compression undone, the kind of content known, progress counted.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{FileType, OpenError};
use crate::inputlog;

const GZIP: [u8; 2] = [0x1F, 0x8B];
const ZSTD: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];
const BOM: [u8; 3] = [0xEF, 0xBB, 0xBF];

/// How much of the content decides what it is (bytes).
const HEAD_BYTES: u64 = 8192;

/// How far the file itself has been read.
pub(super) struct Progress {
    /// Size of the file (bytes).
    pub(super) total: u64,
    read: Arc<AtomicU64>,
}

impl Progress {
    pub(super) fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }
}

/// An open file, uncompressed, with a byte order mark taken off.
pub(super) struct Source {
    pub(super) reader: Box<dyn BufRead + Send>,
    pub(super) file_type: FileType,
    pub(super) progress: Progress,
}

impl Source {
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        let file = File::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => OpenError::NotFound,
            _ => OpenError::Read(error),
        })?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(OpenError::Directory);
        }
        Self::new(file, metadata.len())
    }

    /// What `file`, of `total` bytes, holds.
    pub(super) fn new(file: impl Read + Send + 'static, total: u64) -> Result<Self, OpenError> {
        let read = Arc::new(AtomicU64::new(0));
        let progress = Progress {
            total,
            read: Arc::clone(&read),
        };
        let (_, raw) = peek(Box::new(BufReader::new(Counting { file, read })), 4)?;
        let (mut head, mut reader) = peek(uncompressed(raw)?, HEAD_BYTES)?;
        if head.starts_with(&BOM) {
            io::copy(&mut reader.by_ref().take(BOM.len() as u64), &mut io::sink())?;
            head.drain(..BOM.len());
        }
        let file_type = file_type(&head)?;
        Ok(Self {
            reader,
            file_type,
            progress,
        })
    }
}

struct Counting<R> {
    file: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(buffer)?;
        self.read.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

fn uncompressed(mut raw: Box<dyn BufRead + Send>) -> io::Result<Box<dyn BufRead + Send>> {
    // At least four bytes lie in the buffer where there are so many: `peek` has put them there.
    let head = raw.fill_buf()?;
    Ok(if head.starts_with(&GZIP) {
        Box::new(BufReader::new(flate2::bufread::MultiGzDecoder::new(raw)))
    } else if head.starts_with(&ZSTD) {
        Box::new(BufReader::new(zstd::Decoder::with_buffer(raw)?))
    } else {
        raw
    })
}

/// The first `n` bytes, or all there are, and a reader that still yields them.
///
/// A failure after at least one byte is kept for the reader, so that what lies before it is not lost.
fn peek(mut reader: Box<dyn BufRead + Send>, n: u64) -> io::Result<(Vec<u8>, Box<dyn BufRead + Send>)> {
    let mut head = Vec::new();
    let result = reader.by_ref().take(n).read_to_end(&mut head);
    let start = Cursor::new(head.clone());
    let reader: Box<dyn BufRead + Send> = match result {
        Ok(_) => Box::new(start.chain(reader)),
        Err(error) if head.is_empty() => return Err(error),
        Err(error) => Box::new(start.chain(BufReader::new(Failed(Some(error))))),
    };
    Ok((head, reader))
}

/// Fails once, then is at its end.
struct Failed(Option<io::Error>);

impl Read for Failed {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

fn file_type(head: &[u8]) -> Result<FileType, OpenError> {
    if head.starts_with(&inputlog::MAGIC) {
        return Ok(FileType::InputLog);
    }
    if head.starts_with(&[0xFF, 0xFE]) || head.starts_with(&[0xFE, 0xFF]) {
        return Err(OpenError::Binary("it looks like UTF-16; only UTF-8 is read"));
    }
    if head.contains(&0) {
        return Err(OpenError::Binary("there is a NUL byte near its start"));
    }
    let text = head.trim_ascii_start();
    let first_line = text.split(|&b| b == b'\n').next().unwrap_or_default();
    match first_line.first() {
        None if head.len() as u64 == HEAD_BYTES => Err(OpenError::Binary("it starts with blanks only")),
        None => Err(OpenError::Empty),
        Some(b'{' | b'[') => Ok(FileType::JsonLines),
        // The last character may be cut off where the line is longer than the head.
        Some(_) if std::str::from_utf8(first_line).is_err_and(|error| error.error_len().is_some()) => {
            Err(OpenError::Binary("its first line is not UTF-8"))
        }
        Some(_) => Ok(FileType::Csv),
    }
}
