//! What a bundle that predicts adds: forecasts, their errors in the score, and limits that are about to be crossed.

use std::f64::consts::TAU;
use std::fs;

use serde_json::Value;

use crate::support::agent::{Workshop, agent, command, stderr};
use crate::support::cli::Ran;

const MINUTE: i64 = 60_000;
/// 2026-01-01, a whole minute.
const START: i64 = 1_767_225_600_000;
const COLUMNS: &str = "timestamp,series,value,low,high,confidence,available_at";

/// Minutes of a slow wave between 30 and 70, with a little noise.
fn wave(minutes: usize) -> String {
    let rows = (0..minutes).map(|k| {
        let noise = (k as f64 * 0.754_877_666).fract() - 0.5;
        let value = 50.0 + 20.0 * (k as f64 / 36.0 * TAU).sin() + 0.2 * noise;
        format!("{},{value:.3}\n", START / 1000 + k as i64 * 60)
    });
    "timestamp,value\n".to_owned() + &rows.collect::<String>()
}

/// Fields by row, header left out.
fn rows(text: &str) -> Vec<Vec<&str>> {
    text.lines().skip(1).map(|l| l.split(',').collect()).collect()
}

struct Said {
    scores: String,
    forecasts: String,
    alerts: String,
    summary: String,
}

fn replay(shop: &Workshop, minutes: usize, arguments: &[&str]) -> Said {
    let file = shop.path("metric.csv");
    fs::write(&file, wave(minutes)).unwrap();
    let outputs = ["scores.csv", "forecasts.csv", "alerts.jsonl"].map(|name| shop.path(name));
    let mut command = command(&["replay", "--threads", "1"]);
    command.arg("--model").arg(shop.bundle()).arg("--file").arg(file);
    for (option, path) in ["--scores", "--forecasts", "--alerts"].iter().zip(&outputs) {
        command.arg(option).arg(path);
    }
    let ran = Ran::from(command.args(arguments).output().unwrap()).ok();
    let [scores, forecasts, alerts] = outputs.map(|path| fs::read_to_string(path).unwrap());
    Said {
        scores,
        forecasts,
        alerts,
        summary: ran.stdout,
    }
}

#[test]
fn a_forecast_is_what_its_bucket_is_judged_by() {
    let Some(shop) = Workshop::predicting() else {
        return;
    };
    let said = replay(&shop, 400, &[]);
    assert_eq!(said.forecasts.lines().next(), Some(COLUMNS));
    let (scores, forecasts) = (rows(&said.scores), rows(&said.forecasts));
    // Nineteen known buckets make the first window; each closed bucket since has one, and the last is still open.
    assert_eq!(forecasts.len(), 400 - 18 - 1);
    let mut banded = 0;
    for forecast in &forecasts {
        let [time, series, value, low, high, confidence, available] = forecast.as_slice() else {
            panic!("{forecast:?}")
        };
        assert_eq!(*series, "metric");
        assert!(available >= time, "{forecast:?}: no bucket closes before it ends");
        assert!((0.0..=1.0).contains(&confidence.parse::<f64>().unwrap()));
        let row = scores.iter().find(|row| row[0] == *time).unwrap();
        if row[8] == "pending" {
            assert_eq!(row[0], scores.last().unwrap()[0]);
            continue;
        }
        assert_eq!(row[3], *value, "{row:?}");
        assert_eq!(low.is_empty(), row[6].is_empty(), "{row:?}");
        let Ok(low) = low.parse::<f64>() else { continue };
        let [high, value, threshold] = [high, value, &row[6]].map(|n| n.parse::<f64>().unwrap());
        banded += 1;
        // Until a series has shown 256 values, its noise floor is still being found, and bands are at its mercy.
        if banded < 256 {
            continue;
        }
        assert!((high - value - threshold).abs() < 1e-9 && (value - low - threshold).abs() < 1e-9);
    }
    assert!(banded > 300);
    // Of a stream cut short the same is forecast, as far as it goes.
    let part = replay(&shop, 250, &[]);
    assert!(said.forecasts.starts_with(&part.forecasts) && part.forecasts.len() > 1_000);
}

#[test]
fn a_limit_about_to_be_crossed_is_said_before_it_is() {
    let Some(shop) = Workshop::predicting() else {
        return;
    };
    let config = shop.config(
        "agent.toml",
        "[alert]\nmin_confidence = 0.3\n[[rules]]\nmatch = { name = \"metric\" }\nlimit_above = 65.0\n",
    );
    let said = replay(&shop, 400, &["--config", config.to_str().unwrap()]);
    let alerts: Vec<Value> = said
        .alerts
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let limits: Vec<&Value> = alerts.iter().filter(|a| a["kind"] == "limit").collect();
    let fired = |severity: &str| {
        let states = limits.iter().filter(|a| a["state"] == "firing");
        states.filter(|a| a["severity"] == severity).count()
    };
    // Eleven crests, of which the first few come before forecasts are worth anything.
    assert_eq!(fired("warning") + fired("critical"), 11, "{limits:#?}");
    assert!(fired("warning") >= 7, "{limits:#?}");
    for alert in limits
        .iter()
        .filter(|a| a["state"] == "firing" && a["severity"] == "warning")
    {
        assert!(alert["value"].as_f64().unwrap() <= 65.0);
        assert!(alert["limit"]["forecast"].as_f64().unwrap() > 65.0);
        let escalated = limits
            .iter()
            .find(|a| a["id"] == alert["id"] && a["state"] == "escalated")
            .unwrap();
        let minute = |key: &str| {
            let time = escalated[key].as_str().unwrap();
            types::Timestamp::parse(time, None).unwrap().millis() / MINUTE
        };
        let known = types::Timestamp::parse(alert["available_at"].as_str().unwrap(), None).unwrap();
        assert!(
            known.millis() / MINUTE < minute("available_at"),
            "{alert} before {escalated}"
        );
    }
    assert!(said.summary.contains("crossings forecast"), "{}", said.summary);
}

/// Nets that reconstruct forecast nothing, and say so before anything runs.
#[test]
fn limits_and_forecasts_need_nets_that_predict() {
    let Some(shop) = Workshop::new() else { return };
    let said = replay(&shop, 100, &[]);
    assert_eq!(said.forecasts, format!("{COLUMNS}\n"));
    let config = shop.config(
        "agent.toml",
        "[forecasts]\ntopic = \"forecasts\"\n[[rules]]\nmatch = { name = \"metric\" }\nlimit_below = 1.0\n",
    );
    let (config, file) = (
        config.display().to_string(),
        shop.path("metric.csv").display().to_string(),
    );
    for arguments in [
        vec!["replay", "--file", &file, "--config", &config],
        vec!["run", "--config", &config],
        vec!["check", "--config", &config],
    ] {
        let out = agent(&arguments);
        let text = stderr(&out);
        assert_eq!(out.status.code(), Some(64), "{arguments:?}: {text}");
        for key in [
            "forecasts.topic: bundle tiny@",
            "rules[0].limit_below: bundle tiny@",
        ] {
            assert!(text.contains(key), "{key} in {arguments:?}: {text}");
        }
    }
}
