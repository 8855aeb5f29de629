//! Rows as points to draw: in order of time, with gaps made explicit, and few enough.

use types::{DurationMs, Forecast, ScoreRow};

/// One row, with every absent or non-finite number as `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Point {
    /// Bucket start, ms.
    pub(super) at: i64,
    pub(super) value: Option<f64>,
    pub(super) expected: Option<f64>,
    pub(super) threshold: Option<f64>,
    pub(super) score: Option<f64>,
    pub(super) peak: Option<f64>,
}

/// The most common distance of neighbouring rows (ms); one minute where there are no two.
pub(super) fn interval(rows: &[ScoreRow]) -> DurationMs {
    let mut gaps: Vec<i64> = rows
        .windows(2)
        .map(|w| w[1].timestamp - w[0].timestamp)
        .filter(|g| *g > 0)
        .collect();
    if gaps.is_empty() {
        return 60_000;
    }
    let middle = gaps.len() / 2;
    *gaps.select_nth_unstable(middle).1
}

/// The points of `rows`, with an empty point where buckets are missing altogether.
pub(super) fn points(rows: &[ScoreRow], interval: DurationMs) -> Vec<Point> {
    let finite = |v: Option<f64>| v.filter(|v| v.is_finite());
    let mut out: Vec<Point> = rows
        .iter()
        .map(|row| Point {
            at: row.timestamp.millis(),
            value: finite(row.value),
            expected: finite(row.expected),
            threshold: finite(row.threshold),
            score: finite(row.score),
            peak: finite(row.peak),
        })
        .collect();
    out.sort_by_key(|p| p.at);
    let holes: Vec<Point> = out
        .windows(2)
        .filter(|w| w[1].at - w[0].at > interval + interval / 2)
        .map(|w| Point {
            at: w[0].at + interval,
            ..Point::default()
        })
        .collect();
    if !holes.is_empty() {
        out.extend(holes);
        out.sort_by_key(|p| p.at);
    }
    out
}

/// At most `budget` of `points`, in order: of each stretch the extremes of value and expected, the highest
/// score and peak, and one gap if it has any. Nothing that stands out is lost.
pub(super) fn thin(points: &[Point], budget: usize) -> Vec<Point> {
    if points.len() <= budget {
        return points.to_vec();
    }
    let stretch = points.len().div_ceil((budget / 7).max(1));
    let mut out = Vec::with_capacity(budget);
    for chunk in points.chunks(stretch) {
        let best = |key: &dyn Fn(&Point) -> Option<f64>| {
            (0..chunk.len())
                .filter(|&i| key(&chunk[i]).is_some())
                .max_by(|&a, &b| {
                    key(&chunk[a])
                        .partial_cmp(&key(&chunk[b]))
                        .unwrap_or(std::cmp::Ordering::Equal)
                })
        };
        let mut keep: Vec<usize> = [
            best(&|p| p.value),
            best(&|p| p.value.map(|v| -v)),
            best(&|p| p.expected),
            best(&|p| p.expected.map(|v| -v)),
            best(&|p| p.score),
            best(&|p| p.peak),
            chunk.iter().position(|p| p.value.is_none()),
        ]
        .into_iter()
        .flatten()
        .collect();
        keep.sort_unstable();
        keep.dedup();
        out.extend(keep.into_iter().map(|i| chunk[i]));
    }
    out
}

/// Puts the forecast of the next bucket at the end of `points`, or into the bucket that was still open when the input ended.
/// Returns whether it has its place there.
pub(super) fn look_ahead(points: &mut Vec<Point>, forecast: Option<&Forecast>) -> bool {
    let Some(forecast) = forecast.filter(|f| f.value.is_finite()) else {
        return false;
    };
    let at = forecast.timestamp.millis();
    if points.last().is_none_or(|last| last.at < at) {
        points.push(Point {
            at,
            ..Point::default()
        });
    }
    let Some(last) = points
        .last_mut()
        .filter(|last| last.at == at && last.score.is_none())
    else {
        return false;
    };
    last.expected = Some(forecast.value);
    last.threshold = forecast
        .band
        .map(|[_, high]| high - forecast.value)
        .filter(|half| half.is_finite());
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(n: usize) -> Vec<Point> {
        (0..n)
            .map(|i| Point {
                at: i as i64 * 1000,
                value: Some((i as f64 * 0.37).sin()),
                expected: Some(0.0),
                score: Some(0.1),
                peak: Some(0.0),
                ..Point::default()
            })
            .collect()
    }

    #[test]
    fn thinning_keeps_every_extreme_and_gap() {
        let mut all = wave(50_000);
        all[12_345].value = Some(99.0);
        all[23_456].value = Some(-99.0);
        all[34_567].score = Some(3.5);
        all[34_999].peak = Some(3.0);
        all[40_001].value = None;
        all[41_000].expected = Some(77.0);
        let few = thin(&all, 2_000);
        assert!(few.len() <= 2_000 && few.len() > 500, "{}", few.len());
        assert!(few.is_sorted_by_key(|p| p.at));
        for i in [12_345, 23_456, 34_567, 34_999, 40_001, 41_000] {
            assert!(few.contains(&all[i]), "row {i}");
        }
        assert_eq!(thin(&all, 50_000), all);
        assert_eq!(thin(&[], 10), []);
        assert!(thin(&all, 1).len() <= 7);
    }
}
