//! From how unusual each bucket is to how far from normal the series stands: what was found lingers, and a level that the series has
//! hardly ever had counts for as long as it lasts.
//!
//! A bucket in the middle of an event looks like the one before it, and its own error may be small. Whoever ranks buckets by their
//! score still wants it high.

use serde::{Deserialize, Serialize};

use super::ScoreSpec;

/// What the last buckets of a series were, and what is usual in the long run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Standing {
    /// Error of the nets in the bucket before, data units.
    before: Option<f64>,
    /// Mean of the decades of the last buckets, which forgets.
    mean: f64,
    level: Level,
}

/// How unusual a bucket is, in decades.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rarity {
    /// By what the nets missed in it.
    pub own: f64,
    /// By the mean of what they missed in it and in the one before.
    pub of_two: f64,
}

impl Standing {
    /// Share that counts of what is not a bucket's own: it may come to the boundary, and must not reach it.
    const BELOW: f64 = 1.0 - 1e-9;

    /// The mean of the nets' `error` and that of the bucket before, data units: nets hit a value in the middle of an event by chance, but
    /// seldom two in a row. A bucket that is not `learns` leaves no trace.
    pub(super) fn of_two(&mut self, error: Option<f64>, learns: bool) -> Option<f64> {
        let mean = match (error, self.before) {
            (Some(error), Some(before)) => Some(f64::midpoint(error, before)),
            (error, _) => error,
        };
        if learns {
            self.before = error;
        }
        mean
    }

    /// Decades of the bucket in its context: at the boundary and beyond its own. Below, a single bucket tells little: there it is the rarity
    /// of two, for less, as its cube, or the mean of the last buckets' where that is more. Into the mean none goes with more than the
    /// boundary, so that only a bucket's own reaches it: what is over does not score as if it lasted.
    ///
    /// `floor` is the smallest spread of levels that is told apart, data units; a bucket that is not `learns` is judged by what was
    /// there before it, and leaves it as it was.
    pub(super) fn judge(
        &mut self,
        spec: &ScoreSpec,
        floor: f64,
        value: f64,
        Rarity { own, of_two }: Rarity,
        learns: bool,
    ) -> f64 {
        let warn = spec.warn_decades;
        let found = of_two
            .max(spec.level_weight * self.level.decades(floor, value))
            .min(warn);
        let mean = self.mean + (found - self.mean) / (1.0 + spec.linger as f64);
        if learns {
            self.mean = mean;
            self.level.push(floor, value);
        }
        if spec.linger == 0 || own >= warn {
            return own;
        }
        let alone = warn * (of_two.min(warn) / warn).powi(3);
        Self::BELOW * alone.max(mean)
    }

    /// Forgets what was found last: the window starts anew. The level stays.
    pub(super) fn restart(&mut self) {
        (self.before, self.mean) = (None, 0.0);
    }
}

/// Where a series has been in the long run: a mean and a mean distance from it that no single value moves far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Level {
    center: f64,
    spread: f64,
    count: u32,
}

impl Level {
    /// Values that the mean is of, about.
    const LENGTH: u32 = 4000;
    /// Values before it means anything.
    const LEAST: u32 = 100;
    /// Values after which half is believed of what it says.
    const HALF: f64 = 1000.0;
    /// Spreads beyond which a value counts as so far away, and no further.
    const CUT: f64 = 3.0;
    /// Most decades that it tells.
    const DECADES_MAX: f64 = 4.0;

    /// Decades of `−log10 P(distance ≥ d)` where distances are exponential with the mean [`Self::spread`], as those of a Laplace
    /// distribution: `d / (spread · ln 10)`, less while the series is young.
    fn decades(&self, floor: f64, value: f64) -> f64 {
        if self.count < Self::LEAST {
            return 0.0;
        }
        let spreads = (value - self.center).abs() / self.spread.max(floor);
        let n = f64::from(self.count);
        (spreads / std::f64::consts::LN_10).min(Self::DECADES_MAX) * n / (n + Self::HALF)
    }

