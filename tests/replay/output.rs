//! What a replay writes: rows, alerts, report, and that a final row stays as it is.

use std::collections::BTreeSet;
use std::fs;

use scorer::manifest::SERVED_LAGS;
use serde_json::Value;

use super::{Bench, MINUTE, START, csv, millis, points};
use crate::support::agent::command;
use crate::support::cli::Ran;
use crate::support::trained::trained;

const COLUMNS: &str =
    "timestamp,series,value,expected,score,peak,threshold,confidence,status,available_at,alert";

#[test]
fn scores_hold_one_row_a_bucket_in_the_columns_promised() {
    let Some(bench) = Bench::new("scores_hold_one_row_a_bucket_in_the_columns_promised") else {
        return;
    };
    bench.write("metric.csv", csv(&points(900, &[500, 700])));
    let replayed = bench.replay("metric.csv", &[]);
    assert_eq!(replayed.scores.lines().next(), Some(COLUMNS));
    let rows = replayed.rows();
    assert_eq!(rows.len(), 900);
    let mut scored = 0;
    for (k, row) in rows.iter().enumerate() {
        let [
            time,
            series,
            value,
            expected,
            score,
            peak,
            threshold,
            confidence,
            status,
            available,
            _,
        ] = row.as_slice()
        else {
            panic!("{row:?}")
        };
        assert_eq!((millis(time), *series), (START + k as i64 * MINUTE, "metric"));
        assert!(value.parse::<f64>().unwrap().is_finite());
        let confidence: f64 = confidence.parse().unwrap();
        assert!((0.0..=1.0).contains(&confidence));
        assert_eq!(*status, if k == 899 { "pending" } else { "final" });
        assert_eq!(score.is_empty(), expected.is_empty());
        assert_eq!(score.is_empty(), peak.is_empty());
        if *status == "pending" {
            assert_eq!((*score, *threshold, *available), ("", "", ""));
            continue;
        }
        // The interval is known with the 17th sample, and nothing before.
        assert_eq!(
            millis(available),
            (millis(time) + MINUTE).max(START + 16 * MINUTE)
        );
        if score.is_empty() {
            assert_eq!(confidence, 0.0, "{row:?}");
        } else {
            scored += 1;
            assert!(score.parse::<f64>().unwrap() >= 0.0 && peak.parse::<f64>().unwrap() >= 0.0);
        }
    }
    assert_eq!(
        scored,
        900 - 19 - 1,
        "every bucket from a fifth of a window on, but the open one"
    );
    assert!(!replayed.scores.contains("null") && !replayed.scores.contains("NaN"));
    let said = format!("900, {scored} scored");
    assert_eq!(replayed.says("buckets"), said);
}

#[test]
fn alerts_say_each_state_once_and_rows_name_the_open_one() {
    let Some(bench) = Bench::new("alerts_say_each_state_once_and_rows_name_the_open_one") else {
        return;
    };
    bench.write("metric.csv", csv(&points(900, &[600, 800])));
    let replayed = bench.replay("metric.csv", &[]);
    let alerts = replayed.alerts();
    let mut seen = BTreeSet::new();
    for alert in &alerts {
        for key in [
            "id",
            "state",
            "severity",
            "series",
            "start",
            "end",
            "available_at",
            "score",
            "value",
            "expected",
            "confidence",
            "bundle",
            "schema_version",
        ] {
            assert!(
                alert.get(key).is_some_and(|v| !v.is_null()),
                "no {key} in {alert}"
            );
        }
        let (id, state) = (alert["id"].as_str().unwrap(), alert["state"].as_str().unwrap());
        assert!(seen.insert((id.to_owned(), state.to_owned())), "{alert} again");
        assert!(state == "firing" || seen.contains(&(id.to_owned(), "firing".to_owned())));
        assert!(millis(alert["start"].as_str().unwrap()) <= millis(alert["end"].as_str().unwrap()));
    }
    for spike in [600, 800] {
        let at = START + spike * MINUTE;
        let is_it = |a: &&Value| a["state"] == "firing" && millis(a["start"].as_str().unwrap()) == at;
        let alert = alerts
            .iter()
            .find(is_it)
            .unwrap_or_else(|| panic!("none at {spike}: {}", replayed.alerts));
        assert_eq!(millis(alert["available_at"].as_str().unwrap()), at + MINUTE);
    }
    let ids: BTreeSet<&str> = alerts.iter().filter_map(|a| a["id"].as_str()).collect();
    let rows = replayed.rows();
    let open: BTreeSet<&str> = rows
        .iter()
        .map(|row| row[10])
        .filter(|id| !id.is_empty())
        .collect();
    assert_eq!(open, ids);
    // The id stands in the rows from opening to resolution, by the time at which the row was there.
    for alert in alerts.iter().filter(|a| a["state"] != "escalated") {
        let available = alert["available_at"].as_str().unwrap();
        let row = rows.iter().find(|row| row[9] == available).unwrap();
        assert_eq!(row[10] == alert["id"], alert["state"] == "firing", "{row:?}");
    }
}

