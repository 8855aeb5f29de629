//! What nets can tell apart in a window. Its values come to them in units of its own half range: with a spike in it, all the rest is
//! squeezed into a small part of what they see, and what they miss there by a little is much in data units, until the spike has left.

use serde::{Deserialize, Serialize};

/// The half range that the windows of a series mostly have: a median that moves towards each next one by a fixed share of
/// itself at most (Ma, Muthukrishnan and Sandler, "Frugal Streaming for Estimating Quantiles", 2013, with a relative step).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Resolution {
    /// Data units; 0 before there was a window.
    usual: f64,
}

impl Resolution {
    /// Share of itself by which the usual half range moves with a bucket.
    const STEP: f64 = 0.01;

    /// The part of an error (data units) that is no news of the bucket: `share` of what the window's `half_range` (data units) has more
    /// than is usual. What is usual has made the errors that this one is ranked against.
    ///
    /// A bucket that is not `learns` leaves no trace.
    pub(super) fn unresolved(&mut self, share: f64, half_range: f64, learns: bool) -> f64 {
        if !half_range.is_finite() {
            return 0.0;
        }
        let usual = if self.usual > 0.0 { self.usual } else { half_range };
        if learns {
            let step = Self::STEP * usual;
            self.usual = half_range.clamp(usual - step, usual + step);
        }
        share * (half_range - usual).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARE: f64 = 0.1;

    fn usual(half_ranges: impl IntoIterator<Item = f64>) -> Resolution {
        let mut resolution = Resolution::default();
        for half_range in half_ranges {
            resolution.unresolved(SHARE, half_range, true);
        }
        resolution
    }

    #[test]
    fn only_what_is_wider_than_usual_counts() {
        let mut resolution = usual((0..1000).map(|i| 4.0 + f64::from(i % 7 - 3) / 2.0));
        assert!((resolution.usual - 4.0).abs() < 0.2, "{}", resolution.usual);
        assert_eq!(resolution.unresolved(SHARE, 3.0, true), 0.0);
        let wide = resolution.unresolved(SHARE, 104.0, true);
        assert!((wide - 10.0).abs() < 0.05, "{wide}");
        assert_eq!(resolution.unresolved(0.0, 104.0, true), 0.0);
        // The first window is the usual one.
        assert_eq!(Resolution::default().unresolved(SHARE, 104.0, false), 0.0);
    }

    #[test]
    fn what_stays_wide_becomes_usual() {
        let mut resolution = usual([4.0; 100]);
        let said: Vec<f64> = (0..400)
            .map(|_| resolution.unresolved(SHARE, 104.0, true))
            .collect();
        assert!(said.is_sorted_by(|a, b| a >= b), "{said:?}");
        assert!(said[100] > 9.0 && said[399] == 0.0, "{said:?}");
    }

    #[test]
    fn what_is_not_learnt_leaves_no_trace() {
        let mut resolution = usual([4.0; 100]);
        let before = resolution.clone();
        assert!(resolution.unresolved(SHARE, 1e6, false) > 9e4);
        assert_eq!(resolution, before);
    }

    #[test]
    fn windows_at_the_ends_of_what_numbers_reach_do_no_harm() {
        let mut resolution = Resolution::default();
        for half_range in [
            f64::INFINITY,
            f64::MAX,
            f64::MIN_POSITIVE,
            f64::INFINITY,
            f64::MAX,
        ] {
            let unresolved = resolution.unresolved(SHARE, half_range, true);
            assert!(unresolved >= 0.0, "{half_range}: {unresolved}");
            assert!(resolution.usual.is_finite());
        }
    }
}
