//! The interval of a series that no rule gives one.

use types::{DurationMs, Timestamp};

use crate::spec::MAX_INTERVAL;

/// Distinct sample times that are gathered before the interval is inferred.
pub const INFERENCE_TIMES: usize = 17;

const SECOND: DurationMs = 1_000;
const MINUTE: DurationMs = 60 * SECOND;
const HOUR: DurationMs = 60 * MINUTE;

/// The intervals that people configure; ascending.
const LADDER: [DurationMs; 20] = [
    SECOND,
    5 * SECOND,
    10 * SECOND,
    15 * SECOND,
    20 * SECOND,
    30 * SECOND,
    MINUTE,
    2 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    15 * MINUTE,
    20 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    3 * HOUR,
    4 * HOUR,
    6 * HOUR,
    12 * HOUR,
    24 * HOUR,
];

/// The interval that sample times suggest, in milliseconds. `times` ascend and are distinct.
///
/// The lower quartile (nearest rank) of the gaps between neighbours: gaps are rarely shorter than the interval, and
/// often longer where samples are missing. It is snapped to the relatively nearest of 1, 5, 10, 15, 20, 30 seconds
/// and minutes (2 minutes too), 1, 2, 3, 4, 6, 12 hours and one day when within 20 % of it; else rounded to whole
/// seconds, or, below one second, left as it is. `None` with fewer than two times.
#[must_use]
pub fn infer_interval(times: impl IntoIterator<Item = Timestamp>) -> Option<DurationMs> {
    let mut times = times.into_iter();
    let mut last = times.next()?;
    let mut gaps: Vec<DurationMs> = Vec::with_capacity(INFERENCE_TIMES - 1);
    for time in times {
        gaps.push((time - last).max(1));
        last = time;
    }
    gaps.sort_unstable();
    let quartile = *gaps.get(gaps.len().div_ceil(4).checked_sub(1)?)?;
    Some(snap(quartile).min(MAX_INTERVAL))
}

fn snap(gap: DurationMs) -> DurationMs {
    let mut nearest = LADDER[0];
    for step in LADDER {
        // |gap - step| / step, compared crosswise so that it stays exact.
        let (a, b) = (i128::from((gap - step).abs()), i128::from((gap - nearest).abs()));
        if a * i128::from(nearest) < b * i128::from(step) {
            nearest = step;
        }
    }
    if (gap - nearest).abs() <= nearest / 5 {
        nearest
    } else if gap < SECOND {
        gap
    } else {
        gap.saturating_add(SECOND / 2) / SECOND * SECOND
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn infer(gaps: &[DurationMs]) -> Option<DurationMs> {
        let mut time = Timestamp::from_millis(-5_000);
        let mut times = vec![time];
        for gap in gaps {
            time = time + *gap;
            times.push(time);
        }
        infer_interval(times)
    }

    #[test]
    fn the_lower_quartile_sees_through_missing_samples() {
        let gaps = [
            60, 61, 59, 60, 300, 600, 900, 120, 180, 240, 3600, 300, 300, 600, 120, 120,
        ];
        assert_eq!(infer(&gaps.map(|s| s * 1000)), Some(60_000));
        // One burst of three short gaps does not make a grid.
        let mut gaps = [60_000; 16];
        gaps[..3].fill(1_000);
        assert_eq!(infer(&gaps), Some(60_000));
        gaps[3] = 1_000;
        assert_eq!(infer(&gaps), Some(1_000));
    }

    #[test]
    fn few_times() {
        assert_eq!(infer_interval([]), None);
        assert_eq!(infer(&[]), None);
        assert_eq!(infer(&[7_000]), Some(7_000));
        assert_eq!(infer(&[300_000, 200_000]), Some(200_000));
    }

    #[test]
    fn snaps_within_a_fifth() {
        for (gap, want) in [
            (1, 1),
            (250, 250),
            (799, 799),
            (800, 1_000),
            (1_200, 1_000),
            (1_201, 1_000),
            (1_700, 2_000),
            (7_400, 7_000),
            (12_000, 10_000),
            (12_400, 15_000),
            (72_000, 60_000),
            (73_000, 73_000),
            (290_000, 300_000),
            (86_400_000, 86_400_000),
            (7 * 86_400_000 + 400, 7 * 86_400_000),
            (i64::MAX / 2, MAX_INTERVAL),
        ] {
            assert_eq!(infer(&[gap]), Some(want), "{gap}");
        }
    }
}
