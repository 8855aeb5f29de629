//! What no single bucket shows: a series that leaves what its times of day have shown a little at a time, and stays out. Nets follow it,
//! each day is the next one's normal, and one value is hardly rarer than the one before; but seldom are many in a row on the same side.

use serde::{Deserialize, Serialize};

use super::ScoreSpec;
use crate::companions::outside;
use crate::tail::Tail;

/// The last buckets' distances from the envelope, with their sign: an exponentially weighted moving average, ranked against its own past
/// (Roberts, "Control Chart Tests Based on Geometric Moving Averages", Technometrics 1959, with a measured limit for a derived one).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Drift {
    mean: f64,
    tail: Tail,
}

/// What it comes to with a bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Drifted {
    /// Rarity of the mean.
    pub decades: f64,
    /// The mean, data units, positive above the envelope; `None` where the time of day has no bounds.
    pub mean: Option<f64>,
}

impl Drift {
    /// Most that one bucket counts, in widths of its bounds: a spike is one bucket's news, and must not be that of the fifty after it.
    const MOST: f64 = 0.3;
    /// Share of the noise floor that the scale of its tail is held to: what is left of noise in a mean of many.
    const FLOOR: f64 = 0.05;
    /// Means before it has a say, and after which half is believed of what it says: what the first days did not show is no news yet.
    const LEAST: usize = 500;
    const HALF: f64 = 500.0;
    /// Most decades that it tells: what comes slowly warns, and is not critical by itself.
    const DECADES_MAX: f64 = 5.0;

    /// Takes in the value of a bucket, given what its time of day has shown. A bucket that is not `learns` leaves no trace.
    ///
    /// Unlike errors, means of an event under way are not kept out of their reference: they fade for as long as the event lasted, and
    /// would be news all that time.
    pub(super) fn judge(
        &mut self,
        spec: &ScoreSpec,
        floor: f64,
        bounds: Option<[f64; 2]>,
        value: f64,
        learns: bool,
    ) -> Drifted {
        let Some([low, high]) = bounds else {
            return Drifted::default();
        };
        let most = Self::MOST * (high - low).max(floor);
        let distance = outside([low, high], value).min(most).copysign(value - low);
        let mean = self.mean + (distance - self.mean) / (1.0 + spec.drift as f64);
        let decades = self.tail.decades(&spec.tail, Self::FLOOR * floor, mean.abs());
        let known = self.tail.len();
        let decades = if known < Self::LEAST {
            0.0
        } else {
            let n = known as f64;
            (decades * n / (n + Self::HALF)).min(Self::DECADES_MAX)
        };
        if learns {
            self.mean = mean;
            self.tail.push(&spec.tail.of_companions(), mean.abs());
        }
        Drifted {
            decades,
            mean: Some(mean),
        }
    }

    /// Forgets what was under way: the window starts anew.
    pub(super) fn restart(&mut self) {
        self.mean = 0.0;
    }

    pub(super) fn tail(&self) -> &Tail {
        &self.tail
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Option<[f64; 2]> = Some([40.0, 50.0]);
    const FLOOR: f64 = 1.0;

    /// Noise that leaves the bounds now and then.
    fn noise(i: usize) -> f64 {
        45.0 + 5.5 * (i as f64 * 1.7).sin() * (i as f64 * 0.31).cos()
    }

    fn calm(spec: &ScoreSpec) -> Drift {
        let mut drift = Drift::default();
        for i in 0..4000 {
            drift.judge(spec, FLOOR, BOUNDS, noise(i), true);
        }
        drift
    }

    #[test]
    fn many_buckets_a_little_outside_are_rarer_than_one_far_outside() {
        let spec = ScoreSpec::default();
        let spike = calm(&spec).judge(&spec, FLOOR, BOUNDS, 1e9, true);
        assert!(spike.decades < 2.5, "{spike:?}");
        for (side, sign) in [(50.0, 1.0), (40.0, -1.0)] {
            let mut drift = calm(&spec);
            let said = [(); 40].map(|()| drift.judge(&spec, FLOOR, BOUNDS, side + sign, true));
            let most = said.map(|s| s.decades).into_iter().fold(0.0, f64::max);
            assert!(most > 3.0, "{most}");
            let mean = said[39].mean.unwrap();
            assert!((0.4..1.0).contains(&(sign * mean)), "{mean}");
        }
    }

    #[test]
    fn both_sides_in_turn_are_no_drift() {
        let spec = ScoreSpec::default();
        let mut drift = calm(&spec);
        for i in 0..200 {
            let value = if i % 2 == 0 { 52.0 } else { 38.0 };
            let said = drift.judge(&spec, FLOOR, BOUNDS, value, true);
            assert!(said.decades < 2.0, "{i}: {said:?}");
        }
    }

    #[test]
    fn what_stays_becomes_normal() {
        let spec = ScoreSpec::default();
        let mut drift = calm(&spec);
        let said: Vec<f64> = (0..3000)
            .map(|_| drift.judge(&spec, FLOOR, BOUNDS, 53.0, true).decades)
            .collect();
        assert!(said[60] > 2.5, "{}", said[60]);
        assert!(said[2999] < 1.0, "{}", said[2999]);
    }

    #[test]
    fn a_young_series_does_not_drift_and_no_drift_is_critical() {
        let spec = ScoreSpec::default();
        let mut young = Drift::default();
        for i in 0..Drift::LEAST {
            let value = if i < 300 { noise(i) } else { 60.0 };
            assert_eq!(young.judge(&spec, FLOOR, BOUNDS, value, true).decades, 0.0);
        }
        let mut old = Drift::default();
        for _ in 0..4000 {
            old.judge(&spec, 1e-3, BOUNDS, 45.0, true);
        }
        let said = old.judge(&spec, 1e-3, BOUNDS, 60.0, true);
        assert_eq!(said.decades, Drift::DECADES_MAX);
        assert!(spec.drift_weight * said.decades < spec.critical_decades);
    }

    #[test]
    fn a_bucket_that_is_not_learnt_leaves_no_trace() {
        let spec = ScoreSpec::default();
        let mut drift = calm(&spec);
        let before = drift.clone();
        assert!(drift.judge(&spec, FLOOR, BOUNDS, 60.0, false).mean.is_some());
        assert_eq!(drift, before);
        assert_eq!(drift.judge(&spec, FLOOR, None, 60.0, true), Drifted::default());
        assert_eq!(drift, before);
    }

    #[test]
    fn numbers_without_bounds_stay_numbers() {
        let spec = ScoreSpec::default();
        let mut drift = Drift::default();
        let widest = Some([f64::from(f32::MIN), f64::from(f32::MAX)]);
        for (bounds, value) in [
            (widest, f64::MAX),
            (widest, -f64::MAX),
            (Some([0.0; 2]), f64::MAX),
            (BOUNDS, -f64::MAX),
        ] {
            let said = drift.judge(&spec, 0.0, bounds, value, true);
            assert!(said.decades.is_finite() && said.mean.is_some_and(f64::is_finite));
        }
    }
}
