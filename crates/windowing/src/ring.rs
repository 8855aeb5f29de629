//! The last L buckets.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Values and mask of the last buckets since the last restart: nine bytes a bucket.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ring {
    values: VecDeque<f64>,
    filled: VecDeque<bool>,
    /// Buckets in a window, as of the last push.
    length: usize,
}

impl Ring {
    pub(crate) fn clear(&mut self) {
        self.values.clear();
        self.filled.clear();
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
        self.length = length;
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

    /// The window whose last bucket has number `end_index`, once it is full.
    pub(crate) fn window(&self, end_index: u64) -> Option<Window<'_>> {
        (!self.values.is_empty() && self.values.len() == self.length).then_some(Window {
            ring: self,
            end_index,
        })
    }
}

/// The last L consecutive buckets of a series, oldest first.
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
        self.ring.values.len()
    }

    /// Values in data units, oldest first.
    pub fn values(&self) -> impl ExactSizeIterator<Item = f64> + 'a {
        self.ring.values.iter().copied()
    }

    /// Copies the values into `out`, oldest first.
    ///
    /// # Panics
    /// When `out` does not have [`Self::len`] elements.
    pub fn copy_values(&self, out: &mut [f64]) {
        let (older, newer) = self.ring.values.as_slices();
        assert_eq!(out.len(), older.len() + newer.len(), "one place a bucket");
        let (first, second) = out.split_at_mut(older.len());
        first.copy_from_slice(older);
        second.copy_from_slice(newer);
    }

    /// For each bucket, oldest first, whether it was filled in.
    pub fn filled_mask(&self) -> impl ExactSizeIterator<Item = bool> + 'a {
        self.ring.filled.iter().copied()
    }

    /// Share of filled-in buckets, in [0, 1].
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
