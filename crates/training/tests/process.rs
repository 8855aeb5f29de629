//! The program itself: killed, and out of room.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use scorer::bundle::Bundle;

const TRAIN: &str = env!("CARGO_BIN_EXE_train");

/// A folder with a wave of 300 points, one every five minutes.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    let value = |k: usize| 50.0 + 20.0 * (k as f64 * 0.3).sin() + (k as f64 * 0.754_877_666).fract();
    let rows = (0..300).map(|k| format!("{},{:.3}\n", 1_700_000_100 + 300 * k, value(k)));
    let text = format!("timestamp,value\n{}", rows.collect::<String>());
    fs::write(dir.path().join("metric.csv"), text).expect("writable");
    dir
}

/// A short run that writes to `bundle` and `run`, which `run` is the option of.
fn arguments(run: &str) -> Vec<&str> {
    "tadgan --file metric.csv --arch conv --batch 4 --warm-up 30 --steps 90 --epoch-steps 10 --checkpoint-every 7 \
     --threads 2 --seed 3 --out bundle"
        .split_whitespace()
        .chain([run, "run"])
        .collect()
}

fn train(dir: &Path, arguments: &[&str]) -> Output {
    Command::new(TRAIN)
        .args(arguments)
        .current_dir(dir)
        .output()
        .expect("it starts")
}

fn files(dir: PathBuf) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(dir)
        .expect("a folder")
        .map(|entry| entry.expect("a file"))
        .map(|entry| {
            (
                entry.file_name().to_string_lossy().into_owned(),
                fs::read(entry.path()).expect("readable"),
            )
        })
        .collect();
    files.sort();
    files
}

/// Starts the program and kills it as soon as it has reported `epochs` of them; whether there were so many.
fn kill_after(dir: &Path, arguments: &[&str], epochs: usize) -> bool {
    let mut process = Command::new(TRAIN)
        .args(arguments)
        .current_dir(dir)
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("it starts");
    let lines = BufReader::new(process.stderr.take().expect("a pipe")).lines();
    let reported = lines
        .map(|line| line.expect("text"))
        .filter(|line| line.starts_with("epoch "));
    let seen = reported.take(epochs).count();
    process.kill().expect("it can be killed");
    process.wait().expect("it ends");
    seen == epochs
}

/// Generator steps of the newest checkpoint.
fn checkpoint(dir: &Path) -> Option<usize> {
    let newest = training::run_dir::checkpoints(&dir.join("run"))
        .expect("a folder")
        .pop()?;
    newest.file_stem()?.to_str()?.rsplit('-').next()?.parse().ok()
}

#[test]
fn killed_again_and_again_it_ends_with_the_same_bundle() {
    let undisturbed = folder();
    let output = train(undisturbed.path(), &arguments("--run"));
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );

    let killed = folder();
    let mut run = "--run";
    // Epochs of ten steps and checkpoints of seven.
    let (mut done, mut kills) = (0, 0);
    for epochs in [1, 2, 1, 3, 2, 1, 9] {
        if !kill_after(killed.path(), &arguments(run), epochs) {
            // It was ahead of who was to kill it, and ended.
            break;
        }
        run = "--resume";
        kills += 1;
        done += 10 * epochs;
        let kept = checkpoint(killed.path()).unwrap_or(0);
        assert!(
            kept + 7 > done,
            "at least {done} steps were done, {kept} are left"
        );
        // Epochs that were reported after the checkpoint are done again.
        done = kept - kept % 10;
        if killed.path().join("bundle").exists() {
            Bundle::load(&killed.path().join("bundle")).unwrap();
        }
    }
    assert!(kills > 0);
    let output = train(killed.path(), &arguments("--resume"));
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let [killed, undisturbed] = [&killed, &undisturbed].map(|dir| files(dir.path().join("bundle")));
    let names = |files: &[(String, Vec<u8>)]| files.iter().map(|file| file.0.clone()).collect::<Vec<_>>();
    assert_eq!(names(&killed), names(&undisturbed));
    for (killed, undisturbed) in killed.iter().zip(&undisturbed) {
        assert!(killed.1 == undisturbed.1, "{}", killed.0);
    }
}

#[test]
fn a_full_disk_is_one_clear_sentence_and_the_old_bundle_stays() {
    let dir = folder();
    let output = train(dir.path(), &arguments("--run"));
    assert!(output.status.success());
    let before = files(dir.path().join("bundle"));
    // No file may grow beyond 64 blocks of 512 bytes; a write beyond that fails instead of killing the process.
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$0\" \"$@\"", TRAIN])
        .args(arguments("--run"))
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(74));
    let text = String::from_utf8_lossy(&output.stderr);
    let sentences: Vec<&str> = text.lines().filter(|line| line.starts_with("train: ")).collect();
    assert_eq!(
        sentences,
        ["train: cannot write run/checkpoint-00000007.safetensors: File too large (os error 27)"]
    );
    assert_eq!(files(dir.path().join("bundle")), before);
    let left = files(dir.path().join("run"));
    assert!(
        left.iter().all(|(name, _)| !name.ends_with(".part")),
        "half a file is left"
    );
}
