//! Parity vectors of the batch method up to the score: facts from the reference's own unit tests, and numbers got
//! by running its functions.

use ndarray::{Array2, ArrayView2, array};
use scorer::parity::errors::{ErrorKind, ewma, median_predictions, raw, rolling_mean, truth};
use scorer::parity::preprocess::{Method, aggregate, impute_mean, min_max, window_starts};
use scorer::parity::score::{Combination, ScoreSpec, score_anomalies};
use scorer::parity::{critic, dtw};

use crate::support::assert_close;

const NAN: f64 = f64::NAN;

#[test]
fn aggregation() {
    let samples = [(1, 1.0), (2, 3.0), (3, 1.0), (4, 3.0)];
    for method in [Method::Mean, Method::Median] {
        assert_eq!(aggregate(&samples, 2, method), (vec![1, 3], vec![2.0, 2.0]));
    }
    // The grid starts at the first sample, and a bucket without one is NaN.
    let (index, values) = aggregate(&[(7, 1.0), (8, NAN), (13, 5.0)], 2, Method::Mean);
    assert_eq!(index, [7, 9, 11, 13]);
    assert_close(&values, &[1.0, NAN, NAN, 5.0], 0.0);
    assert_eq!(impute_mean(&values), [1.0, 3.0, 3.0, 5.0]);
    assert_eq!(aggregate(&[], 2, Method::Mean), (vec![], vec![]));
}

#[test]
fn windows() {
    // Four samples, windows of 2, target 1: X (.5, 1), (1, .5) at 1 and 2, y .5 and 1 at 3 and 4 (counted from 1).
    assert_eq!(window_starts(4, 2, 1, 1, &[]), [0, 1]);
    // Samples 4 and 5 of nine dropped: X at 1, 6 and 7, y at 3, 8 and 9.
    let drop = [4, 5].map(|sample| sample - 1);
    let mask: Vec<bool> = (0..9).map(|i| drop.contains(&i)).collect();
    assert_eq!(window_starts(9, 2, 1, 1, &mask), [0, 5, 6]);
    assert_eq!(window_starts(2, 2, 1, 1, &[]), [0; 0]);
}

#[test]
fn scaling_is_the_agents_own() {
    let map = min_max(&[3.0, 1.0, 2.0]).fit(&[], 0.0);
    assert_eq!([1.0, 2.0, 3.0, 4.0].map(|v| map.scale(v)), [-1.0, 0.0, 1.0, 2.0]);
}

const Y: [f64; 8] = [0.0, 0.1, 1.0, 0.5, 0.1, 0.1, 0.0, 0.5];
const Y_HAT: [f64; 8] = [0.1, 2.0, 0.5, 0.0, 3.0, 0.1, 5.0, 0.5];

#[test]
fn point_and_area_errors() {
    let point = raw(ErrorKind::Point, &Y, &Y_HAT, 10);
    assert_close(&point, &[0.1, 1.9, 0.5, 0.5, 2.9, 0.0, 5.0, 0.0], 1e-12);
    assert_close(
        &raw(ErrorKind::Area, &Y, &Y_HAT, 4),
        &[1.0, 1.7, 1.2, 1.4, 2.15, 5.15, 6.45, 5.0],
        1e-12,
    );
    let ramp: Vec<f64> = (0..12).map(|i| f64::from(i * i) / 10.0).collect();
    assert_close(
        &raw(ErrorKind::Area, &ramp, &[0.0; 12], 10),
        &[
            2.2, 4.25, 7.3, 11.55, 17.2, 24.45, 33.45, 44.25, 43.6, 42.35, 40.3, 37.25,
        ],
        1e-12,
    );
    let smooth = ewma(&point, 2.0);
    for (found, expected) in smooth
        .iter()
        .zip([0.1, 1.45, 0.792, 0.595, 2.138, 0.71, 3.571, 1.19])
    {
        assert!((found - expected).abs() <= 1e-2 * expected, "{found} {expected}");
    }
    assert_close(
        &ewma(&point, 3.0),
        &[
            0.1,
            1.3,
            0.842857143,
            0.66,
            1.816129032,
            0.893650794,
            2.962992126,
            1.475686275,
        ],
        1e-9,
    );
}

