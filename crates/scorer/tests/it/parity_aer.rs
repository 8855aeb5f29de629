//! Parity vectors of AER's batch scorer: numbers got by running the reference's functions.

use ndarray::{Array2, s};
use scorer::parity::aer::{AerSpec, Combination, Heads, regression_errors, score_anomalies};
use scorer::parity::errors::ErrorKind;

use crate::support::assert_close;

const WINDOWS: usize = 12;
const LENGTH: usize = 6;

/// Rows of a series, one sample apart.
fn rows(series: &[f64]) -> Array2<f64> {
    Array2::from_shape_fn((WINDOWS, LENGTH), |(window, k)| series[window + k])
}

fn sine() -> Vec<f64> {
    (0..WINDOWS + LENGTH - 1)
        .map(|i| (0.5 * i as f64).sin())
        .collect()
}

/// Scores a spike of 1.5 at sample 8 of a sine that all heads predict without a fault.
fn spike(combination: Combination, mask: bool) -> Vec<f64> {
    let (mut seen, predicted) = (sine(), rows(&sine()));
    seen[8] += 1.5;
    let (first, last) = (
        predicted.column(0).to_vec(),
        predicted.column(LENGTH - 1).to_vec(),
    );
    let heads = Heads {
        reverse: &first,
        inner: predicted.slice(s![.., 1..LENGTH - 1]),
        forward: &last,
    };
    let spec = AerSpec {
        error: ErrorKind::Point,
        smoothing: 0.25,
        mask,
        combination,
        ..AerSpec::default()
    };
    score_anomalies(rows(&seen).view(), heads, &spec)
}

#[test]
fn both_predictions_make_one_error() {
    let mut expected = vec![0.0; 8];
    expected.extend([
        0.775733855,
        0.381231672,
        0.189033894,
        0.094130541,
        0.047058824,
        0.023483366,
        0.01173020,
        0.005862237,
        0.002930403,
    ]);
    assert_close(&spike(Combination::Reg, true), &expected, 1e-8);
}

#[test]
fn product_of_prediction_and_reconstruction() {
    let mut expected = vec![1.0; 7];
    expected.extend([
        2.0,
        4.0,
        2.982892957,
        1.243683955,
        1.121343861,
        1.06066362,
        1.030272452,
        1.01512143,
        1.007557021,
        1.003777588,
    ]);
    assert_close(&spike(Combination::Mult, true), &expected, 1e-9);
}

/// The other combinations follow from the two parts: the reconstruction error is that of the spike, smoothed over 3.
#[test]
fn sum_and_reconstruction_follow_from_the_parts() {
    let mut rec = vec![0.0; 17];
    rec[7..10].fill(0.5);
    assert_close(&spike(Combination::Rec, true), &rec, 1e-12);
    let reg = spike(Combination::Reg, true);
    let sum: Vec<f64> = reg
        .iter()
        .zip(&rec)
        .map(|(p, r)| 0.7 * p / reg[8] + 0.3 * r / 0.5)
        .collect();
    assert_close(&spike(Combination::Sum { lambda: 0.3 }, true), &sum, 1e-12);
}

/// With errors of one everywhere and no mask, timestamps with both predictions get their mean, the others what they
/// have; a mask takes the forward share away where it reaches, and halves nothing there.
#[test]
fn what_overlaps_is_averaged() {
    let (seen, ones) = (Array2::zeros((WINDOWS, LENGTH)), vec![1.0; WINDOWS]);
    let inner = Array2::zeros((WINDOWS, LENGTH - 2));
    let heads = Heads {
        reverse: &ones,
        inner: inner.view(),
        forward: &[3.0; WINDOWS],
    };
    let error = |mask| {
        let spec = AerSpec {
            smoothing: 0.25,
            mask,
            ..AerSpec::default()
        };
        regression_errors(seen.view(), heads, &spec)
    };
    let parts = |before: usize, both: usize| [vec![1.0; before], vec![2.0; both], vec![3.0; 5]].concat();
    assert_close(&error(false), &parts(5, 7), 1e-12);
    assert_close(&error(true), &parts(8, 4), 1e-12);
}

/// Too few windows to smooth over: the reconstruction is NaN as in the reference, the prediction is not.
#[test]
fn few_windows_leave_the_predictions() {
    let x = rows(&sine());
    let zeros = vec![0.0; WINDOWS];
    let heads = Heads {
        reverse: &zeros,
        inner: x.slice(s![.., 1..LENGTH - 1]),
        forward: &zeros,
    };
    let spec = |combination| AerSpec {
        combination,
        ..AerSpec::default()
    };
    let of = |combination| score_anomalies(x.view(), heads, &spec(combination));
    assert!(of(Combination::Reg).iter().all(|e| e.is_finite()));
    assert!(of(Combination::Mult)[1..16].iter().all(|e| e.is_nan()));
}
