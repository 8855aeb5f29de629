//! The constants of the score, and what they become at an interval.

use types::DurationMs;

use crate::companions::has_days;
use crate::tail::TailSpec;

/// Constants of the causal score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoreSpec {
    /// How many later windows a bucket waits for.
    pub lag: usize,
    /// Tail estimate of every channel.
    pub tail: TailSpec,
    /// Buckets over which a peak must be the highest to count; a day where that is less, but not for fewer than 25.
    pub refractory: usize,
    /// Decades added when the value leaves everything seen before.
    pub range_bonus: f64,
    /// Share of the seen range by which it must leave it.
    pub range_tolerance: f64,
    /// Share of a window's half range, of what it has more than is usual for the series, that errors of reconstruction count for less; 0
    /// takes them as they are.
    pub resolution: f64,
    /// Weight of the rarity of the nets' errors; 0 leaves the nets out of the score, and only the companions speak.
    pub error_weight: f64,
    /// Weight of the time-of-day channel; 0 leaves it out.
    pub envelope_weight: f64,
    /// Buckets, about, whose distances from the time of day are taken together.
    pub drift: usize,
    /// Weight of the rarity of their mean; 0 leaves it out.
    pub drift_weight: f64,
    /// Buckets of five minutes or more to a coarse one, of shorter ones as many times as many, see [`Self::at_interval`]; below 2
    /// there are none.
    pub coarse_factor: u32,
    /// Decades that each decade of the coarse bucket's rarity adds; 0 leaves it out.
    pub coarse_weight: f64,
    /// Decades that each decade of the critic's rarity adds; 0 leaves it out of the score (its part is still reported).
    pub critic_weight: f64,
    /// Decades by which a peak must pass the highest of the last `refractory` buckets.
    pub rise: f64,
    /// Decades taken off per decade of earlier peaks that were as high.
    pub rarity: f64,
    /// Decades taken off a peak for each of the last seven days, beyond the second, on which the same time of day had one as rare, and for each
    /// decade by which a day has more buckets than of five minutes; 0 takes none.
    pub recurrence: f64,
    /// Buckets, about, for which what was found lingers in the score; 0 leaves each bucket its own. Alerts are of buckets' own.
    pub linger: usize,
    /// Weight of the rarity of a level, which only lingers; 0 leaves it out.
    pub level_weight: f64,
    /// Decades at which the score is 1, of buckets of up to five minutes.
    pub warn_decades: f64,
    /// Decades at which the score is 2, of buckets of up to five minutes.
    pub critical_decades: f64,
    /// Decades by which both fall for each decade by which buckets are longer, within bounds. See [`Self::at_interval`].
    pub interval_weight: f64,
    /// Buckets for which an event under way is kept out of its own reference; then it becomes normal.
    pub hold: usize,
    /// Reference length at which the history part of the confidence is one half, unless [`Self::half_history_time`] makes it less.
    pub half_history: f64,
    /// Time after which a shorter reference does, if it has 100 errors.
    pub half_history_time: DurationMs,
}

/// Interval of buckets that the boundaries and the length of the past are given for.
const GIVEN_FOR: DurationMs = 300_000;

/// Most decades by which longer buckets lower the boundaries: there are fewer of them to have learnt from.
const LOWER_MAX: f64 = 0.35;

/// Most times that the past of shorter buckets is as long, in errors, and that as many of them make a coarse one.
const LONGER_MAX: f64 = 5.0;

/// Buckets of a day, of the interval that the boundaries are given for.
const OF_A_DAY: f64 = 288.0;

/// Errors that halve doubt at any interval: fewer have no tail to speak of.
const LEAST_HALF_HISTORY: f64 = 100.0;

/// How many times as many buckets a time has as if they were five minutes long, within bounds: 1 where they are longer.
fn more_buckets(interval: DurationMs) -> f64 {
    (GIVEN_FOR as f64 / interval.max(1) as f64).clamp(1.0, LONGER_MAX)
}

