//! Lines of bounded length, with a look ahead.

use std::collections::VecDeque;
use std::io::{self, BufRead, Read};
use std::mem;

use types::{RejectReason, Rejected};

use crate::decode::reject;

/// Longest line that is read (bytes). A longer one is skipped and counts one reject, so that a file without line
/// feeds cannot fill the memory.
const MAX_LINE_BYTES: usize = 16 << 20;

/// Most that [`Lines::look_ahead`] holds (bytes), give or take one line.
const MAX_AHEAD_BYTES: usize = 1 << 20;

pub(super) struct Lines {
    reader: Box<dyn BufRead + Send>,
    current: Line,
    ahead: VecDeque<Line>,
    /// Met while looking ahead, due after the lines that were held.
    failure: Option<io::Error>,
    /// Lines taken by [`Self::advance`].
    number: u64,
}

#[derive(Default)]
struct Line {
    text: Vec<u8>,
    too_long: bool,
}

impl Lines {
    pub(super) fn new(reader: Box<dyn BufRead + Send>) -> Self {
        Self {
            reader,
            current: Line::default(),
            ahead: VecDeque::new(),
            failure: None,
            number: 0,
        }
    }

    /// Goes to the next line; false at the end.
    pub(super) fn advance(&mut self) -> io::Result<bool> {
        let more = match self.ahead.pop_front() {
            Some(line) => {
                self.current = line;
                true
            }
            None => match self.failure.take() {
                Some(error) => return Err(error),
                None => self.current.read(&mut self.reader)?,
            },
        };
        self.number += u64::from(more);
        Ok(more)
    }

    /// The line last gone to, without its end.
    pub(super) fn text(&self) -> Result<&[u8], Rejected> {
        if self.current.too_long {
            let detail = format!("longer than {} MiB", MAX_LINE_BYTES >> 20);
            return Err(reject(RejectReason::Malformed, detail));
        }
        Ok(&self.current.text)
    }

    /// Number of the line last gone to, from 1.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Up to `n` lines after the current one; they come again from [`Self::advance`].
    pub(super) fn look_ahead(&mut self, n: usize) -> impl Iterator<Item = &[u8]> {
        let mut held: usize = self.ahead.iter().map(|line| line.text.len()).sum();
        while self.ahead.len() < n && held < MAX_AHEAD_BYTES && self.failure.is_none() {
            let mut line = Line::default();
            match line.read(&mut self.reader) {
                Ok(true) => {
                    held += line.text.len();
                    self.ahead.push_back(line);
                }
                Ok(false) => break,
                Err(error) => self.failure = Some(error),
            }
        }
        self.ahead.iter().take(n).map(|line| line.text.as_slice())
    }
}

impl Line {
    fn read(&mut self, reader: &mut Box<dyn BufRead + Send>) -> io::Result<bool> {
        self.text.clear();
        self.too_long = false;
        let limit = MAX_LINE_BYTES as u64 + 1;
        let n = reader.by_ref().take(limit).read_until(b'\n', &mut self.text)?;
        if self.text.last() == Some(&b'\n') {
            self.text.pop();
            if self.text.last() == Some(&b'\r') {
                self.text.pop();
            }
        } else if self.text.len() > MAX_LINE_BYTES {
            self.too_long = true;
            drop(mem::take(&mut self.text));
            reader.skip_until(b'\n')?;
        }
        Ok(n > 0)
    }
}
