//! Bundles from the trainer to the runtime, and everything that can be wrong with one on the way.

use std::fs;
use std::path::{Path, PathBuf};

use scorer::Backend as _;
use scorer::bundle::{Bundle, BundleError};
use scorer::manifest::{IntervalSpec, SERVED_LAGS};
use scorer::onnx::{OnnxBackend, OnnxError};
use scorer::runtime::{Device, Runtime};
use tempfile::TempDir;

use crate::support::cli::{agent, has_runtime};
use crate::support::root;
use crate::support::surgery::{copy, rehash};
use crate::support::trained::trained;

#[test]
fn the_trainer_writes_what_the_agent_loads() {
    let bundle = Bundle::load(trained()).unwrap();
    let manifest = bundle.manifest();
    assert_eq!((manifest.window, manifest.channels), (100, 1));
    assert!(matches!(manifest.interval, IntervalSpec::Any(_)));
    let lags: Vec<_> = manifest.calibration.iter().map(|c| c.lag).collect();
    assert_eq!(lags, SERVED_LAGS);
    assert_eq!(bundle.label(), format!("waves@{}", &bundle.hash()[..12]));
}

#[test]
fn the_runtime_computes_what_the_trainer_computed() {
    if !has_runtime("the_runtime_computes_what_the_trainer_computed") {
        return;
    }
    let bundle = Bundle::load(trained()).unwrap();
    let report = backend(&bundle).verify_fingerprint(&bundle).unwrap();
    for difference in [
        report.latent,
        report.reconstruction,
        report.critic_x.unwrap(),
        report.critic_z.unwrap(),
    ] {
        assert!(difference.0 <= 1e-5, "{report}");
    }
}

/// A window's numbers do not depend on who else is in the batch.
#[test]
fn a_window_gives_the_same_bits_in_any_company() {
    if !has_runtime("a_window_gives_the_same_bits_in_any_company") {
        return;
    }
    let bundle = Bundle::load(trained()).unwrap();
    let rows: Vec<&[f32]> = bundle.fingerprint().input.iter().map(Vec::as_slice).collect();
    let mut backend = backend(&bundle);
    let together = backend.run(&rows).unwrap();
    for (row, expected) in rows.iter().zip(&together) {
        assert_eq!(&backend.run(&[row]).unwrap()[0], expected);
    }
    let reversed: Vec<_> = rows.iter().rev().copied().collect();
    let mut answers = backend.run(&reversed).unwrap();
    answers.reverse();
    assert_eq!(answers, together);
}

#[test]
fn the_agent_says_what_a_bundle_is() {
    if !has_runtime("the_agent_says_what_a_bundle_is") {
        return;
    }
    let model = trained().display().to_string();
    let said = agent(["inspect", "--model", &model]).ok().stdout;
    let label = Bundle::load(trained()).unwrap().label();
    for word in [
        label.as_str(),
        "100 buckets",
        "made by the tests",
        "lag 99",
        "largest difference",
    ] {
        assert!(said.contains(word), "no `{word}` in\n{said}");
    }
}

#[test]
fn wording_and_layout_of_the_manifest_do_not_change_the_hash() {
    let (_dir, bundle) = copied();
    edit_manifest(&bundle, |text| {
        text.replace("made by the tests", "made otherwise") + "\n# and a remark\n"
    });
    assert_eq!(
        Bundle::load(&bundle).unwrap().hash(),
        Bundle::load(trained()).unwrap().hash()
    );
}

#[test]
fn a_changed_file_is_named() {
    for name in [
        "encoder.onnx",
        "generator.onnx",
        "critic_x.onnx",
        "critic_z.onnx",
        "fingerprint.json",
    ] {
        let (_dir, bundle) = copied();
        let mut bytes = fs::read(bundle.join(name)).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(bundle.join(name), bytes).unwrap();
        assert_problems(&bundle, &[&format!("{name}: SHA-256 is ")]);
        fs::remove_file(bundle.join(name)).unwrap();
        assert_problems(&bundle, &[&format!("{name}: No such file")]);
    }
}

