//! From scores to anomalous intervals: a threshold in each of many overlapping windows of the series, runs above
//! it, pruned by how much they stand out, merged over the windows.

use super::threshold::{self, Threshold};

/// What [`find_anomalies`] is asked for; the default is the reference function's own.
#[derive(Clone, Debug, PartialEq)]
pub struct FindSpec {
    /// Length of the windows.
    pub window: Extent,
    /// Distance of the windows; a portion is one of the window.
    pub step: Extent,
    /// The threshold of a window.
    pub threshold: Threshold,
    /// Smallest relative drop between sorted maxima that keeps an anomaly.
    pub min_percent: f64,
    /// Samples added to both sides of what exceeds the threshold.
    pub padding: usize,
    /// Also look below a threshold mirrored at the window's mean.
    pub lower_threshold: bool,
    /// Small scores are anomalous: replaces e by max(e) - e.
    pub inverse: bool,
}

/// A length in samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Extent {
    /// As long as what it is taken from.
    Whole,
    /// So many samples.
    Samples(usize),
    /// A share of what it is taken from, rounded up.
    Portion(f64),
}

impl Extent {
    fn of(self, whole: usize) -> usize {
        match self {
            Self::Whole => whole,
            Self::Samples(samples) => samples,
            Self::Portion(share) => (whole as f64 * share).ceil() as usize,
        }
    }
}

impl Default for FindSpec {
    fn default() -> Self {
        Self {
            window: Extent::Whole,
            step: Extent::Whole,
            threshold: Threshold::Dynamic { starts: 0..10 },
            min_percent: 0.1,
            padding: 50,
            lower_threshold: false,
            inverse: false,
        }
    }
}

impl FindSpec {
    /// What the TadGAN pipeline of the reference asks for.
    #[must_use]
    pub fn tadgan() -> Self {
        Self {
            window: Extent::Portion(0.33),
            step: Extent::Portion(0.1),
            threshold: Threshold::Fixed { sigmas: 4.0 },
            min_percent: 0.13,
            ..Self::default()
        }
    }
}

/// An anomalous interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Anomaly {
    /// First sample.
    pub start: usize,
    /// Last sample.
    pub stop: usize,
    /// `(max - τ) / (mean + std)` of its window; the average weighted with `stop - start` for merged ones.
    pub severity: f64,
}

/// The anomalies in `errors`, by start, disjoint and apart.
#[must_use]
pub fn find_anomalies(errors: &[f64], spec: &FindSpec) -> Vec<Anomaly> {
    let inverted: Vec<f64>;
    let errors = if spec.inverse {
        let max = errors.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        inverted = errors.iter().map(|e| max - e).collect();
        &inverted
    } else {
        errors
    };
    let window = spec.window.of(errors.len()).max(1);
    let step = spec.step.of(window).max(1);
    let mut found = Vec::new();
    for start in (0..errors.len()).step_by(step) {
        let slice = &errors[start..(start + window).min(errors.len())];
        found.extend(find_in_window(slice, start, spec));
        if spec.lower_threshold {
            let mean = super::mean(slice);
            let mirrored: Vec<f64> = slice.iter().map(|e| mean - (e - mean)).collect();
            found.extend(find_in_window(&mirrored, start, spec));
        }
        if start + window >= errors.len() {
            break;
        }
    }
    merge(found)
}

fn find_in_window(window: &[f64], offset: usize, spec: &FindSpec) -> Vec<Anomaly> {
    let tau = threshold::of(window, &spec.threshold);
    let (runs, max_below) = find_runs(window, tau, spec.padding);
    let kept = prune(peaks(window, &runs, max_below), spec.min_percent);
    let scale = super::mean(window) + super::std(window);
    kept.iter()
        .map(|peak| Anomaly {
            start: peak.run.0 + offset,
            stop: peak.run.1 + offset,
            severity: (peak.max - tau) / scale,
        })
        .collect()
}

/// Inclusive runs of what exceeds `threshold`, each exceeding sample widened by `padding` on both sides; and the
/// largest of the other errors, 0 when there is none.
#[must_use]
pub fn find_runs(errors: &[f64], threshold: f64, padding: usize) -> (Vec<(usize, usize)>, f64) {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for i in (0..errors.len()).filter(|i| errors[*i] > threshold) {
        let (start, stop) = (i.saturating_sub(padding), (i + padding).min(errors.len() - 1));
        match runs.last_mut() {
            Some(run) if start <= run.1 + 1 => run.1 = stop,
            _ => runs.push((start, stop)),
        }
    }
    let is_inside = |i: usize| runs.iter().any(|(start, stop)| (*start..=*stop).contains(&i));
    let below = (0..errors.len()).filter(|i| !is_inside(*i)).map(|i| errors[i]);
    let max_below = below.reduce(f64::max).unwrap_or(0.0);
    (runs, max_below)
}

/// A run and its largest error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peak {
    /// Largest error inside the run.
    pub max: f64,
    /// First and last sample.
    pub run: (usize, usize),
}

/// Peaks of `runs`, largest first, and what the smallest one has to stand out from.
#[must_use]
pub fn peaks(errors: &[f64], runs: &[(usize, usize)], max_below: f64) -> (Vec<Peak>, f64) {
    let peak = |run: &(usize, usize)| Peak {
        max: errors[run.0..=run.1]
            .iter()
            .copied()
            .fold(f64::NEG_INFINITY, f64::max),
        run: *run,
    };
    let mut peaks: Vec<Peak> = runs.iter().map(peak).collect();
    peaks.sort_by(|a, b| b.max.total_cmp(&a.max));
    (peaks, max_below)
}

/// Keeps the peaks down to the last one whose relative drop to the next (to the floor, for the last) is at least
/// `min_percent`: a small drop before a large one is kept.
#[must_use]
pub fn prune((mut peaks, floor): (Vec<Peak>, f64), min_percent: f64) -> Vec<Peak> {
    let next = |i: usize| peaks.get(i + 1).map_or(floor, |peak| peak.max);
    // A drop of 0 / 0 is not too small to the reference.
    let is_too_small = |i: usize| (peaks[i].max - next(i)) / peaks[i].max < min_percent;
    let kept = (0..peaks.len())
        .rposition(|i| !is_too_small(i))
        .map_or(0, |i| i + 1);
    peaks.truncate(kept);
    peaks
}

/// Merges what overlaps or touches. The severity is the mean of all merged ones weighted with `stop - start`;
/// where that is 0 for each of them, the plain mean (the reference divides by zero).
#[must_use]
pub fn merge(mut anomalies: Vec<Anomaly>) -> Vec<Anomaly> {
    anomalies.sort_by_key(|anomaly| anomaly.start);
    let mut merged: Vec<Anomaly> = Vec::new();
    let mut members: Vec<Anomaly> = Vec::new();
    for anomaly in anomalies {
        match merged.last_mut() {
            Some(last) if anomaly.start <= last.stop + 1 => {
                members.push(anomaly);
                last.stop = last.stop.max(anomaly.stop);
                last.severity = weighted_severity(&members);
            }
            _ => {
                members = vec![anomaly];
                merged.push(anomaly);
            }
        }
    }
    merged
}

fn weighted_severity(members: &[Anomaly]) -> f64 {
    let weight = |a: &Anomaly| (a.stop - a.start) as f64;
    let total: f64 = members.iter().map(weight).sum();
    if total == 0.0 {
        members.iter().map(|a| a.severity).sum::<f64>() / members.len() as f64
    } else {
        members.iter().map(|a| a.severity * weight(a)).sum::<f64>() / total
    }
}
