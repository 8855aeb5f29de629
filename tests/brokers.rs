//! A broker that changes its mind, or stands still, while an agent runs.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::admin;
use crate::support::agent::{Agent, Workshop, until};
use crate::support::broker::{Broker, Embedded, Shared};
use crate::support::own_node::Node;
use crate::support::root;
use crate::support::scene::{Scene, assert_same, records, stop};
use crate::support::stream::{self, PARTITIONS};

const SAMPLES: usize = 120;
const TAKEN: &str = "agent_occurrences_total{kind=\"sample_accepted\"}";

fn acl(node: &Node, words: &[&str]) {
    let mut script = Command::new(root().join("scripts/kafka.sh"));
    let done = script.args(["acl", node.brokers()]).args(words).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// Says for three seconds that it is not ready, and why.
fn assert_denied(agent: &Agent) {
    let says = |(status, reason): &(u16, String)| {
        *status == 503 && reason.to_lowercase().contains("authorization failed")
    };
    until("denied", || says(&agent.get("/readyz")).then_some(()));
    let begun = Instant::now();
    until("three seconds", || {
        let answer = agent.get("/readyz");
        assert!(says(&answer), "{answer:?}");
        (begun.elapsed() > Duration::from_secs(3)).then_some(())
    });
}

#[test]
fn leave_that_is_taken_and_given_back_loses_nothing_and_says_nothing_twice() {
    let properties = "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
                      allow.everyone.if.no.acl.found=true\n";
    let Some(node) = Node::start_with(properties, None) else {
        return;
    };
    let Some(scene) = Scene::new(node, "allowed") else {
        return;
    };
    admin::create(&scene.broker.client(), &[("allowed", PARTITIONS)]);
    let mut agent = scene.start("allowed-live", &[]);
    let records = records(SAMPLES);
    let quarter = records.len() / 4;
    let parts: Vec<_> = (0..4)
        .map(|i| &records[quarter * i..if i == 3 { records.len() } else { quarter * (i + 1) }])
        .collect();
    let ends = |i: usize| stream::ends(&records[..if i == 3 { records.len() } else { quarter * (i + 1) }]);
    scene.broker.feed("allowed", parts[0]);
    scene.wait("allowed-live", &ends(0));
    let rules = [
        ["topic", "allowed-live-scores", "write"],
        ["topic", "allowed", "read"],
        ["transactional_id", "allowed-live", "write"],
    ];
    for (i, rule) in rules.into_iter().enumerate() {
        acl(&scene.broker, &[&["deny"], &rule[..]].concat());
        scene.broker.feed("allowed", parts[i + 1]);
        assert_denied(&agent);
        assert_eq!(agent.ended(), None);
        if i == 2 {
            // Who begins has nothing to go on with.
            let mut late = scene.start("allowed-late", &["kafka.transactional_id=allowed-live"]);
            let status = until("the end", || late.ended());
            assert_eq!(status.code(), Some(69), "{}", late.log());
            let last = late.log().lines().last().unwrap_or_default().to_owned();
            assert!(last.contains("authorization failed"), "{last}");
        }
        acl(&scene.broker, &[&["allow"], &rule[..]].concat());
        let begun = Instant::now();
        scene.wait("allowed-live", &ends(i + 1));
        agent.ready();
        println!(
            "{rule:?}: all committed and ready {:?} after it was given back",
            begun.elapsed()
        );
    }
    stop(agent);
    let whole = scene.undisturbed("allowed-whole", &stream::ends(&records));
    assert_same(&scene.outputs("allowed-live"), &whole);
}

/// While it cannot publish nothing is dropped, what it holds is bounded, and it says so.
#[test]
fn a_broker_that_stands_still_is_waited_for() {
    let Some(node) = Node::start() else { return };
    let Some(mut scene) = Scene::new(node, "slow") else {
        return;
    };
    admin::create(&scene.broker.client(), &[("slow", PARTITIONS)]);
    let mut agent = scene.start("slow-live", &[]);
    let records = records(SAMPLES);
    let (first, rest) = records.split_at(records.len() / 2);
    scene.broker.feed("slow", first);
    scene.wait("slow-live", &stream::ends(first));
    agent.ready();
    // What comes next is fetched, or is to be, when the broker stops.
    scene.broker.feed("slow", rest);
    scene.broker.pause(Duration::from_secs(12));
    let begun = Instant::now();
    let reason = until("not ready", || {
        Some(agent.get("/readyz")).filter(|(status, _)| *status == 503)
    });
    println!(
        "not ready {:?} after the broker stopped: {}",
        begun.elapsed(),
        reason.1
    );
    for name in [
        "agent_outputs_waiting",
        "agent_producer_queue_records",
        "agent_consumer_queue_bytes",
    ] {
        println!("{name}: {:?}", agent.metric(name));
    }
    assert!(agent.metric("agent_outputs_waiting").unwrap() <= 5_000.0);
    until("the broker goes on", || {
        scene.broker.tick();
        scene.broker.is_up().then_some(())
    });
    let begun = Instant::now();
    let restarts = scene.wait_looking_after("slow-live", &stream::ends(&records), &mut agent);
    agent.ready();
    println!(
        "all committed and ready {:?} after; started again {restarts} times",
        begun.elapsed()
    );
    stop(agent);
    let whole = scene.undisturbed("slow-whole", &stream::ends(&records));
    assert_same(&scene.outputs("slow-live"), &whole);
}

/// What is not committed is read again by whoever goes on: nothing is worth waiting for.
#[test]
fn an_agent_whose_broker_is_away_stops_in_order() {
    let Some(node) = Node::start() else { return };
    let Some(mut scene) = Scene::new(node, "away") else {
        return;
    };
    admin::create(&scene.broker.client(), &[("away", PARTITIONS)]);
    let records = records(SAMPLES);
    scene.broker.feed("away", &records);
    for (group, is_there) in [("away-paused", true), ("away-killed", false)] {
        let agent = scene.start(group, &[]);
        until("samples", || agent.metric(TAKEN).filter(|taken| *taken > 0.0));
        if is_there {
            scene.broker.pause(Duration::from_secs(30));
        } else {
            scene.broker.restart(true, Duration::from_secs(600));
        }
        let (code, log, took) = agent.terminate();
        println!("{group}: ended {took:?} after it was asked to");
        assert_eq!(code, Some(0), "{log}");
        until("the broker goes on", || {
            scene.broker.tick();
            (scene.broker.is_up() || !is_there).then_some(())
        });
    }
}

/// librdkafka does not close a consumer before its commits have an answer, or a minute is over.
#[test]
fn a_commit_without_an_answer_does_not_hold_up_the_end() {
    let Some(shop) = Workshop::new() else { return };
    let broker = Embedded::start(&[("quiet", 1), ("quiet-alerts", 1)]);
    let text = format!(
        "[kafka]\nbrokers = \"{}\"\ntopics = [\"quiet\"]\ngroup = \"quiet\"\ndelivery = \"at_least_once\"\n\
         start = \"earliest\"\ncommit_interval = \"50s\"\ntransaction_timeout = \"1m\"\n[alerts]\ntopic = \"quiet-alerts\"\n",
        broker.brokers()
    );
    let config = shop.config("quiet.toml", &text);
    let agent = shop.start("quiet", &["--config", config.to_str().unwrap()]);
    agent.ready();
    let mut records = records(2);
    records.retain(|record| record.partition == 0);
    broker.feed("quiet", &records);
    let series = "agent_series{partition=\"0\",topic=\"quiet\"}";
    until("series", || agent.metric(series).filter(|series| *series > 0.0));
    // The last publication finds the broker silent.
    broker.slow_down(Duration::from_secs(600));
    let (code, log, took) = agent.terminate();
    println!("ended {took:?} after it was asked to");
    assert_eq!(code, Some(0), "{log}");
}

/// Between two calls of one commit, as if the second never came back.
#[test]
fn a_call_that_never_comes_back_ends_the_process_and_the_next_goes_on() {
    let Some(broker) = Shared::start() else { return };
    let Some(scene) = Scene::new(broker, "stuck") else {
        return;
    };
    admin::create(&scene.broker.client(), &[("stuck", PARTITIONS)]);
    let records = records(SAMPLES);
    let (first, rest) = records.split_at(records.len() / 2);
    scene.broker.feed("stuck", first);
    let mut agent = scene.start_at("stuck-live", &[], Some(("before_commit", 2)));
    let status = until("the end", || agent.ended());
    assert_eq!(status.code(), Some(69), "{}", agent.log());
    let log = agent.log();
    let last = log.lines().last().unwrap_or_default();
    assert!(last.contains("a call to the brokers has not come back"), "{last}");
    scene.broker.feed("stuck", rest);
    let agent = scene.start("stuck-live", &[]);
    scene.wait("stuck-live", &stream::ends(&records));
    stop(agent);
    let whole = scene.undisturbed("stuck-whole", &stream::ends(&records));
    assert_same(&scene.outputs("stuck-live"), &whole);
}

/// The one call that librdkafka is known to leave without an answer is given up with its producer; another goes on.
#[test]
fn offsets_that_are_never_taken_cost_a_producer_and_nothing_else() {
    let Some(broker) = Shared::start() else { return };
    let Some(scene) = Scene::new(broker, "untaken") else {
        return;
    };
    admin::create(&scene.broker.client(), &[("untaken", PARTITIONS)]);
    let records = records(SAMPLES);
    let (first, rest) = records.split_at(records.len() / 2);
    scene.broker.feed("untaken", first);
    let agent = scene.start_at("untaken-live", &[], Some(("in_offsets", 2)));
    until("the call is given up", || {
        agent.log().contains("the call has not come back").then_some(())
    });
    scene.broker.feed("untaken", rest);
    scene.wait("untaken-live", &stream::ends(&records));
    agent.ready();
    assert!(
        agent.log().contains("another producer is made"),
        "{}",
        agent.log()
    );
    stop(agent);
    let whole = scene.undisturbed("untaken-whole", &stream::ends(&records));
    assert_same(&scene.outputs("untaken-live"), &whole);
}
