//! What a reader of committed records finds, and how it differs.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::support::agent::until;
use crate::support::broker::{Found, read_committed};

/// The names of one run.
#[derive(Debug)]
pub(crate) struct Topics {
    pub(crate) input: String,
    pub(crate) alerts: String,
    pub(crate) dead: String,
    pub(crate) state: String,
    pub(crate) group: String,
}

/// Records of one topic with the times at which they were sent (unix milliseconds).
type OfTopic = Vec<(Found, i64)>;

/// Everything found.
pub(crate) struct Records {
    alerts: OfTopic,
    dead: OfTopic,
}

/// How much was found.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    /// States of alerts.
    pub(crate) alerts: usize,
    /// Dead letters.
    pub(crate) dead: usize,
    /// Alerts that fired and were resolved.
    pub(crate) pairs: usize,
    /// Those of them that were open when something was done.
    pub(crate) under_way: usize,
    /// Records of the undisturbed run that were not found.
    pub(crate) lost: usize,
    /// Records found more often than in the undisturbed run.
    pub(crate) twice: usize,
}

impl Topics {
    pub(crate) fn of_seed(seed: u64) -> Self {
        let name = |kind: &str| format!("faults-{seed}{kind}");
        Self {
            input: name(""),
            alerts: name("-alerts"),
            dead: name("-dead"),
            state: name("-state"),
            group: name("-group"),
        }
    }

    /// The same input, undisturbed.
    pub(crate) fn whole(&self) -> Self {
        let name = |name: &str| format!("{name}-whole");
        Self {
            input: self.input.clone(),
            alerts: name(&self.alerts),
            dead: name(&self.dead),
            state: name(&self.state),
            group: name(&self.group),
        }
    }
}

/// Reads both topics to their ends.
pub(crate) fn read(client: &ClientConfig, topics: &Topics) -> Records {
    for topic in [&topics.alerts, &topics.dead] {
        // A transaction that its process left open hides what comes after it, until the broker aborts it.
        until("no transaction is open", || {
            let ends = |isolation: &str| {
                let mut client = client.clone();
                let consumer: BaseConsumer = client.set("isolation.level", isolation).create().unwrap();
                let limit = Duration::from_secs(10);
                let metadata = consumer.fetch_metadata(Some(topic), limit).unwrap();
                let partitions = metadata.topics()[0].partitions().iter();
                let ends = partitions.map(|p| consumer.fetch_watermarks(topic, p.id(), limit).unwrap().1);
                ends.collect::<Vec<i64>>()
            };
            (ends("read_committed") == ends("read_uncommitted")).then_some(())
        });
    }
    Records {
        alerts: read_committed(client, &topics.alerts),
        dead: read_committed(client, &topics.dead),
    }
}

/// Counts; `moments` are those at which something was done to the disturbed run.
pub(crate) fn summary(undisturbed: &Records, disturbed: &Records, moments: &[i64]) -> Summary {
    let mut times: BTreeMap<String, [Option<i64>; 2]> = BTreeMap::new();
    for (record, time) in &disturbed.alerts {
        let alert: serde_json::Value = serde_json::from_str(&record.value).unwrap();
        let id = alert["id"].as_str().unwrap().to_owned();
        let times = times.entry(id).or_default();
        match alert["state"].as_str().unwrap() {
            "firing" => times[0] = Some(*time),
            "resolved" => times[1] = Some(*time),
            _ => {}
        }
    }
    let pairs = times
        .values()
        .filter_map(|[fired, resolved]| Some((*fired)?..(*resolved)?));
    let pairs: Vec<_> = pairs.collect();
    let under_way = pairs
        .iter()
        .filter(|open| moments.iter().any(|m| open.contains(m)));
    let (mut lost, mut twice) = (0, 0);
    for (expected, found) in [
        (&undisturbed.alerts, &disturbed.alerts),
        (&undisturbed.dead, &disturbed.dead),
    ] {
        let (expected, found) = (counts(expected), counts(found));
        let times = |of: &BTreeMap<_, usize>, record: &(&str, &str)| of.get(record).copied().unwrap_or(0);
        lost += expected
            .keys()
            .filter(|record| times(&found, record) == 0)
            .count();
        twice += found
            .iter()
            .filter(|(record, n)| **n > times(&expected, record))
            .count();
    }
    Summary {
        alerts: undisturbed.alerts.len(),
        dead: undisturbed.dead.len(),
        pairs: pairs.len(),
        under_way: under_way.count(),
        lost,
        twice,
    }
}

/// How what was found differs, a series at a time and in order; nothing is taken for the same but the same records.
pub(crate) fn difference(undisturbed: &Records, disturbed: &Records) -> Option<String> {
    let mut said = Vec::new();
    for (kind, expected, found) in [
        ("alerts", &undisturbed.alerts, &disturbed.alerts),
        ("dead letters", &undisturbed.dead, &disturbed.dead),
    ] {
        let (expected, found) = (by_key(expected), by_key(found));
        let keys = expected
            .keys()
            .chain(found.keys().filter(|key| !expected.contains_key(*key)));
        for key in keys {
            let [expected, found] = [&expected, &found].map(|r| r.get(key).cloned().unwrap_or_default());
            if !same(&expected, &found) {
                said.push(describe(kind, key, &expected, &found));
            }
        }
    }
    let count = said.len();
    said.truncate(5);
    (count > 0).then(|| format!("{count} series differ:\n{}", said.join("\n")))
}

/// How often each record is there, by key and value.
fn counts(records: &OfTopic) -> BTreeMap<(&str, &str), usize> {
    let mut all = BTreeMap::new();
    for (record, _) in records {
        *all.entry((record.key.as_str(), record.value.as_str()))
            .or_default() += 1;
    }
    all
}

fn by_key(records: &OfTopic) -> BTreeMap<&str, Vec<&Found>> {
    let mut all: BTreeMap<&str, Vec<&Found>> = BTreeMap::new();
    for (record, _) in records {
        all.entry(&record.key).or_default().push(record);
    }
    all
}

fn same(expected: &[&Found], found: &[&Found]) -> bool {
    let content = |record: &Found| (record.value.clone(), record.headers.clone());
    expected
        .iter()
        .map(|r| content(r))
        .eq(found.iter().map(|r| content(r)))
}

fn describe(kind: &str, key: &str, expected: &[&Found], found: &[&Found]) -> String {
    let count = |records: &[&Found], value: &str| records.iter().filter(|r| r.value == value).count();
    let lost = expected.iter().filter(|r| count(found, &r.value) == 0);
    let twice = expected
        .iter()
        .filter(|r| count(found, &r.value) > count(expected, &r.value));
    let other = found.iter().filter(|r| count(expected, &r.value) == 0);
    let [lost, twice, other] = [lost.collect(), twice.collect(), other.collect::<Vec<_>>()]
        .map(|records: Vec<&&Found>| (records.len(), records.first().map(|r| r.value.clone())));
    format!("{kind} of {key}: lost {lost:?}, more than once {twice:?}, others {other:?}")
}
