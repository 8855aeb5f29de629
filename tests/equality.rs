//! A live run and its replay in another process say the same, byte for byte.

use std::collections::BTreeMap;

use crate::support::agent::Workshop;
use crate::support::broker::{Broker, Embedded, Found, Real};
use crate::support::stream::{self, PARTITIONS, Produced};

const SERIES: usize = 36;
const SAMPLES: usize = 270;
/// Pairs of firing and resolved below which a comparison says little.
const PAIRS: usize = 50;

/// Sensitive, so that there is much to compare; waits for one later window and for samples out of order.
const CONFIG: &str = r#"
[alerts]
topic = "alerts"
[scores]
topic = "scores"
[dead_letter]
topic = "dead-letters"
[windows]
lateness = "20s"
[score]
lag = 1
refractory = 10
rarity = 0.0
warn_decades = 1.2
critical_decades = 2.0
[alert]
min_confidence = 0.0
close_after = 2
keep_firing_for = "0s"
silence_after = "2m"
[[rules]]
match = { name = "*_total" }
kind = "counter"
interval = "10s"
direction = "up"
"#;

/// Beside it, for nets that predict: forecasts, and limits that the values of some series come by.
const PREDICTING: &str = r#"
[[rules]]
match = { name = "*" }
limit_above = 60.0
limit_below = 43.0
[forecasts]
topic = "forecasts"
"#;

/// Runs the agent on the whole stream, fed in two parts, and replays its record; returns what both said.
fn run(broker: &dyn Broker, records: &[Produced], extra: &str) -> Option<[Said; 2]> {
    run_in(&Workshop::new()?, "", broker, records, extra)
}

fn run_in(
    shop: &Workshop,
    beside: &str,
    broker: &dyn Broker,
    records: &[Produced],
    extra: &str,
) -> Option<[Said; 2]> {
    let (brokers, delivery) = (broker.brokers(), broker.delivery());
    let kafka = format!(
        "[kafka]\nbrokers = \"{brokers}\"\ntopics = [\"metrics\"]\ngroup = \"equality\"\ndelivery = \"{delivery}\"\n\
         start = \"earliest\"\ncommit_interval = \"100ms\"\nsession_timeout = \"6s\"\n"
    );
    let config = shop.config("agent.toml", &format!("{kafka}{CONFIG}{beside}"));
    let recorded = shop.path("run.log");
    let (first, rest) = records.split_at(records.len() / 3);
    broker.feed("metrics", first);
    let (config, record) = (config.to_str().unwrap(), recorded.to_str().unwrap());
    let agent = shop.start("agent", &["--config", config, "--record", record, "--set", extra]);
    agent.ready();
    broker.feed("metrics", rest);
    broker.wait_committed("equality", "metrics", &stream::ends(records));
    let (code, log, _) = agent.terminate();
    assert_eq!(code, Some(0), "{log}");

    let replayed = shop.replay(&recorded, 1);
    assert!(
        replayed == shop.replay(&recorded, 2),
        "threads must not change a byte"
    );
    let rows = replayed
        .rows
        .lines()
        .filter(|l| !l.contains("\"status\":\"pending\""));
    let replay = Said {
        alerts: replayed.alerts.lines().map(str::to_owned).collect(),
        rows: rows.map(str::to_owned).collect(),
        forecasts: replayed.forecasts.lines().map(str::to_owned).collect(),
    };
    let live = Said {
        alerts: values(broker.read("alerts")),
        rows: values(broker.read("scores")),
        forecasts: if beside.is_empty() {
            Vec::new()
        } else {
            values(broker.read("forecasts"))
        },
    };
    assert!(!broker.read("dead-letters").is_empty());
    Some([live, replay])
}

/// Lines of JSON.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    alerts: Vec<String>,
    rows: Vec<String>,
    forecasts: Vec<String>,
}

fn values(found: Vec<Found>) -> Vec<String> {
    found.into_iter().map(|f| f.value).collect()
}

/// Lines by what `key` makes of their series, each in order.
fn by<K: Ord>(lines: &[String], key: impl Fn(&str) -> K) -> BTreeMap<K, Vec<&str>> {
    let mut all: BTreeMap<K, Vec<&str>> = BTreeMap::new();
    for line in lines {
        let json: serde_json::Value = serde_json::from_str(line).unwrap();
        all.entry(key(json["series"].as_str().unwrap()))
            .or_default()
            .push(line);
    }
    all
}

