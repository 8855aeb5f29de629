//! What a replay reads: layouts, labels, rules and settings, and what is odd in files.

use std::fs;
use std::io::Write as _;

use serde_json::Value;
use types::Timestamp;

use super::{Bench, MINUTE, Points, START, csv, millis, points};
use crate::support::cli::Ran;

#[test]
fn every_layout_says_the_same() {
    let Some(bench) = Bench::new("every_layout_says_the_same") else {
        return;
    };
    let points = points(700, &[600]);
    let lines = |head: &str, row: &dyn Fn(&Timestamp, f64) -> String| {
        points.iter().fold(head.to_owned(), |text, (time, value)| {
            text + &row(time, *value) + "\n"
        })
    };
    let plain = csv(&points);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(plain.as_bytes()).unwrap();
    let native = |t: &Timestamp, v: f64| format!(r#"{{"name":"metric","timestamp":"{t}","value":{v}}}"#);
    let prometheus = |t: &Timestamp, v: f64| {
        format!(r#"{{"name":"metric","labels":{{"__name__":"metric"}},"timestamp":"{t}","value":"{v}"}}"#)
    };
    let files: [(&str, Vec<u8>); 8] = [
        ("metric.csv", plain.clone().into_bytes()),
        ("metric.csv.gz", gzip.finish().unwrap()),
        ("metric.csv.zst", zstd::encode_all(plain.as_bytes(), 1).unwrap()),
        ("seconds.csv", {
            let row = |t: &Timestamp, v: f64| format!("{},metric,{v}", t.millis() / 1000);
            lines("timestamp,series,value\n", &row).into_bytes()
        }),
        (
            "semicolons.csv",
            lines("timestamp;name;value\n", &|t, v| format!("{t};metric;{v}")).into_bytes(),
        ),
        ("native.jsonl", lines("", &native).into_bytes()),
        ("prometheus.jsonl", lines("", &prometheus).into_bytes()),
        ("naive.csv", {
            let naive = |t: &Timestamp| t.to_string().replace('T', " ").replace('Z', "");
            lines("timestamp,series,value\n", &|t, v| {
                format!("{},metric,{v}", naive(t))
            })
            .into_bytes()
        }),
    ];
    let mut expected: Option<(String, String)> = None;
    for (name, content) in files {
        bench.write(name, content);
        let replayed = bench.replay(name, &[]);
        assert!(!replayed.alerts.is_empty(), "{name}: the spike alerts");
        let (scores, alerts) =
            expected.get_or_insert_with(|| (replayed.scores.clone(), replayed.alerts.clone()));
        assert_eq!(
            (&replayed.scores, &replayed.alerts),
            (&*scores, &*alerts),
            "{name}"
        );
    }
    // A wide file's series have other names, and so other ids; the numbers are the same.
    bench.write("wide.csv", plain.replacen("value", "cpu", 1));
    let wide = bench.replay("wide.csv", &[]);
    let numbers = |text: &str| -> Vec<String> {
        let rows = text
            .lines()
            .skip(1)
            .map(|line| line.split(',').collect::<Vec<_>>());
        rows.map(|row| [&row[..1], &row[2..10]].concat().join(","))
            .collect()
    };
    assert_eq!(numbers(&wide.scores), numbers(&expected.unwrap().0));
    assert!(wide.rows().iter().all(|row| row[1] == "wide.cpu"));
}

#[test]
fn labels_come_from_a_file_or_a_column() {
    let Some(bench) = Bench::new("labels_come_from_a_file_or_a_column") else {
        return;
    };
    let points = points(900, &[600, 800]);
    bench.write("metric.csv", csv(&points));
    let windows = [[590, 610], [850, 870]];
    let time = |k: usize| points[k].0.to_string();
    let json = serde_json::json!({ "metric.csv": windows.map(|w| w.map(time)) });
    bench.write("labels.json", json.to_string());
    let labels = bench.path("labels.json").display().to_string();
    let from_file = bench.replay("metric.csv", &["--labels", &labels]);
    let said = from_file.says("labels").to_owned();
    assert!(
        said.starts_with("1 of 2 windows alerted, 1 alerts outside, "),
        "{said}"
    );
    let mut column = "timestamp,value,label\n".to_owned();
    for (k, (time, value)) in points.iter().enumerate() {
        let within = windows.iter().any(|[a, b]| (*a..=*b).contains(&k));
        column += &format!("{time},{value},{}\n", u8::from(within));
    }
    fs::create_dir(bench.path("labelled")).unwrap();
    bench.write("labelled/metric.csv", column);
    let from_column = bench.replay("labelled/metric.csv", &[]);
    assert_eq!(from_column.says("labels"), said);
    assert_eq!(from_column.scores, from_file.scores, "a label is no metric");
    // A file that is labelled calm is labelled.
    bench.write(
        "calm.csv",
        csv(&points)
            .replace("timestamp,", "timestamp,label,")
            .replace("Z,", "Z,0,"),
    );
    let calm = bench.replay("calm.csv", &[]);
    assert!(
        calm.says("labels")
            .starts_with("0 of 0 windows alerted, 2 alerts outside")
    );
    bench.write("other.json", "{\"another\": []}");
    let other = bench.path("other.json").display().to_string();
    assert_eq!(
        bench.replay("metric.csv", &["--labels", &other]).says("labels"),
        "none for this file"
    );
}

#[test]
fn a_rule_makes_a_counter_a_rate() {
    let Some(bench) = Bench::new("a_rule_makes_a_counter_a_rate") else {
        return;
    };
    let rates = points(400, &[]);
    let mut total = 0.0;
    let mut text = "timestamp,name,value\n".to_owned();
    for (k, (time, rate)) in rates.iter().enumerate() {
        // A restart in the middle: the counter begins at 0 again.
        total = if k == 250 { 0.0 } else { total + rate * 60.0 };
        text += &format!("{time},requests_total,{total}\n");
    }
    bench.write(
        "rule.toml",
        "[[rules]]\nmatch = { name = \"*_total\" }\nkind = \"counter\"\n",
    );
    let config = bench.path("rule.toml").display().to_string();
    let rows = bench.rows(&text, &["--config", &config]);
    let value = |row: &Value| row["value"].as_f64();
    let shown: Vec<f64> = rows.iter().filter_map(value).collect();
    assert!(shown.len() >= 395, "{} rows have a rate", shown.len());
    assert!(
        shown.iter().all(|rate| (0.0..80.0).contains(rate)),
        "no rate is negative or a jump"
    );
    for row in &rows[10..240] {
        let k = (millis(row["timestamp"].as_str().unwrap()) - START) / MINUTE;
        let own = [k - 1, k, k + 1].map(|k| rates[k as usize].1);
        let near = own.iter().any(|rate| (value(row).unwrap() - rate).abs() < 1e-6);
        assert!(near, "{row} is none of {own:?}");
    }
    let gauge = bench.rows(&text, &[]);
    assert!(
        gauge.iter().filter_map(value).any(|v| v > 10_000.0),
        "without the rule it is a gauge"
    );
}

/// As in a real file of travel times: two samples, then six that are missing.
#[test]
fn a_quarter_full_file_is_scored_at_lower_confidence() {
    let Some(bench) = Bench::new("a_quarter_full_file_is_scored_at_lower_confidence") else {
        return;
    };
    let all = points(2400, &[]);
    let quarter: Points = all
        .iter()
        .enumerate()
        .filter(|(k, _)| k % 8 < 2)
        .map(|(_, p)| *p)
        .collect();
    let (full, sparse) = (bench.rows(&csv(&all), &[]), bench.rows(&csv(&quarter), &[]));
    let confidences = |rows: &[Value]| -> Vec<f64> {
        // References begin with the first whole window.
        let scored = rows[99..].iter().filter(|row| row["score"].is_number());
        scored.map(|row| row["confidence"].as_f64().unwrap()).collect()
    };
    let (full, sparse) = (confidences(&full), confidences(&sparse));
    assert!(sparse.len() > 500, "{} are scored", sparse.len());
    // With the same history behind them.
    for k in [100, 300, 500] {
        assert!(
            sparse[k] > 0.0 && sparse[k] < 0.7 * full[k],
            "{} against {}",
            sparse[k],
            full[k]
        );
    }
}

#[test]
fn a_step_back_in_time_loses_what_is_late_and_nothing_more() {
    let Some(bench) = Bench::new("a_step_back_in_time_loses_what_is_late_and_nothing_more") else {
        return;
    };
    let all = points(500, &[]);
    // An hour is told twice, as when clocks are set back.
    let twice: Points = [&all[..300], &all[240..]].concat();
    bench.write("metric.csv", csv(&twice));
    fs::create_dir(bench.path("plain")).unwrap();
    bench.write("plain/metric.csv", csv(&all));
    let (replayed, plain) = (
        bench.replay("metric.csv", &[]),
        bench.replay("plain/metric.csv", &[]),
    );
    assert_eq!(
        replayed.says("not used"),
        "59 late",
        "the last minute of the hour was still open"
    );
    assert_eq!(replayed.scores, plain.scores);
    let lateness = ["--set", "windows.lateness=2h"];
    let patient = bench.replay("metric.csv", &lateness);
    assert!(!patient.summary.contains("not used"), "{}", patient.summary);
}

#[test]
fn the_last_of_two_samples_of_one_moment_wins() {
    let Some(bench) = Bench::new("the_last_of_two_samples_of_one_moment_wins") else {
        return;
    };
    let all = points(300, &[]);
    let mut text = csv(&all[..200]);
    let (time, value) = all[199];
    text += &format!("{time},{}\n", value + 1.0);
    text += csv(&all[200..]).split_once('\n').unwrap().1;
    let rows = bench.rows(&text, &[]);
    assert_eq!(rows.len(), 300);
    assert_eq!(rows[199]["value"].as_f64(), Some(value + 1.0));
    assert_eq!(rows[198]["value"].as_f64(), Some(all[198].1));
}

#[test]
fn settings_come_from_file_environment_and_command_line() {
    let Some(bench) = Bench::new("settings_come_from_file_environment_and_command_line") else {
        return;
    };
    bench.write("metric.csv", csv(&points(200, &[])));
    bench.write("agent.toml", "[score]\nlag = 2\n[files]\nzone = \"UTC\"\n");
    let (config, out) = (bench.path("agent.toml"), bench.path("rows.csv"));
    let lag = |environment: Option<&str>, set: Option<&str>| {
        let mut command = bench.command("metric.csv");
        command.arg("--config").arg(&config).arg("--scores").arg(&out);
        command.envs(environment.map(|lag| ("AGENT__SCORE__LAG", lag)));
        command.args(set.map(|set| ["--set", set]).into_iter().flatten());
        Ran::from(command.output().unwrap()).ok();
        let text = fs::read_to_string(&out).unwrap();
        text.lines().filter(|line| line.contains(",pending,")).count() - 1
    };
    assert_eq!(lag(None, None), 2);
    assert_eq!(lag(Some("4"), None), 4);
    assert_eq!(lag(Some("4"), Some("score.lag=9")), 9);
}

#[test]
fn one_bad_line_costs_one_line() {
    let Some(bench) = Bench::new("one_bad_line_costs_one_line") else {
        return;
    };
    let mut text = csv(&points(200, &[]));
    text += "2026-01-01T04:00:00Z,NaN\nwhenever,1\n2026-01-01T04:01:00Z,much\n2026-01-01T04:02:00Z\n";
    bench.write("metric.csv", text);
    let replayed = bench.replay("metric.csv", &[]);
    assert_eq!(replayed.says("samples"), "200");
    assert_eq!(
        replayed.says("not used"),
        "1 not_finite, 1 not_a_number, 1 bad_timestamp, 1 malformed"
    );
}
