//! The state of one series.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use types::{Bucket, DurationMs, Kind, Occurrence, RejectReason, Timestamp};

use crate::interval::{INFERENCE_TIMES, infer_interval};
use crate::ring::{Ring, Window};
use crate::spec::{MAX_INTERVAL, WindowSpec};
use crate::value::{Point, aggregate, rate};

/// A closed bucket, in the order of its series.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Closed {
    /// The bucket.
    pub bucket: Bucket,
    /// Event time at which it closed: that of the sample, or of the control record, that closed it. Never earlier
    /// than that of the bucket before.
    pub available_at: Timestamp,
    /// True when a gap that was not filled in lies before this bucket.
    pub restarted: bool,
}

/// Open buckets, closed buckets not yet taken, and the window of one series.
///
/// Everything in it is state: a copy that went through serde behaves the same from there on. The same [`WindowSpec`]
/// is passed to every call; the interval, once known, stays whatever a later one says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SeriesWindow {
    interval: Option<DurationMs>,
    event_time: Option<Timestamp>,
    /// Samples of open buckets, or those gathered for inference: distinct times, ascending.
    open: Vec<Point>,
    /// Samples before this time (milliseconds, on the grid) are late.
    closed_to: Option<i64>,
    /// Start of the last bucket that closed with samples.
    last_start: Option<Timestamp>,
    /// Start of the next bucket to fill in, if it stays empty.
    fill_from: Option<Timestamp>,
    /// Value that a filled-in bucket takes; none before the first value since the last restart.
    carried: Option<f64>,
    /// A counter's last sample in closed buckets, unless a long silence followed.
    anchor: Option<Point>,
    /// The next bucket starts the window anew.
    restart: bool,
    last_available_at: Option<Timestamp>,
    sealed: VecDeque<Sealed>,
    /// Number of the next bucket to be taken.
    next_index: u64,
    ring: Ring,
}

/// A closed bucket that was not taken yet; where `filled`, a run of them with equal values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Sealed {
    start: Timestamp,
    count: u64,
    value: f64,
    filled: bool,
    available_at: Timestamp,
    restarted: bool,
    resets: u32,
}

impl SeriesWindow {
    /// A series that has not been seen.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in one sample; then [`Self::next_closed`] gives the buckets that it closed.
    ///
    /// `out` gets one of [`Occurrence::SampleAccepted`] and [`Occurrence::SampleDuplicate`] (the sample replaced one
    /// of the same time), or nothing when the sample is rejected. A rejected sample changes nothing.
    ///
    /// # Errors
    /// - [`RejectReason::NotFinite`]: the value is NaN or infinite;
    /// - [`RejectReason::Late`]: its bucket has closed;
    /// - [`RejectReason::BucketFull`]: its bucket holds `max_samples_per_bucket` other times.
    ///
    /// Counters are evaluated when a bucket closes, in time order; what comes for it after that is late.
    pub fn observe(
        &mut self,
        spec: &WindowSpec,
        time: Timestamp,
        value: f64,
        out: &mut Vec<Occurrence>,
    ) -> Result<(), RejectReason> {
        if !value.is_finite() {
            return Err(RejectReason::NotFinite);
        }
        if self.closed_to.is_some_and(|closed_to| time.millis() < closed_to) {
            return Err(RejectReason::Late);
        }
        if self.interval.is_none() {
            self.interval = spec.interval.map(|interval| interval.clamp(1, MAX_INTERVAL));
        }
        match self.open.binary_search_by_key(&time, |&(time, _)| time) {
            Ok(at) => {
                self.open[at].1 = value;
                out.push(Occurrence::SampleDuplicate);
            }
            Err(_) if self.bucket_is_full(spec, time) => return Err(RejectReason::BucketFull),
            Err(at) => {
                self.open.insert(at, (time, value));
                out.push(Occurrence::SampleAccepted);
            }
        }
        self.event_time = self.event_time.max(Some(time));
        if self.interval.is_none() && self.open.len() >= INFERENCE_TIMES {
            self.infer();
        }
        self.close_by_event_time(spec);
        Ok(())
    }

