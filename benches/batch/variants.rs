//! The scores that the reference has to offer, and the anomalies it finds in each.

use agent::evaluate::intervals::Interval;
use ndarray::s;
use scorer::parity::aer::{self, AerSpec, Heads};
use scorer::parity::anomalies::{FindSpec, find_anomalies};
use scorer::parity::critic;
use scorer::parity::errors::{self, ErrorKind};
use scorer::parity::score::{Combination, combine, normalise};

use crate::nets::{Method, Seen};
use crate::signals::{Grid, WINDOW};

const ERRORS: [(&str, ErrorKind); 3] = [
    ("point", ErrorKind::Point),
    ("area", ErrorKind::Area),
    ("dtw", ErrorKind::Dtw),
];
/// Samples of the area and DTW windows.
const SCORE_WINDOW: usize = 10;

/// One score a bucket, by name; every name of a method comes for every series, in the same order.
pub(crate) fn scores(method: &Method, seen: &Seen) -> Vec<(String, Vec<f64>)> {
    match method {
        Method::Aer => of_aer(seen),
        Method::Both(_) => of_both(seen),
        Method::Tadgan(_) | Method::Linear => of_reconstruction(seen),
    }
}

/// TadGAN's error of each kind alone and, where there is a critic, combined with it, at the reference's settings.
fn of_reconstruction(seen: &Seen) -> Vec<(String, Vec<f64>)> {
    let truth = errors::truth(seen.x.view());
    let predicted = errors::median_predictions(seen.y.view());
    let width = errors::default_smoothing(seen.x.nrows());
    let critic = critic::score(&critic::picks(&seen.critics, WINDOW), width);
    let mut all = Vec::new();
    for (name, kind) in ERRORS {
        let raw = errors::raw(kind, &truth, &predicted, SCORE_WINDOW);
        let error = normalise(&errors::rolling_mean(&raw, width));
        if !seen.critics.is_empty() {
            let with = |combination| combine(&critic, &error, combination);
            all.push((format!("critic × {name}"), with(Combination::Mult)));
            all.push((format!("critic + {name}"), with(Combination::Sum { lambda: 0.5 })));
        }
        all.push((name.to_owned(), error));
    }
    if !seen.critics.is_empty() {
        all.push(("critic".to_owned(), critic));
    }
    all
}

/// AER's error of each kind alone and combined with that of its predictions, and the latter alone.
fn of_aer(seen: &Seen) -> Vec<(String, Vec<f64>)> {
    let (reverse, forward) = (seen.y.column(0).to_vec(), seen.y.column(WINDOW - 1).to_vec());
    let heads = Heads {
        reverse: &reverse,
        inner: seen.y.slice(s![.., 1..WINDOW - 1]),
        forward: &forward,
    };
    let score = |error, combination| {
        let spec = AerSpec {
            error,
            combination,
            ..AerSpec::default()
        };
        aer::score_anomalies(seen.x.view(), heads, &spec)
    };
    let mut all = Vec::new();
    for (name, kind) in ERRORS {
        all.push((
            format!("prediction × {name}"),
            score(kind, aer::Combination::Mult),
        ));
        let sum = aer::Combination::Sum { lambda: 0.5 };
        all.push((format!("prediction + {name}"), score(kind, sum)));
        all.push((name.to_owned(), score(kind, aer::Combination::Rec)));
    }
    let prediction = score(ErrorKind::Point, aer::Combination::Reg);
    all.push(("prediction".to_owned(), prediction));
    all
}

/// TadGAN's critic times AER's own combination.
fn of_both(seen: &Seen) -> Vec<(String, Vec<f64>)> {
    let width = errors::default_smoothing(seen.x.nrows());
    let critic = critic::score(&critic::picks(&seen.critics, WINDOW), width);
    let times = |(name, score): (String, Vec<f64>)| {
        let product = combine(&critic, &score, Combination::Mult);
        (format!("critic × {name}"), product)
    };
    of_aer(seen).into_iter().map(times).collect()
}

/// The reference's anomalies in a score, both ends included. Scores lie on the first buckets of the grid; what they call the
/// last bucket of an anomaly is its start.
pub(crate) fn found(scores: &[f64], grid: &Grid) -> Vec<Interval> {
    let anomalies = find_anomalies(scores, &FindSpec::tadgan()).into_iter();
    anomalies
        .map(|a| (grid.index[a.start], grid.index[a.stop]))
        .collect()
}
