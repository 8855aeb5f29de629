//! Loading and refusing bundles.

use std::fs;
use std::path::Path;

use scorer::bundle::{Bundle, FINGERPRINT_FILE, Net, numeric_hash, sha256_hex};
use scorer::manifest::{Fingerprint, Manifest, ModelKind};
use scorer::normalise::Scaler;

use crate::support::nets::{Sizes, random_weights};
use crate::support::{write_bundle, write_manifest};

const SIZES: Sizes = Sizes {
    window: 20,
    latent: 2,
    encoder_units: 1,
    generator_units: 1,
    critic_filters: 1,
    critic_z_units: 2,
};

fn valid(dir: &Path) -> Manifest {
    let fingerprint = Fingerprint {
        input: vec![vec![0.5; 20]],
        latent: vec![vec![0.0; 2]],
        reconstruction: vec![vec![0.0; 20]],
        critic_x: vec![0.0],
        critic_z: vec![0.0],
        tolerance: 1e-5,
    };
    write_bundle(dir, SIZES, &random_weights, &fingerprint)
}

fn problems(dir: &Path) -> Vec<String> {
    Bundle::load(dir).unwrap_err().problems
}

#[test]
fn a_valid_bundle_loads_whole() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = valid(dir.path());
    let bundle = Bundle::load(dir.path()).unwrap();
    assert_eq!(bundle.manifest(), &manifest);
    let critic = fs::read(dir.path().join("critic_x.onnx")).unwrap();
    assert_eq!(bundle.net(Net::CriticX), critic);
    assert_eq!(bundle.hash(), numeric_hash(&manifest));
    assert_eq!(bundle.label(), format!("test@{}", &bundle.hash()[..12]));
}

/// What changes numbers changes the hash, and nothing else does.
#[test]
fn the_hash_covers_what_numbers_depend_on() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = valid(dir.path());
    let base = numeric_hash(&manifest);
    let changed = |change: fn(&mut Manifest)| {
        let mut other = manifest.clone();
        change(&mut other);
        numeric_hash(&other) != base
    };
    assert!(changed(|m| m.window = 22));
    assert!(changed(|m| m.model = ModelKind::Aer));
    assert!(changed(|m| m.scaler = Scaler::MinMax { min: -1.0, max: 1.5 }));
    assert!(changed(|m| m.scaler = Scaler::Window { gain: 1.0 }));
    assert!(changed(|m| m.calibration[0].critic_scale = 2.0));
    assert!(changed(
        |m| _ = m.files.insert("critic_x.onnx".to_owned(), "0".to_owned())
    ));
    assert!(changed(
        |m| _ = m.files.insert("fingerprint.json".to_owned(), "0".to_owned())
    ));
    assert!(!changed(|m| m.name = "other".to_owned()));
    assert!(!changed(|m| m.training.command = "other".to_owned()));
}

/// Two nets of any making, as a bundle that predicts would hold them.
fn valid_aer(dir: &Path) -> Manifest {
    let mut manifest = valid(dir);
    manifest.model = ModelKind::Aer;
    let fingerprint = Fingerprint {
        input: vec![vec![0.5; 20]],
        latent: vec![vec![0.0; 2]],
        reconstruction: vec![vec![0.0; 20]],
        critic_x: vec![],
        critic_z: vec![],
        tolerance: 1e-5,
    };
    let bytes = serde_json::to_vec(&fingerprint).unwrap();
    fs::write(dir.join(FINGERPRINT_FILE), &bytes).unwrap();
    manifest
        .files
        .insert(FINGERPRINT_FILE.to_owned(), sha256_hex(&bytes));
    for critic in ["critic_x.onnx", "critic_z.onnx"] {
        fs::remove_file(dir.join(critic)).unwrap();
        manifest.files.remove(critic);
    }
    write_manifest(dir, &manifest);
    manifest
}

