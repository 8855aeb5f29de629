//! From the samples of one bucket to its value.

use types::{Aggregate, Timestamp};

/// Event time and value.
pub(crate) type Point = (Timestamp, f64);

/// The aggregate of samples in time order; not empty. Sums run in that order, so equal samples give equal bits.
/// What overflows stops at the largest finite number.
pub(crate) fn aggregate(how: Aggregate, samples: &[Point]) -> f64 {
    let values = samples.iter().map(|&(_, value)| value);
    finite(match how {
        Aggregate::Mean => values.sum::<f64>() / samples.len() as f64,
        Aggregate::Sum => values.sum(),
        Aggregate::Max => values.fold(f64::NEG_INFINITY, f64::max),
        Aggregate::Min => values.fold(f64::INFINITY, f64::min),
        Aggregate::Last => samples.last().map_or(0.0, |&(_, value)| value),
    })
}

/// What a counter did over one bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rate {
    /// Increase per second.
    pub(crate) value: f64,
    /// How often it went down.
    pub(crate) resets: u32,
}

/// A counter's rate from `anchor`, its last sample before these, to the last of them; leaves that one as the anchor.
///
/// `None` when there is nothing but the anchor: one sample says nothing about a rate.
pub(crate) fn rate(anchor: &mut Option<Point>, samples: &[Point]) -> Option<Rate> {
    let mut samples = samples.iter().copied();
    let (from, mut last) = match *anchor {
        Some(point) => point,
        None => samples.next()?,
    };
    let (mut to, mut increase, mut resets) = (from, 0.0, 0);
    for (time, value) in samples {
        // After a reset the counter began at zero: all it shows is increase.
        if value < last {
            increase += value;
            resets += 1;
        } else {
            increase += value - last;
        }
        (to, last) = (time, value);
    }
    *anchor = Some((to, last));
    (to > from).then(|| Rate {
        value: finite(increase / ((to - from) as f64 / 1000.0)),
        resets,
    })
}

fn finite(value: f64) -> f64 {
    value.clamp(f64::MIN, f64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(samples: &[(i64, f64)]) -> Vec<Point> {
        samples
            .iter()
            .map(|&(ms, value)| (Timestamp::from_millis(ms), value))
            .collect()
    }

    #[test]
    fn aggregates() {
        let samples = points(&[(0, 1.0), (1, 4.0), (2, -2.0)]);
        assert_eq!(aggregate(Aggregate::Mean, &samples), 1.0);
        assert_eq!(aggregate(Aggregate::Sum, &samples), 3.0);
        assert_eq!(aggregate(Aggregate::Max, &samples), 4.0);
        assert_eq!(aggregate(Aggregate::Min, &samples), -2.0);
        assert_eq!(aggregate(Aggregate::Last, &samples), -2.0);
        assert_eq!(
            aggregate(Aggregate::Sum, &points(&[(0, f64::MAX), (1, f64::MAX)])),
            f64::MAX
        );
    }

    #[test]
    fn the_first_sample_only_anchors() {
        let mut anchor = None;
        assert_eq!(rate(&mut anchor, &points(&[(500, 10.0)])), None);
        assert_eq!(anchor, Some((Timestamp::from_millis(500), 10.0)));
        let got = rate(&mut anchor, &points(&[(1_500, 30.0), (2_500, 50.0)]));
        assert_eq!(
            got,
            Some(Rate {
                value: 20.0,
                resets: 0
            })
        );
    }

    #[test]
    fn a_decrease_is_a_reset() {
        let mut anchor = Some((Timestamp::from_millis(0), 100.0));
        let got = rate(
            &mut anchor,
            &points(&[(1_000, 110.0), (2_000, 4.0), (4_000, 6.0)]),
        );
        assert_eq!(
            got,
            Some(Rate {
                value: 16.0 / 4.0,
                resets: 1
            })
        );
    }
}
