//! How far several bundles lie apart, as of one training with several seeds.

use std::collections::BTreeMap;

use serde::Serialize;

use super::measures::Measures;

/// The figures that are compared: name, as in [`Measures`], and value.
#[must_use]
pub fn figures(measures: &Measures) -> Vec<(&'static str, Option<f64>)> {
    let nab = |profile: &str| measures.nab.get(profile);
    vec![
        ("nab.standard.best", nab("standard").and_then(|s| s.best)),
        (
            "nab.standard.at_boundary",
            nab("standard").and_then(|s| s.at_boundary),
        ),
        (
            "nab.reward_low_FP_rate.best",
            nab("reward_low_FP_rate").and_then(|s| s.best),
        ),
        (
            "nab.reward_low_FN_rate.best",
            nab("reward_low_FN_rate").and_then(|s| s.best),
        ),
        ("vus_pr", measures.vus_pr),
        ("overlap.f1", measures.overlap.f1),
        ("weighted.f1", measures.weighted.f1),
        ("alerts.delay_seconds", measures.alerts.delay_seconds),
        ("alerts.a_day", measures.alerts.a_day),
        ("alerts.time_in_alert", measures.alerts.time_in_alert),
    ]
}

/// One figure over several bundles.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// Smallest.
    pub min: f64,
    /// Mean.
    pub mean: f64,
    /// Largest.
    pub max: f64,
    /// Standard deviation of a sample (divided by one less than their number); absent for a single one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sd: Option<f64>,
}

/// The spread of every figure that all of `bundles` have.
#[must_use]
pub fn spread(bundles: &[&Measures]) -> BTreeMap<&'static str, Spread> {
    let mut all: BTreeMap<&'static str, Vec<f64>> = BTreeMap::new();
    for measures in bundles {
        for (name, value) in figures(measures) {
            all.entry(name).or_default().extend(value);
        }
    }
    let whole = all
        .into_iter()
        .filter(|(_, values)| values.len() == bundles.len());
    whole
        .filter_map(|(name, values)| Some((name, Spread::of(&values)?)))
        .collect()
}

impl Spread {
    fn of(values: &[f64]) -> Option<Self> {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
        Some(Self {
            min: values.iter().copied().min_by(f64::total_cmp)?,
            mean,
            max: values.iter().copied().max_by(f64::total_cmp)?,
            sd: (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let spread = Spread::of(&[3.0, 1.0, 2.0]).unwrap();
        assert_eq!(
            (spread.min, spread.mean, spread.max, spread.sd),
            (1.0, 2.0, 3.0, Some(1.0))
        );
        assert_eq!(Spread::of(&[4.0]).unwrap().sd, None);
        assert_eq!(Spread::of(&[]), None);
    }
}
