//! `train` on data that it cannot use: one clear sentence, an exit code, and nothing left behind.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// A CSV of `values`, `interval` seconds apart.
fn table(interval: usize, values: impl Iterator<Item = f64>) -> String {
    let mut text = String::from("timestamp,value\n");
    for (k, value) in values.enumerate() {
        let _ = writeln!(text, "{},{value}", 1_700_000_000 + interval * k);
    }
    text
}

fn wave(points: usize) -> impl Iterator<Item = f64> {
    (0..points).map(|k| (k as f64 * 0.2).sin())
}

/// Runs `train tadgan` in a directory, one step of small nets.
fn train(dir: &TempDir, arguments: &[&str]) -> Output {
    let fixed = [
        "tadgan",
        "--out",
        "bundle",
        "--arch",
        "conv",
        "--steps",
        "1",
        "--warm-up",
        "0",
    ];
    Command::new(env!("CARGO_BIN_EXE_train"))
        .current_dir(dir)
        .args(fixed)
        .args(arguments)
        .output()
        .expect("it starts")
}

/// One line that says `parts`, the exit code, and no bundle nor run directory.
#[track_caller]
fn assert_refused(dir: &TempDir, output: &Output, code: i32, parts: &[&str]) {
    let line = String::from_utf8(output.stderr.clone()).expect("text");
    assert_eq!(output.status.code(), Some(code), "{line}");
    assert!(line.starts_with("train: ") && line.lines().count() == 1, "{line}");
    for part in parts {
        assert!(line.contains(part), "{line}");
    }
    let left = fs::read_dir(dir)
        .expect("readable")
        .flatten()
        .map(|entry| entry.file_name());
    let left: Vec<_> = left
        .filter(|name| name.to_string_lossy().contains("bundle"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

fn refused(text: &str, code: i32, parts: &[&str]) {
    let dir = tempfile::tempdir().expect("writable");
    fs::write(dir.path().join("metric.csv"), text).expect("writable");
    let output = train(&dir, &["--file", "metric.csv"]);
    assert_refused(&dir, &output, code, parts);
}

#[test]
fn data_of_no_use_is_refused() {
    refused("", 65, &["metric.csv", "empty"]);
    refused("when,what\n1,2\n", 65, &["metric.csv", "header"]);
    let not_a_number = (0..300).map(|_| f64::NAN);
    refused(
        &table(300, not_a_number),
        65,
        &["no usable sample", "300 points rejected"],
    );
    refused(
        &table(300, wave(99)),
        65,
        &["too few points", "99 buckets of 300 s", "needs 100"],
    );
    let mut irregular = table(60, wave(20));
    irregular += table(600, wave(300)).trim_start_matches("timestamp,value\n");
    refused(
        &irregular,
        65,
        &["irregular", "inferred interval of 60 s", "--interval"],
    );
}

#[test]
fn what_is_not_there_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let output = train(&dir, &["--file", "nowhere.csv"]);
    assert_refused(&dir, &output, 66, &["nowhere.csv", "no such file"]);
    fs::create_dir(dir.path().join("metrics")).unwrap();
    let output = train(&dir, &["--data", "metrics"]);
    assert_refused(&dir, &output, 66, &["metrics names no metric file"]);
    let output = train(&dir, &["--data", "metrics/**/*.csv"]);
    assert_refused(&dir, &output, 66, &["metrics/**/*.csv"]);
}

#[test]
fn a_full_disk_is_said() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("metric.csv"), table(300, wave(30_000))).unwrap();
    // A limit on the size of files fails writes as a full disk does; the signal that comes with it is for others.
    let script = format!(
        "trap '' XFSZ; ulimit -f 64; exec '{}' tadgan --out bundle --arch conv --steps 1 --file metric.csv",
        env!("CARGO_BIN_EXE_train")
    );
    let output = Command::new("sh")
        .current_dir(&dir)
        .args(["-c", &script])
        .output()
        .unwrap();
    assert_refused(
        &dir,
        &output,
        74,
        &["bundle.run", "training data", "File too large"],
    );
}

#[test]
fn a_constant_series_and_a_file_of_no_use_train() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).unwrap();
        fs::write(path, text).unwrap();
    };
    write("metrics/flat.csv", &table(300, (0..200).map(|_| 3.5)));
    write("metrics/empty.csv", "");
    write("more/wave.csv", &table(300, wave(200)));
    let output = train(&dir, &["--data", "metrics", "more/*.csv", "--batch", "4"]);
    let lines = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{lines}");
    assert!(lines.contains("2 runs of buckets"), "{lines}");
    assert!(
        lines.contains("1 file holds nothing usable (empty.csv: it is empty)"),
        "{lines}"
    );
    let manifest = fs::read_to_string(dir.path().join("bundle/manifest.toml")).unwrap();
    assert!(
        manifest.contains("\"flat.csv\"") && manifest.contains("\"wave.csv\""),
        "{manifest}"
    );
    assert!(!manifest.to_lowercase().contains("nan"), "{manifest}");
}
