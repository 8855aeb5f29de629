//! What a user would try first: detectors to hold the product against.
//!
//! Each sees the buckets that the product sees, one after the other, and scores each when it closes, from those that closed before; each
//! has one setting for all series, from its own literature and never from labels. 1 is the boundary that this literature draws.
//!
//! | row | score | at 1 |
//! |---|---|---|
//! | robust z-score | distance from the median of the last 2016 buckets, in their median absolute deviation | 3.5 of them |
//! | seasonal naive | the difference to one week ago, or one day, in standard deviations of the last 2016 such | 3 of them |
//! | spectral residual | saliency of the newest of 251 buckets over the mean of the 21 before it | 3 times above |
//! | random cut forest | share of points displaced, on average over 50 trees of 256 | one half |
//!
//! An alert fires when the score comes to 1 and ends as the product's do by default: below 0.7 for 3 buckets, or after 288. Buckets
//! without a sample carry the last value on, in detectors that need an unbroken row; they have no score of their own.

mod forest;
mod seasonal;
mod spectral;
mod trailing;

use alerting::AlertSpec;
use types::{DurationMs, Timestamp};

use super::stream::{Detections, Series};
use forest::RandomCutForest;
use seasonal::SeasonalNaive;
use spectral::SpectralResidual;
use trailing::Trailing;

/// A bucket as a detector sees it.
#[derive(Clone, Copy, Debug)]
struct Point {
    start: Timestamp,
    /// Data units; the last one known where `filled`.
    value: f64,
    filled: bool,
}

/// A detector of one series.
trait Detector {
    /// The score of the bucket that closes now, 0 or more; then takes it in. `None` while too little was seen, or where the bucket was
    /// filled in.
    fn score(&mut self, point: Point) -> Option<f64>;
}

/// Distance from the median of what was lately seen.
#[derive(Clone, Debug, Default)]
struct RobustZ(Trailing);

impl Detector for RobustZ {
    fn score(&mut self, point: Point) -> Option<f64> {
        if point.filled {
            return None;
        }
        let score = self.0.robust_deviation(point.value);
        self.0.push(point.value);
        score
    }
}

/// What each of them says of `series`: the same names in the same order for every series.
pub(super) fn all(series: &Series) -> Vec<(&'static str, Detections)> {
    let interval = series.interval.unwrap_or(1);
    let detectors: [(&str, Box<dyn Detector>); 4] = [
        ("robust z-score", Box::new(RobustZ::default())),
        ("seasonal naive", Box::new(SeasonalNaive::new(interval))),
        ("spectral residual", Box::new(SpectralResidual::default())),
        ("random cut forest", Box::new(RandomCutForest::default())),
    ];
    let said = detectors.into_iter();
    said.map(|(name, mut detector)| (name, run(detector.as_mut(), series)))
        .collect()
}

fn run(detector: &mut dyn Detector, series: &Series) -> Detections {
    let (mut said, mut alert, mut last) = (Detections::default(), Alert::default(), None);
    let interval = series.interval.unwrap_or(1);
    for bucket in &series.buckets {
        let Some(value) = bucket.value.or(last) else {
            continue;
        };
        last = Some(value);
        let score = detector.score(Point {
            start: bucket.start,
            value,
            filled: bucket.value.is_none(),
        });
        let score = score.filter(|_| bucket.value.is_some());
        if let Some(score) = score {
            said.levels.push((bucket.closed_at, score));
            said.scores
                .extend((score > 0.0).then_some((bucket.closed_at, score)));
        }
        alert.take(score, bucket.closed_at, interval, &mut said.alerts);
    }
    said
}

/// The alert of a detector whose score is all that it says.
#[derive(Clone, Copy, Debug, Default)]
struct Alert {
    /// Age and buckets in a row below the closing score.
    open: Option<(u32, u32)>,
}

