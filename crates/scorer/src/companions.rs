//! Channels that need no net and see what a window of 100 buckets cannot: the range ever seen, and the time of day.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use types::{DurationMs, Timestamp};

pub(crate) const DAY_MS: DurationMs = 86_400_000;
/// Finest resolution of the envelope: 5 minutes, so that memory does not grow with the rate of a series.
const SLOTS_PER_DAY_MAX: i64 = 288;

/// Smallest and largest value so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SeenRange {
    bounds: Option<(f64, f64)>,
    count: u64,
}

impl SeenRange {
    /// Values before the flag means anything.
    const COUNT_MIN: u64 = 100;

    /// Whether `value` leaves everything seen before by more than `tolerance` of that range.
    #[must_use]
    pub fn is_new(&self, value: f64, tolerance: f64) -> bool {
        let Some([min, max]) = self.bounds() else {
            return false;
        };
        let slack = tolerance * (max - min);
        value > max + slack || value < min - slack
    }

    /// Smallest and largest value so far; `None` before there are enough for them to mean anything.
    #[must_use]
    pub fn bounds(&self) -> Option<[f64; 2]> {
        let (min, max) = self.bounds.filter(|_| self.count >= Self::COUNT_MIN)?;
        Some([min, max])
    }

    /// Takes `value` in.
    pub fn push(&mut self, value: f64) {
        let (min, max) = self.bounds.unwrap_or((value, value));
        self.bounds = Some((min.min(value), max.max(value)));
        self.count += 1;
    }
}

/// Smallest and largest value of each time of day over the last days.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DayEnvelope {
    /// Consecutive slots, newest last, each of [`width`] numbers: the smallest and largest value, or the one there can be.
    /// Infinite where nothing was seen.
    slots: VecDeque<f32>,
    /// Number of the newest slot on the epoch grid.
    newest: i64,
    interval: DurationMs,
}

impl DayEnvelope {
    /// Days looked back.
    pub const DAYS: i64 = 7;
    /// Slots on either side of the same time of day that count as the same.
    pub const SLACK: i64 = 6;

    /// Smallest and largest value of the same time of day (± [`Self::SLACK`] slots) over the last [`Self::DAYS`] days,
    /// data units; `None` before a whole day was seen, where none of those seen was of the same kind (a weekend is not to be
    /// held against working days, nor they against it), or where a day has too few buckets to have a shape.
    #[must_use]
    pub fn bounds(&self, time: Timestamp, interval: DurationMs) -> Option<[f64; 2]> {
        let per_day = slots_per_day(interval)?;
        let width = width(interval, per_day);
        if self.interval != interval || ((self.slots.len() / width) as i64) < per_day {
            return None;
        }
        let now = slot_of(time, per_day);
        let mut bounds: Option<(f32, f32)> = None;
        let (today, mut alike) = (is_weekend(time), false);
        for day in 1..=Self::DAYS {
            let is_alike = is_weekend(time + -day * DAY_MS) == today;
            for slot in now - day * per_day - Self::SLACK..=now - day * per_day + Self::SLACK {
                if let Some((low, high)) = self.get(slot, width) {
                    alike |= is_alike;
                    let (min, max) = bounds.unwrap_or((low, high));
                    bounds = Some((min.min(low), max.max(high)));
                }
            }
        }
        let (min, max) = bounds.filter(|_| alike)?;
        Some([f64::from(min), f64::from(max)])
    }

    /// How far `value` lies outside [`Self::bounds`], data units.
    #[must_use]
    pub fn excess(&self, time: Timestamp, interval: DurationMs, value: f64) -> Option<f64> {
        self.bounds(time, interval).map(|bounds| outside(bounds, value))
    }

