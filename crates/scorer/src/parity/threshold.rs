//! The threshold of one window: a fixed number of standard deviations, or the one that pays best.

use std::cell::Cell;
use std::ops::Range;

use super::{mean, std};

/// How the threshold of a window is found.
#[derive(Clone, Debug, PartialEq)]
pub enum Threshold {
    /// `mean + z·std` with the z that minimises [`cost`], searched by Nelder–Mead from each integer of `starts`.
    Dynamic {
        /// Integers to start from.
        starts: Range<u32>,
    },
    /// `mean + sigmas·std`.
    Fixed {
        /// Standard deviations; 4 in the reference.
        sigmas: f64,
    },
}

/// The threshold of `window` (population moments).
#[must_use]
pub fn of(window: &[f64], threshold: &Threshold) -> f64 {
    let (mean, std) = (mean(window), std(window));
    let z = match threshold {
        Threshold::Fixed { sigmas } => *sigmas,
        Threshold::Dynamic { starts } => cheapest_z(|z| cost_with(window, mean, std, z), starts.clone()),
    };
    mean + z * std
}

/// What a threshold `mean + z·std` costs: `-(Δmean / mean + Δstd / std) / (above + runs²)`, where the deltas are
/// how much lower mean and standard deviation get without what exceeds it, and `above` and `runs` count the
/// samples and the runs that do. Infinite when nothing exceeds it.
#[must_use]
pub fn cost(window: &[f64], z: f64) -> f64 {
    cost_with(window, mean(window), std(window), z)
}

fn cost_with(window: &[f64], mean: f64, std: f64, z: f64) -> f64 {
    let epsilon = mean + z * std;
    let is_above: Vec<bool> = window.iter().map(|e| *e > epsilon).collect();
    let above = is_above.iter().filter(|above| **above).count();
    if above == 0 {
        return f64::INFINITY;
    }
    let starts = is_above.windows(2).filter(|pair| !pair[0] && pair[1]).count();
    let runs = starts + usize::from(is_above[0]);
    let below: Vec<f64> = window.iter().copied().filter(|e| *e <= epsilon).collect();
    let (delta_mean, delta_std) = if below.is_empty() {
        (0.0, 0.0)
    } else {
        (mean - super::mean(&below), std - super::std(&below))
    };
    -(delta_mean / mean + delta_std / std) / (above as f64 + (runs as f64).powi(2))
}

/// The cheapest z found from any start; the first on ties, and the first start when every cost is infinite.
fn cheapest_z(cost: impl Fn(f64) -> f64, starts: Range<u32>) -> f64 {
    let mut best = (f64::from(starts.start), f64::INFINITY);
    for start in starts {
        let found = nelder_mead(&cost, f64::from(start));
        if found.1 < best.1 {
            best = found;
        }
    }
    best.0
}

/// Nelder–Mead in one dimension as SciPy's `fmin` runs it: the second corner 5 % from the start (0.00025 from 0),
/// reflection 1, expansion 2, contraction and shrinking 1/2, until both corners and both values are within 1e-4 or
/// 200 iterations or calls are spent. Gives the best corner and its value. On a cost made of steps it rarely gets
/// far, so the details decide the answer.
fn nelder_mead(f: impl Fn(f64) -> f64, start: f64) -> (f64, f64) {
    const TOLERANCE: f64 = 1e-4;
    const LIMIT: usize = 200;
    let second = if start == 0.0 { 0.00025 } else { start * 1.05 };
    let calls = Cell::new(0);
    let at = |x: f64| {
        calls.set(calls.get() + 1);
        (x, f(x))
    };
    let (mut best, mut worst) = in_order(at(start), at(second));
    for _ in 1..LIMIT {
        let converged = (worst.0 - best.0).abs() <= TOLERANCE && (best.1 - worst.1).abs() <= TOLERANCE;
        if converged || calls.get() >= LIMIT {
            break;
        }
        // In one dimension the centre of all corners but the worst is the best one.
        let reflected = at(2.0 * best.0 - worst.0);
        if reflected.1 < best.1 {
            let expanded = at(3.0 * best.0 - 2.0 * worst.0);
            worst = if expanded.1 < reflected.1 {
                expanded
            } else {
                reflected
            };
        } else if reflected.1 < worst.1 {
            let outside = at(1.5 * best.0 - 0.5 * worst.0);
            worst = if outside.1 <= reflected.1 {
                outside
            } else {
                at(best.0 + 0.5 * (worst.0 - best.0))
            };
        } else {
            let inside = at(0.5 * best.0 + 0.5 * worst.0);
            worst = if inside.1 < worst.1 {
                inside
            } else {
                at(best.0 + 0.5 * (worst.0 - best.0))
            };
        }
        (best, worst) = in_order(best, worst);
    }
    best
}

/// The smaller value first, NaN last, ties as they are.
fn in_order(a: (f64, f64), b: (f64, f64)) -> ((f64, f64), (f64, f64)) {
    if b.1 < a.1 || (a.1.is_nan() && !b.1.is_nan()) {
        (b, a)
    } else {
        (a, b)
    }
}