impl Default for ScoreSpec {
    fn default() -> Self {
        Self {
            lag: 0,
            tail: TailSpec {
                share: 0.02,
                ..TailSpec::default()
            },
            refractory: 150,
            range_bonus: 1.5,
            range_tolerance: 0.05,
            resolution: 0.05,
            error_weight: 1.0,
            envelope_weight: 0.8,
            drift: 50,
            drift_weight: 0.8,
            coarse_factor: 6,
            coarse_weight: 0.3,
            critic_weight: 0.0,
            rise: 0.4,
            rarity: 0.75,
            recurrence: 3.0,
            linger: 20,
            level_weight: 1.0,
            warn_decades: 3.2,
            critical_decades: 6.5,
            interval_weight: 1.0,
            hold: 100,
            half_history: 300.0,
            half_history_time: 25 * 3_600_000,
        }
    }
}

impl ScoreSpec {
    /// Errors at which the history part of the confidence is one half, at this interval (milliseconds).
    pub(super) fn half_history(&self, interval: DurationMs) -> f64 {
        let of_time = self.half_history_time as f64 / interval.max(1) as f64;
        self.half_history.min(of_time.max(LEAST_HALF_HISTORY))
    }

    /// Share that is believed of how rare a distance from the time of day is among `n` of them. Those of shorter buckets are many before
    /// there were many days, and a second day is not like the first: a day of minutes is believed by little more than half. Of buckets of
    /// five minutes or more all is.
    pub(super) fn days_believed(interval: DurationMs, n: usize) -> f64 {
        let n = n as f64;
        n.max(1.0) / (n.max(1.0) + OF_A_DAY * (more_buckets(interval) - 1.0))
    }

    /// The same for buckets of `interval` milliseconds. What it gives is not to be put through it again.
    ///
    /// Shorter ones than those of five minutes have a longer past, in errors, up to five times: what a day brings must be in it many
    /// times. As many times as many of them make a coarse one, which looks at as long a time. What comes every day is rarer than the boundary
    /// among so many, and is told by its time. Longer ones warn upon less, by up to .35
    /// decades: one in a thousand is a bucket in six weeks where it is an hour long. But boundaries do not fall below half of what they
    /// were, and where a day has too few buckets for the envelope to speak, they stay.
    #[must_use]
    pub fn at_interval(&self, interval: DurationMs) -> Self {
        let longer = more_buckets(interval);
        let lower = if has_days(interval) {
            let times = interval.max(1) as f64 / GIVEN_FOR as f64;
            (self.interval_weight * times.log10()).clamp(0.0, LOWER_MAX.min(0.5 * self.warn_decades))
        } else {
            0.0
        };
        Self {
            warn_decades: self.warn_decades - lower,
            critical_decades: self.critical_decades - lower,
            tail: TailSpec {
                history: (self.tail.history as f64 * longer) as usize,
                ..self.tail
            },
            coarse_factor: match self.coarse_factor {
                none @ 0..2 => none,
                factor => (f64::from(factor) * longer).round() as u32,
            },
            ..*self
        }
    }

    /// [`Self::recurrence`] of buckets of `interval` milliseconds, for each day: 0 from five minutes on, where a bucket a day is no
    /// rarity.
    pub(super) fn recurrence_a_day(&self, interval: DurationMs) -> f64 {
        self.recurrence * more_buckets(interval).log10()
    }

    /// Buckets of `interval` milliseconds to a coarse one; 0 where none is wanted, or none would count.
    #[must_use]
    pub fn coarse_buckets(&self, interval: DurationMs) -> u32 {
        if self.coarse_weight > 0.0 {
            self.at_interval(interval).coarse_factor
        } else {
            0
        }
    }

    /// Puts decades of tail probability on the score scale: 0 at 0, 1 at `warn_decades`, 2 at `critical_decades`,
    /// linear between and beyond.
    #[must_use]
    pub fn scale(&self, decades: f64) -> f64 {
        if decades <= self.warn_decades {
            decades.max(0.0) / self.warn_decades
        } else {
            1.0 + (decades - self.warn_decades) / (self.critical_decades - self.warn_decades)
        }
    }
}
