//! Order statistics of the last so many values.

use std::collections::VecDeque;

/// Values remembered: a week of 5-minute buckets.
const LENGTH: usize = 2016;
/// Values before a deviation from them means anything.
const LEAST: usize = 100;
/// Robust standard deviations at the boundary 1; Iglewicz and Hoaglin's own.
const ROBUST_BOUNDARY: f64 = 3.5;
/// Plain ones at theirs.
const PLAIN_BOUNDARY: f64 = 3.0;
/// Scores end here: where a scale is zero, any deviation would be infinitely many of it.
const HIGHEST: f64 = 1000.0;

/// The last [`LENGTH`] values, in order of time and of size.
#[derive(Clone, Debug, Default)]
pub(super) struct Trailing {
    by_time: VecDeque<f64>,
    by_size: Vec<f64>,
}

impl Trailing {
    /// Modified z-score of `value` against the values so far (Iglewicz and Hoaglin, "How to detect and handle outliers",
    /// 1993), in units of its boundary: `|x − median| / (1.4826 · MAD) / 3.5`; where more than half of the values are equal, the
    /// mean absolute deviation times 1.2533 takes the place of the first scale. `None` while there are too few.
    pub(super) fn robust_deviation(&self, value: f64) -> Option<f64> {
        if self.by_size.len() < LEAST {
            return None;
        }
        let median = self.median();
        let away = (value - median).abs();
        if away == 0.0 {
            return Some(0.0);
        }
        let mut scale = 1.4826 * self.median_deviation(median);
        if scale == 0.0 {
            let sum: f64 = self.by_size.iter().map(|v| (v - median).abs()).sum();
            scale = 1.2533 * sum / self.by_size.len() as f64;
        }
        Some((away / scale / ROBUST_BOUNDARY).min(HIGHEST))
    }

    /// Distance from the mean in standard deviations, in units of its boundary: `|x − mean| / sd / 3`. `None` while there are too few values.
    pub(super) fn plain_deviation(&self, value: f64) -> Option<f64> {
        let n = self.by_time.len() as f64;
        if self.by_time.len() < LEAST {
            return None;
        }
        let mean = self.by_time.iter().sum::<f64>() / n;
        let away = (value - mean).abs();
        let variance = self.by_time.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
        Some(if away == 0.0 {
            0.0
        } else {
            (away / variance.sqrt() / PLAIN_BOUNDARY).min(HIGHEST)
        })
    }

    /// Takes `value` in. It must be finite.
    pub(super) fn push(&mut self, value: f64) {
        if self.by_time.len() == LENGTH
            && let Some(oldest) = self.by_time.pop_front()
        {
            let at = self.by_size.partition_point(|v| *v < oldest);
            self.by_size.remove(at);
        }
        self.by_time.push_back(value);
        let at = self.by_size.partition_point(|v| *v < value);
        self.by_size.insert(at, value);
    }

    /// The upper of the middle two for even counts.
    fn median(&self) -> f64 {
        self.by_size[self.by_size.len() / 2]
    }

    /// Median distance from `median`, which is one of the values: distances grow to both sides of it.
    fn median_deviation(&self, median: f64) -> f64 {
        let middle = self.by_size.len() / 2;
        let (mut below, mut above) = (middle, middle);
        let mut distance = 0.0;
        for _ in 0..middle {
            let down = below.checked_sub(1).map(|i| median - self.by_size[i]);
            let up = self.by_size.get(above + 1).map(|v| v - median);
            match (down, up) {
                (Some(down), up) if up.is_none_or(|up| down <= up) => {
                    below -= 1;
                    distance = down;
                }
                (_, Some(up)) => {
                    above += 1;
                    distance = up;
                }
                (_, None) => break,
            }
        }
        distance
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(values: impl IntoIterator<Item = f64>) -> Trailing {
        let mut trailing = Trailing::default();
        values.into_iter().for_each(|v| trailing.push(v));
        trailing
    }

    #[test]
    fn by_hand() {
        // 0, 1, …, 100: median 50, distances 0, 1, 1, 2, 2, …, 50, 50, of which the middle one is 25.
        let trailing = of((0..=100).map(f64::from));
        let expected = 30.0 / (1.4826 * 25.0) / 3.5;
        assert!((trailing.robust_deviation(80.0).unwrap() - expected).abs() < 1e-12);
        assert!((trailing.robust_deviation(20.0).unwrap() - expected).abs() < 1e-12);
        assert_eq!(of((0..99).map(f64::from)).robust_deviation(1e9), None);
    }

    /// 0, 1, …, 100: mean 50, variance (101² − 1) / 12.
    #[test]
    fn plain_by_hand() {
        let trailing = of((0..=100).map(f64::from));
        let expected = 30.0 / 850_f64.sqrt() / 3.0;
        assert!((trailing.plain_deviation(80.0).unwrap() - expected).abs() < 1e-12);
        let constant = of(std::iter::repeat_n(5.0, 200));
        assert_eq!(
            (constant.plain_deviation(5.0), constant.plain_deviation(5.1)),
            (Some(0.0), Some(HIGHEST))
        );
    }

    #[test]
    fn values_that_are_mostly_equal_have_a_scale_and_constant_ones_a_bound() {
        let trailing = of((0..200).map(|i| if i % 10 == 0 { 6.0 } else { 5.0 }));
        let expected = 1.0 / (1.2533 * 0.1) / 3.5;
        assert!((trailing.robust_deviation(6.0).unwrap() - expected).abs() < 1e-12);
        let constant = of(std::iter::repeat_n(5.0, 200));
        assert_eq!(constant.robust_deviation(5.0), Some(0.0));
        assert_eq!(constant.robust_deviation(5.1), Some(HIGHEST));
    }

    #[test]
    fn what_is_old_is_forgotten() {
        let old = std::iter::repeat_n(1e6, LENGTH);
        let new = (0..LENGTH).map(|i| (i % 17) as f64);
        assert_eq!(of(old.chain(new.clone())).by_size, of(new).by_size);
    }

    proptest! {
        #[test]
        fn the_median_deviation_is_that_of_the_definition(values in proptest::collection::vec(-50i32..50, 100..300)) {
            let trailing = of(values.iter().map(|v| f64::from(*v)));
            let median = trailing.median();
            let mut distances: Vec<f64> = values.iter().map(|v| (f64::from(*v) - median).abs()).collect();
            distances.sort_by(f64::total_cmp);
            prop_assert_eq!(trailing.median_deviation(median), distances[values.len() / 2]);
        }
    }
}