#[test]
fn dtw_errors() {
    let found = dtw::error(&Y[..4], &Y_HAT[..4], 2);
    assert_close(&found, &[0.0, 1.9, 0.0, 0.0], 1e-12);

    let a = [0.0, 0.1, 0.3, 0.6, 1.0, 0.6, 0.3, 0.1, 0.0, 0.0, 0.0];
    let late: Vec<f64> = [0.0].into_iter().chain(a[..10].iter().copied()).collect();
    assert_eq!(dtw::distance(&a, &late), 0.0);
    let mut dented = a;
    dented[4] = 0.2;
    assert_close(&[dtw::distance(&a, &dented)], &[0.5099019513592785], 1e-12);

    let found = dtw::error(&[1.0; 40], &[0.0; 40], 10);
    assert_close(
        &found[..10],
        &[
            0.0,
            0.0,
            0.0,
            0.0,
            0.0,
            2.449489743,
            2.645751311,
            2.828427125,
            3.0,
            3.16227766,
        ],
        1e-9,
    );
    assert_close(&found[10..34], &[3.31662479; 24], 1e-8);
    assert_eq!(found[34..], [0.0; 6]);

    let spike_at = |at: usize| -> Vec<f64> { (0..40).map(|i| f64::from(u8::from(i == at))).collect() };
    let expected: Vec<f64> = (0..40)
        .map(|i| f64::from(u8::from((20..=30).contains(&i))))
        .collect();
    assert_eq!(
        dtw::error(&spike_at(20), &[0.0; 40], 10),
        expected,
        "five samples late"
    );
    assert_eq!(
        dtw::error(&spike_at(37), &[0.0; 40], 10),
        [0.0; 40],
        "blind at the end"
    );
    assert_eq!(dtw::error(&[1.0; 3], &[0.0; 3], 10), [0.0; 3]);
}

#[test]
fn errors_of_windows() {
    let y = array![[0.0, 0.1], [1.0, 0.5], [0.1, 0.1], [0.0, 0.5]];
    let y_hat = array![[0.1, 2.0], [0.5, 0.0], [3.0, 0.1], [5.0, 0.5]];
    let truth = truth(y.view());
    assert_eq!(truth, [0.0, 1.0, 0.1, 0.0, 0.5]);
    let predicted = median_predictions(y_hat.view());
    assert_close(&predicted, &[0.1, 1.25, 1.5, 2.55, 0.5], 1e-12);
    let point = raw(ErrorKind::Point, &truth, &predicted, 10);
    assert_close(&point, &[0.1, 0.25, 1.4, 2.55, 0.0], 1e-12);
    // A fraction of 0.25 of the four windows is a smoothing window of 1.
    assert_eq!(rolling_mean(&point, 1), point);
    assert_close(
        &raw(ErrorKind::Area, &truth, &predicted, 4),
        &[0.175, 1.0, 2.975, 4.075, 3.25],
        1e-12,
    );
    let found = raw(ErrorKind::Dtw, &truth, &predicted, 2);
    assert_close(&found, &[0.0, 0.27, 1.425, 0.0, 0.0], 1e-2);
}

#[test]
fn centred_rolling_mean() {
    let ramp: Vec<f64> = (0..8).map(f64::from).collect();
    assert_close(
        &rolling_mean(&ramp, 4),
        &[0.5, 1.0, 1.5, 2.5, 3.5, 4.5, 5.5, 6.0],
        1e-12,
    );
    assert_close(
        &rolling_mean(&ramp, 5),
        &[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 5.5, 6.0],
        1e-12,
    );
    assert_close(&rolling_mean(&ramp, 1), &ramp, 0.0);
    assert_close(&rolling_mean(&ramp, 0), &[NAN; 8], 0.0);
}

