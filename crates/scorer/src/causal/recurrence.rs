//! What comes every day at the same time is no news, though it is rare. Where a bucket is short a day has so many of them that one of a
//! day's is rarer than the boundary, a nightly job of a minute, say: neither its rank among all errors nor the nets, whose window is a
//! part of a day, ever call it usual.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use types::{DurationMs, Timestamp};

use crate::companions::DAY_MS;

/// What was found in the last days, and when.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Recurrence {
    /// Slots in which a bucket was rare, oldest first, with the decades of the rarest.
    pub(super) finds: VecDeque<(i32, f32)>,
}

impl Recurrence {
    /// Resolution in time, milliseconds: one number for all buckets in it.
    const SLOT_MS: DurationMs = 300_000;
    const SLOTS_PER_DAY: i64 = DAY_MS / Self::SLOT_MS;
    /// Slots on either side that count as the same time of day: a job is not always as punctual.
    const SLACK: i64 = 3;
    /// Days looked back on.
    const DAYS: i64 = 7;
    /// Lowest decades that are kept.
    const LOWEST: f64 = 2.5;
    /// Decades by which an earlier find may be less rare and still be of the same.
    const ALIKE: f64 = 1.0;
    /// Days that may be chance.
    const CHANCE: usize = 2;
    /// Finds kept; with more of them in a week a series has no quiet time that one could stand out of.
    const KEEP: usize = 128;

    /// Days beyond those that may be chance on which the time of day of the bucket at `time` had one as rare as `decades`: 0 before it is a
    /// custom.
    pub(super) fn custom(&self, time: Timestamp, decades: f64) -> usize {
        self.days(time, decades).saturating_sub(Self::CHANCE)
    }

    /// On how many of the last [`Self::DAYS`] days the same time of day (± [`Self::SLACK`] slots) had a bucket as rare as `decades` or
    /// up to [`Self::ALIKE`] less.
    fn days(&self, time: Timestamp, decades: f64) -> usize {
        let now = slot_of(time);
        let mut days = [false; Self::DAYS as usize];
        for (slot, found) in &self.finds {
            let ago = now - i64::from(*slot);
            let day = (ago + Self::SLACK).div_euclid(Self::SLOTS_PER_DAY);
            let apart = (ago - day * Self::SLOTS_PER_DAY).abs();
            if (1..=Self::DAYS).contains(&day)
                && apart <= Self::SLACK
                && f64::from(*found) + Self::ALIKE >= decades
            {
                days[day as usize - 1] = true;
            }
        }
        days.into_iter().filter(|found| *found).count()
    }

    /// Takes in how rare the bucket at `time` was. Times must not go back.
    pub(super) fn push(&mut self, time: Timestamp, decades: f64) {
        let now = slot_of(time);
        let oldest = now - Self::DAYS * Self::SLOTS_PER_DAY - Self::SLACK;
        while self
            .finds
            .front()
            .is_some_and(|(slot, _)| i64::from(*slot) < oldest)
        {
            self.finds.pop_front();
        }
        // There are as many slots until the year 22 000.
        let Some(now) = i32::try_from(now).ok().filter(|_| decades >= Self::LOWEST) else {
            return;
        };
        match self.finds.back_mut() {
            Some((slot, highest)) if *slot == now => *highest = highest.max(decades as f32),
            _ => {
                if self.finds.len() == Self::KEEP {
                    self.finds.pop_front();
                }
                self.finds.push_back((now, decades as f32));
            }
        }
    }
}

fn slot_of(time: Timestamp) -> i64 {
    time.millis().div_euclid(Recurrence::SLOT_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: DurationMs = 60_000;
    const HOUR: DurationMs = 60 * MINUTE;

    fn at(day: i64, of_day: DurationMs) -> Timestamp {
        Timestamp::from_millis(20_000 * DAY_MS + day * DAY_MS + of_day)
    }

    #[test]
    fn days_are_counted_on_which_the_same_time_had_as_much() {
        let mut seen = Recurrence::default();
        let night = 22 * HOUR + 7 * MINUTE;
        for day in 0..5 {
            assert_eq!(seen.days(at(day, night), 5.0), day as usize);
            // A minute apart, and twice in the same slot: a day all the same.
            seen.push(at(day, night - MINUTE + day * MINUTE / 2), 4.5);
            seen.push(at(day, night), 3.0);
        }
        assert_eq!(seen.days(at(5, night + 14 * MINUTE), 5.5), 5);
        assert_eq!(seen.days(at(5, night - 14 * MINUTE), 5.5), 5);
        assert_eq!(seen.days(at(5, night), 5.6), 0, "rarer than ever at that time");
        assert_eq!(seen.days(at(5, night + 30 * MINUTE), 4.0), 0);
        assert_eq!(seen.days(at(5, night - 30 * MINUTE), 4.0), 0);
        // Today's own do not count, nor does what is more than a week ago.
        assert_eq!(seen.days(at(4, night + MINUTE), 4.0), 4);
        assert_eq!(seen.days(at(9, night), 4.0), 3);
        assert_eq!(seen.days(at(12, night), 4.0), 0);
        assert_eq!([5, 9, 12].map(|day| seen.custom(at(day, night), 4.0)), [3, 1, 0]);
    }

    #[test]
    fn midnight_is_no_border() {
        let mut seen = Recurrence::default();
        for day in 0..3 {
            seen.push(at(day, DAY_MS - 2 * MINUTE), 4.0);
        }
        assert_eq!(seen.days(at(4, 3 * MINUTE), 4.0), 3);
        assert_eq!(seen.days(at(3, DAY_MS - 12 * MINUTE), 4.0), 3);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut seen = Recurrence::default();
        for minute in 0..20 * 1440 {
            seen.push(at(0, minute * MINUTE), if minute % 3 == 0 { 4.0 } else { 1.0 });
            assert!(seen.finds.len() <= Recurrence::KEEP);
        }
        let mut quiet = Recurrence::default();
        quiet.push(at(0, 0), 4.0);
        quiet.push(at(1, 0), 2.4);
        assert_eq!(quiet.finds.len(), 1);
        quiet.push(at(8, 0), 0.0);
        assert!(quiet.finds.is_empty());
    }
}
