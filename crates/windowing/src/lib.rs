//! Event-time buckets and sliding windows of one series.
//!
//! Samples go in, closed buckets and windows of them come out; no clock, no I/O, no randomness. All of a
//! [`SeriesWindow`] is serialisable state.
//!
//! # The rules
//! - Buckets are `[k·interval, (k+1)·interval)` on the epoch grid, before 1970 as after.
//! - **Event time** is the largest sample time of the series. A bucket closes when it reaches the bucket's end plus
//!   the lateness; [`Closed::available_at`] is the event time of the sample that did it. What comes for a closed
//!   bucket is late. A second sample of the same time, while the bucket is open, replaces the first.
//! - **Gaps**: empty buckets between two that have samples are filled in with the last value, as soon as they close
//!   and a later sample is there. After more than `restart_after` empty ones none is filled in: the window starts
//!   anew. Nothing is ever filled in after the last sample, nor before the first.
//! - **Windows** have L places from the first bucket on. Where a series has fewer buckets, the places before hold the median of
//!   its values; after a gap that started it anew, what it was before the gap. Both count as filled in.
//! - **Counters** become a rate per second when a bucket closes: the increases between consecutive samples, beginning
//!   with the last one of earlier buckets, over the time that they span. A decrease is a reset: the new value is the
//!   increase. The first sample ever, or after a long silence, only anchors: a bucket with nothing else is not
//!   emitted.
//! - **Interval** without a rule: the first 17 distinct times are kept, whatever their order, then [`infer_interval`]
//!   gives the grid, and the kept samples fall into their buckets at once. None of them is late; the buckets they
//!   close are available at the event time of that moment. Until then nothing closes.
//! - [`SeriesWindow::close_idle`] stands for the passing of time in a quiet series, [`SeriesWindow::flush`] for an end
//!   of data that really is one.
//!
//! Memory: nine bytes for each of L buckets, and 16 for each sample of an open bucket, of which there are at most
//! `lateness / interval + 2`.
//!
//! # A worked timeline
//! Interval 10 s, lateness 5 s, windows of 3:
//!
//! ```text
//! sample   3 s = 1     bucket  0 opens
//! sample  12 s = 4     bucket 10 opens; 0 waits until 10 + 5 s
//! sample   8 s = 3     out of order, in time: bucket 0 is {1, 3}
//! sample  15 s = 6     event time 15 s: bucket 0 closes (2.0), available at 15 s
//! sample   9 s = 9     late
//! sample  41 s = 8     buckets 10 (5.0), then 20 closes, empty, filled in with 5.0; 30 still waits
//! sample  55 s = 7     30 filled in (5.0), 40 closes (8.0)
//! idle until 70 s      50 closes (7.0), available at 70 s
//! ```
//!
//! ```
//! use types::Timestamp;
//! use windowing::{SeriesWindow, WindowSpec};
//!
//! let spec = WindowSpec { interval: Some(10_000), lateness: 5_000, ..WindowSpec::new(3) };
//! spec.validate()?;
//! let mut series = SeriesWindow::new();
//! let mut seen = Vec::new();
//! let mut occurrences = Vec::new();
//! let mut take = |series: &mut SeriesWindow| {
//!     while let Some(closed) = series.next_closed(&spec, &mut occurrences) {
//!         let window: Vec<f64> = series.window().expect("a bucket was taken").values().collect();
//!         let (start, at) = (closed.bucket.start.millis() / 1000, closed.available_at.millis() / 1000);
//!         seen.push((start, closed.bucket.value, closed.bucket.filled, at, window));
//!     }
//! };
//! let mut late = 0;
//! for (seconds, value) in [(3, 1.0), (12, 4.0), (8, 3.0), (15, 6.0), (9, 9.0), (41, 8.0), (55, 7.0)] {
//!     let time = Timestamp::from_millis(seconds * 1000);
//!     if series.observe(&spec, time, value, &mut Vec::new()).is_err() {
//!         late += 1;
//!     }
//!     take(&mut series);
//! }
//! series.close_idle(&spec, Timestamp::from_millis(70_000));
//! take(&mut series);
//!
//! assert_eq!(late, 1);
//! assert_eq!(
//!     seen,
//!     [
//!         (0, 2.0, false, 15, vec![2.0, 2.0, 2.0]),
//!         (10, 5.0, false, 41, vec![2.0, 2.0, 5.0]),
//!         (20, 5.0, true, 41, vec![2.0, 5.0, 5.0]),
//!         (30, 5.0, true, 55, vec![5.0, 5.0, 5.0]),
//!         (40, 8.0, false, 55, vec![5.0, 5.0, 8.0]),
//!         (50, 7.0, false, 70, vec![5.0, 8.0, 7.0]),
//!     ]
//! );
//! # Ok::<(), windowing::SpecError>(())
//! ```

mod coarse;
mod interval;
mod ring;
mod series;
mod spec;
mod value;

pub use coarse::CoarseWindow;
pub use interval::{INFERENCE_TIMES, infer_interval};
pub use ring::Window;
pub use series::{Closed, SeriesWindow};
pub use spec::{Idle, MAX_INTERVAL, MAX_LATENESS, MAX_OPEN_BUCKETS, MAX_WINDOW, SpecError, WindowSpec};
