//! What a series costs: one is driven through a real task until nothing in it can grow, and counted.

use std::sync::Arc;
use std::time::Duration;

use pipeline::{Input, Output, SnapshotError, Task, TaskSettings};
use scorer::WindowOutput;
use serde::Serialize;
use types::{DurationMs, Payload, Record, SeriesKey, Timestamp};

use crate::clock::Stopwatch;

/// Name and labels of the series that are counted: of usual length.
fn key(number: usize) -> SeriesKey {
    let instance = format!("web-{number:06}.example:9100");
    let labels = [("instance", instance.as_str()), ("job", "frontend")];
    SeriesKey::new("http_requests_in_flight", labels).expect("a name and two labels make a key")
}

/// Buckets without a gap at the end: as many peaks as a series remembers, and past every bound of its references.
const BUCKETS: i64 = 40_000;
/// The time of day is remembered in slots of at least so much …
const SLOT: DurationMs = 300_000;
/// … for a week.
const WEEK: DurationMs = 8 * 86_400_000;

/// What a full series takes (bytes), by what for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SeriesMemory {
    /// Its name, in every map that has it.
    pub names: usize,
    /// Open buckets and the window.
    pub windows: usize,
    /// The coarse window.
    pub coarse: usize,
    /// What its score knows of its past.
    pub scores: usize,
    /// Alert machines, with an event open.
    pub alerts: usize,
    /// Windows that fall due at once, until the nets have answered: all series may close a bucket at the same time.
    pub queue: usize,
}

impl SeriesMemory {
    /// All of it.
    #[must_use]
    pub fn total(&self) -> usize {
        self.names + self.windows + self.coarse + self.scores + self.alerts + self.queue
    }
}

/// A series driven until it is full.
#[derive(Clone, Copy, Debug)]
pub struct Driven {
    /// What it takes then.
    pub memory: SeriesMemory,
    /// Its share of a snapshot of the task (bytes).
    pub snapshot: usize,
    /// What the task took for one bucket of one sample, decoding included, the nets left out.
    pub bucket: Duration,
}

/// Drives one series of a task with these `settings` to the full and counts it.
///
/// # Errors
/// When the task cannot be written down.
pub fn drive(settings: &TaskSettings, interval: DurationMs) -> Result<Driven, SnapshotError> {
    let mut feed = Feed::new(settings, interval, 1);
    feed.past();
    let clock = Stopwatch::start();
    feed.dense(BUCKETS);
    let bucket = clock.elapsed() / u32::try_from(BUCKETS).unwrap_or(u32::MAX);
    let held = feed.task.memory();
    let length = settings.model.window;
    let coarse = usize::from(settings.defaults.score.coarse_buckets(interval) > 1);
    let memory = SeriesMemory {
        names: held.names,
        windows: held.windows,
        coarse: held.coarse,
        scores: held.scores,
        alerts: held.alerts,
        queue: (1 + coarse) * Task::window_bytes(length),
    };
    Ok(Driven {
        memory,
        snapshot: feed.task.snapshot()?.len(),
        bucket,
    })
}

/// A stream of series with one sample a bucket, into one task. Nothing here reads a clock.
#[derive(Debug)]
pub struct Feed {
    task: Task,
    keys: Vec<SeriesKey>,
    interval: DurationMs,
    time: Timestamp,
    offset: i64,
    noise: u64,
}

impl Feed {
    /// Nothing has come yet. Rules and maintenance of `settings` are left out: it is not known which series they are about.
    #[must_use]
    pub fn new(settings: &TaskSettings, interval: DurationMs, series: usize) -> Self {
        let mut settings = TaskSettings {
            rules: Vec::new(),
            maintenance: Vec::new(),
            max_series: series,
            ..settings.clone()
        };
        settings.defaults.window.interval = Some(interval);
        Self {
            task: Task::new(Arc::new(settings), false),
            keys: (0..series).map(key).collect(),
            interval,
            time: Timestamp::from_millis(0),
            offset: 0,
            noise: 1,
        }
    }

    /// The task as it is now.
    #[must_use]
    pub fn task(&self) -> &Task {
        &self.task
    }

    /// From here on so many more series come: more than the task is to hold.
    pub fn crowd(&mut self, more: usize) {
        let known = self.keys.len();
        self.keys.extend((known..known + more).map(key));
    }

    /// A week and a day in which no time of day is left out, and, of short buckets, most buckets are.
    pub fn past(&mut self) {
        let step = self.interval.max(SLOT.div_euclid(self.interval) * self.interval);
        for _ in 0..WEEK / step {
            self.round(step, 0.0);
        }
    }

    /// `buckets` without a gap; now and then a burst, and at the end an event that is under way.
    pub fn dense(&mut self, buckets: i64) {
        for left in (0..buckets).rev() {
            // Bursts that are like each other are no news by the end: what ends it must be.
            let height = match left {
                ..98 => 1e6,
                _ if left % 150 == 0 => 1e4,
                _ => 0.0,
            };
            self.round(self.interval, height);
        }
    }

    /// One sample of each series, `step` milliseconds after the one before; the nets say what the window's middle is.
    fn round(&mut self, step: DurationMs, height: f64) {
        self.time = self.time + step;
        for series in 0..self.keys.len() {
            let record = self.record(series, height);
            let mut out = Vec::new();
            self.task.feed(Input::Record(&record), &mut out);
            let answers: Vec<_> = out.into_iter().filter_map(answer).collect();
            if !answers.is_empty() {
                self.task.feed(Input::Scored(answers), &mut Vec::new());
            }
        }
    }

    fn record(&mut self, series: usize, height: f64) -> Record {
        self.noise = self.noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let uniform = ((self.noise >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        let value = height - uniform.ln();
        let key = &self.keys[series];
        let labels: serde_json::Map<String, serde_json::Value> = key
            .labels()
            .into_iter()
            .map(|(name, value)| (name, value.into()))
            .collect();
        let seconds = self.time.millis() as f64 / 1_000.0;
        let point =
            serde_json::json!({"name": key.name(), "labels": labels, "timestamp": seconds, "value": value});
        self.offset += 1;
        Record {
            offset: self.offset,
            time: None,
            payload: Payload::Bytes(point.to_string().into_bytes()),
        }
    }
}

fn answer(output: Output) -> Option<(u64, Option<WindowOutput>)> {
    let Output::Due { id, input } = output else {
        return None;
    };
    let answer = WindowOutput {
        reconstruction: vec![0.0; input.len()],
        critic: Some(0.0),
    };
    Some((id, Some(answer)))
}