#[test]
fn every_problem_is_named_at_once() {
    let (_dir, bundle) = copied();
    edit_manifest(&bundle, |text| {
        format!(
            "colour = \"red\"\n{}",
            text.replace("latent = 6", "latent = \"six\"")
        )
    });
    assert_problems(
        &bundle,
        &[
            "manifest.toml: key `latent`: ",
            "manifest.toml: unknown key `colour`",
        ],
    );
    let (_dir, bundle) = copied();
    edit_manifest(&bundle, |text| text.replace("window = 100", "window = 98"));
    fs::remove_file(bundle.join("critic_z.onnx")).unwrap();
    let error = Bundle::load(&bundle).unwrap_err();
    assert!(
        error.problems.iter().any(|p| p.starts_with("critic_z.onnx: ")),
        "{error}"
    );
    assert!(error.problems.iter().any(|p| p.contains("rows of 98")), "{error}");
}

#[test]
fn another_format_version_is_refused_before_all_else() {
    let (_dir, bundle) = copied();
    edit_manifest(&bundle, |text| {
        format!(
            "colour = 1\n{}",
            text.replace("format_version = 1", "format_version = 9")
        )
    });
    assert_problems(
        &bundle,
        &["manifest.toml: format_version is 9, this program reads 1"],
    );
}

/// A net of another shape, its hash made to match, shows when it is opened.
#[test]
fn a_net_of_another_shape_is_refused() {
    if !has_runtime("a_net_of_another_shape_is_refused") {
        return;
    }
    let (_dir, dir) = copied();
    fs::copy(dir.join("critic_z.onnx"), dir.join("critic_x.onnx")).unwrap();
    rehash(&dir).unwrap();
    let bundle = Bundle::load(&dir).unwrap();
    let runtime = Runtime::find(None).unwrap();
    let error = OnnxBackend::new(&bundle, &runtime, Device::Cpu, 8).unwrap_err();
    assert!(
        matches!(
            error,
            OnnxError::Interface {
                file: "critic_x.onnx",
                ..
            }
        ),
        "{error}"
    );
    let ran = agent(["inspect", "--model", &dir.display().to_string()]);
    assert_eq!(ran.code, 65, "{}", ran.stderr);
}

/// The shipped bundle: whole, true to its fingerprint here, and with the command that makes it again.
#[test]
fn the_shipped_bundle_holds() {
    let dir = root().join("models/general");
    if !dir.exists() {
        println!("SKIPPED: the_shipped_bundle_holds: there is no models/general yet");
        return;
    }
    let bundle = Bundle::load(&dir).unwrap();
    let manifest = bundle.manifest();
    let command = &manifest.training.command;
    assert!(command.starts_with("train tadgan "), "{command}");
    assert!(manifest.training.generator_steps > 0);
    assert!(matches!(manifest.interval, IntervalSpec::Any(_)));
    let readme = fs::read_to_string(dir.join("README.md")).unwrap();
    assert!(
        readme.contains(command.as_str()),
        "README.md does not say how it was made"
    );
    if has_runtime("the_shipped_bundle_holds") {
        println!("{}", backend(&bundle).verify_fingerprint(&bundle).unwrap());
    }
}

fn backend(bundle: &Bundle) -> OnnxBackend {
    OnnxBackend::new(bundle, &Runtime::find(None).unwrap(), Device::Cpu, 8).unwrap()
}

fn copied() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().join("bundle");
    copy(trained(), &bundle).unwrap();
    (dir, bundle)
}

fn edit_manifest(bundle: &Path, edit: impl FnOnce(&str) -> String) {
    let path = bundle.join("manifest.toml");
    let text = fs::read_to_string(&path).unwrap();
    let edited = edit(&text);
    assert_ne!(text, edited, "the manifest reads otherwise");
    fs::write(path, edited).unwrap();
}

/// Asserts that loading ends with exactly these problems, each known by its start, and that the agent says so.
#[track_caller]
fn assert_problems(bundle: &Path, starts: &[&str]) {
    let error: BundleError = Bundle::load(bundle).unwrap_err();
    assert_eq!(error.problems.len(), starts.len(), "{error}");
    for start in starts {
        assert!(
            error.problems.iter().any(|p| p.starts_with(start)),
            "no `{start}` in {error}"
        );
    }
    let ran = agent(["inspect", "--model", &bundle.display().to_string()]);
    assert_eq!((ran.code, ran.stderr), (65, format!("agent: {error}\n")));
}