#[test]
fn critic_value_by_density() {
    for (values, picked) in [
        (&[1.0, 2.0][..], 1.0),
        (&[1.0, 2.0, 2.1], 2.0),
        (&[5.0, 1.0, 1.1, 1.2, 9.0], 1.2),
        (&[0.1, 0.4, 0.35, 0.3, 2.0, -1.0], 0.3),
        (&[3.0, 3.0, 3.0], 3.0),
        (&[4.0], 4.0),
    ] {
        assert_eq!(critic::pick(values), picked, "{values:?}");
    }
}

const TRUTH: [f64; 9] = [0.0, 0.2, 0.4, 0.1, -0.3, 0.9, 0.0, -0.2, 0.1];
const RECONSTRUCTIONS: [[f64; 4]; 6] = [
    [0.1, 0.1, 0.3, 0.2],
    [0.2, 0.3, 0.1, -0.2],
    [0.3, 0.0, -0.2, 0.1],
    [0.0, -0.1, 0.2, 0.1],
    [-0.2, 0.3, 0.1, -0.1],
    [0.2, 0.0, -0.1, 0.0],
];
const CRITICS: [f64; 6] = [1.0, 1.2, 0.2, -0.8, 0.5, 1.1];
const CRITIC_SCORE: [f64; 9] = [
    1.958120269,
    1.836454203,
    1.836454203,
    1.806037686,
    2.018953301,
    2.231868917,
    2.140619367,
    2.049369818,
    1.958120269,
];

fn windows_of(series: &[f64], length: usize) -> Array2<f64> {
    let windows: Vec<f64> = series.windows(length).flatten().copied().collect();
    Array2::from_shape_vec((windows.len() / length, length), windows).unwrap()
}

#[test]
fn critic_score() {
    let picks = critic::picks(&CRITICS, 4);
    assert_eq!(picks, [1.0, 1.2, 1.0, 1.0, 0.5, 0.5, 0.5, 1.1, 1.1]);
    assert_close(&critic::score(&picks, 3), &CRITIC_SCORE, 1e-9);
    assert_close(
        &critic::score(&picks, 1),
        &[
            1.593122071,
            2.323118466,
            1.593122071,
            1.593122071,
            2.231868917,
            2.231868917,
            2.231868917,
            1.958120269,
            1.958120269,
        ],
        1e-9,
    );
    assert_close(&critic::score(&[2.0; 4], 1), &[NAN; 4], 0.0);
}

#[test]
fn whole_scorer() {
    let x = windows_of(&TRUTH, 4);
    let y = Array2::from_shape_vec((6, 4), RECONSTRUCTIONS.concat()).unwrap();
    let score = |error, score_window, combination| {
        let spec = ScoreSpec {
            error,
            score_window,
            error_smoothing: Some(3),
            critic_smoothing: Some(3),
            combination,
        };
        score_anomalies(x.view(), y.view(), &CRITICS, &spec)
    };
    for case in whole_scorer_cases() {
        let found = score(case.error, case.score_window, Combination::Rec);
        assert_close(
            &found.predicted,
            &[0.1, 0.15, 0.3, 0.05, -0.2, 0.2, 0.1, -0.1, 0.0],
            1e-12,
        );
        assert_close(&found.raw_error, &case.raw, 1e-9);
        assert_close(&found.error, &case.smooth, 1e-9);
        assert_close(&found.critic, &CRITIC_SCORE, 1e-9);
        assert_close(&found.score, &case.rec, 1e-9);
        let found = score(case.error, case.score_window, Combination::Mult);
        assert_close(&found.score, &case.mult, 1e-8);
        let found = score(case.error, case.score_window, Combination::Sum { lambda: 0.5 });
        assert_close(&found.score, &case.sum, 1e-9);
    }
}