    /// Takes `value` in. Times must not go back.
    pub fn push(&mut self, time: Timestamp, interval: DurationMs, value: f64) {
        let Some(per_day) = slots_per_day(interval) else {
            return;
        };
        let now = slot_of(time, per_day);
        let (keep, width) = (Self::DAYS * per_day + Self::SLACK + 1, width(interval, per_day));
        let unseen = std::iter::repeat_n(f32::INFINITY, width);
        if self.interval != interval || self.slots.is_empty() || now - self.newest > keep {
            self.slots.clear();
            self.slots.extend(unseen.clone());
            (self.interval, self.newest) = (interval, now);
        }
        while self.newest < now {
            // Room for a day at once, for the reason a tail takes all of its own; at last for one slot more than is kept.
            if self.slots.len() + width > self.slots.capacity() {
                let most = (keep as usize + 1) * width;
                self.slots
                    .reserve_exact((per_day as usize * width).min(most - self.slots.len()));
            }
            self.slots.extend(unseen.clone());
            self.newest += 1;
            let past = self.slots.len().saturating_sub(keep as usize * width);
            self.slots.drain(..past);
        }
        let (value, last) = (value as f32, self.slots.len() - width);
        let (min, max) = self.get(self.newest, width).unwrap_or((value, value));
        self.slots[last] = min.min(value);
        self.slots[last + width - 1] = max.max(value);
    }

    /// Memory beside the value itself.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.slots.capacity() * size_of::<f32>()
    }

    fn get(&self, slot: i64, width: usize) -> Option<(f32, f32)> {
        let back = self
            .newest
            .checked_sub(slot)
            .and_then(|b| usize::try_from(b).ok())?;
        let at = self.slots.len().checked_sub((back + 1) * width)?;
        let (min, max) = (self.slots[at], self.slots[at + width - 1]);
        min.is_finite().then_some((min, max))
    }
}

/// How far `value` lies outside `[low, high]`; 0 inside.
#[must_use]
pub(crate) fn outside([low, high]: [f64; 2], value: f64) -> f64 {
    (value - high).max(low - value).max(0.0)
}

/// Slots a day for a series of this interval; `None` where the slack would cover the whole day.
fn slots_per_day(interval: DurationMs) -> Option<i64> {
    let slots = (DAY_MS / interval.max(1)).min(SLOTS_PER_DAY_MAX);
    (slots > 2 * DayEnvelope::SLACK).then_some(slots)
}

/// Whether a day has buckets enough to have a shape.
pub(crate) fn has_days(interval: DurationMs) -> bool {
    slots_per_day(interval).is_some()
}

/// Whether it is Saturday or Sunday, UTC.
fn is_weekend(time: Timestamp) -> bool {
    // Day 0 of the epoch was a Thursday.
    (time.millis().div_euclid(DAY_MS) + 3).rem_euclid(7) >= 5
}

/// Numbers that a slot needs: one where no two buckets share it.
fn width(interval: DurationMs, per_day: i64) -> usize {
    if DAY_MS / per_day <= interval { 1 } else { 2 }
}

