//! Which windows there are, and what they are for.
//!
//! A run of n buckets has a window for each bucket that may be its last, numbers L − 1 to n − 1, and the last bucket
//! decides what the window is for: in the first 80 % of the run it is trained on, in the next 10 % it validates (the
//! choice of a checkpoint and the end of training), in the last 10 % it calibrates, untouched by both. So no window
//! ends in an earlier slice than its own, and the newest bucket of each is one that the slices before have not seen.
//!
//! In a run not much longer than a window less than 20 % is left after the first window, which always trains. It is
//! shared evenly, the odd bucket calibrating: n = L has one window to train on, L + 1 one to calibrate on, too.

use std::ops::Range;

use super::Dataset;

/// An unbroken run of buckets of one series. Numbers count buckets within the spool, where not said otherwise.
#[derive(Clone, Debug)]
pub(super) struct Run {
    /// First bucket of its series.
    pub(super) series: u64,
    /// Its first bucket.
    pub(super) start: u64,
    /// How many it has.
    pub(super) len: u64,
    /// [`scorer::normalise::noise_floor`] of the series once it is frozen, data units.
    pub(super) floor: f64,
    /// Windows of earlier runs, by slice.
    pub(super) before: [usize; 3],
}

impl Run {
    /// First buckets of its windows by slice, counted within the run.
    pub(super) fn starts(&self, window: u64) -> [Range<u64>; 3] {
        let (validation, calibration) = cuts(self.len, window);
        let start = |end| end + 1 - window;
        [
            0..start(validation),
            start(validation)..start(calibration),
            start(calibration)..start(self.len),
        ]
    }
}

/// Numbers of the first buckets that end windows to validate on and to calibrate on, in a run of `len` buckets.
pub(super) fn cuts(len: u64, window: u64) -> (u64, u64) {
    let validation = (4 * len).div_ceil(5).max(window);
    (validation, validation + (len - validation) / 2)
}

/// What a window is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slice {
    Training = 0,
    Validation = 1,
    Calibration = 2,
}

/// Where a window stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Number of the run.
    pub run: usize,
    /// Number within the run of its first bucket.
    pub start: u64,
}

/// The windows of one slice, numbered through all runs; nothing is held a window.
#[derive(Clone, Copy, Debug)]
pub struct Windows<'a> {
    pub(super) data: &'a Dataset,
    pub(super) slice: Slice,
}

impl Windows<'_> {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.data.windows[self.slice as usize]
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where window `number` stands.
    ///
    /// # Panics
    /// When there are not so many windows.
    #[must_use]
    pub fn place(&self, number: usize) -> Place {
        assert!(number < self.len(), "window {number} of {}", self.len());
        let runs = &self.data.runs;
        // Runs without a window share their number with the run after them.
        let run = runs.partition_point(|run| run.before[self.slice as usize] <= number) - 1;
        let first = runs[run].before[self.slice as usize];
        let starts = &runs[run].starts(self.data.window as u64)[self.slice as usize];
        Place {
            run,
            start: starts.start + (number - first) as u64,
        }
    }

    /// Numbers of the windows of each run that has any: consecutive windows, each a bucket on from the one before.
    pub fn by_run(&self) -> impl Iterator<Item = Range<usize>> + Clone + '_ {
        let (slice, window) = (self.slice as usize, self.data.window as u64);
        let runs = self.data.runs.iter().map(move |run| {
            let starts = &run.starts(window)[slice];
            let first = run.before[slice];
            first..first + (starts.end - starts.start) as usize
        });
        runs.filter(|numbers| !numbers.is_empty())
    }
}
