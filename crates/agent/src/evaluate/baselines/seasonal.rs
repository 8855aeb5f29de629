//! What was there at the same time of the week, or of the day.

use std::collections::VecDeque;

use types::{DurationMs, Timestamp};

use super::trailing::Trailing;
use super::{Detector, Point};

const DAY_MS: DurationMs = 86_400_000;
const WEEK_MS: DurationMs = 7 * DAY_MS;

/// Seasonal naive residual (Hyndman and Athanasopoulos, "Forecasting", 5.2): the value minus that of one week ago, or as long as there is
/// none of one day ago; how unusual that is among the last residuals says [`Trailing`].
#[derive(Clone, Debug)]
pub(super) struct SeasonalNaive {
    interval: DurationMs,
    /// Starts and values of the last week.
    week: VecDeque<(Timestamp, f64)>,
    residuals: Trailing,
}

impl SeasonalNaive {
    pub(super) fn new(interval: DurationMs) -> Self {
        Self {
            interval,
            week: VecDeque::new(),
            residuals: Trailing::default(),
        }
    }

    /// The value of the bucket that held `time`.
    fn at(&self, time: Timestamp) -> Option<f64> {
        let next = self.week.partition_point(|(start, _)| *start <= time);
        let (start, value) = *self.week.get(next.checked_sub(1)?)?;
        (time - start < self.interval).then_some(value)
    }
}

impl Detector for SeasonalNaive {
    fn score(&mut self, point: Point) -> Option<f64> {
        if point.filled {
            return None;
        }
        let past = [WEEK_MS, DAY_MS].map(|season| self.at(point.start + -season));
        let score = past.into_iter().flatten().next().and_then(|past| {
            let residual = point.value - past;
            let score = self.residuals.plain_deviation(residual);
            self.residuals.push(residual);
            score
        });
        self.week.push_back((point.start, point.value));
        while self
            .week
            .front()
            .is_some_and(|(start, _)| point.start - *start > WEEK_MS)
        {
            self.week.pop_front();
        }
        score
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: DurationMs = 3_600_000;

    fn point(hour: i64, value: f64) -> Point {
        Point {
            start: Timestamp::from_millis(hour * HOUR),
            value,
            filled: false,
        }
    }

    #[test]
    fn the_week_comes_before_the_day() {
        let mut detector = SeasonalNaive::new(HOUR);
        for hour in 0..24 * 8 {
            assert_eq!(
                detector.at(Timestamp::from_millis((hour - 24) * HOUR)).is_some(),
                hour >= 24
            );
            detector.score(point(hour, hour as f64));
        }
        assert_eq!(detector.at(Timestamp::from_millis(30 * HOUR + 59)), Some(30.0));
        // Of day 1 minus day 0, …, day 6 minus day 5: 24 hours; of day 7 minus day 0: a week of them.
        assert_eq!(detector.week.len(), 24 * 7 + 1);
        let mut weekly = SeasonalNaive::new(HOUR);
        let value = |hour: i64| if hour / 24 % 7 < 5 { 10.0 } else { 1.0 } + (hour % 3) as f64;
        let scores: Vec<_> = (0..24 * 28)
            .map(|hour| weekly.score(point(hour, value(hour))))
            .collect();
        assert!(scores[24 * 15..].iter().all(|s| s.is_some_and(|s| s < 0.2)));
    }

    #[test]
    fn a_missing_yesterday_is_no_score() {
        let mut detector = SeasonalNaive::new(HOUR);
        for hour in (0..24 * 6).filter(|hour| *hour != 24 * 5 + 3) {
            detector.score(point(hour, (hour % 24 + hour % 5) as f64));
        }
        assert!(detector.score(point(24 * 6, 90.0)).unwrap() > 1.0);
        assert_eq!(detector.score(point(24 * 6 + 3, 90.0)), None);
        let filled = Point {
            filled: true,
            ..point(24 * 6 + 4, 90.0)
        };
        assert_eq!(detector.score(filled), None);
    }
}
