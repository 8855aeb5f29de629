//! The product on the same signals: its alerts with the default configuration, each open from when it was known.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use agent::evaluate::intervals::Interval;
use agent::model::{self, ServingOptions};
use agent::settings;
use pipeline::{Host, Input, Output, Task, TaskId};
use types::{AlertState, Payload, Record, Sample, SeriesKey, Timestamp};

/// Windows gathered before the nets run.
const WINDOWS_A_ROUND: usize = 512;

/// Alerts on samples (seconds, values) that come one by one, served by a bundle. One that is open at the end lasts forever.
pub(crate) fn alerts(bundle: &Path, samples: &[(i64, f64)]) -> Vec<Interval> {
    let options = ServingOptions {
        model: Some(bundle.to_owned()),
        threads: 1,
        ..ServingOptions::default()
    };
    let serving = model::load(&options).unwrap_or_else(|e| panic!("{e}"));
    let settings = settings::load(None, None, &[]).unwrap_or_else(|e| panic!("{e}"));
    let task = settings.task("", serving.model());
    let mut host = Host::new(serving.backends);
    let id = TaskId {
        topic: "batch".into(),
        partition: 0,
    };
    host.assign(id.clone(), Task::new(Arc::new(task), false));
    let series = SeriesKey::from_name("signal").expect("a name that is not empty makes a key");
    let mut out = Vec::new();
    for (offset, (time, value)) in samples.iter().enumerate() {
        let sample = Sample {
            series: series.clone(),
            time: Timestamp::from_millis(1_000 * *time),
            value: *value,
        };
        let record = Record {
            offset: offset as i64,
            time: None,
            payload: Payload::Samples(vec![sample]),
        };
        host.feed(&id, Input::Record(&record), &mut out);
        if host.due() >= WINDOWS_A_ROUND {
            host.infer(&mut out);
        }
    }
    host.infer(&mut out);
    host.feed(&id, Input::EndOfInput { flush: false }, &mut out);
    host.infer(&mut out);
    intervals(out.into_iter().map(|(_, output)| output))
}

fn intervals(outputs: impl Iterator<Item = Output>) -> Vec<Interval> {
    let mut open: BTreeMap<String, Interval> = BTreeMap::new();
    for output in outputs {
        let Output::Alert(alert) = output else {
            continue;
        };
        // A limit that is crossed is no anomaly found.
        if alert.limit.is_some() {
            continue;
        }
        let at = alert.available_at.millis().div_euclid(1_000);
        match alert.state {
            AlertState::Firing => {
                open.insert(alert.id, (at, i64::MAX));
            }
            AlertState::Resolved => {
                if let Some(interval) = open.get_mut(&alert.id) {
                    interval.1 = at;
                }
            }
            AlertState::Escalated => {}
        }
    }
    open.into_values().collect()
}