impl Alert {
    fn take(
        &mut self,
        score: Option<f64>,
        at: Timestamp,
        interval: DurationMs,
        alerts: &mut Vec<(Timestamp, Option<Timestamp>)>,
    ) {
        let spec = AlertSpec::default();
        let Some((age, calm)) = self.open.as_mut() else {
            if score.is_some_and(|score| score >= 1.0) {
                self.open = Some((1, 0));
                alerts.push((at, None));
            }
            return;
        };
        *age += 1;
        if let Some(score) = score {
            *calm = if score < spec.close_score { *calm + 1 } else { 0 };
        }
        if spec.is_over(*calm, interval) || *age >= spec.max_duration {
            self.open = None;
            if let Some((_, end)) = alerts.last_mut() {
                *end = Some(at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::SeriesKey;

    use super::super::stream::ClosedBucket;

    const INTERVAL: i64 = 300_000;

    /// A bucket every 5 minutes; `None` where it is empty.
    fn series(values: impl Iterator<Item = Option<f64>>) -> Series {
        let buckets = (0..).zip(values).map(|(i, value)| ClosedBucket {
            start: Timestamp::from_millis(i * INTERVAL),
            value,
            closed_at: Timestamp::from_millis((i + 1) * INTERVAL),
        });
        Series {
            file: "f/a.csv".to_owned(),
            family: "f".to_owned(),
            series: SeriesKey::from_name("x").unwrap(),
            samples: Vec::new(),
            buckets: buckets.collect(),
            interval: Some(INTERVAL),
            windows: Vec::new(),
            whole: true,
            from: Timestamp::default(),
        }
    }

    fn noise(i: usize) -> f64 {
        (i as f64 * i as f64 * 0.618).fract()
    }

    #[test]
    fn each_finds_a_spike_when_its_bucket_closes() {
        let value = |i: usize| if i == 1500 { 60.0 } else { 20.0 + noise(i) };
        for (name, said) in all(&series((0..1600).map(|i| Some(value(i))))) {
            let at = Timestamp::from_millis(1501 * INTERVAL);
            assert!(
                said.scores.iter().any(|(t, score)| *t == at && *score >= 1.0),
                "{name}"
            );
            assert!(
                said.alerts
                    .iter()
                    .any(|(fired, end)| *fired <= at && end.is_none_or(|e| e > at)),
                "{name}"
            );
            assert!(
                said.levels
                    .iter()
                    .all(|(_, level)| level.is_finite() && *level >= 0.0),
                "{name}"
            );
        }
    }

    #[test]
    fn the_end_of_a_series_changes_nothing_before_it() {
        let value = |i: usize| (i % 37 != 5).then(|| (i % 288) as f64 + 9.0 * noise(i));
        let whole = all(&series((0..2800).map(value)));
        let cut = all(&series((0..2500).map(value)));
        for ((name, whole), (_, cut)) in whole.iter().zip(&cut) {
            assert!(cut.levels.len() > 1800, "{name}");
            assert_eq!(whole.levels[..cut.levels.len()], cut.levels, "{name}");
            assert_eq!(whole.scores[..cut.scores.len()], cut.scores, "{name}");
        }
    }

    #[test]
    fn empty_buckets_and_empty_series_have_no_score() {
        let holes = series((0..1000).map(|i| (i % 2 == 0).then(|| noise(i))));
        for (name, said) in all(&holes) {
            let odd = |(at, _): &(Timestamp, f64)| (at.millis() / INTERVAL - 1) % 2 == 1;
            assert!(!said.levels.is_empty() && !said.levels.iter().any(odd), "{name}");
        }
        let empty = all(&series(std::iter::repeat_n(None, 50)));
        assert!(empty.iter().all(|(_, said)| *said == Detections::default()));
    }

    #[test]
    fn an_alert_ends_as_the_product_s_do() {
        let run = |scores: &[f64]| {
            let (mut alert, mut alerts) = (Alert::default(), vec![]);
            for (i, score) in scores.iter().enumerate() {
                let score = (*score >= 0.0).then_some(*score);
                alert.take(score, Timestamp::from_millis(i as i64), 300_000, &mut alerts);
            }
            let millis = |(a, b): &(Timestamp, Option<Timestamp>)| (a.millis(), b.map(Timestamp::millis));
            alerts.iter().map(millis).collect::<Vec<_>>()
        };
        // Twice below 0.7, once between, an unscored bucket; then three below.
        assert_eq!(
            run(&[0.9, 1.0, 0.6, 0.6, 0.7, 0.6, -1.0, 0.6, 0.6, 2.0]),
            [(1, Some(8)), (9, None)]
        );
        assert_eq!(run(&[1.5; 300]), [(0, Some(287)), (288, None)]);
    }
}