#[test]
fn a_bundle_that_predicts_has_no_critics() {
    let dir = tempfile::tempdir().unwrap();
    let mut manifest = valid_aer(dir.path());
    let bundle = Bundle::load(dir.path()).unwrap();
    assert!(bundle.manifest().model.predicts());
    assert!(bundle.net(Net::CriticX).is_empty() && !bundle.net(Net::Generator).is_empty());
    assert_eq!(bundle.hash(), numeric_hash(&manifest));
    // It needs no even window, only what lies between two values to predict.
    manifest.files.insert("critic_x.onnx".to_owned(), "0".to_owned());
    manifest.window = 3;
    write_manifest(dir.path(), &manifest);
    let found = problems(dir.path());
    for problem in ["unknown file `critic_x.onnx`", "window is 3, must be at least 4"] {
        assert!(
            found.iter().any(|p| p.contains(problem)),
            "{problem} in {found:?}"
        );
    }
}

#[test]
fn every_problem_is_told_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut manifest = valid(dir.path());
    manifest.window = 21;
    manifest.channels = 2;
    manifest.calibration.swap(1, 2);
    manifest.calibration.pop();
    manifest.files.insert("notes.txt".to_owned(), String::new());
    manifest.files.remove("generator.onnx");
    let mut text = toml::to_string(&manifest).unwrap();
    text = text.replace("latent = 2", "latent = \"two\"");
    fs::write(
        dir.path().join("manifest.toml"),
        format!("colour = 1\nflavour = 2\n{text}"),
    )
    .unwrap();
    // A key that cannot be read stops what depends on the whole manifest, not the other keys.
    let found = problems(dir.path());
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(
        found[0].starts_with("manifest.toml: key `latent`: invalid type: string \"two\""),
        "{}",
        found[0]
    );
    assert_eq!(
        found[1..],
        [
            "manifest.toml: unknown key `colour`",
            "manifest.toml: unknown key `flavour`"
        ]
    );

    fs::write(dir.path().join("encoder.onnx"), "changed").unwrap();
    fs::remove_file(dir.path().join("critic_z.onnx")).unwrap();
    write_manifest(dir.path(), &manifest);
    let found = problems(dir.path());
    let expected = [
        "manifest.toml: window is 21, must be even and at least 18",
        "manifest.toml: channels is 2, this program serves 1",
        "manifest.toml: calibration: lags must ascend",
        "manifest.toml: files: unknown file `notes.txt`",
        "encoder.onnx: SHA-256 is ",
        "manifest.toml: files: `generator.onnx` is missing",
        "critic_z.onnx: ",
        "fingerprint.json: input is not 1 rows of 21 finite numbers",
        "fingerprint.json: reconstruction is not 1 rows of 21 finite numbers",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found} is not {expected}");
    }
    let shown = Bundle::load(dir.path()).unwrap_err().to_string();
    assert!(
        shown.starts_with("cannot use bundle ") && shown.lines().count() == 10,
        "{shown}"
    );
}

#[test]
fn missing_lags_and_senseless_calibration_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut manifest = valid(dir.path());
    // Lag 49 and 99 are longer than the window, so nobody misses them.
    manifest.calibration.retain(|c| c.lag != 4 && c.lag < 20);
    manifest.calibration[0].critic_scale = 0.0;
    manifest.calibration[1].error_median = 0.7;
    write_manifest(dir.path(), &manifest);
    let senseless = |lag| {
        format!(
            "manifest.toml: calibration: lag {lag}: wants 0 <= error_median <= error_p99, critic_scale > 0, all finite"
        )
    };
    assert_eq!(
        problems(dir.path()),
        [
            "manifest.toml: calibration: lag 4 is missing".to_owned(),
            senseless(0),
            senseless(1)
        ]
    );
}

#[test]
fn unreadable_manifests_are_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let found = problems(dir.path());
    assert!(
        found.len() == 1 && found[0].starts_with("manifest.toml: No such file"),
        "{found:?}"
    );
    let manifest = valid(dir.path());
    fs::write(dir.path().join("manifest.toml"), "format_version = \n").unwrap();
    let found = problems(dir.path());
    assert!(found.len() == 1 && !found[0].contains('\n'), "{found:?}");
    write_manifest(
        dir.path(),
        &Manifest {
            format_version: 2,
            window: 3,
            ..manifest
        },
    );
    assert_eq!(
        problems(dir.path()),
        ["manifest.toml: format_version is 2, this program reads 1"]
    );
}