    /// Closes buckets of a series that has gone quiet, now that time is seen to have come to `until`: those that end,
    /// with lateness and [`WindowSpec::idle`], by then and lie at or before the last one that holds samples. Buckets after that one are not
    /// invented: they stay open, and a sample that falls into them later is not late.
    ///
    /// Does nothing while the interval is being inferred. Whether it did anything.
    pub fn close_idle(&mut self, spec: &WindowSpec, until: Timestamp) -> bool {
        let before = self.closed_to;
        if let Some(interval) = self.interval {
            let horizon = until.millis().saturating_sub(spec.lateness_on(interval));
            self.close(spec, horizon.saturating_sub(spec.idle_on(interval)), until);
        }
        self.closed_to != before
    }

    /// Whether [`Self::close_idle`] at `until` would close the newest bucket that holds samples.
    #[must_use]
    pub fn is_idle(&self, spec: &WindowSpec, until: Timestamp) -> bool {
        let (Some(interval), Some(&(newest, _))) = (self.interval, self.open.last()) else {
            return false;
        };
        let wait = spec.lateness_on(interval).saturating_add(spec.idle_on(interval));
        newest.floor_to(interval).millis().saturating_add(interval) <= until.millis().saturating_sub(wait)
    }

    /// Closes every open bucket now, at the series' own event time, although more samples could come. Ends the
    /// inference of the interval with the times there are; fewer than two make no interval, and nothing closes.
    pub fn flush(&mut self, spec: &WindowSpec) {
        if self.interval.is_none() {
            self.infer();
        }
        if let Some(now) = self.event_time {
            self.close(spec, i64::MAX, now);
        }
    }

    /// Takes the next closed bucket, after which [`Self::window`] ends with it. Call until `None` after each
    /// [`Self::observe`], [`Self::close_idle`] and [`Self::flush`]; what is not taken waits.
    ///
    /// `out` gets [`Occurrence::BucketClosed`] or [`Occurrence::BucketFilled`], and where it applies
    /// [`Occurrence::WindowRestarted`] and one [`Occurrence::CounterReset`] a reset.
    pub fn next_closed(&mut self, spec: &WindowSpec, out: &mut Vec<Occurrence>) -> Option<Closed> {
        let interval = self.interval?;
        let sealed = self.sealed.front_mut()?;
        let closed = Closed {
            bucket: Bucket {
                start: sealed.start,
                value: sealed.value,
                filled: sealed.filled,
                index: self.next_index,
            },
            available_at: sealed.available_at,
            restarted: sealed.restarted,
        };
        let resets = sealed.resets as usize;
        sealed.count -= 1;
        if sealed.count == 0 {
            self.sealed.pop_front();
        } else {
            sealed.start = sealed.start + interval;
        }
        self.next_index += 1;
        if closed.restarted {
            self.ring.restart();
            out.push(Occurrence::WindowRestarted);
        }
        self.ring
            .push(spec.window, closed.bucket.value, closed.bucket.filled);
        out.extend(std::iter::repeat_n(Occurrence::CounterReset, resets));
        out.push(if closed.bucket.filled {
            Occurrence::BucketFilled
        } else {
            Occurrence::BucketClosed
        });
        Some(closed)
    }