    fn push(&mut self, floor: f64, value: f64) {
        let away = value - self.center;
        if !away.is_finite() {
            // Two values further apart than numbers reach.
            return;
        }
        let most = if self.count < Self::LEAST {
            f64::INFINITY
        } else {
            Self::CUT * self.spread.max(floor)
        };
        self.count = self.count.saturating_add(1);
        let share = 1.0 / f64::from(self.count.min(Self::LENGTH));
        self.center += share * away.clamp(-most, most);
        self.spread += share * (away.abs().min(most) - self.spread);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOOR: f64 = 1e-3;

    /// A bucket that is as rare as it is with the one before.
    fn rarity(own: f64) -> Rarity {
        Rarity { own, of_two: own }
    }

    fn standing(spec: &ScoreSpec, seen: impl IntoIterator<Item = f64>) -> Standing {
        let mut standing = Standing::default();
        for value in seen {
            standing.judge(spec, FLOOR, value, rarity(0.3), true);
        }
        standing
    }

    fn wave(n: u32) -> impl Iterator<Item = f64> {
        (0..n).map(|i| f64::from(i % 7) - 3.0)
    }

    #[test]
    fn what_was_found_lingers_and_fades() {
        let spec = ScoreSpec::default();
        let mut standing = standing(&spec, wave(2000));
        let quiet = standing.judge(&spec, FLOOR, 0.0, rarity(0.3), true);
        assert!(quiet < 0.6, "{quiet}");
        let said: Vec<f64> = (0..60)
            .map(|i| standing.judge(&spec, FLOOR, 0.0, rarity(if i < 10 { 6.0 } else { 0.3 }), true))
            .collect();
        assert!(said[..10].iter().all(|s| *s >= 6.0), "{said:?}");
        assert!(
            (1.0..spec.warn_decades).contains(&said[10]) && said[10..].is_sorted_by(|a, b| a > b),
            "{said:?}"
        );
        assert!(said[59] < quiet + 0.3, "{said:?}");
    }

    #[test]
    fn a_value_hit_by_chance_is_judged_with_the_one_before() {
        let mut standing = Standing::default();
        assert_eq!(standing.of_two(Some(4.0), true), Some(4.0));
        assert_eq!(standing.of_two(Some(0.0), true), Some(2.0));
        // What is not learnt is judged by what was there before it.
        assert_eq!(standing.of_two(Some(9.0), false), Some(4.5));
        assert_eq!(standing.of_two(Some(6.0), true), Some(3.0));
        assert_eq!(standing.of_two(None, true), None);
        for _ in 0..2 {
            standing.restart();
            assert_eq!(standing.of_two(Some(f64::MAX), true), Some(f64::MAX));
        }
        assert_eq!(standing.of_two(Some(f64::MAX), true), Some(f64::MAX));
        let spec = ScoreSpec::default();
        let hit = Rarity {
            own: 0.1,
            of_two: 3.0,
        };
        assert!(standing.judge(&spec, FLOOR, 0.0, hit, false) > 2.5);
    }

    #[test]
    fn the_boundary_is_where_it_was() {
        let spec = ScoreSpec::default();
        let owns = [0.1, 1.0, 3.1, spec.warn_decades, 5.0, 9.0];
        for (own, of_two) in owns.iter().flat_map(|own| owns.map(|of_two| (*own, of_two))) {
            let said = Standing::default().judge(&spec, FLOOR, 0.0, Rarity { own, of_two }, true);
            assert_eq!(
                said >= spec.warn_decades,
                own >= spec.warn_decades,
                "{own}, {of_two}: {said}"
            );
            assert!(own < spec.warn_decades || said == own, "{own}, {of_two}: {said}");
        }
    }

    /// However long every bucket before was at it or beyond: by its level alone, or by its own.
    #[test]
    fn what_lingers_never_reaches_the_boundary() {
        let spec = ScoreSpec {
            level_weight: 10.0,
            ..ScoreSpec::default()
        };
        let below = (1.0 - 1e-6)..(1.0 - 1e-10);
        let share = |said: f64| said / spec.warn_decades;
        let mut strange = standing(&spec, wave(4000));
        let said = wave(2000).map(|value| strange.judge(&spec, FLOOR, value + 1e3, rarity(0.3), true));
        let most = said.map(share).fold(0.0, f64::max);
        assert!(below.contains(&most), "{most}");
        let mut event = Standing::default();
        for _ in 0..2000 {
            event.judge(&spec, FLOOR, 0.0, rarity(9.0), true);
        }
        let almost = share(event.judge(&spec, FLOOR, 0.0, rarity(0.9 * spec.warn_decades), true));
        assert!((0.9..1.0 - 1e-10).contains(&almost), "{almost}");
    }

    #[test]
    fn a_strange_level_counts_for_as_long_as_it_lasts_and_becomes_usual() {
        let spec = ScoreSpec::default();
        let mut standing = standing(&spec, wave(4000));
        let said: Vec<f64> = wave(20_000)
            .map(|value| standing.judge(&spec, FLOOR, value + 40.0, rarity(0.3), true))
            .collect();
        assert!(said[100] > 2.5, "{}", said[100]);
        assert!(said[19_999] < 1.0, "{}", said[19_999]);
        let without = ScoreSpec {
            level_weight: 0.0,
            ..spec
        };
        let mut standing = self::standing(&without, wave(4000));
        let said = wave(200).map(|value| standing.judge(&without, FLOOR, value + 40.0, rarity(0.3), true));
        assert!(said.fold(0.0, f64::max) < 0.4);
    }

    #[test]
    fn each_stands_alone_where_nothing_lingers() {
        let spec = ScoreSpec {
            linger: 0,
            level_weight: 0.0,
            ..ScoreSpec::default()
        };
        let mut standing = Standing::default();
        for own in [0.2, 4.0, 0.7, 2.9, 0.0] {
            assert!((standing.judge(&spec, FLOOR, 1.0, rarity(own), true) - own).abs() < 1e-12);
        }
    }

    #[test]
    fn values_at_the_ends_of_what_numbers_reach_do_no_harm() {
        let spec = ScoreSpec::default();
        let mut standing = Standing::default();
        for i in 0..500 {
            let value = if i % 3 == 0 { f64::MAX } else { -f64::MAX };
            assert!(
                standing.judge(&spec, FLOOR, value, rarity(1.0), true).is_finite(),
                "{i}"
            );
        }
        for _ in 0..500 {
            assert!(standing.judge(&spec, FLOOR, 1.0, rarity(1.0), true).is_finite());
        }
    }

    #[test]
    fn what_is_not_learnt_leaves_no_trace() {
        let spec = ScoreSpec::default();
        let mut standing = standing(&spec, wave(300));
        let before = standing.clone();
        assert!(standing.judge(&spec, FLOOR, 1e6, rarity(9.0), false) >= 9.0);
        assert_eq!(standing, before);
    }
}
