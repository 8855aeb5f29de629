//! What the tests share: reference data, small bundles, ONNX Runtime.

pub(crate) mod nets;
pub(crate) mod npz;
pub(crate) mod protobuf;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use scorer::bundle::{FINGERPRINT_FILE, MANIFEST_FILE, sha256_hex};
use scorer::manifest::{
    AnyInterval, Architecture, FORMAT_VERSION, Fingerprint, IntervalSpec, LagCalibration, Manifest,
    ModelKind, NET_FILES, SERVED_LAGS, TrainingRecord,
};
use scorer::normalise::Scaler;

use nets::Sizes;

/// The reference's own numbers; reference data is no part of a machine, so its absence is never a failure.
pub(crate) fn parity_dir() -> Option<PathBuf> {
    let dir = std::env::var_os("AGENT_REFERENCE_DATA").map(|root| Path::new(&root).join("parity"));
    let dir = dir.filter(|dir| dir.is_dir());
    if dir.is_none() {
        eprintln!(
            "SKIPPED: reference data is missing: set AGENT_REFERENCE_DATA to the directory that holds parity/"
        );
    }
    dir
}

/// ONNX Runtime, or nothing after saying so loudly; on CI its absence is a failure.
#[cfg(feature = "onnx")]
pub(crate) fn runtime() -> Option<scorer::runtime::Runtime> {
    let found = scorer::runtime::Runtime::find(None);
    if let Err(error) = &found {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "on CI: {error}");
        eprintln!("SKIPPED: {error}");
    }
    found.ok()
}

/// Largest absolute difference; lengths must agree, and NaN only matches NaN.
#[track_caller]
pub(crate) fn assert_close(found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "lengths differ");
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        let same = (f - e).abs() <= tolerance || (f.is_nan() && e.is_nan());
        assert!(same, "element {i}: {f} is not {e} within {tolerance}");
    }
}

/// Writes a bundle whose nets have the weights that `weights` gives, and returns its manifest.
pub(crate) fn write_bundle(
    dir: &Path,
    sizes: Sizes,
    weights: &nets::Weights,
    fingerprint: &Fingerprint,
) -> Manifest {
    let files: BTreeMap<&str, Vec<u8>> = NET_FILES
        .into_iter()
        .zip(nets::all(sizes, weights))
        .chain([(FINGERPRINT_FILE, serde_json::to_vec(fingerprint).unwrap())])
        .collect();
    let mut manifest = manifest(sizes);
    for (name, bytes) in &files {
        fs::write(dir.join(name), bytes).unwrap();
        manifest.files.insert((*name).to_owned(), sha256_hex(bytes));
    }
    write_manifest(dir, &manifest);
    manifest
}

pub(crate) fn write_manifest(dir: &Path, manifest: &Manifest) {
    fs::write(dir.join(MANIFEST_FILE), toml::to_string(manifest).unwrap()).unwrap();
}

fn manifest(sizes: Sizes) -> Manifest {
    let calibration = SERVED_LAGS.map(|lag| LagCalibration {
        lag,
        error_median: 0.1,
        error_p99: 0.5,
        critic_center: 0.0,
        critic_scale: 1.0,
    });
    Manifest {
        format_version: FORMAT_VERSION,
        name: "test".to_owned(),
        model: ModelKind::Tadgan,
        window: sizes.window,
        channels: 1,
        latent: sizes.latent,
        interval: IntervalSpec::Any(AnyInterval::Any),
        architecture: Architecture {
            name: "paper".to_owned(),
            sizes: BTreeMap::from([("encoder_units".to_owned(), sizes.encoder_units)]),
            parameters: BTreeMap::from([("encoder".to_owned(), 1)]),
        },
        scaler: Scaler::MinMax { min: -1.0, max: 1.0 },
        training: TrainingRecord {
            command: "none".to_owned(),
            seed: 0,
            generator_steps: 0,
            held_out_error: None,
            diversity: None,
            warm_start: None,
            data: BTreeMap::new(),
        },
        calibration: calibration.to_vec(),
        files: BTreeMap::new(),
    }
}
