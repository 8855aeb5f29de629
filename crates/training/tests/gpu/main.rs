//! Training on a GPU: equal to the processor where there is one, a clear sentence where there is none.

#[cfg(feature = "gpu")]
mod equality;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// A folder with a wave of 300 points, one every five minutes.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    let value = |k: usize| 50.0 + 20.0 * (k as f64 * 0.3).sin() + (k as f64 * 0.754_877_666).fract();
    let rows = (0..300).map(|k| format!("{},{:.3}\n", 1_700_000_100 + 300 * k, value(k)));
    let text = format!("timestamp,value\n{}", rows.collect::<String>());
    fs::write(dir.path().join("metric.csv"), text).expect("writable");
    dir
}

fn train(dir: &Path, line: &str, environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_train"))
        .args(line.split_whitespace())
        .envs(environment.iter().copied())
        .current_dir(dir)
        .output()
        .expect("it starts")
}

/// Asserts that the program ends with `code` and one line that begins with `says`, and leaves nothing.
fn assert_refused(line: &str, environment: &[(&str, &str)], code: i32, says: &str) {
    let dir = folder();
    let output = train(dir.path(), line, environment);
    let text = String::from_utf8_lossy(&output.stderr);
    let last = text.lines().last().unwrap_or_default();
    assert!(last.starts_with(&format!("train: {says}")), "{text}");
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert_eq!(fs::read_dir(dir.path()).expect("a folder").count(), 1);
}

#[test]
fn aer_is_not_trained_there() {
    let line = "aer --file metric.csv --out bundle --device gpu";
    assert_refused(line, &[], 64, "AER is not trained on a GPU; use --device cpu");
}

#[cfg(not(feature = "gpu"))]
#[test]
fn a_program_without_it_says_how_to_build_it() {
    let line = "tadgan --file metric.csv --out bundle --device gpu";
    assert_refused(
        line,
        &[],
        64,
        "this `train` was built without the GPU; build it with `cargo build",
    );
}

#[cfg(feature = "gpu")]
#[test]
fn a_machine_without_one_is_said() {
    let none = [("VK_ICD_FILENAMES", "none"), ("VK_DRIVER_FILES", "none")];
    let line = "tadgan --file metric.csv --out bundle --device gpu";
    assert_refused(line, &none, 69, "no GPU that speaks Vulkan was found (");
}

/// The losses of a short run of the whole program, a row a step, with the names of the columns; `None` where there is no
/// device.
#[cfg(feature = "gpu")]
fn losses(arch: &str, device: &str) -> Option<(Vec<String>, Vec<Vec<f64>>)> {
    let dir = folder();
    let line = format!(
        "tadgan --file metric.csv --arch {arch} --batch 4 --warm-up 2 --steps 3 --epoch-steps 2 --accept-poor --dropout \
         --seed 3 --out bundle --device {device}"
    );
    let output = train(dir.path(), &line, &[]);
    let text = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(69) {
        println!("SKIPPED: {text}");
        return None;
    }
    assert!(output.status.success(), "{text}");
    assert!(dir.path().join("bundle/manifest.toml").exists());
    let table = fs::read_to_string(dir.path().join("bundle.run/losses.csv")).expect("it is there");
    let mut rows = table
        .lines()
        .map(|row| row.split(',').map(str::to_owned).collect());
    let names: Vec<String> = rows.next().expect("a header");
    let numbers = |row: Vec<String>| row.iter().map(|cell| cell.parse().expect("a number")).collect();
    Some((names, rows.map(numbers).collect()))
}

/// From a file to a bundle, by the same losses.
#[cfg(feature = "gpu")]
#[test]
fn a_run_of_the_program_has_the_losses_of_the_processor() {
    for arch in ["small", "conv"] {
        let [Some((names, cpu)), Some((_, gpu))] = ["cpu", "gpu"].map(|device| losses(arch, device)) else {
            return;
        };
        assert_eq!((cpu.len(), gpu.len()), (5, 5));
        // Where convolutional nets start, the encoder's gradient is zero but for rounding, of which Adam makes whole steps.
        let rounding = arch == "conv";
        for (a, b) in cpu.iter().zip(&gpu).take(if rounding { 1 } else { 5 }) {
            for ((name, a), b) in names.iter().zip(a).zip(b) {
                let equal = (a - b).abs() < 1e-3 * (1.0 + a.abs());
                assert!(
                    equal || rounding && name == "gradient_encoder",
                    "{arch} {name}: {a} and {b}"
                );
            }
        }
    }
}
