//! What a series' rule says about its grid.

use serde::{Deserialize, Serialize};
use types::{Aggregate, DurationMs, Kind};

/// Longest interval of a grid: 366 days (milliseconds). Inferred intervals are cut to it.
pub const MAX_INTERVAL: DurationMs = 366 * 86_400_000;
/// Longest lateness: 366 days (milliseconds).
pub const MAX_LATENESS: DurationMs = 366 * 86_400_000;
/// Most buckets in a window, and most buckets that one gap fills in.
pub const MAX_WINDOW: usize = 65_536;
/// Most buckets that lateness may keep open beside the newest.
pub const MAX_OPEN_BUCKETS: i64 = 4_096;

/// How long a quiet series is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Idle {
    /// So many intervals of the series' own grid.
    Intervals(u32),
    /// A fixed time (milliseconds).
    Ms(DurationMs),
}

/// How one series becomes buckets and windows.
///
/// Methods of [`SeriesWindow`](crate::SeriesWindow) expect one that has passed [`WindowSpec::validate`]; with another
/// they still neither panic nor loop for long, but what they return is not specified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowSpec {
    /// Length of a bucket; `None`: inferred from the first samples, see [`infer_interval`](crate::infer_interval).
    pub interval: Option<DurationMs>,
    /// What the values mean.
    pub kind: Kind,
    /// How the samples of a bucket become its value. For gauges only: a counter's value is its rate.
    pub aggregate: Aggregate,
    /// How long a bucket waits, in event time, for samples out of order. With an inferred interval, at most
    /// [`MAX_OPEN_BUCKETS`] intervals of it count.
    pub lateness: DurationMs,
    /// How much longer a bucket waits when only [`close_idle`](crate::SeriesWindow::close_idle) sees time pass.
    pub idle: Idle,
    /// Buckets in a window (L).
    pub window: usize,
    /// A gap of up to so many empty buckets is filled in; after a longer one the window starts anew.
    pub restart_after: usize,
    /// Most samples (of distinct times) in one open bucket.
    pub max_samples_per_bucket: usize,
}

impl WindowSpec {
    /// A gauge's mean with an inferred interval, no lateness, restart after `window` empty buckets, and at most 4096
    /// samples a bucket.
    #[must_use]
    pub fn new(window: usize) -> Self {
        Self {
            interval: None,
            kind: Kind::Gauge,
            aggregate: Aggregate::Mean,
            lateness: 0,
            idle: Idle::Ms(0),
            window,
            restart_after: window,
            max_samples_per_bucket: 4_096,
        }
    }

    /// Checks that every field is in its range.
    ///
    /// # Errors
    /// The first field that is not.
    pub fn validate(&self) -> Result<(), SpecError> {
        if let Some(interval) = self.interval {
            if !(1..=MAX_INTERVAL).contains(&interval) {
                return Err(SpecError::Interval(interval));
            }
            if self.lateness / interval > MAX_OPEN_BUCKETS {
                return Err(SpecError::OpenBuckets {
                    lateness: self.lateness,
                    interval,
                });
            }
        }
        if !(0..=MAX_LATENESS).contains(&self.lateness) {
            return Err(SpecError::Lateness(self.lateness));
        }
        if !(1..=MAX_WINDOW).contains(&self.window) {
            return Err(SpecError::Window(self.window));
        }
        if self.restart_after > MAX_WINDOW {
            return Err(SpecError::RestartAfter(self.restart_after));
        }
        if self.max_samples_per_bucket == 0 {
            return Err(SpecError::NoSamples);
        }
        Ok(())
    }

    /// The wait of a quiet series on a grid of `interval` (milliseconds).
    pub(crate) fn idle_on(&self, interval: DurationMs) -> DurationMs {
        match self.idle {
            Idle::Ms(ms) => ms.clamp(0, MAX_LATENESS),
            Idle::Intervals(n) => interval.saturating_mul(i64::from(n)).min(MAX_LATENESS),
        }
    }

    /// The lateness that counts on a grid of `interval`.
    pub(crate) fn lateness_on(&self, interval: DurationMs) -> DurationMs {
        self.lateness.clamp(0, interval.saturating_mul(MAX_OPEN_BUCKETS))
    }
}

/// A [`WindowSpec`] that makes no grid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// The interval is not positive, or too long.
    #[error("an interval of {0} ms is outside 1 ms to 366 days")]
    Interval(DurationMs),
    /// The lateness is negative or too long.
    #[error("a lateness of {0} ms is outside 0 to 366 days")]
    Lateness(DurationMs),
    /// The lateness would keep too many buckets open.
    #[error("a lateness of {lateness} ms keeps more than {MAX_OPEN_BUCKETS} buckets of {interval} ms open")]
    OpenBuckets {
        /// Lateness in milliseconds.
        lateness: DurationMs,
        /// Interval in milliseconds.
        interval: DurationMs,
    },
    /// The window holds no bucket, or too many.
    #[error("a window of {0} buckets is outside 1 to {MAX_WINDOW}")]
    Window(usize),
    /// A gap would fill in too many buckets.
    #[error("filling in up to {0} buckets is more than {MAX_WINDOW}")]
    RestartAfter(usize),
    /// Buckets may hold no sample.
    #[error("a bucket must be allowed at least one sample")]
    NoSamples,
}
