//! A second, coarser view of a series: buckets of several buckets, and windows of those.

use serde::{Deserialize, Serialize};
use types::{Bucket, DurationMs, Timestamp};

use crate::ring::{Ring, Window};
use crate::series::Closed;

/// Coarse buckets of one series and the window of them.
///
/// A coarse bucket is `factor` buckets long and lies on the epoch grid of its own length. Its value is the mean of those of its
/// buckets that were not filled in; it is filled in itself when all of them were. It closes with the last of them. A gap
/// that starts the fine window anew empties this one: days before it are no context, and what is whole again in days can wait.
///
/// All of it is state, as of [`crate::SeriesWindow`]; the same `length` and `factor` are passed to every call.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CoarseWindow {
    /// Start of the coarse bucket under way.
    start: Option<Timestamp>,
    sum: f64,
    /// Buckets in `sum`.
    count: u32,
    /// Value that a filled-in coarse bucket takes.
    carried: f64,
    next_index: u64,
    ring: Ring,
}

impl CoarseWindow {
    /// Takes the next closed bucket of the series, `interval` milliseconds long, and gives the coarse one that closed with it;
    /// then [`Self::window`] ends with that. A `factor` below 2 gives none.
    pub fn push(
        &mut self,
        length: usize,
        factor: u32,
        interval: DurationMs,
        closed: &Closed,
    ) -> Option<Bucket> {
        if factor < 2 {
            return None;
        }
        let fine = &closed.bucket;
        let span = interval.saturating_mul(i64::from(factor));
        let start = fine.start.floor_to(span);
        if closed.restarted {
            self.ring.clear();
        }
        if closed.restarted || self.start != Some(start) {
            (self.start, self.sum, self.count) = (Some(start), 0.0, 0);
        }
        if !fine.filled {
            self.sum += fine.value;
            self.count += 1;
        }
        if fine.start - start + interval < span {
            return None;
        }
        self.start = None;
        let filled = self.count == 0;
        if !filled {
            self.carried = self.sum / f64::from(self.count);
        }
        let bucket = Bucket {
            start,
            value: self.carried,
            filled,
            index: self.next_index,
        };
        self.next_index += 1;
        self.ring.push(length, bucket.value, filled);
        Some(bucket)
    }

    /// Memory beside the value itself (bytes).
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.ring.heap_bytes()
    }

    /// The window that ends with the coarse bucket that closed last, once there were `length` since the last restart.
    #[must_use]
    pub fn window(&self) -> Option<Window<'_>> {
        let window = self.ring.window(self.next_index.checked_sub(1)?);
        window.filter(|window| window.lacking() == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(at: i64, value: Option<f64>, restarted: bool) -> Closed {
        Closed {
            bucket: Bucket {
                start: Timestamp::from_millis(at * 1000),
                value: value.unwrap_or(99.0),
                filled: value.is_none(),
                index: 0,
            },
            available_at: Timestamp::from_millis((at + 1) * 1000),
            restarted,
        }
    }

    #[test]
    fn buckets_lie_on_the_epoch_grid() {
        let mut coarse = CoarseWindow::default();
        let mut got = Vec::new();
        let values = [Some(5.0), Some(1.0), None, Some(3.0), None, None, None, Some(7.0)];
        for (i, value) in values.into_iter().enumerate() {
            // The first bucket is the last third of its coarse one.
            got.extend(coarse.push(2, 3, 1000, &closed(2 + i as i64, value, false)));
        }
        let shape: Vec<_> = got
            .iter()
            .map(|b| (b.start.millis() / 1000, b.value, b.filled, b.index))
            .collect();
        assert_eq!(shape, [(0, 5.0, false, 0), (3, 2.0, false, 1), (6, 2.0, true, 2)]);
        let window = coarse.window().unwrap();
        assert_eq!(window.values().collect::<Vec<_>>(), [2.0, 2.0]);
        assert_eq!(window.filled_mask().collect::<Vec<_>>(), [false, true]);
    }

    #[test]
    fn a_restart_forgets() {
        let mut coarse = CoarseWindow::default();
        for i in 0..4 {
            coarse.push(2, 2, 1000, &closed(i, Some(1.0), false));
        }
        assert!(coarse.window().is_some());
        // It begins in the middle of a coarse bucket, which is made of what is left of it.
        let first = coarse.push(2, 2, 1000, &closed(101, Some(8.0), true)).unwrap();
        assert_eq!((first.value, first.filled), (8.0, false));
        assert!(coarse.window().is_none());
    }

    #[test]
    fn a_factor_of_one_is_none() {
        let mut coarse = CoarseWindow::default();
        assert_eq!(coarse.push(2, 1, 1000, &closed(0, Some(1.0), false)), None);
        assert_eq!(coarse, CoarseWindow::default());
    }
}
