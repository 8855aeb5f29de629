//! The last L buckets.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Values and mask of the last buckets: nine bytes a bucket.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ring {
    values: VecDeque<f64>,
    filled: VecDeque<bool>,
    /// Whether it was ever full, and at least half of it not filled in.
    has_past: bool,
    /// Buckets in a window, as of the last push.
    length: usize,
}

impl Ring {
    pub(crate) fn clear(&mut self) {
        self.values.clear();
        self.filled.clear();
    }

    /// A gap follows that is not filled in. What was before it, if there is a past to speak of, stands where buckets of the gap would,
    /// and is no better than they.
    pub(crate) fn restart(&mut self) {
        if !self.has_past {
            self.clear();
        }
        self.filled.iter_mut().for_each(|filled| *filled = true);
    }

    /// Adds a bucket at the end and drops what `length` buckets no longer hold.
    pub(crate) fn push(&mut self, length: usize, value: f64, filled: bool) {
        if self.values.is_empty() {
            self.values.reserve_exact(length);
            self.filled.reserve_exact(length);
        }
        while self.values.len() >= length.max(1) {
            self.values.pop_front();
            self.filled.pop_front();
        }
        self.values.push_back(value);
        self.filled.push_back(filled);
        self.length = length.max(1);
        let known = || self.filled.iter().filter(|filled| !**filled).count();
        self.has_past = self.has_past || self.values.len() >= self.length && 2 * known() >= self.length;
    }

    /// Memory beside the value itself.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.values.capacity() * size_of::<f64>() + self.filled.capacity()
    }

    /// Puts the value before it in the place of the newest bucket's.
    pub(crate) fn pass_over(&mut self) {
        if let Some(before) = self.values.len().checked_sub(2) {
            self.values[before + 1] = self.values[before];
        }
    }

    /// The window whose last bucket has number `end_index`, once there is one.
    pub(crate) fn window(&self, end_index: u64) -> Option<Window<'_>> {
        (!self.values.is_empty()).then_some(Window {
            ring: self,
            end_index,
        })
    }

    /// Middle one of the values, the lower of two.
    fn median(&self) -> Option<f64> {
        let mut sorted: Vec<f64> = self.values.iter().copied().collect();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted.get(sorted.len().saturating_sub(1) / 2).copied()
    }
}

/// The last L buckets of a series, oldest first.
///
/// Of a series that has fewer, the places before its first bucket hold the median of its values. After a restart the places before
/// it hold what was there before the gap, or where that was never a window of which half had samples, the series begins
/// again. Both count as filled in.
#[derive(Clone, Copy, Debug)]
pub struct Window<'a> {
    ring: &'a Ring,
    end_index: u64,
}

impl<'a> Window<'a> {
    /// Buckets in it (L).
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a window is never empty")]
    pub fn len(&self) -> usize {
        self.ring.length
    }

    /// Places before the first bucket.
    #[must_use]
    pub fn lacking(&self) -> usize {
        self.ring.length.saturating_sub(self.ring.values.len())
    }

    /// Values in data units, oldest first.
    pub fn values(&self) -> impl Iterator<Item = f64> + 'a {
        let lacking = self.lacking();
        let median = if lacking > 0 { self.ring.median() } else { None };
        let before = std::iter::repeat_n(median.unwrap_or_default(), lacking);
        before.chain(self.ring.values.iter().copied())
    }

    /// For each place, oldest first, whether it was filled in.
    pub fn filled_mask(&self) -> impl Iterator<Item = bool> + 'a {
        std::iter::repeat_n(true, self.lacking()).chain(self.ring.filled.iter().copied())
    }

    /// Share of filled-in places, in [0, 1].
    #[must_use]
    pub fn filled_share(&self) -> f64 {
        self.filled_mask().filter(|&filled| filled).count() as f64 / self.len() as f64
    }

    /// Number of its last bucket, as in [`Bucket::index`](types::Bucket::index).
    #[must_use]
    pub fn end_index(&self) -> u64 {
        self.end_index
    }
}
