//! `agent run` as a process: what it serves, how it stops and goes on, and what it says when it cannot work.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use crate::support::agent::{Agent, Workshop, agent, stderr, until};
use crate::support::broker::{Broker, Embedded, Found, Real};
use crate::support::scene::SENSITIVE;
use crate::support::stream::{self, PARTITIONS, Produced};

const SERIES: usize = 8;
const SAMPLES: usize = 160;

fn config(shop: &Workshop, broker: &dyn Broker, name: &str) -> PathBuf {
    let (brokers, delivery) = (broker.brokers(), broker.delivery());
    let text = format!(
        "[kafka]\nbrokers = \"{brokers}\"\ntopics = [\"{name}\"]\ngroup = \"{name}\"\ndelivery = \"{delivery}\"\n\
         start = \"earliest\"\ncommit_interval = \"100ms\"\nsession_timeout = \"6s\"\n\
         [alerts]\ntopic = \"{name}-alerts\"\n[scores]\ntopic = \"{name}-scores\"\n\
         [dead_letter]\ntopic = \"{name}-dead\"\n{SENSITIVE}"
    );
    shop.config(&format!("{name}.toml"), &text)
}

/// Ends it as an orchestrator would and checks that it went well.
fn stop(agent: Agent) -> String {
    let (code, log, took) = agent.terminate();
    assert_eq!(code, Some(0), "{log}");
    assert!(took < Duration::from_secs(30), "{took:?}\n{log}");
    log
}

#[test]
fn it_serves_commits_stops_and_goes_on() {
    let Some(shop) = Workshop::new() else { return };
    let broker = Embedded::start(&[
        ("on", PARTITIONS),
        ("on-alerts", 2),
        ("on-scores", 2),
        ("on-dead", 1),
    ]);
    let records = stream::records(SERIES, SAMPLES, 1_767_225_600_000);
    let (first, rest) = records.split_at(records.len() / 2);
    let config = config(&shop, &broker, "on");
    let arguments = ["--config", config.to_str().unwrap()];

    let running = shop.start("first", &arguments);
    running.ready();
    assert_eq!(running.get("/healthz"), (200, "ok\n".to_owned()));
    broker.feed("on", first);
    broker.wait_committed("on", "on", &stream::ends(first));
    let dead = broker.read("on-dead");
    assert_metrics(&running, &dead);
    assert_dead_letters(&dead, first);
    stop(running);
    assert_eq!(
        broker.committed("on", "on", &stream::ends(first)),
        stream::ends(first)
    );

    let before = broker.read("on-scores").len();
    let running = shop.start("second", &arguments);
    broker.feed("on", rest);
    broker.wait_committed("on", "on", &stream::ends(&records));
    stop(running);
    assert!(broker.read("on-scores").len() > before);
    let alerts = broker.read("on-alerts");
    let ids: BTreeSet<&str> = alerts.iter().map(|a| a.headers["ce_id"].as_str()).collect();
    assert_eq!(ids.len(), alerts.len(), "no state of an event is said twice");
    assert!(
        alerts
            .iter()
            .all(|a| a.headers["content-type"] == "application/json")
    );
}

/// What dashboards and alerting rules rely on.
fn assert_metrics(running: &Agent, dead: &[Found]) {
    let (status, text) = running.get("/metrics");
    assert_eq!(status, 200);
    for name in [
        "agent_alerts_total",
        "agent_build_info",
        "agent_commits_total",
        "agent_errors_total",
        "agent_inference_batch_windows",
        "agent_inference_seconds",
        "agent_last_scored_timestamp_seconds",
        "agent_model_info",
        "agent_occurrences_total",
        "agent_open_alerts",
        "agent_producer_queue_records",
        "agent_rejected_total",
        "agent_rows_scored_total",
        "agent_start_time_seconds",
        "agent_transaction_aborts_total",
        "agent_windows_inferred_total",
    ] {
        assert!(text.contains(&format!("# TYPE {name} ")), "{name} in\n{text}");
    }
    // These two come with the next tick and with the client's statistics.
    for name in ["agent_series", "agent_consumer_lag_records"] {
        let labelled = format!("{name}{{partition=\"0\",topic=\"on\"}}");
        let value = until(&labelled, || running.metric(&labelled));
        assert!(value >= 0.0);
    }
    let mut rejected: BTreeMap<&str, f64> = BTreeMap::new();
    for letter in dead {
        *rejected.entry(&letter.headers["reason"]).or_default() += 1.0;
    }
    for (reason, count) in rejected {
        let counted = running.metric(&format!("agent_rejected_total{{reason=\"{reason}\"}}"));
        assert_eq!(counted, Some(count), "{reason}");
    }
}

