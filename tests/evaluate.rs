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
    // Every row once as a document, the table of the product alone.
    for form in [&["--only-agent"][..], &["--json"]] {
        let said = ["1", "2"].map(|n| evaluate(dir.path(), &[&["--threads", n], form].concat()));
        assert_eq!(said[0], said[1]);
    }
    // Minute 1400: the second window is left, and no spike.
    let total = &json(dir.path(), &["--train-fraction", "0.7", "--only-agent"])["detectors"][0]["total"];
    assert_eq!(
        (&total["windows"], &total["alerts"]["windows_hit"]),
        (&4.into(), &0.into())
    );
    let days = total["days"].as_f64().unwrap();
    assert!((days - 4.0 * 0.3 * 1999.0 / 1440.0).abs() < 0.01, "{days}");
}

#[test]
fn halves_cuts_and_lists_choose_what_is_judged() {
    if !has_runtime("halves_cuts_and_lists_choose_what_is_judged") {
        return;
    }
    let dir = folder();
    let root = dir.path();
    let total = |more: &[&str]| {
        let document = json(root, &[&["--only-agent"], more].concat());
        let files: Vec<String> = document["detectors"][0]["files"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect();
        (document["detectors"][0]["total"].clone(), files)
    };
    assert_eq!(total(&["--half", "odd"]).1, ["one/a.csv", "top.csv"]);
    assert_eq!(total(&["--half", "even"]).1, ["one/b.csv", "two/c.csv"]);

    // Minute 1400 in one file: its first window is not judged, nor the spike in it.
    let cuts = root.join("labels.json").with_file_name("cuts.json");
    let signals = serde_json::json!({"signals": [{"file": "one/a.csv", "test_start": START + 60 * 1400}]});
    fs::write(&cuts, signals.to_string()).unwrap();
    let cut = total(&["--test-start", &cuts.display().to_string()]).0;
    assert_eq!(
        (&cut["windows"], &cut["alerts"]["windows_hit"]),
        (&7.into(), &3.into())
    );

    let list = root.join("list.txt");
    fs::write(&list, "# one\na\n").unwrap();
    let document = root.join("out.json").display().to_string();
    let listed = total(&["--series", &list.display().to_string(), "--out", &document]);
    assert_eq!(listed.1, ["one/a.csv"]);
    let written: Value = serde_json::from_str(&fs::read_to_string(&document).unwrap()).unwrap();
    assert_eq!(written["detectors"][0]["total"], listed.0);
}

#[test]
fn the_metrics_of_a_labelled_file_are_judged_as_one() {
    if !has_runtime("the_metrics_of_a_labelled_file_are_judged_as_one") {
        return;
    }
    // The spikes of the first window in one metric, another outside it in the other.
    let dir = tempfile::tempdir().unwrap();
    let column = |spikes: [u64; 2], k: u64, shift: f64| {
        let noise = (k as f64 * 0.754_877_666 + shift).fract();
        let spike = if spikes.contains(&k) { 200.0 } else { 0.0 };
        20.0 * (k as f64 / 100.0 * std::f64::consts::TAU).sin() + noise + spike
    };
    let rows = (0..2000).map(|k| {
        let (cpu, mem) = (column([1200, 1201], k, 0.0), column([1500, 1501], k, 0.4));
        format!("{},{cpu:.3},{mem:.3}\n", START + 60 * k)
    });
    let text: String = std::iter::once("timestamp,cpu,mem\n".to_owned())
        .chain(rows)
        .collect();
    fs::write(dir.path().join("host.csv"), text).unwrap();
    let windows = [[START + 60 * 1180, START + 60 * 1260]];
    let labelled = |key: &str| {
        let labels = serde_json::json!({ key: windows }).to_string();
        fs::write(dir.path().join("labels.json"), labels).unwrap();
        json(dir.path(), &["--only-agent"])["detectors"][0]["total"].clone()
    };
    let host = labelled("host.csv");
    assert_eq!(
        (&host["files"], &host["series"], &host["windows"]),
        (&1.into(), &2.into(), &1.into())
    );
    assert_eq!(
        (&host["alerts"]["fired"], &host["alerts"]["outside"]),
        (&2.into(), &1.into())
    );
    assert_eq!(
        (
            &host["overlap"]["true_positive"],
            &host["overlap"]["false_positive"]
        ),
        (&1.into(), &1.into())
    );
    let cpu = labelled("host.cpu");
    assert_eq!((&cpu["series"], &cpu["overlap"]["f1"]), (&1.into(), &1.0.into()));
    // A day and series: two series with an alert each, or one with one.
    assert_eq!(host["alerts"]["a_day"], cpu["alerts"]["a_day"]);
    assert!(cpu["vus_pr"].as_f64().unwrap() > host["vus_pr"].as_f64().unwrap());
}

#[test]
fn several_bundles_have_a_row_each_and_a_spread() {
    if !has_runtime("several_bundles_have_a_row_each_and_a_spread") {
        return;
    }
    let dir = folder();
    let general = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/general");
    let general = general.display().to_string();
    let document = json(dir.path(), &["--model", &general, "--only-agent"]);
    let names: Vec<&str> = document["bundles"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let rows = document["detectors"].as_array().unwrap();
    assert_eq!(
        (rows.len(), &rows[0]["name"], &rows[1]["name"]),
        (3, &names[0].into(), &names[1].into())
    );
    let figure = |row: &Value| row["total"]["vus_pr"].as_f64().unwrap();
    let spread = &document["spread"]["total"]["vus_pr"];
    let mean = (figure(&rows[0]) + figure(&rows[1])) / 2.0;
    assert!((spread["mean"].as_f64().unwrap() - mean).abs() < 1e-12);
    assert!(document["spread"]["families"]["one"]["overlap.f1"]["sd"].is_number());

    let twice = trained().display().to_string();
    let [data, labels] =
        [dir.path().to_owned(), dir.path().join("labels.json")].map(|p| p.display().to_string());
    let ran = agent([
        "evaluate", "--data", &data, "--labels", &labels, "--model", &twice, "--model", &twice,
    ]);
    assert_eq!(ran.code, 64);
    assert!(ran.stderr.contains("is named twice"), "{}", ran.stderr);
}
