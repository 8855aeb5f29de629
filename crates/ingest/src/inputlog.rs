//! Recorded runs: every record and control record that went into the tasks, in order, replayable exactly.
//!
//! Layout: [`MAGIC`], then one zstd stream of frames. A frame is the length of its body (u32, little endian), the
//! CRC-32 of its body (u32, little endian) and the body, an [`Entry`] in postcard. The first entry is the
//! [`Header`]; the last one of a run that ended cleanly is [`Entry::End`]. A log that was cut off anywhere, by a
//! crash or because its run still goes on, is readable up to the last frame that is whole.

use std::io::{self, Read, Write};

use flate2::Crc;
use serde::{Deserialize, Serialize};
use types::{Control, Record};

/// The first bytes of a recorded run.
pub const MAGIC: [u8; 8] = *b"AIOPSLOG";

/// The layout version written today.
pub const VERSION: u16 = 1;

/// Longest body of a frame (bytes), well above what a broker lets through as one record.
pub const MAX_BODY_BYTES: usize = 256 << 20;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Entry {
    /// What was run; the first entry of a log. Stays the first variant, so that any version can be told.
    Header(Header),
    /// A record went into the task of its partition.
    Record {
        /// Topic it came from.
        topic: String,
        /// Partition of that topic.
        partition: i32,
        /// The record as it came.
        record: Record,
    },
    /// A control record went into the task of its partition.
    Control {
        /// Topic of the task.
        topic: String,
        /// Partition of that topic.
        partition: i32,
        /// What it was.
        control: Control,
    },
    /// The run ended by itself.
    End,
}

/// What was run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Layout version, [`VERSION`] when written today. Stays the first field.
    pub version: u16,
    /// Configuration of the run (TOML).
    pub config: String,
    /// Identity of its bundle.
    pub bundle: String,
}

/// Why a log cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A frame does not hold what was written.
    #[error("the recorded run is damaged after {entries} entries: {what}")]
    Corrupt {
        /// Whole entries before it.
        entries: u64,
        /// What does not fit.
        what: &'static str,
    },
    /// Reading or writing failed.
    #[error("the recorded run cannot be read or written: {0}")]
    Io(#[from] io::Error),
    /// The start is not that of a recorded run.
    #[error("this is no recorded run")]
    NotALog,
    /// One entry is longer than [`MAX_BODY_BYTES`].
    #[error("an entry of {0} bytes is too long for a recorded run")]
    TooLong(usize),
    /// It was cut off before its header was whole.
    #[error("the recorded run ends before its header does")]
    Truncated,
    /// Written by another version.
    #[error("the recorded run has layout version {0}, this program reads {VERSION}")]
    Version(u16),
}

/// Writes a recorded run.
///
/// Entries are in reach of a reader after [`Self::flush`]; dropped without [`Self::finish`] the log looks like one
/// of a run that crashed.
pub struct Writer<W: Write> {
    zstd: zstd::Encoder<'static, W>,
    body: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Starts a log with its header.
    ///
    /// # Errors
    /// When writing fails.
    pub fn new(mut writer: W, header: &Header) -> Result<Self, LogError> {
        writer.write_all(&MAGIC)?;
        let mut log = Self {
            zstd: zstd::Encoder::new(writer, zstd::DEFAULT_COMPRESSION_LEVEL)?,
            body: Vec::new(),
        };
        log.write(&Entry::Header(header.clone()))?;
        log.flush()?;
        Ok(log)
    }

    /// Appends one entry.
    ///
    /// # Errors
    /// When it is too long, in which case nothing is written, or when writing fails.
    pub fn write(&mut self, entry: &Entry) -> Result<(), LogError> {
        self.body.clear();
        let body = std::mem::take(&mut self.body);
        self.body = postcard::to_extend(entry, body).map_err(io::Error::other)?;
        let length = u32::try_from(self.body.len()).ok();
        let length = length.filter(|_| self.body.len() <= MAX_BODY_BYTES);
        let length = length.ok_or(LogError::TooLong(self.body.len()))?;
        self.zstd.write_all(&length.to_le_bytes())?;
        self.zstd.write_all(&crc(&self.body).to_le_bytes())?;
        self.zstd.write_all(&self.body)?;
        Ok(())
    }