fn slot_of(time: Timestamp, per_day: i64) -> i64 {
    time.millis().div_euclid(DAY_MS / per_day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_range_needs_a_past_and_a_margin() {
        let mut range = SeenRange::default();
        for i in 0..100 {
            assert!(!range.is_new(1e9, 0.05));
            range.push(f64::from(i % 11));
        }
        assert!(!range.is_new(10.4, 0.05));
        assert!(range.is_new(10.6, 0.05));
        assert!(range.is_new(-0.6, 0.05));
    }

    #[test]
    fn a_weekend_is_not_held_against_working_days_alone() {
        let interval = 300_000;
        // Thursday; and a Saturday, for those that begin with a weekend.
        for (first_day, known) in [(0, [1, 3, 4, 5]), (2, [1, 3, 4, 5])] {
            let mut envelope = DayEnvelope::default();
            let mut first_known = vec![];
            for i in 0..288 * 21 {
                let time = Timestamp::from_millis((first_day * 288 + i) * interval);
                if envelope.bounds(time, interval).is_some() && i % 288 == 200 {
                    first_known.push(i / 288);
                }
                envelope.push(time, interval, 1.0);
            }
            assert_eq!(first_known[..4], known, "{first_day}");
            assert_eq!(first_known.len(), 19, "{first_day}");
        }
    }

    #[test]
    fn the_envelope_knows_the_time_of_day() {
        let interval = 300_000;
        let mut envelope = DayEnvelope::default();
        let value = |i: i64| if (i % 288) < 144 { 10.0 } else { 50.0 };
        // From a Monday on.
        let time = |i: i64| Timestamp::from_millis(4 * DAY_MS + i * interval);
        for i in 0..288 * 3 {
            let t = time(i);
            if i < 288 {
                assert_eq!(envelope.excess(t, interval, 99.0), None);
            } else {
                assert_eq!(envelope.excess(t, interval, value(i)), Some(0.0));
            }
            envelope.push(t, interval, value(i));
        }
        let night = time(288 * 3 + 72);
        assert_eq!(envelope.excess(night, interval, 50.0), Some(40.0));
        assert_eq!(envelope.excess(night, interval, 5.0), Some(5.0));
        assert!(envelope.slots.len() <= 7 * 288 + 7);
    }

    #[test]
    fn the_envelope_is_that_of_every_value_of_the_week() {
        // Intervals that share slots, have one each, and do not divide the day; now and then nothing for hours or days.
        for interval in [60_000, 300_000, 420_000, 1_000_000, 3_600_000_i64] {
            let per_day = slots_per_day(interval).unwrap();
            let (mut envelope, mut past) = (DayEnvelope::default(), vec![]);
            let (mut index, mut newest) = (5, 0);
            for i in 0..12_000_i64 {
                index += match i % 4001 {
                    1000 => 2 * DAY_MS / interval + 3,
                    2000 => 20_000_000 / interval,
                    3000 if interval < 400_000 => 8 * DAY_MS / interval,
                    _ => 1,
                };
                let time = Timestamp::from_millis(index * interval);
                let now = slot_of(time, per_day);
                if now - newest > DayEnvelope::DAYS * per_day + DayEnvelope::SLACK + 1 {
                    past.clear();
                }
                newest = now;
                if i % 13 == 0 {
                    let first = past.first().map_or(now, |(slot, _)| *slot);
                    let same_time = |slot: i64| {
                        (1..=DayEnvelope::DAYS)
                            .find(|day| (slot - now + day * per_day).abs() <= DayEnvelope::SLACK)
                    };
                    let near = past.iter().filter(|(slot, _)| same_time(*slot).is_some());
                    // Days of the epoch from a Monday on, as weeks.
                    let is_weekend = |day: i64| matches!((time.millis() / DAY_MS - day + 3) % 7, 5 | 6);
                    let alike = near.clone().filter_map(|(slot, _)| same_time(*slot));
                    let known = alike.map(is_weekend).any(|kind| kind == is_weekend(0));
                    let want = near.fold(None, |bounds: Option<[f64; 2]>, (_, value)| {
                        let [min, max] = bounds.unwrap_or([*value; 2]);
                        Some([min.min(*value), max.max(*value)])
                    });
                    // The whole day that must be there ends with the slot of the bucket before.
                    let seen = past.last().map_or(0, |(slot, _)| slot - first + 1) >= per_day;
                    let high = envelope.excess(time, interval, 2000.0).map(|by| 2000.0 - by);
                    let low = envelope.excess(time, interval, -1.0).map(|by| by - 1.0);
                    let want = want.filter(|_| seen && known);
                    assert_eq!(
                        low.zip(high),
                        want.map(|[min, max]| (min, max)),
                        "{interval}, {i}"
                    );
                }
                let value = f64::from(((i * 7919) % 1009) as f32 + 0.25);
                past.push((now, value));
                past.retain(|(slot, _)| now - slot <= 8 * per_day);
                envelope.push(time, interval, value);
                assert!(envelope.heap_bytes() <= 8 * 1024 * width(interval, per_day));
            }
        }
    }

    #[test]
    fn a_daily_series_has_no_envelope() {
        let mut envelope = DayEnvelope::default();
        for i in 0..50 {
            let t = Timestamp::from_millis(i * DAY_MS);
            assert_eq!(envelope.excess(t, DAY_MS, 1.0), None);
            envelope.push(t, DAY_MS, 1.0);
        }
        assert!(envelope.slots.is_empty());
    }
}
