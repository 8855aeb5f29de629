//! Which series should have a score by now and have none: the agent's own silence, told apart from theirs.
//!
//! What is due follows from a series' own buckets and from nothing else: without samples none closes and nothing is due. So a
//! series that comes no more is never overdue (that is what `silence` is for), and one whose samples come but whose windows no net
//! answers is.

use types::{DurationMs, SeriesKey, Timestamp};

use super::{Intake, Task};

/// Series of a task that wait for a score.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overdue {
    /// How many.
    pub series: usize,
    /// For how long the oldest score that is missing has been due (milliseconds of its series' event time).
    pub longest: DurationMs,
}

/// The newest buckets of a series that each had a window for the nets, without one between that had none: starts of the first and
/// the last of them.
pub(super) type Windowed = Option<(Timestamp, Timestamp)>;

/// The bucket that starts at `start` closes.
pub(super) fn close(before: Windowed, start: Timestamp, has_window: bool) -> Windowed {
    has_window.then(|| (before.map_or(start, |(from, _)| from), start))
}

impl Task {
    /// Series of which a score has been due for at least one of their intervals. Ask while no window waits for the nets: what has
    /// just fallen due is not late. Goes through every series.
    ///
    /// The score of a bucket is due when the bucket `lag` later closes, where the windows of both are not too much filled
    /// in. After [`Task::restore`] a series counts from the first bucket that closes then.
    #[must_use]
    pub fn overdue(&self) -> Overdue {
        let series = self.state.series.iter();
        let late = series.filter_map(|(series, intake)| self.overdue_by(series, intake));
        late.fold(Overdue::default(), |all, by| Overdue {
            series: all.series + 1,
            longest: all.longest.max(by),
        })
    }

    fn overdue_by(&self, series: &SeriesKey, intake: &Intake) -> Option<DurationMs> {
        let (from, to) = intake.windowed?;
        let interval = intake.window.interval()?;
        let scored = self.state.verdicts.get(series).and_then(|v| v.scored);
        let missing = scored.map_or(from, |scored| from.max(scored + interval));
        let lag = self.settings.settings(intake.rule).score.lag;
        let lag = interval.saturating_mul(i64::try_from(lag).unwrap_or(i64::MAX));
        let by = to - (missing + lag);
        (by >= interval).then_some(by)
    }
}
