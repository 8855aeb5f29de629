//! `agent evaluate` as other programs meet it: the same alerts as in a replay, the same answer however many threads.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::cli::{agent, has_runtime};
use crate::support::trained::trained;

/// First minute of the files (unix seconds).
const START: u64 = 1_767_225_600;
/// Labelled minutes: a spike falls into the first, none into the second.
const WINDOWS: [(u64, u64); 2] = [(1180, 1260), (1700, 1720)];

/// A folder of labelled files in two families, one file on its own, and one that no label names.
fn folder() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut labels = serde_json::Map::new();
    let minute = |m: u64| START + 60 * m;
    let windows: Vec<_> = WINDOWS.iter().map(|(a, b)| [minute(*a), minute(*b)]).collect();
    for (at, name) in ["one/a.csv", "one/b.csv", "two/c.csv", "top.csv", "two/other.csv"]
        .into_iter()
        .enumerate()
    {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, wave(at as u64)).unwrap();
        if name != "two/other.csv" {
            labels.insert(name.to_owned(), serde_json::to_value(&windows).unwrap());
        }
    }
    fs::write(dir.path().join("labels.json"), Value::Object(labels).to_string()).unwrap();
    dir
}

/// 2000 minutes of a wave with some noise, with spikes at minutes 900 (outside the windows) and 1200 (inside the first).
fn wave(seed: u64) -> String {
    let mut text = String::from("timestamp,value\n");
    for k in 0..2000_u64 {
        let noise = ((k + 7919 * seed) as f64 * 0.754_877_666).fract() - 0.5;
        let cycle = (k as f64 / 100.0 * std::f64::consts::TAU).sin();
        let spike = if [900, 901, 1200, 1201].contains(&k) {
            200.0
        } else {
            0.0
        };
        text += &format!("{},{:.3}\n", START + 60 * k, 50.0 + 20.0 * cycle + noise + spike);
    }
    text
}

fn evaluate(dir: &Path, more: &[&str]) -> String {
    let paths = [dir.to_owned(), dir.join("labels.json"), trained().to_owned()];
    let [data, labels, model] = paths.map(|p| p.display().to_string());
    let own = [
        "evaluate", "--data", &data, "--labels", &labels, "--model", &model,
    ];
    agent(own.iter().chain(more)).ok().stdout
}

fn json(dir: &Path, more: &[&str]) -> Value {
    let more = [more, &["--json"]].concat();
    serde_json::from_str(&evaluate(dir, &more)).unwrap()
}

/// Alerts that a replay of the file fires.
fn replayed(file: &Path) -> usize {
    let out = file.with_extension("jsonl");
    let [path, alerts, model] = [file, &out, trained()].map(|p| p.display().to_string());
    agent(["replay", "--file", &path, "--alerts", &alerts, "--model", &model]).ok();
    let lines = fs::read_to_string(&out).unwrap();
    fs::remove_file(&out).unwrap();
    lines.matches(r#""state":"firing""#).count()
}

#[test]
fn what_it_measures_is_what_a_replay_says() {
    if !has_runtime("what_it_measures_is_what_a_replay_says") {
        return;
    }
    let dir = folder();
    let document = json(dir.path(), &["--threads", "1"]);
    let product = &document["detectors"][0];
    assert_eq!(product["name"], "agent");
    let files = product["files"].as_object().unwrap();
    let names: Vec<_> = files.keys().map(String::as_str).collect();
    assert_eq!(names, ["one/a.csv", "one/b.csv", "top.csv", "two/c.csv"]);
    for (name, measures) in files {
        let fired = replayed(&dir.path().join(name));
        assert!(fired > 0, "{name}");
        assert_eq!(measures["alerts"]["fired"], fired, "{name}");
    }
    let families: Vec<_> = product["families"].as_object().unwrap().keys().collect();
    assert_eq!(families, [".", "one", "two"]);

    let total = &product["total"];
    assert_eq!((&total["files"], &total["windows"]), (&4.into(), &8.into()));
    // The spike of minute 1200 is known within two buckets of its own, twenty after the window's start.
    assert_eq!(total["alerts"]["windows_hit"], 4);
    let delay = total["alerts"]["delay_buckets"].as_f64().unwrap();
    assert!((20.0..=23.0).contains(&delay), "{delay}");
    assert_eq!(total["overlap"]["recall"], 0.5);
    let standard = &total["nab"]["standard"];
    let best = standard["best"].as_f64().unwrap();
    assert!(best > 0.0 && best >= standard["at_boundary"].as_f64().unwrap());

    let detectors = document["detectors"].as_array().unwrap();
    let names: Vec<_> = detectors.iter().filter_map(|d| d["name"].as_str()).collect();
    assert_eq!(
        names[1..],
        [
            "companions only",
            "window median",
            "rank-20 linear",
            "robust z-score",
            "seasonal naive",
            "spectral residual",
            "random cut forest",
            "constant"
        ]
    );
    let silence = &detectors[8];
    assert_eq!(silence["total"]["nab"]["standard"]["best"], 0.0);
    assert_eq!(silence["total"]["alerts"]["fired"], 0);
}

#[test]
fn threads_change_nothing_and_a_train_fraction_leaves_the_beginning_out() {
    if !has_runtime("threads_change_nothing_and_a_train_fraction_leaves_the_beginning_out") {
        return;
    }
    let dir = folder();
    for form in [&[][..], &["--json"]] {
        let said = ["1", "2"].map(|n| evaluate(dir.path(), &[&["--threads", n], form].concat()));
        assert_eq!(said[0], said[1]);
    }
    // Minute 1400: the second window is left, and no spike.
    let total = &json(dir.path(), &["--train-fraction", "0.7"])["detectors"][0]["total"];
    assert_eq!(
        (&total["windows"], &total["alerts"]["windows_hit"]),
        (&4.into(), &0.into())
    );
    let days = total["days"].as_f64().unwrap();
    assert!((days - 4.0 * 0.3 * 1999.0 / 1440.0).abs() < 0.01, "{days}");
}