/// Each says where its record lies and why it was not used.
fn assert_dead_letters(dead: &[Found], records: &[Produced]) {
    let mut input: BTreeMap<i32, Vec<&Produced>> = BTreeMap::new();
    for record in records {
        input.entry(record.partition).or_default().push(record);
    }
    let mut reasons = BTreeSet::new();
    for letter in dead {
        let header = |name: &str| letter.headers[name].clone();
        assert_eq!(header("topic"), "on");
        let at = &input[&header("partition").parse().unwrap()];
        let record = at[header("offset").parse::<usize>().unwrap()];
        reasons.insert(header("reason"));
        if header("reason") == "malformed" {
            assert!(
                serde_json::from_str::<serde_json::Value>(&record.value).is_err(),
                "{record:?}"
            );
        }
    }
    for reason in ["future", "late", "malformed", "missing_field", "not_finite"] {
        assert!(reasons.contains(reason), "{reason} among {reasons:?}");
    }
}

#[test]
fn a_restart_cannot_be_seen_in_the_outputs() {
    let Some(broker) = Real::start() else { return };
    let Some(shop) = Workshop::new() else { return };
    let start = agent::clock::now().millis() / 10_000 * 10_000 - 3_600_000;
    let records = stream::records(SERIES, SAMPLES, start);
    let (first, rest) = records.split_at(records.len() * 2 / 3);
    let config = config(&shop, &broker, "again");
    let arguments = ["--config", config.to_str().unwrap(), "--set", "state.topic=off"];
    broker.feed("again", first);
    let running = shop.start("first", &arguments);
    broker.wait_committed("again", "again", &stream::ends(first));
    stop(running);
    let said = broker.read("again-alerts").len();
    assert!(said > 0);

    // Nothing new: the past is read again in silence, and what is committed stays.
    let running = shop.start("second", &arguments);
    until("live again", || {
        running.log().contains("the past is re-read").then_some(())
    });
    assert_eq!(
        broker.committed("again", "again", &stream::ends(first)),
        stream::ends(first)
    );
    assert_eq!(broker.read("again-alerts").len(), said);
    broker.feed("again", rest);
    broker.wait_committed("again", "again", &stream::ends(&records));
    let log = stop(running);
    assert!(log.contains("muted=true"), "{log}");

    // The same input in one go, by another group and to other topics.
    let topics = [
        "--set",
        "alerts.topic=whole-alerts",
        "--set",
        "scores.topic=whole-scores",
    ];
    let others = [
        "--set",
        "kafka.group=whole",
        "--set",
        "dead_letter.topic=whole-dead",
    ];
    let running = shop.start("whole", &[&arguments[..], &topics, &others].concat());
    broker.wait_committed("whole", "again", &stream::ends(&records));
    stop(running);
    for kind in ["alerts", "scores", "dead"] {
        let (cut, whole) = (
            broker.read(&format!("again-{kind}")),
            broker.read(&format!("whole-{kind}")),
        );
        assert_eq!(cut.len(), whole.len(), "{kind}");
        assert!(by_key(&cut) == by_key(&whole), "{kind} differ");
    }
}

