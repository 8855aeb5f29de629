//! Replays of real files.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::cli::{agent, has_runtime, reference_data};
use crate::support::trained::trained;

/// Every real file ends well, the flat one in silence, and the one that is three quarters empty is scored.
#[test]
fn real_files_end_without_error() {
    let test = "real_files_end_without_error";
    let (Some(data), true) = (reference_data(test), has_runtime(test)) else {
        return;
    };
    let files = csv_files(&data.join("nab"));
    assert!(!files.is_empty());
    let halves = [0, 1].map(|half| files.iter().skip(half).step_by(2).collect::<Vec<_>>());
    std::thread::scope(|scope| {
        for half in &halves {
            scope.spawn(move || half.iter().for_each(|file| real_file(file)));
        }
    });
}

fn real_file(file: &Path) {
    let text = [file, trained()].map(|p| p.display().to_string());
    let ran = agent([
        "replay",
        "--threads",
        "1",
        "--file",
        &text[0],
        "--model",
        &text[1],
    ])
    .ok();
    let line = |name: &str| {
        ran.stdout
            .lines()
            .find_map(|l| l.trim().strip_prefix(name))
            .unwrap()
            .trim()
    };
    let (buckets, alerts) = (line("buckets"), line("alerts"));
    let scored: u64 = buckets.split(' ').nth(1).unwrap().parse().unwrap();
    assert!(scored > 0, "{}: {buckets}", file.display());
    if file.ends_with("art_flatline.csv") {
        assert_eq!(alerts, "0 warning, 0 critical, 0 escalated", "{}", file.display());
    }
    if file.ends_with("TravelTime_451.csv") {
        assert!(scored > 500, "{}: {buckets}", file.display());
    }
}

fn csv_files(dir: &Path) -> Vec<PathBuf> {
    let (mut found, mut left) = (vec![], vec![dir.to_owned()]);
    while let Some(dir) = left.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else if path.extension().is_some_and(|e| e == "csv") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