struct Case {
    error: ErrorKind,
    score_window: usize,
    raw: [f64; 9],
    smooth: [f64; 9],
    rec: [f64; 9],
    mult: [f64; 9],
    sum: [f64; 9],
}

#[rustfmt::skip]
fn whole_scorer_cases() -> [Case; 3] {
    [
        Case {
            error: ErrorKind::Point,
            score_window: 2,
            raw: [0.1, 0.05, 0.1, 0.05, 0.1, 0.7, 0.1, 0.1, 0.1],
            smooth: [0.075, 0.0833333333333, 0.0666666666667, 0.0833333333333, 0.2833333333333, 0.3, 0.3, 0.1, 0.1],
            rec: [1.0, 1.0, 1.0, 1.0, 2.293933318, 2.461493028, 2.461493028, 1.0, 1.0],
            mult: [1.958120269, 1.836454203, 1.836454203, 1.806037686, 4.631344246, 5.493729779, 5.269119649, 2.049369818, 1.958120269],
            sum: [0.479060134, 0.418227101, 0.418227101, 0.403018843, 1.15644331, 1.346680973, 1.301056198, 0.524684909, 0.479060134],
        },
        Case {
            error: ErrorKind::Area,
            score_window: 4,
            raw: [0.025, 0.05, 0.125, 0.125, 0.35, 0.575, 0.5, 0.2, 0.1],
            smooth: [0.0375, 0.0666666666667, 0.1, 0.2, 0.35, 0.475, 0.425, 0.2666666666667, 0.15],
            rec: [1.0, 1.0, 1.0, 1.0, 1.800910064, 2.635835614, 2.301865394, 1.244293031, 1.0],
            mult: [1.958120269, 1.836454203, 1.836454203, 1.806037686, 3.63595332, 5.882839576, 4.927417643, 2.550016583, 1.958120269],
            sum: [0.479060134, 0.418227101, 0.418227101, 0.403018843, 0.909931683, 1.433852265, 1.221242381, 0.646831425, 0.479060134],
        },
        Case {
            error: ErrorKind::Dtw,
            score_window: 2,
            raw: [0.0, 0.111803399, 0.15, 0.122474487, 0.15, 0.708872344, 0.714142843, 0.0, 0.0],
            smooth: [0.0559016994, 0.0872677996, 0.128092629, 0.140824829, 0.32711561, 0.524338396, 0.474338396, 0.238047614, 0.0],
            rec: [1.0, 1.0, 1.0, 1.0, 1.613403287, 2.738058525, 2.452935476, 1.105496514, 1.0],
            mult: [1.958120269, 1.836454203, 1.836454203, 1.806037686, 3.257385892, 6.110987714, 5.250801186, 2.26557119, 1.958120269],
            sum: [0.479060134, 0.418227101, 0.418227101, 0.403018843, 0.816178294, 1.484963721, 1.296777421, 0.577433166, 0.479060134],
        },
    ]
}

/// 50 windows give a default smoothing of 0, and so nothing but NaN; so does a critic that never changes.
#[test]
fn the_references_failure_modes_are_kept() {
    let series: Vec<f64> = (0..149).map(|i| f64::from(i).sin()).collect();
    let x = windows_of(&series, 100);
    let zeros = Array2::zeros(x.dim());
    let critics: Vec<f64> = (0..50).map(f64::from).collect();
    let all_nan = |x: ArrayView2<'_, f64>, critics: &[f64], spec: &ScoreSpec| {
        score_anomalies(x, zeros.view(), critics, spec)
            .score
            .iter()
            .all(|s| s.is_nan())
    };
    assert!(all_nan(x.view(), &critics, &ScoreSpec::default()));
    let smoothed = ScoreSpec {
        error_smoothing: Some(1),
        critic_smoothing: Some(1),
        ..ScoreSpec::default()
    };
    assert!(!all_nan(x.view(), &critics, &smoothed));
    assert!(all_nan(x.view(), &[1.0; 50], &smoothed));
}
