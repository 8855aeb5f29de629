//! How rare an error is against a series' own long past: rank below, Pareto tail above.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Rarest that is told apart, in decades of tail probability.
pub const DECADES_MAX: f64 = 16.0;

/// Fewest errors a tail is fitted to, once the reference is twice as long.
const EXCESSES_MIN: usize = 10;

/// Constants of the tail estimate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TailSpec {
    /// Errors kept, newest last.
    pub history: usize,
    /// Share of the largest errors that the Pareto tail is fitted to.
    pub share: f64,
    /// Errors between two fits.
    pub refresh: usize,
}

impl Default for TailSpec {
    /// The middle of the flat optimum in the project's measurements: 4000 errors, 5 %, every 20.
    fn default() -> Self {
        Self {
            history: 4000,
            share: 0.05,
            refresh: 20,
        }
    }
}

/// The last `history` errors of one channel and the fit to their tail.
///
/// The estimate is non-robust on purpose: on heavy-tailed metrics the extremes must enter the reference,
/// or every routine burst alerts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tail {
    errors: VecDeque<f32>,
    since_fit: u32,
    /// Sorted ascending as of the last fit; rebuilt after a restore, hence not part of the state.
    #[serde(skip)]
    sorted: Vec<f32>,
    /// Errors that were there at the last fit but have left since: needed to rebuild `sorted` exactly.
    fitted: Option<Fit>,
    /// How many of the newest errors were not there at the last fit.
    left_since_fit: VecDeque<f32>,
}

/// Generalised Pareto tail by the method of moments: `k` of `n` errors exceed `u`; with mean `m` and variance `v` of the
/// excesses, `ξ = max(0, (1 − m²/v)/2)` capped at 0.45 and `σ = m(1 − ξ)`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Fit {
    n: u32,
    k: u32,
    u: f64,
    xi: f64,
    sigma: f64,
}

impl Tail {
    /// Number of errors in the reference.
    #[must_use]
    pub fn len(&self) -> usize {
        self.errors.len()
    }

    /// Whether the reference is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }

    /// Decades of tail probability `−log10 P(error ≥ r)` of `r` (≥ 0, data units) against the reference,
    /// which does not hold `r` itself. `floor` (data units) is the smallest tail scale worth resolving.
    pub fn decades(&mut self, spec: &TailSpec, floor: f64, r: f64) -> f64 {
        let Some(fit) = self.fit(spec) else { return 0.0 };
        let rank = {
            let at_least = self.sorted.len() - self.sorted.partition_point(|e| f64::from(*e) < r);
            -((at_least as f64 + 1.0) / (f64::from(fit.n) + 1.0)).log10()
        };
        let decades = if fit.k > 0 && r > fit.u {
            fit.decades(floor, r)
        } else {
            rank
        };
        decades.clamp(0.0, DECADES_MAX)
    }

    /// The error (data units) at which [`Self::decades`] reaches `decades`; `None` while the reference is
    /// too short to have a tail, or `decades` lies below it.
    pub fn error_at(&mut self, spec: &TailSpec, floor: f64, decades: f64) -> Option<f64> {
        let fit = self.fit(spec)?;
        let above = decades + (f64::from(fit.k) / f64::from(fit.n)).log10();
        (fit.k > 0 && above >= 0.0).then(|| fit.error_at(floor, above))
    }

    /// The middle one of the errors that the last fit saw (data units); `None` while there is none.
    pub fn median(&mut self, spec: &TailSpec) -> Option<f64> {
        self.fit(spec)?;
        self.sorted.get(self.sorted.len() / 2).map(|e| f64::from(*e))
    }

    /// Takes one more error into the reference.
    pub fn push(&mut self, spec: &TailSpec, r: f64) {
        if self.errors.len() >= spec.history.max(1)
            && let Some(old) = self.errors.pop_front()
        {
            self.left_since_fit.push_back(old);
        }
        self.errors.push_back(r as f32);
        self.since_fit += 1;
    }

    fn fit(&mut self, spec: &TailSpec) -> Option<Fit> {
        let stale = self.since_fit as usize >= spec.refresh || self.fitted.is_none();
        if stale && !self.errors.is_empty() {
            self.sorted.clear();
            self.sorted.extend(&self.errors);
            self.sorted.sort_unstable_by(f32::total_cmp);
            self.fitted = Some(Fit::of(&self.sorted, spec.share));
            self.since_fit = 0;
            self.left_since_fit.clear();
        } else if self.sorted.is_empty() && !self.errors.is_empty() {
            // Restored from a snapshot between two fits: what the fit saw is what is here, less the newest, plus the left.
            let kept = self.errors.len() - self.since_fit as usize;
            self.sorted
                .extend(self.left_since_fit.iter().chain(self.errors.iter().take(kept)));
            self.sorted.sort_unstable_by(f32::total_cmp);
        }
        self.fitted
    }
}

