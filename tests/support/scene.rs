//! Input, the agents that read it, and what is found in the end, held against agents that nothing disturbed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rdkafka::consumer::BaseConsumer;

use super::admin;
use super::agent::{Agent, Workshop, until};
use super::broker::{Broker, Found, committed};
use super::stream::{self, PARTITIONS, Produced};

const SERIES: usize = 8;
pub(crate) const KINDS: [&str; 3] = ["alerts", "scores", "dead"];

/// Settings so sensitive that there is something to say soon.
pub(crate) const SENSITIVE: &str = r#"
[windows]
lateness = "20s"
idle_close = "1d"
[score]
refractory = 10
rarity = 0.0
warn_decades = 1.2
critical_decades = 2.0
[alert]
min_confidence = 0.0
"#;

/// One input topic, and the agents that read it.
pub(crate) struct Scene<B> {
    shop: Workshop,
    pub(crate) broker: B,
    pub(crate) topic: &'static str,
    config: PathBuf,
}

impl<B: Broker> Scene<B> {
    /// Without the topic itself.
    pub(crate) fn new(broker: B, topic: &'static str) -> Option<Self> {
        let shop = Workshop::new()?;
        let text = format!(
            r#"
[kafka]
brokers = "{}"
topics = ["{topic}"]
start = "earliest"
commit_interval = "100ms"
session_timeout = "6s"
{SENSITIVE}"#,
            broker.brokers()
        );
        let config = shop.config(&format!("{topic}.toml"), &text);
        Some(Self {
            shop,
            broker,
            topic,
            config,
        })
    }

    /// An agent of this group, with its own output topics.
    pub(crate) fn start(&self, group: &str, settings: &[&str]) -> Agent {
        self.start_at(group, settings, None)
    }

    /// The same, standing still at this failpoint when it comes there for the n-th time.
    pub(crate) fn start_at(&self, group: &str, settings: &[&str], failpoint: Option<(&str, usize)>) -> Agent {
        let own = [
            format!("kafka.group={group}"),
            format!("kafka.transactional_id={group}"),
            format!("alerts.topic={group}-alerts"),
            format!("scores.topic={group}-scores"),
            format!("dead_letter.topic={group}-dead"),
        ];
        let mut arguments = vec!["--config", self.config.to_str().unwrap()];
        for setting in own.iter().map(String::as_str).chain(settings.iter().copied()) {
            arguments.extend(["--set", setting]);
        }
        let armed = failpoint.map(|(point, count)| {
            let file = self.shop.path(&format!("{group}.failpoint"));
            format!("{point} {count} hang {}", file.display())
        });
        let variables = armed.as_deref().map(|armed| ("AGENT_FAILPOINT", armed));
        self.shop.start_with(group, &arguments, variables.as_slice())
    }

    pub(crate) fn wait(&self, group: &str, ends: &BTreeMap<i32, i64>) {
        self.broker.wait_committed(group, self.topic, ends);
    }

    /// The same for a single agent, which is started again when it ends by itself; how often.
    pub(crate) fn wait_looking_after(
        &self,
        group: &str,
        ends: &BTreeMap<i32, i64>,
        agent: &mut Agent,
    ) -> usize {
        let consumer: BaseConsumer = self.broker.client().set("group.id", group).create().unwrap();
        let mut restarts = 0;
        until("everything is committed", || {
            if agent.ended().is_some() {
                println!(
                    "ended by itself: {}",
                    agent.log().lines().last().unwrap_or_default()
                );
                *agent = self.start(group, &[]);
                restarts += 1;
            }
            (committed(&consumer, self.topic, ends) == *ends).then_some(())
        });
        restarts
    }

    /// The topic as it is now, by a group that nothing disturbs; its outputs.
    pub(crate) fn undisturbed(&self, group: &str, ends: &BTreeMap<i32, i64>) -> Outputs {
        let agent = self.start(group, &["state.topic=off"]);
        self.wait(group, ends);
        stop(agent);
        self.outputs(group)
    }

    pub(crate) fn outputs(&self, group: &str) -> Outputs {
        KINDS.map(|kind| by_key(self.broker.read(&format!("{group}-{kind}"))))
    }

    /// Deletes the topic and makes it again.
    pub(crate) fn remake(&self) {
        admin::delete(&self.broker.client(), &[self.topic]);
        admin::create(&self.broker.client(), &[(self.topic, PARTITIONS)]);
    }
}

/// Values of [`KINDS`], in order by key.
pub(crate) type Outputs = [BTreeMap<String, Vec<String>>; 3];

fn by_key(found: Vec<Found>) -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for record in found {
        all.entry(record.key).or_default().push(record.value);
    }
    all
}

/// One after the other.
pub(crate) fn chain(all: impl IntoIterator<Item = Outputs>) -> Outputs {
    let mut whole = Outputs::default();
    for outputs in all {
        for (whole, outputs) in whole.iter_mut().zip(outputs) {
            for (key, values) in outputs {
                whole.entry(key).or_default().extend(values);
            }
        }
    }
    whole
}

pub(crate) fn assert_same(found: &Outputs, expected: &Outputs) {
    for ((kind, found), expected) in KINDS.iter().zip(found).zip(expected) {
        let count = |of: &BTreeMap<String, Vec<String>>| of.values().map(Vec::len).sum::<usize>();
        assert!(!expected.is_empty(), "{kind}");
        assert_eq!(count(found), count(expected), "{kind}");
        assert!(found == expected, "{kind} differ");
    }
}

/// Ends it as an orchestrator would; its log.
pub(crate) fn stop(agent: Agent) -> String {
    let (code, log, _) = agent.terminate();
    assert_eq!(code, Some(0), "{log}");
    log
}

/// A stream that has been running for an hour.
pub(crate) fn records(samples: usize) -> Vec<Produced> {
    let start = agent::clock::now().millis() / 10_000 * 10_000 - 3_600_000;
    stream::records(SERIES, samples, start)
}
