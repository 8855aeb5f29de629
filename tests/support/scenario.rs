//! Streams in which something happens, labelled with when, and what the agent says of them: the shipped bundle, the default
//! configuration with what a test changes in it, and the task code of `agent run` and `agent replay`.

use std::sync::Arc;

use agent::model::{self, ServingOptions};
use ingest::synthetic::{Harmonic, Noise, SeriesSpec, Shape};
use pipeline::{Host, Input, Output, Task, TaskId};
use types::{Alert, AlertState, DurationMs, Payload, Record, Sample, ScoreRow, SeriesKey, Timestamp};

use super::cli::has_runtime;

/// Interval of the scenarios that name no other, and what all count time in: five minutes.
pub(crate) const STEP: DurationMs = 300_000;
/// Buckets in a day and in an hour.
pub(crate) const DAY: i64 = 288;
pub(crate) const HOUR: i64 = 12;
/// 2026-01-05, a Monday.
const START: i64 = 1_767_571_200_000;

/// The moment at which bucket `i` of a scenario begins.
pub(crate) fn at(i: i64) -> Timestamp {
    Timestamp::from_millis(START + i * STEP)
}

/// The bucket of a moment.
pub(crate) fn bucket(time: Timestamp) -> i64 {
    (time.millis() - START).div_euclid(STEP)
}

/// A name for a series.
pub(crate) fn key(name: &str) -> SeriesKey {
    SeriesKey::from_name(name).unwrap()
}

/// A gauge around 50 with noise of standard deviation 1 that wanders a little.
pub(crate) fn steady(name: &str, seed: u64) -> SeriesSpec {
    SeriesSpec {
        interval: STEP,
        noise: Noise {
            sd: 1.0,
            rho: 0.3,
            grows: 0.0,
        },
        offset: 50.0,
        ..SeriesSpec::new(key(name), Shape::Constant, seed)
    }
}

/// The same with a day of ± 10 around it, of which weekends lose a share.
pub(crate) fn daily(name: &str, seed: u64, weekend: f64) -> SeriesSpec {
    let harmonic = |per_day, amplitude, phase| Harmonic {
        per_day,
        amplitude,
        phase,
    };
    let cycle = Shape::Cycle {
        harmonics: vec![harmonic(1.0, 0.9, 0.7), harmonic(2.0, 0.2, 0.1)],
        weekend,
    };
    SeriesSpec {
        layers: vec![(10.0, cycle)],
        ..steady(name, seed)
    }
}

/// Values of a series by bucket, as long as those of its specification, to be changed by what happens to it; `None` is missing.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    series: SeriesKey,
    interval: DurationMs,
    values: Vec<Option<f64>>,
}

impl Stream {
    /// The first `buckets` of `spec`.
    pub(crate) fn new(spec: &SeriesSpec, buckets: i64) -> Self {
        let values = spec.generate(at(0), buckets as usize);
        Self {
            series: spec.key.clone(),
            interval: spec.interval,
            values: values.into_iter().map(Some).collect(),
        }
    }

    /// Changes the values of buckets `from..to`, given how far each is into them.
    pub(crate) fn change(mut self, from: i64, to: i64, change: impl Fn(i64, f64) -> f64) -> Self {
        let to = to.min(self.values.len() as i64);
        for i in from..to {
            let value = &mut self.values[i as usize];
            *value = value.map(|value| change(i - from, value));
        }
        self
    }

    /// Adds to the values of buckets `from..to`.
    pub(crate) fn add(self, from: i64, to: i64, by: f64) -> Self {
        self.change(from, to, |_, value| value + by)
    }

    /// Leaves out the samples of buckets `from..to`.
    pub(crate) fn drop(mut self, from: i64, to: i64) -> Self {
        let to = to.min(self.values.len() as i64);
        self.values[from as usize..to as usize].fill(None);
        self
    }

    fn sample(&self, i: usize) -> Option<Sample> {
        Some(Sample {
            series: self.series.clone(),
            time: Timestamp::from_millis(START + i as i64 * self.interval),
            value: self.values[i]?,
        })
    }
}

/// What came out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    pub(crate) alerts: Vec<Alert>,
    pub(crate) rows: Vec<ScoreRow>,
}

/// Sends the streams, all of one interval, side by side through a task; `config` is what differs from the default. `None`, said loudly, without
/// ONNX Runtime.
pub(crate) fn watch(test: &str, config: &str, streams: &[Stream]) -> Option<Said> {
    if !has_runtime(test) {
        return None;
    }
    // As of a recorded run: complete, so that no environment changes it.
    let settings = agent::settings::load(None, Some(config), &[]).unwrap();
    let serving = model::load(&ServingOptions {
        threads: 1,
        ..ServingOptions::default()
    })
    .unwrap();
    let task = Task::new(Arc::new(settings.task("", serving.model())), false);
    let id = TaskId {
        topic: "scenario".into(),
        partition: 0,
    };
    let (mut host, mut out, mut said) = (Host::new(serving.backends), Vec::new(), Said::default());
    host.assign(id.clone(), task);
    let buckets = streams.iter().map(|s| s.values.len()).max().unwrap_or(0);
    let mut offset = 0;
    for i in 0..buckets {
        for stream in streams.iter().filter(|s| i < s.values.len()) {
            let Some(sample) = stream.sample(i) else { continue };
            let record = Record {
                offset,
                time: None,
                payload: Payload::Samples(vec![sample]),
            };
            offset += 1;
            host.feed(&id, Input::Record(&record), &mut out);
        }
        if host.due() >= 256 || i + 1 == buckets {
            assert_eq!(host.infer(&mut out).failed, 0);
        }
        for (_, output) in out.drain(..) {
            match output {
                Output::Alert(alert) => said.alerts.push(alert),
                Output::Row(row) => said.rows.push(row),
                _ => {}
            }
        }
    }
    Some(said)
}

/// One event, by buckets of [`STEP`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Event {
    /// First bucket that exceeded.
    pub(crate) start: i64,
    /// Bucket in which it was known; `end`: in which its end was, if it came.
    pub(crate) known: i64,
    pub(crate) end: Option<i64>,
    pub(crate) critical: bool,
    pub(crate) score: f64,
}

impl Said {
    /// Events of a kind, by when they were known.
    pub(crate) fn events(&self, kind: &str) -> Vec<Event> {
        let mut events: Vec<(&str, Event)> = Vec::new();
        for alert in self.alerts.iter().filter(|a| a.kind() == kind) {
            let critical = alert.severity == types::Severity::Critical;
            match alert.state {
                AlertState::Firing => events.push((
                    &alert.id,
                    Event {
                        start: bucket(alert.start),
                        known: bucket(alert.available_at),
                        end: None,
                        critical,
                        score: alert.score,
                    },
                )),
                AlertState::Escalated | AlertState::Resolved => {
                    let (_, event) = events.iter_mut().find(|(id, _)| *id == alert.id).unwrap();
                    event.critical |= critical;
                    event.score = alert.score;
                    if alert.state == AlertState::Resolved {
                        event.end = Some(bucket(alert.available_at));
                    }
                }
            }
        }
        events.into_iter().map(|(_, event)| event).collect()
    }

    /// Anomalies that became known in buckets `from..to`.
    pub(crate) fn anomalies(&self, from: i64, to: i64) -> Vec<Event> {
        let mut events = self.events("anomaly");
        events.retain(|event| (from..to).contains(&event.known));
        events
    }
}
