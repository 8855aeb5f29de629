//! The reference's own arrays, stage by stage, and its anomalies.

use ndarray::Array2;
use scorer::parity::anomalies::{Extent, FindSpec, find_anomalies};
use scorer::parity::errors::{self, ErrorKind};
use scorer::parity::preprocess::{Method, aggregate, impute_mean, min_max};
use scorer::parity::score::{Combination, combine, normalise};
use scorer::parity::threshold::Threshold;
use scorer::parity::{critic, dtw};
use serde_json::Value;

use crate::support::npz::Npz;
use crate::support::{assert_close, parity_dir};

const LENGTH: usize = 100;

#[test]
fn preprocessing() {
    let Some(dir) = parity_dir() else { return };
    let arrays = Npz::read(&dir.join("parity.npz"));
    let times = arrays.array("raw_timestamp").iter().map(|t| *t as i64);
    let samples: Vec<(i64, f64)> = times.zip(arrays.array("raw_value").iter().copied()).collect();
    let (index, values) = aggregate(&samples, 300, Method::Mean);
    let index: Vec<f64> = index.iter().map(|t| *t as f64).collect();
    assert_close(&index, arrays.array("agg_index"), 0.0);
    assert_close(&values, arrays.array("agg_value"), 1e-9);
    let imputed = impute_mean(arrays.array("agg_value"));
    assert_close(&imputed, arrays.array("imputed"), 1e-9);
    let map = min_max(arrays.array("imputed")).fit(&[], 0.0);
    let scaled: Vec<f64> = arrays.array("imputed").iter().map(|v| map.scale(*v)).collect();
    assert_close(&scaled, arrays.array("scaled"), 1e-9);
}

#[test]
fn scores() {
    let Some(dir) = parity_dir() else { return };
    let arrays = Npz::read(&dir.join("parity.npz"));
    let scaled = arrays.array("scaled");
    for (tag, count) in [("w300", 300), ("w3000", 3000)] {
        let array = |name: &str| arrays.array(&format!("{tag}_{name}"));
        let truth = &scaled[..count + LENGTH - 1];
        let y = Array2::from_shape_vec((count, LENGTH), array("y_hat").to_vec()).unwrap();
        let predicted = errors::median_predictions(y.view());
        assert_close(&predicted, array("pred_median"), 1e-9);
        let picks = critic::picks(array("critic"), LENGTH);
        assert_close(&picks, array("critic_kde_max"), 1e-9);
        let smoothing = errors::default_smoothing(count);
        let critic = critic::score(&picks, smoothing);
        assert_close(&critic, array("critic_score"), 1e-9);
        for (name, kind) in [
            ("point", ErrorKind::Point),
            ("area", ErrorKind::Area),
            ("dtw", ErrorKind::Dtw),
        ] {
            let raw = errors::raw(kind, truth, &predicted, 10);
            assert_close(&raw, array(&format!("rec_raw_{name}")), 1e-9);
            let smooth = errors::rolling_mean(&raw, smoothing);
            assert_close(&smooth, array(&format!("rec_smooth_{name}")), 1e-9);
            for (suffix, combination) in [
                ("mult", Combination::Mult),
                ("sum", Combination::Sum { lambda: 0.5 }),
                ("rec", Combination::Rec),
            ] {
                let score = combine(&critic, &normalise(&smooth), combination);
                assert_close(&score, array(&format!("score_{name}_{suffix}")), 1e-9);
            }
        }
    }
}

#[test]
fn the_dtw_error_is_a_distance_of_padded_windows() {
    let Some(dir) = parity_dir() else { return };
    let arrays = Npz::read(&dir.join("parity.npz"));
    let (truth, predicted) = (&arrays.array("scaled")[..399], arrays.array("w300_pred_median"));
    let at = |k: usize| dtw::distance(&truth[k - 5..k + 6], &predicted[k - 5..k + 6]);
    let expected: Vec<f64> = (5..388).map(at).collect();
    assert_close(&arrays.array("w300_rec_raw_dtw")[10..393], &expected, 1e-9);
}

#[test]
fn anomalies_of_the_reference_scores() {
    let Some(dir) = parity_dir() else { return };
    let arrays = Npz::read(&dir.join("parity.npz"));
    let index = arrays.array("agg_index");
    let parity = json(&dir.join("parity.json"));
    let cases = parity["anomalies"].as_object().unwrap();
    assert_eq!(cases.len(), 2 * 9 * 3);
    for (name, expected) in cases {
        let (tag, rest) = name.split_once('/').unwrap();
        let (score, arguments) = rest.split_once('/').unwrap();
        let errors = arrays.array(&format!("{tag}_score_{score}"));
        assert_anomalies(name, errors, index, &spec(arguments), expected);
    }
}

#[test]
fn anomalies_of_synthetic_errors() {
    let Some(dir) = parity_dir() else { return };
    let vectors = json(&dir.join("vectors.json"));
    let cases = vectors["find_anomalies"].as_array().unwrap();
    assert_eq!(cases.len(), 56);
    for case in cases {
        let errors: Vec<f64> = numbers(&vectors["errors"][case["n"].to_string()]);
        let index: Vec<f64> = (0..errors.len())
            .map(|i| 1_397_000_000.0 + 300.0 * i as f64)
            .collect();
        let arguments = case["argset"].as_str().unwrap();
        let name = format!("array {} with {arguments}", case["n"]);
        if case["out"].is_array() {
            assert_anomalies(&name, &errors, &index, &spec(arguments), &case["out"]);
        } else {
            // Only merging runs of one sample each gets here: the reference raises, we take the plain mean.
            assert!(
                case["error"].as_str().unwrap().contains("Weights sum to zero"),
                "{name}"
            );
            let found = find_anomalies(&errors, &spec(arguments));
            assert!(found.iter().all(|a| a.severity.is_finite()), "{name}");
        }
    }
}

#[track_caller]
fn assert_anomalies(name: &str, errors: &[f64], index: &[f64], spec: &FindSpec, expected: &Value) {
    let found: Vec<f64> = find_anomalies(errors, spec)
        .iter()
        .flat_map(|a| [index[a.start], index[a.stop], a.severity])
        .collect();
    let expected: Vec<f64> = expected.as_array().unwrap().iter().flat_map(numbers).collect();
    println!("{name}");
    assert_close(&found, &expected, 1e-9);
}

/// The argument sets that the reference was run with.
fn spec(arguments: &str) -> FindSpec {
    let default = FindSpec::default();
    match arguments {
        "func_default" => default,
        "lower_inverse" => FindSpec {
            threshold: Threshold::Fixed { sigmas: 4.0 },
            lower_threshold: true,
            inverse: true,
            ..default
        },
        "pad0" => FindSpec {
            window: Extent::Samples(500),
            step: Extent::Samples(100),
            padding: 0,
            ..default
        },
        "primitive_default" => FindSpec {
            window: Extent::Samples(2000),
            step: Extent::Samples(200),
            threshold: Threshold::Dynamic { starts: 0..12 },
            min_percent: 0.13,
            ..default
        },
        "tadgan_pipeline" => FindSpec::tadgan(),
        other => panic!("unknown arguments {other}"),
    }
}

fn json(path: &std::path::Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn numbers(array: &Value) -> Vec<f64> {
    array
        .as_array()
        .unwrap()
        .iter()
        .map(|n| n.as_f64().unwrap())
        .collect()
}