    /// Puts everything written so far in reach of a reader, at some cost in size.
    ///
    /// # Errors
    /// When writing fails.
    pub fn flush(&mut self) -> Result<(), LogError> {
        self.zstd.flush()?;
        Ok(())
    }

    /// Writes [`Entry::End`] and hands the writer back, flushed.
    ///
    /// # Errors
    /// When writing fails.
    pub fn finish(mut self) -> Result<W, LogError> {
        self.write(&Entry::End)?;
        let mut writer = self.zstd.finish()?;
        writer.flush()?;
        Ok(writer)
    }
}

/// Reads a recorded run: an iterator over the entries after the header, [`Entry::End`] included.
///
/// It ends at `End`, where the log was cut off, or after the first error.
pub struct Reader<R: Read> {
    zstd: zstd::Decoder<'static, io::BufReader<R>>,
    header: Header,
    body: Vec<u8>,
    entries: u64,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    EndedCleanly,
    CutOff,
}

impl<R: Read> Reader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// When this is no recorded run, one of another version, or one cut off in its header.
    pub fn new(mut reader: R) -> Result<Self, LogError> {
        let mut magic = [0; MAGIC.len()];
        reader
            .read_exact(&mut magic)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => LogError::NotALog,
                _ => LogError::Io(error),
            })?;
        if magic != MAGIC {
            return Err(LogError::NotALog);
        }
        let mut log = Self {
            zstd: zstd::Decoder::new(reader)?,
            header: Header {
                version: VERSION,
                config: String::new(),
                bundle: String::new(),
            },
            body: Vec::new(),
            entries: 0,
            state: State::Open,
        };
        if !log.frame()? {
            return Err(LogError::Truncated);
        }
        // The variant and the version come first in every layout.
        let start = postcard::take_from_bytes::<(u32, u16)>(&log.body);
        match start {
            Ok(((0, VERSION), _)) => {}
            Ok(((0, version), _)) => return Err(LogError::Version(version)),
            Ok(_) | Err(_) => return Err(log.corrupt("its first entry is no header")),
        }
        let Entry::Header(header) = log.entry()? else {
            return Err(log.corrupt("its first entry is no header"));
        };
        log.header = header;
        Ok(log)
    }

    /// What was run.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Whether the run ended by itself. False before the last entry is read, and for a log that was cut off.
    #[must_use]
    pub fn ended_cleanly(&self) -> bool {
        self.state == State::EndedCleanly
    }

    /// Reads one frame into the body; false where the log was cut off.
    fn frame(&mut self) -> Result<bool, LogError> {
        let mut word = [0; 4];
        if !whole(self.zstd.read_exact(&mut word))? {
            return Ok(false);
        }
        let length = u32::from_le_bytes(word) as usize;
        if length > MAX_BODY_BYTES {
            return Err(self.corrupt("a length is out of bounds"));
        }
        if !whole(self.zstd.read_exact(&mut word))? {
            return Ok(false);
        }
        self.body.clear();
        // Grows as it reads, so that a wrong length takes no memory.
        let read = self.zstd.by_ref().take(length as u64).read_to_end(&mut self.body);
        if !whole(read.map(|_| ()))? || self.body.len() < length {
            return Ok(false);
        }
        if crc(&self.body) != u32::from_le_bytes(word) {
            return Err(self.corrupt("a checksum is wrong"));
        }
        Ok(true)
    }

    fn entry(&mut self) -> Result<Entry, LogError> {
        let (entry, rest) =
            postcard::take_from_bytes(&self.body).map_err(|_| self.corrupt("an entry cannot be decoded"))?;
        if !rest.is_empty() {
            return Err(self.corrupt("an entry is longer than it should be"));
        }
        self.entries += 1;
        Ok(entry)
    }

    fn corrupt(&self, what: &'static str) -> LogError {
        LogError::Corrupt {
            entries: self.entries,
            what,
        }
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Result<Entry, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.state != State::Open {
            return None;
        }
        let result = self
            .frame()
            .and_then(|more| if more { self.entry().map(Some) } else { Ok(None) });
        self.state = match &result {
            Ok(Some(Entry::End)) => State::EndedCleanly,
            Ok(Some(_)) => State::Open,
            Ok(None) | Err(_) => State::CutOff,
        };
        result.transpose()
    }
}

/// False where the input ends too early, which is how a crashed run looks.
fn whole(result: io::Result<()>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn crc(body: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(body);
    crc.sum()
}

#[cfg(test)]
mod tests;
