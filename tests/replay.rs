//! `agent replay` as other programs meet it: its options, its files, and what must never change in them.

mod input;
mod output;
mod real;

use std::fs;
use std::path::PathBuf;

use ingest::synthetic::{Fault, FaultKind, Harmonic, Noise, SeriesSpec, Shape};
use serde_json::Value;
use tempfile::TempDir;
use types::{SeriesKey, Timestamp};

use crate::support::agent::command;
use crate::support::cli::{Ran, has_runtime};
use crate::support::trained::trained;

const MINUTE: i64 = 60_000;
/// 2026-01-01, a whole minute.
const START: i64 = 1_767_225_600_000;
type Points = Vec<(Timestamp, f64)>;

/// Minutes of a metric that has a cycle of two hours, some noise, and a spike at each of `spikes`, larger each time.
fn points(n: usize, spikes: &[usize]) -> Points {
    let cycle = Shape::Cycle {
        harmonics: vec![Harmonic {
            per_day: 12.0,
            amplitude: 1.0,
            phase: 0.0,
        }],
        weekend: 0.0,
    };
    let spec = SeriesSpec {
        noise: Noise {
            sd: 0.05,
            ..Noise::default()
        },
        scale: 10.0,
        offset: 50.0,
        ..SeriesSpec::new(SeriesKey::from_name("metric").unwrap(), cycle, 3)
    };
    let faults = spikes.iter().enumerate().map(|(i, minute)| Fault {
        kind: FaultKind::Spike,
        start: Timestamp::from_millis(START + *minute as i64 * MINUTE),
        duration: 2 * MINUTE,
        // What came before is half normal: each is larger than the last.
        magnitude: 40.0 + 20.0 * i as f64,
    });
    let stream = spec.stream(Timestamp::from_millis(START)).with_faults(faults);
    stream.take(n).collect()
}

fn csv(points: &[(Timestamp, f64)]) -> String {
    let rows = points.iter().map(|(time, value)| format!("{time},{value}\n"));
    "timestamp,value\n".to_owned() + &rows.collect::<String>()
}

/// A directory to replay in, or `None` where there is no ONNX Runtime.
struct Bench(TempDir);

/// What a replay left.
struct Replayed {
    summary: String,
    scores: String,
    alerts: String,
}

impl Bench {
    fn new(test: &str) -> Option<Self> {
        has_runtime(test).then(|| Self(tempfile::tempdir().unwrap()))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    fn try_replay(&self, file: &str, arguments: &[&str]) -> Ran {
        self.command(file).args(arguments).output().unwrap().into()
    }

    fn command(&self, file: &str) -> std::process::Command {
        let mut command = command(&["replay", "--model"]);
        command.arg(trained()).arg("--file").arg(self.path(file));
        command.args(["--threads", "1"]);
        command
    }

    fn replay(&self, file: &str, arguments: &[&str]) -> Replayed {
        let (scores, alerts) = (self.path("scores.csv"), self.path("alerts.jsonl"));
        let mut command = self.command(file);
        command.arg("--scores").arg(&scores).arg("--alerts").arg(&alerts);
        let ran = Ran::from(command.args(arguments).output().unwrap()).ok();
        Replayed {
            summary: ran.stdout,
            scores: fs::read_to_string(scores).unwrap(),
            alerts: fs::read_to_string(alerts).unwrap(),
        }
    }

    /// Rows of `content` as `metric.csv`, read back from JSON lines.
    fn rows(&self, content: &str, arguments: &[&str]) -> Vec<Value> {
        self.write("metric.csv", content);
        let out = self.path("rows.jsonl").display().to_string();
        self.try_replay("metric.csv", &[&["--scores", &out], arguments].concat())
            .ok();
        let text = fs::read_to_string(out).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

impl Replayed {
    /// Rows of CSV whose fields hold no commas.
    fn rows(&self) -> Vec<Vec<&str>> {
        self.scores
            .lines()
            .skip(1)
            .map(|line| line.split(',').collect())
            .collect()
    }

    fn finals(&self) -> String {
        let rows = self.scores.lines().filter(|line| line.contains(",final,"));
        rows.map(|line| format!("{line}\n")).collect()
    }

    fn alerts(&self) -> Vec<Value> {
        self.alerts
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// A line of the summary by its name.
    fn says(&self, name: &str) -> &str {
        let line = self
            .summary
            .lines()
            .find_map(|line| line.trim().strip_prefix(name));
        line.unwrap_or_else(|| panic!("no `{name}` in\n{}", self.summary))
            .trim()
    }
}

fn millis(text: &str) -> i64 {
    assert!(
        text.ends_with('Z') && text.contains('T'),
        "{text} is not RFC 3339 in UTC"
    );
    Timestamp::parse(text, None).unwrap().millis()
}