#[test]
fn output_files_are_there_even_when_empty() {
    let Some(bench) = Bench::new("output_files_are_there_even_when_empty") else {
        return;
    };
    bench.write("metric.csv", csv(&points(10, &[])));
    let report = bench.path("report.html").display().to_string();
    let replayed = bench.replay("metric.csv", &["--report", &report]);
    assert_eq!(replayed.alerts, "");
    assert_eq!(replayed.scores.lines().next(), Some(COLUMNS));
    assert_eq!(
        replayed.finals(),
        "",
        "an interval is not known after ten samples"
    );
    assert!(fs::read_to_string(report).unwrap().contains("</html>"));
    assert!(
        bench
            .rows(&csv(&points(10, &[])), &[])
            .iter()
            .all(|row| row["status"] == "pending")
    );
}

#[test]
fn absent_fields_are_left_out_of_json_lines() {
    let Some(bench) = Bench::new("absent_fields_are_left_out_of_json_lines") else {
        return;
    };
    let rows = bench.rows(&csv(&points(300, &[])), &[]);
    assert_eq!(rows.len(), 300);
    assert!(rows[0].get("score").is_none() && rows[299].get("available_at").is_none());
    assert!(rows[250]["score"].is_number() && rows[250]["timestamp"].is_string());
    assert!(
        rows.iter()
            .all(|row| row.as_object().unwrap().values().all(|v| !v.is_null()))
    );
}

/// The heart of it: a file that ends early gives the same final rows, byte for byte.
#[test]
fn a_final_row_never_changes() {
    let Some(bench) = Bench::new("a_final_row_never_changes") else {
        return;
    };
    let (a, b) = (points(900, &[450, 620]), points(1200, &[]));
    let mut wide = String::from("timestamp,a,b\n");
    for (k, (time, value)) in b.iter().enumerate().take(900) {
        // The second column has holes; samples lie a little out of order.
        let second = if k % 7 == 3 {
            String::new()
        } else {
            a[k].1.to_string()
        };
        wide += &format!("{time},{value},{second}\n");
    }
    for (name, text) in [("metric.csv", csv(&a)), ("wide.csv", wide)] {
        bench.write(name, &text);
        let lines: Vec<&str> = text.lines().collect();
        let cut = lines[..lines.len() * 6 / 10].join("\n");
        fs::create_dir_all(bench.path("cut")).unwrap();
        bench.write(&format!("cut/{name}"), cut);
        for set in ["score.lag=0", "score.lag=9", "windows.lateness=3m"] {
            let whole = bench.replay(name, &["--set", set]);
            let part = bench.replay(&format!("cut/{name}"), &["--set", set]);
            let (known, finals) = (part.finals(), whole.finals());
            assert!(known.lines().count() > 500, "{name} {set}");
            assert!(
                finals.starts_with(&known),
                "{name} {set}: {}",
                difference(&finals, &known)
            );
            assert!(whole.alerts.starts_with(&part.alerts), "{name} {set}: alerts");
        }
    }
}