    /// The window that ends with the bucket taken last; `None` before there is one.
    #[must_use]
    pub fn window(&self) -> Option<Window<'_>> {
        self.ring.window(self.next_index.checked_sub(1)?)
    }

    /// The bucket taken last says nothing of what is normal: later windows hold the value before it in its place.
    pub fn pass_over(&mut self) {
        self.ring.pass_over();
    }

    /// The grid of the series, once it is known.
    #[must_use]
    pub fn interval(&self) -> Option<DurationMs> {
        self.interval
    }

    /// The largest time of its samples, rejected ones aside.
    #[must_use]
    pub fn event_time(&self) -> Option<Timestamp> {
        self.event_time
    }

    /// Memory beside the value itself (bytes).
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let open = self.open.capacity() * size_of::<Point>();
        open + self.sealed.capacity() * size_of::<Sealed>() + self.ring.heap_bytes()
    }

    /// Value of the last bucket that closed with samples; `None` before there is one since the last restart.
    #[must_use]
    pub fn last_value(&self) -> Option<f64> {
        self.carried
    }

    fn bucket_is_full(&self, spec: &WindowSpec, time: Timestamp) -> bool {
        // While the interval is inferred there are no buckets, and INFERENCE_TIMES is the bound.
        let Some(interval) = self.interval else {
            return false;
        };
        if self.open.len() < spec.max_samples_per_bucket {
            return false;
        }
        let start = time.floor_to(interval);
        let first = self.open.partition_point(|&(time, _)| time < start);
        let held = self.open[first..].partition_point(|&(time, _)| time - start < interval);
        held >= spec.max_samples_per_bucket
    }

    fn infer(&mut self) {
        self.interval = infer_interval(self.open.iter().map(|&(time, _)| time));
    }

    fn close_by_event_time(&mut self, spec: &WindowSpec) {
        if let Some(now) = self.event_time {
            self.close_by(spec, now);
        }
    }

    fn close_by(&mut self, spec: &WindowSpec, now: Timestamp) {
        if let Some(interval) = self.interval {
            let horizon = now.millis().saturating_sub(spec.lateness_on(interval));
            self.close(spec, horizon, now);
        }
    }

    /// Seals, at event time `now`, what ends by `horizon` and lies at or before the newest sample.
    fn close(&mut self, spec: &WindowSpec, horizon: i64, now: Timestamp) {
        let (Some(interval), Some(&(newest, _))) = (self.interval, self.open.last()) else {
            return;
        };
        let newest_end = newest.floor_to(interval).millis().saturating_add(interval);
        let horizon = horizon.min(newest_end);
        let horizon = horizon.saturating_sub(horizon.rem_euclid(interval));
        let closed_to = self.closed_to.map_or(horizon, |before| before.max(horizon));
        self.closed_to = Some(closed_to);
        while let Some(&(oldest, _)) = self.open.first() {
            let start = oldest.floor_to(interval);
            let closed = start.millis() < closed_to;
            self.seal_gap(spec, interval, start, closed, now);
            if !closed {
                break;
            }
            self.seal_bucket(spec, interval, start, now);
        }
    }

    /// Deals with the empty buckets between the last one that had samples and `next`, the first open one that has.
    ///
    /// They are filled in as soon as they are closed, `next` or not: a sample that still comes between can only
    /// make the gap shorter. That the gap is too long is certain only once `next` is `closed` itself.
    fn seal_gap(
        &mut self,
        spec: &WindowSpec,
        interval: DurationMs,
        next: Timestamp,
        closed: bool,
        now: Timestamp,
    ) {
        let (Some(last), Some(from), Some(closed_to)) = (self.last_start, self.fill_from, self.closed_to)
        else {
            return;
        };
        let empty = (next - last) / interval - 1;
        if empty > i64::try_from(spec.restart_after).unwrap_or(i64::MAX) {
            if closed {
                self.restart |= self.carried.is_some();
                self.carried = None;
                self.anchor = None;
            }
            return;
        }
        let to = next.millis().min(closed_to);
        let count = to.saturating_sub(from.millis()) / interval;
        // A counter that is only anchored has nothing to carry.
        if let (Some(value), 1..) = (self.carried, count) {
            self.fill_from = Some(Timestamp::from_millis(to));
            self.seal(Sealed {
                start: from,
                count: count.unsigned_abs(),
                value,
                filled: true,
                available_at: now,
                restarted: false,
                resets: 0,
            });
        }
    }

    fn seal_bucket(&mut self, spec: &WindowSpec, interval: DurationMs, start: Timestamp, now: Timestamp) {
        let held = self.open.partition_point(|&(time, _)| time - start < interval);
        let samples = &self.open[..held];
        let (value, resets) = match spec.kind {
            Kind::Gauge => (Some(aggregate(spec.aggregate, samples)), 0),
            Kind::Counter => match rate(&mut self.anchor, samples) {
                Some(rate) => (Some(rate.value), rate.resets),
                None => (None, 0),
            },
        };
        self.open.drain(..held);
        self.last_start = Some(start);
        self.fill_from = Some(start + interval);
        let Some(value) = value else {
            return;
        };
        self.carried = Some(value);
        let restarted = std::mem::take(&mut self.restart);
        self.seal(Sealed {
            start,
            count: 1,
            value,
            filled: false,
            available_at: now,
            restarted,
            resets,
        });
    }

    fn seal(&mut self, mut sealed: Sealed) {
        // An idle close may have run ahead of the samples that follow it.
        let available_at = self
            .last_available_at
            .map_or(sealed.available_at, |before| before.max(sealed.available_at));
        sealed.available_at = available_at;
        self.last_available_at = Some(available_at);
        self.sealed.push_back(sealed);
    }
}