/// The lookback is of no use here: what a restart knows it has from the state topic, which is there by default, and from nowhere else.
#[test]
fn a_kill_cannot_be_seen_in_the_outputs() {
    let Some(broker) = Real::start() else { return };
    let Some(shop) = Workshop::new() else { return };
    let start = agent::clock::now().millis() / 10_000 * 10_000 - 3_600_000;
    let records = stream::records(SERIES, SAMPLES, start);
    let config = config(&shop, &broker, "kept");
    let arguments = [
        "--config",
        config.to_str().unwrap(),
        "--set",
        "state.lookback=0s",
        "--set",
        "kafka.transactional_id=kept",
    ];
    let cuts = [records.len() / 3, records.len() * 2 / 3, records.len()];
    let mut fed = 0;
    for (life, cut) in cuts.into_iter().enumerate() {
        let running = shop.start(&format!("life-{life}"), &arguments);
        broker.feed("kept", &records[fed..cut]);
        fed = cut;
        broker.wait_committed("kept", "kept", &stream::ends(&records[..cut]));
        let log = running.log();
        assert_eq!(log.contains("state read"), life > 0, "{log}");
        assert!(!log.contains("begins without its state"), "{log}");
        if life < 2 {
            drop(running);
        } else {
            stop(running);
        }
    }

    // The same input in one go, by another group and to other topics, without any state.
    let others = [
        "alerts.topic=one-alerts",
        "scores.topic=one-scores",
        "dead_letter.topic=one-dead",
    ];
    let mut whole = arguments[..2].to_vec();
    for set in others.into_iter().chain(["kafka.group=one", "state.topic=off"]) {
        whole.extend(["--set", set]);
    }
    let running = shop.start("whole", &whole);
    broker.wait_committed("one", "kept", &stream::ends(&records));
    stop(running);
    for kind in ["alerts", "scores", "dead"] {
        let (cut, whole) = (
            broker.read(&format!("kept-{kind}")),
            broker.read(&format!("one-{kind}")),
        );
        assert!(!whole.is_empty(), "{kind}");
        assert_eq!(cut.len(), whole.len(), "{kind}");
        assert!(by_key(&cut) == by_key(&whole), "{kind} differ");
    }
}

fn by_key(found: &[Found]) -> BTreeMap<&str, Vec<&str>> {
    let mut all: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for record in found {
        all.entry(&record.key).or_default().push(&record.value);
    }
    all
}

#[test]
fn without_a_broker_it_says_so_and_still_stops() {
    let Some(shop) = Workshop::new() else { return };
    for delivery in ["transactional", "at_least_once"] {
        // Port 9 (discard) answers nowhere.
        let text = format!("[kafka]\nbrokers = \"127.0.0.1:9\"\ndelivery = \"{delivery}\"\n");
        let config = shop.config(&format!("{delivery}.toml"), &text);
        let running = shop.start(delivery, &["--config", config.to_str().unwrap()]);
        let reason = until("a reason", || {
            let (status, reason) = running.get("/readyz");
            assert_eq!(status, 503, "{reason}");
            (reason != "starting\n").then_some(reason)
        });
        assert!(reason.trim().len() > 10, "{reason}");
        assert_eq!(running.get("/healthz").0, 200);
        stop(running);
    }
}

#[test]
fn it_is_ready_again_when_the_broker_is_back() {
    let Some(shop) = Workshop::new() else { return };
    let broker = Embedded::start(&[
        ("back", PARTITIONS),
        ("back-alerts", 1),
        ("back-scores", 1),
        ("back-dead", 1),
    ]);
    let config = config(&shop, &broker, "back");
    let running = shop.start("agent", &["--config", config.to_str().unwrap()]);
    let nothing = (0..PARTITIONS).map(|partition| (partition, 0)).collect();
    broker.wait_committed("back", "back", &nothing);
    broker.switch(false);
    until("not ready", || (running.get("/readyz").0 == 503).then_some(()));
    broker.switch(true);
    // Nothing comes in: it has to find out by itself.
    running.ready();
    let records = stream::records(SERIES, 40, 1_767_225_600_000);
    broker.feed("back", &records);
    broker.wait_committed("back", "back", &stream::ends(&records));
    broker.switch(false);
    stop(running);
}

#[test]
fn a_port_in_use_is_one_line() {
    let Some(shop) = Workshop::new() else { return };
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("http.listen={}", taken.local_addr().unwrap());
    let config = shop.config("agent.toml", "");
    let out = agent(&["run", "--config", config.to_str().unwrap(), "--set", &listen]);
    assert_eq!(out.status.code(), Some(69));
    let said = stderr(&out);
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("cannot listen on 127.0.0.1:"), "{said}");
}

#[test]
fn every_unknown_key_is_named_at_once() {
    let Some(shop) = Workshop::new() else { return };
    let config = shop.config("agent.toml", "[kafka]\nborkers = \"x\"\n[score]\nlagg = 3\n");
    let out = agent(&["run", "--config", config.to_str().unwrap()]);
    assert_eq!(out.status.code(), Some(64));
    let said = stderr(&out);
    assert!(
        said.contains("kafka.borkers") && said.contains("score.lagg"),
        "{said}"
    );
}