fn difference(whole: &str, part: &str) -> String {
    let pair = whole.lines().zip(part.lines()).find(|(a, b)| a != b);
    format!("{pair:?}")
}

#[test]
fn flush_scores_what_was_pending_and_nothing_else() {
    let Some(bench) = Bench::new("flush_scores_what_was_pending_and_nothing_else") else {
        return;
    };
    bench.write("metric.csv", csv(&points(400, &[])));
    let lag = ["--set", "score.lag=9"];
    let (plain, flushed) = (
        bench.replay("metric.csv", &lag),
        bench.replay("metric.csv", &[&lag[..], &["--flush"]].concat()),
    );
    let (pending, known) = (
        plain.rows().len() - plain.finals().lines().count(),
        plain.finals(),
    );
    assert_eq!(
        pending, 10,
        "nine that wait for later windows, and the open bucket"
    );
    assert!(flushed.finals().starts_with(&known));
    assert_eq!(flushed.rows().len(), 400);
    assert!(flushed.rows().iter().all(|row| row[8] == "final"));
    let last = flushed.rows()[399].clone();
    assert!(!last[4].is_empty() && !last[9].is_empty(), "{last:?}");
    let confidence = |row: &[&str]| row[7].parse::<f64>().unwrap();
    assert!(
        confidence(&last) < confidence(&flushed.rows()[380]),
        "fewer windows saw it"
    );
}

#[test]
fn every_served_lag_is_available_when_it_says() {
    let Some(bench) = Bench::new("every_served_lag_is_available_when_it_says") else {
        return;
    };
    bench.write("metric.csv", csv(&points(420, &[300])));
    for lag in SERVED_LAGS {
        let replayed = bench.replay("metric.csv", &["--set", &format!("score.lag={lag}")]);
        let scored: Vec<_> = replayed
            .rows()
            .into_iter()
            .filter(|row| !row[4].is_empty())
            .collect();
        // From the first bucket that some window sees, the first of which ends with the twentieth, to the last that all windows have seen.
        assert_eq!(
            scored.len(),
            420 - 1 - lag - 19_usize.saturating_sub(lag),
            "lag {lag}"
        );
        for row in scored {
            assert_eq!(
                millis(row[9]) - millis(row[0]),
                (lag as i64 + 1) * MINUTE,
                "lag {lag}: {row:?}"
            );
        }
    }
}

#[test]
fn threads_change_no_byte() {
    let Some(bench) = Bench::new("threads_change_no_byte") else {
        return;
    };
    bench.write("metric.csv", csv(&points(900, &[500])));
    let run = |threads: &str| {
        let (scores, alerts) = (bench.path("scores.csv"), bench.path("alerts.jsonl"));
        let mut command = command(&["replay", "--threads", threads, "--model"]);
        command.arg(trained()).arg("--file").arg(bench.path("metric.csv"));
        command.arg("--scores").arg(&scores).arg("--alerts").arg(&alerts);
        Ran::from(command.output().unwrap()).ok();
        (fs::read(scores).unwrap(), fs::read(alerts).unwrap())
    };
    let one = run("1");
    assert_eq!(one, run("2"));
    assert_eq!(one, run("3"));
}

#[test]
fn the_report_needs_nothing_beside_it() {
    let Some(bench) = Bench::new("the_report_needs_nothing_beside_it") else {
        return;
    };
    bench.write("metric.csv", csv(&points(600, &[400])));
    let report = bench.path("report.html").display().to_string();
    bench.replay("metric.csv", &["--report", &report]);
    let html = fs::read_to_string(report).unwrap();
    for part in ["<!doctype html>", "<svg", "metric", "waves@", "</html>"] {
        assert!(html.to_lowercase().contains(part), "no {part}");
    }
    for link in ["src=\"http", "href=\"http", "url(http", "@import", "<script src"] {
        assert!(!html.contains(link), "the report reaches out: {link}");
    }
}
