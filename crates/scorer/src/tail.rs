//! How rare an error is against a series' own long past: rank below, Pareto tail above.

mod sketch;

use serde::{Deserialize, Serialize};

use sketch::{RESOLUTION, Sketch, rounded};

/// Rarest that is told apart, in decades of tail probability.
pub const DECADES_MAX: f64 = 16.0;

/// Decades by which a fit is believed beyond the rarest that its reference could hold: a few hundred errors do not tell what
/// happens once in a hundred thousand.
const EXTRAPOLATION: f64 = 0.75;

/// What each decade further counts. Above 0, so that of two errors beyond belief the larger one stays the rarer.
const BEYOND: f64 = 0.7;

/// Fewest errors a tail is fitted to, once the reference is twice as long.
const EXCESSES_MIN: u32 = 10;

/// Constants of the tail estimate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TailSpec {
    /// Errors looked back on; more than 100 000 are taken for so many.
    pub history: usize,
    /// Share of the largest errors that the Pareto tail is fitted to.
    pub share: f64,
    /// Errors between two fits.
    pub refresh: usize,
    /// Items, of four bytes, in which the errors are kept: how well the many small ones are told apart.
    pub items: usize,
}

impl TailSpec {
    /// The same for companions: fewer items tell apart what is mostly 0, or a mean that moves little from bucket to bucket.
    pub(crate) fn of_companions(self) -> Self {
        Self { items: 168, ..self }
    }

    /// The same where no alert rests on it by itself: still fewer.
    pub(crate) fn rough(self) -> Self {
        Self { items: 112, ..self }
    }
}

impl Default for TailSpec {
    /// The middle of the flat optimum in the project's measurements: 4000 errors, 5 %, every 20.
    fn default() -> Self {
        Self {
            history: 4000,
            share: 0.05,
            refresh: 20,
            items: 224,
        }
    }
}

/// About the last `history` errors of one channel and the fit to their tail, in less than 1 KB.
///
/// The estimate is non-robust on purpose: on heavy-tailed metrics the extremes must enter the reference,
/// or every routine burst alerts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tail {
    errors: Sketch,
    since_fit: u32,
    fitted: Option<Fit>,
}

/// Generalised Pareto tail by the method of moments: `k` of `n` errors exceed `u`; with mean `m` and variance `v` of the
/// excesses, `ξ = max(0, (1 − m²/v)/2)` capped at 0.45 and `σ = m(1 − ξ)`, but never below what `u` is resolved to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Fit {
    n: u32,
    k: u32,
    u: f64,
    xi: f64,
    sigma: f64,
    median: f64,
}

impl Tail {
    /// Number of errors in the reference.
    #[must_use]
    pub fn len(&self) -> usize {
        self.errors.len() as usize
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
        let alike = rounded(r);
        let decades = if fit.k > 0 && alike > fit.u {
            fit.decades(floor, r.max(fit.u))
        } else {
            let at_least = f64::from(self.errors.at_least(alike));
            let rank = -((at_least + 1.0) / (f64::from(self.errors.len()) + 1.0)).log10();
            // The fit may be older than the rank.
            rank.min(fit.base())
        };
        let believed = self.believed();
        (decades.min(believed) + BEYOND * (decades - believed).max(0.0)).clamp(0.0, DECADES_MAX)
    }

    /// The error (data units) at which [`Self::decades`] reaches `decades`; `None` while the reference is
    /// too short to have a tail, or `decades` lies below it.
    pub fn error_at(&mut self, spec: &TailSpec, floor: f64, decades: f64) -> Option<f64> {
        let fit = self.fit(spec)?;
        let believed = self.believed();
        let above = decades.min(believed) + (decades - believed).max(0.0) / BEYOND - fit.base();
        (fit.k > 0 && above >= 0.0).then(|| fit.error_at(floor, above))
    }

    /// Decades up to which the fit is believed: what the reference resolves, and [`EXTRAPOLATION`].
    fn believed(&self) -> f64 {
        (f64::from(self.errors.len()) + 1.0).log10() + EXTRAPOLATION
    }

    /// The middle one of the errors that the last fit saw (data units); `None` while there is none.
    pub fn median(&mut self, spec: &TailSpec) -> Option<f64> {
        self.fit(spec).map(|fit| fit.median)
    }

    /// Takes one more error into the reference.
    pub fn push(&mut self, spec: &TailSpec, r: f64) {
        self.errors.push(spec.history, spec.items, r);
        self.since_fit = self.since_fit.saturating_add(1);
    }

    /// Memory beside the value itself.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.errors.heap_bytes()
    }

    fn fit(&mut self, spec: &TailSpec) -> Option<Fit> {
        let stale = self.since_fit as usize >= spec.refresh || self.fitted.is_none();
        if stale && !self.errors.is_empty() {
            self.fitted = Some(Fit::of(&self.errors, spec.share));
            self.since_fit = 0;
        }
        self.fitted
    }
}

impl Fit {
    fn of(errors: &Sketch, share: f64) -> Self {
        let n = errors.len();
        // A tail of a handful of errors is no tail: a short reference gives up a larger share of itself.
        let k = ((share * f64::from(n)).floor() as u32).max(EXCESSES_MIN.min(n / 2));
        let u = errors.ranked(k).unwrap_or(0.0);
        let excesses = || {
            let mut left = k;
            errors.largest().map_while(move |(error, count)| {
                let count = count.min(left);
                left -= count;
                (count > 0).then_some((error - u, f64::from(count)))
            })
        };
        let of_k = 1.0 / f64::from(k.max(1));
        let mean = of_k * excesses().map(|(e, count)| e * count).sum::<f64>();
        let variance = of_k
            * excesses()
                .map(|(e, count)| (e - mean).powi(2) * count)
                .sum::<f64>();
        let xi = if variance > 0.0 {
            (0.5 * (1.0 - mean * mean / variance)).clamp(0.0, 0.45)
        } else {
            0.0
        };
        Self {
            n,
            k,
            u,
            xi,
            sigma: (mean * (1.0 - xi)).max(RESOLUTION * u),
            median: errors.ranked(n.div_ceil(2).saturating_sub(1)).unwrap_or(0.0),
        }
    }

    /// Decades at which the tail starts.
    fn base(self) -> f64 {
        -(f64::from(self.k) / f64::from(self.n)).log10()
    }

    fn decades(self, floor: f64, r: f64) -> f64 {
        let sigma = self.sigma.max(floor);
        let base = self.base();
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
mod tests;
