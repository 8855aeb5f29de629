//! Bucket values on disk.
//!
//! Samples of many series come mixed, windows are read from one series at a time. So values go to a [`Scratch`] first,
//! in segments of [`SEGMENT`] values, each with the number of the segment of its series before it; when all of a series
//! is there, its chain of segments is walked backwards and lands in the [`Spool`] as one piece. What memory holds is a
//! segment a series, and one number each for where its chain and its piece begin.
//!
//! Both files are without a name: they are gone when the process is, however it ends.

use std::fs::File;
use std::io::{self, BufWriter, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Values of a segment; a series that is being read holds so many in memory.
pub(super) const SEGMENT: usize = 128;

/// Bytes of a segment on disk: the number of the one before it, and the values.
const SEGMENT_BYTES: usize = 8 + 8 * SEGMENT;

/// Values of finished series, one series after the other.
#[derive(Debug)]
pub(super) struct Spool {
    file: File,
    len: u64,
}

impl Spool {
    pub(super) fn new(dir: &Path) -> io::Result<Self> {
        let file = tempfile::tempfile_in(dir)?;
        Ok(Self { file, len: 0 })
    }

    /// `count` values from number `at` on.
    pub(super) fn read(&self, at: u64, count: usize) -> io::Result<Vec<f64>> {
        let mut bytes = vec![0; 8 * count];
        self.file.read_exact_at(&mut bytes, 8 * at)?;
        Ok(values(&bytes))
    }

    fn write(&self, at: u64, values: &[f64]) -> io::Result<()> {
        self.file.write_all_at(&bytes(values), 8 * at)
    }
}

/// Values of unfinished series.
#[derive(Debug)]
pub(super) struct Scratch {
    file: BufWriter<File>,
    segments: u64,
}

/// Where the values of one unfinished series are.
#[derive(Debug, Default)]
pub(super) struct Chain {
    /// Number of its newest segment plus one; 0 before the first.
    newest: u64,
    /// Values after that.
    tail: Vec<f64>,
    len: u64,
}

impl Chain {
    /// Values in all.
    pub(super) fn len(&self) -> u64 {
        self.len
    }
}

impl Scratch {
    pub(super) fn new(dir: &Path) -> io::Result<Self> {
        Ok(Self {
            file: BufWriter::with_capacity(1 << 16, tempfile::tempfile_in(dir)?),
            segments: 0,
        })
    }

    /// Adds a value to the end of a series.
    pub(super) fn push(&mut self, chain: &mut Chain, value: f64) -> io::Result<()> {
        if chain.tail.capacity() == 0 {
            chain.tail.reserve_exact(SEGMENT);
        }
        chain.tail.push(value);
        chain.len += 1;
        if chain.tail.len() == SEGMENT {
            self.file.write_all(&chain.newest.to_le_bytes())?;
            self.file.write_all(&bytes(&chain.tail))?;
            self.segments += 1;
            chain.newest = self.segments;
            chain.tail.clear();
        }
        Ok(())
    }

    /// Moves the first `count` values of a series, at most [`Chain::len`], to the end of `spool`. `see` gets them in
    /// pieces, the last first, each with the number within the series of its first value. Returns the number within
    /// the spool of the first.
    pub(super) fn finish(
        &mut self,
        chain: Chain,
        count: u64,
        spool: &mut Spool,
        mut see: impl FnMut(u64, &[f64]),
    ) -> io::Result<u64> {
        self.file.flush()?;
        let start = spool.len;
        let mut from = chain.len - chain.tail.len() as u64;
        let (mut piece, mut next) = (chain.tail, chain.newest);
        loop {
            let keep = count.saturating_sub(from).min(piece.len() as u64) as usize;
            if keep > 0 {
                spool.write(start + from, &piece[..keep])?;
                see(from, &piece[..keep]);
            }
            let Some(segment) = next.checked_sub(1) else {
                break;
            };
            let mut bytes = [0; SEGMENT_BYTES];
            let at = segment * SEGMENT_BYTES as u64;
            self.file.get_ref().read_exact_at(&mut bytes, at)?;
            let (link, rest) = bytes.split_at(8);
            next = link
                .iter()
                .rev()
                .fold(0, |link, byte| link << 8 | u64::from(*byte));
            piece = values(rest);
            from -= SEGMENT as u64;
        }
        spool.len += count;
        Ok(start)
    }

    /// Forgets all series.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(0))?;
        self.file.get_ref().set_len(0)?;
        self.segments = 0;
        Ok(())
    }
}

fn bytes(values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn values(bytes: &[u8]) -> Vec<f64> {
    let (chunks, _) = bytes.as_chunks();
    chunks.iter().map(|chunk| f64::from_le_bytes(*chunk)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixed_series_come_out_whole() {
        let dir = tempfile::tempdir().unwrap();
        let (mut spool, mut scratch) = (Spool::new(dir.path()).unwrap(), Scratch::new(dir.path()).unwrap());
        for round in 0..2 {
            // 0, 1, … values, around one and two segments, taken in turns.
            let lengths = [0, 1, SEGMENT - 1, SEGMENT, SEGMENT + 1, 2 * SEGMENT, 1000];
            let value = |series: usize, k: usize| (round * 100_000 + series * 10_000 + k) as f64;
            let mut chains: Vec<Chain> = lengths.iter().map(|_| Chain::default()).collect();
            for k in 0..1000 {
                for (series, chain) in chains.iter_mut().enumerate() {
                    if k < lengths[series] {
                        scratch.push(chain, value(series, k)).unwrap();
                    }
                }
            }
            for (series, chain) in chains.into_iter().enumerate() {
                let count = lengths[series] - lengths[series] / 3;
                let mut seen = vec![0.0; count];
                let start = scratch
                    .finish(chain, count as u64, &mut spool, |from, piece| {
                        seen[from as usize..][..piece.len()].copy_from_slice(piece);
                    })
                    .unwrap();
                let expected: Vec<f64> = (0..count).map(|k| value(series, k)).collect();
                assert_eq!(spool.read(start, count).unwrap(), expected);
                assert_eq!(seen, expected);
            }
            scratch.clear().unwrap();
        }
        assert!(spool.read(spool.len, 1).is_err(), "what is not there is an error");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