/// The same lines by `key`; the first difference is shown, not all of both.
fn assert_same<K: Ord + std::fmt::Debug>(
    what: &str,
    live: &[String],
    replay: &[String],
    key: impl Fn(&str) -> K,
) {
    let (live, replay) = (by(live, &key), by(replay, &key));
    assert!(
        live.keys().eq(replay.keys()),
        "{what}: {:?}, {:?}",
        live.keys(),
        replay.keys()
    );
    for (key, live) in live {
        let replay = &replay[&key];
        let same = live.iter().zip(replay).take_while(|(a, b)| a == b).count();
        assert!(
            live == *replay,
            "{what} of {key:?}: {} live, {} replayed, the first {same} agree, then\n{:?}\n{:?}",
            live.len(),
            replay.len(),
            live.get(same),
            replay.get(same)
        );
    }
}

fn assert_worth_it(said: &Said, records: &[Produced]) {
    let count = |state: &str| {
        let wanted = format!("\"state\":\"{state}\"");
        said.alerts.iter().filter(|a| a.contains(&wanted)).count()
    };
    let [firing, escalated, resolved] = ["firing", "escalated", "resolved"].map(count);
    eprintln!(
        "{} records, {firing} firing, {escalated} escalated, {resolved} resolved, {} rows",
        records.len(),
        said.rows.len()
    );
    assert!(
        resolved >= PAIRS && escalated > 0,
        "{firing} firing, {escalated} escalated, {resolved} resolved"
    );
    assert!(said.rows.len() > SERIES * SAMPLES / 2);
}

#[test]
fn a_run_on_the_embedded_broker_is_replayed_byte_for_byte() {
    let broker = Embedded::start(&[
        ("metrics", PARTITIONS),
        ("alerts", 1),
        ("scores", 1),
        ("dead-letters", 1),
    ]);
    let records = stream::records(SERIES, SAMPLES, 1_767_225_600_000);
    let Some([live, replay]) = run(&broker, &records, "windows.idle_close=auto") else {
        return;
    };
    let silences = live.alerts.iter().filter(|a| a.contains("\"kind\":\"silence\""));
    assert!(silences.count() > 0, "some series end halfway");
    // One partition holds all, so even the order between the series of one input partition can be compared.
    let partitions = stream::partitions(SERIES);
    assert_same("alerts", &live.alerts, &replay.alerts, |series| {
        partitions[series]
    });
    assert_same("rows", &live.rows, &replay.rows, |series| partitions[series]);
    assert_worth_it(&live, &records);
}

#[test]
fn what_was_forecast_is_replayed_byte_for_byte() {
    let broker = Embedded::start(&[
        ("metrics", PARTITIONS),
        ("alerts", 1),
        ("scores", 1),
        ("forecasts", 1),
        ("dead-letters", 1),
    ]);
    let records = stream::records(SERIES, SAMPLES, 1_767_225_600_000);
    let Some(shop) = Workshop::predicting() else {
        return;
    };
    let Some([live, replay]) = run_in(&shop, PREDICTING, &broker, &records, "windows.idle_close=auto") else {
        return;
    };
    let partitions = stream::partitions(SERIES);
    let of = |series: &str| partitions[series];
    assert_same("alerts", &live.alerts, &replay.alerts, of);
    assert_same("rows", &live.rows, &replay.rows, of);
    assert_same("forecasts", &live.forecasts, &replay.forecasts, of);
    let limits = live.alerts.iter().filter(|a| a.contains("\"kind\":\"limit\""));
    assert!(limits.count() > PAIRS && live.forecasts.len() > SERIES * SAMPLES / 2);
    let banded = live.forecasts.iter().filter(|f| f.contains("\"low\""));
    assert!(banded.count() > SERIES * SAMPLES / 4);
}

#[test]
fn a_run_on_a_real_broker_is_replayed_byte_for_byte() {
    let Some(broker) = Real::start() else { return };
    let records = stream::records(SERIES, SAMPLES, hours_ago(1));
    // kcat stamps records with the present: every series looks silent for as long as it is old.
    let Some([live, replay]) = run(&broker, &records, "windows.idle_close=1d") else {
        return;
    };
    assert_same("alerts", &live.alerts, &replay.alerts, str::to_owned);
    assert_same("rows", &live.rows, &replay.rows, str::to_owned);
    assert_worth_it(&live, &records);
}

/// Unix milliseconds of a full ten seconds so many hours ago.
fn hours_ago(hours: i64) -> i64 {
    agent::clock::now().millis() / 10_000 * 10_000 - hours * 3_600_000
}