impl Fit {
    fn of(sorted: &[f32], share: f64) -> Self {
        let n = sorted.len();
        // A tail of a handful of errors is no tail: a short reference gives up a larger share of itself.
        let k = ((share * n as f64).floor() as usize).max(EXCESSES_MIN.min(n / 2));
        if k == 0 {
            return Self {
                n: n as u32,
                k: 0,
                u: 0.0,
                xi: 0.0,
                sigma: 0.0,
            };
        }
        let u = f64::from(sorted[n - k - 1]);
        let excesses = || sorted[n - k..].iter().map(|e| f64::from(*e) - u);
        let mean = excesses().sum::<f64>() / k as f64;
        let variance = excesses().map(|e| (e - mean).powi(2)).sum::<f64>() / k as f64;
        let xi = if variance > 0.0 {
            (0.5 * (1.0 - mean * mean / variance)).clamp(0.0, 0.45)
        } else {
            0.0
        };
        Self {
            n: n as u32,
            k: k as u32,
            u,
            xi,
            sigma: mean * (1.0 - xi),
        }
    }

    fn decades(self, floor: f64, r: f64) -> f64 {
        let sigma = self.sigma.max(floor);
        let base = -(f64::from(self.k) / f64::from(self.n)).log10();
        let excess = (r - self.u) / sigma;
        if self.xi > 1e-6 {
            base + (1.0 + self.xi * excess).log10() / self.xi
        } else {
            base + excess / std::f64::consts::LN_10
        }
    }

    /// Inverse of [`Self::decades`] for `above` decades over the tail's start.
    fn error_at(self, floor: f64, above: f64) -> f64 {
        let sigma = self.sigma.max(floor);
        if self.xi > 1e-6 {
            self.u + sigma / self.xi * (10_f64.powf(self.xi * above) - 1.0)
        } else {
            self.u + sigma * above * std::f64::consts::LN_10
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn filled(spec: &TailSpec, errors: impl IntoIterator<Item = f64>) -> Tail {
        let mut tail = Tail::default();
        for e in errors {
            tail.push(spec, e);
        }
        tail
    }

    #[test]
    fn an_exponential_reference_is_calibrated() {
        // Quantiles of a unit exponential: P(error ≥ r) = e^−r, so r = 3 ln 10 is three decades out.
        let spec = TailSpec::default();
        let mut tail = filled(
            &spec,
            (0..4000).map(|i| -(1.0 - (f64::from(i) * 0.618).fract() * 0.9999).ln()),
        );
        let decades = tail.decades(&spec, 0.0, 3.0 * std::f64::consts::LN_10);
        assert!((decades - 3.0).abs() < 0.15, "{decades}");
        let back = tail.error_at(&spec, 0.0, decades).unwrap();
        assert!((back - 3.0 * std::f64::consts::LN_10).abs() < 1e-9, "{back}");
    }

    #[test]
    fn a_short_reference_promises_little() {
        let spec = TailSpec::default();
        let mut one = filled(&spec, [1.0]);
        assert!(one.decades(&spec, 0.1, 1e9) <= 2_f64.log10() + 1e-12);
        assert_eq!(one.error_at(&spec, 0.1, 3.0), None);
        assert_eq!(Tail::default().decades(&spec, 0.1, 5.0), 0.0);
    }

    #[test]
    fn a_reference_of_zeros_needs_the_floor() {
        let spec = TailSpec::default();
        let mut tail = filled(&spec, std::iter::repeat_n(0.0, 500));
        assert_eq!(tail.decades(&spec, 1.0, 0.0), 0.0);
        let decades = tail.decades(&spec, 1.0, 1.0);
        assert!((decades - (-(0.05_f64).log10() + 1.0 / std::f64::consts::LN_10)).abs() < 1e-9);
        assert_eq!(tail.decades(&spec, 1e-9, 1.0), DECADES_MAX);
    }

    proptest! {
        #[test]
        fn decades_never_fall_with_the_error(errors in proptest::collection::vec(0.0..1e6f64, 1..300), a in 0.0..1e7f64, b in 0.0..1e7f64) {
            let spec = TailSpec { history: 100, ..TailSpec::default() };
            let mut tail = filled(&spec, errors);
            let (low, high) = (a.min(b), a.max(b));
            prop_assert!(tail.decades(&spec, 1e-3, low) <= tail.decades(&spec, 1e-3, high) + 1e-9);
        }

        #[test]
        fn a_restored_tail_goes_on_alike(errors in proptest::collection::vec(0.0..1e3f64, 2..200), cut in 0usize..200) {
            let spec = TailSpec { history: 60, ..TailSpec::default() };
            let mut a = Tail::default();
            let mut b = Tail::default();
            for (i, e) in errors.iter().enumerate() {
                if i == cut {
                    let bytes = postcard::to_allocvec(&a).unwrap();
                    b = postcard::from_bytes(&bytes).unwrap();
                }
                let want = a.decades(&spec, 1e-3, *e);
                if i >= cut {
                    prop_assert_eq!(want.to_bits(), b.decades(&spec, 1e-3, *e).to_bits());
                    b.push(&spec, *e);
                }
                a.push(&spec, *e);
            }
        }
    }
}
