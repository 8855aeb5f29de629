//! Both brokers, fed and read without the agent's own Kafka edge.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use rdkafka::{Offset, TopicPartitionList};

use super::agent::{LIMIT, until};
use super::node::Node;
use super::own_node::Node as OwnNode;
use super::stream::Produced;

/// A record as a reader of committed records finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) partition: i32,
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) headers: BTreeMap<String, String>,
}

/// A broker to test against.
pub(crate) trait Broker {
    /// `host:port`
    fn brokers(&self) -> String;
    /// What `delivery` an agent can have of it.
    fn delivery(&self) -> &'static str;
    /// Writes records to a topic; they are there when it returns.
    fn feed(&self, topic: &str, records: &[Produced]) {
        let producer: BaseProducer = self
            .client()
            .set("enable.idempotence", "true")
            .set("linger.ms", "1")
            .create()
            .unwrap();
        for record in records {
            let mut next = BaseRecord::to(topic)
                .partition(record.partition)
                .key(&record.key)
                .payload(&record.value)
                .timestamp(record.time);
            while let Err((error, back)) = producer.send(next) {
                assert_eq!(
                    error.rdkafka_error_code(),
                    Some(rdkafka::types::RDKafkaErrorCode::QueueFull)
                );
                producer.poll(Duration::from_millis(20));
                next = back;
            }
        }
        producer.flush(LIMIT).unwrap();
    }
    /// Reads a topic from its beginning to its end.
    fn read(&self, topic: &str) -> Vec<Found> {
        let found = read_committed(&self.client(), topic);
        found.into_iter().map(|(record, _)| record).collect()
    }

    /// Waits until `group` has committed these offsets of `topic`.
    fn wait_committed(&self, group: &str, topic: &str, ends: &BTreeMap<i32, i64>) {
        let consumer = self
            .client()
            .set("group.id", group)
            .create::<BaseConsumer>()
            .unwrap();
        until("everything is committed", || {
            (committed(&consumer, topic, ends) == *ends).then_some(())
        });
    }

    /// What `group` has committed of the partitions in `like`; those without are left out.
    fn committed(&self, group: &str, topic: &str, like: &BTreeMap<i32, i64>) -> BTreeMap<i32, i64> {
        let consumer = self
            .client()
            .set("group.id", group)
            .create::<BaseConsumer>()
            .unwrap();
        committed(&consumer, topic, like)
    }

    /// A client of librdkafka, not of ours.
    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.brokers());
        config
    }
}

/// Offsets committed by the group of `consumer`.
pub(crate) fn committed(
    consumer: &BaseConsumer,
    topic: &str,
    like: &BTreeMap<i32, i64>,
) -> BTreeMap<i32, i64> {
    let mut query = TopicPartitionList::new();
    for partition in like.keys() {
        query.add_partition(topic, *partition);
    }
    // A coordinator that is not there yet has nothing committed.
    let Ok(found) = consumer.committed_offsets(query, Duration::from_secs(5)) else {
        return BTreeMap::new();
    };
    let offsets = found.elements().into_iter().filter_map(|e| match e.offset() {
        Offset::Offset(offset) => Some((e.partition(), offset)),
        _ => None,
    });
    offsets.collect()
}

/// The broker inside this process: that of the demo, with its switch.
pub(crate) struct Embedded(MockCluster<'static, DefaultProducerContext>);

impl Embedded {
    pub(crate) fn start(topics: &[(&str, i32)]) -> Self {
        let cluster = MockCluster::new(1).unwrap();
        for (topic, partitions) in topics {
            cluster.create_topic(topic, *partitions, 1).unwrap();
        }
        Self(cluster)
    }

    /// From now on answers come so much later.
    pub(crate) fn slow_down(&self, delay: Duration) {
        self.0.broker_round_trip_time(1, delay).unwrap();
    }

    pub(crate) fn switch(&self, on: bool) {
        let switched = if on {
            self.0.broker_up(1)
        } else {
            self.0.broker_down(1)
        };
        switched.unwrap();
    }
}

impl Broker for Embedded {
    fn brokers(&self) -> String {
        self.0.bootstrap_servers()
    }

    fn delivery(&self) -> &'static str {
        "at_least_once"
    }
}

/// The real Apache Kafka of all tests, fed and read by librdkafka.
pub(crate) struct Shared(Arc<Node>);

impl Shared {
    /// `None`, said loudly, where a part is missing; a panic instead where `CI=true` promises it.
    pub(crate) fn start() -> Option<Self> {
        Node::get().map(Self)
    }
}

impl Broker for Shared {
    fn brokers(&self) -> String {
        self.0.brokers().to_owned()
    }

    fn delivery(&self) -> &'static str {
        "transactional"
    }
}

/// A node of a test's own.
impl Broker for OwnNode {
    fn brokers(&self) -> String {
        Self::brokers(self).to_owned()
    }

    fn delivery(&self) -> &'static str {
        "transactional"
    }
}

/// Every committed record of a topic with its time, unix milliseconds.
pub(crate) fn read_committed(client: &ClientConfig, topic: &str) -> Vec<(Found, i64)> {
    let consumer: BaseConsumer = client
        .clone()
        .set("group.id", "reader")
        .set("enable.partition.eof", "true")
        .set("fetch.wait.max.ms", "10")
        .set("isolation.level", "read_committed")
        .create()
        .unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), LIMIT).unwrap();
    let partitions = metadata.topics()[0].partitions();
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition_offset(topic, partition.id(), Offset::Beginning)
            .unwrap();
    }
    consumer.assign(&list).unwrap();
    let (mut found, mut ends) = (Vec::new(), 0);
    while ends < partitions.len() {
        match consumer.poll(LIMIT).expect("records or the end of a partition") {
            Ok(message) => {
                let text =
                    |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap_or_default().to_vec()).unwrap();
                let headers = message.headers().into_iter().flat_map(Headers::iter);
                let record = Found {
                    partition: message.partition(),
                    key: text(message.key()),
                    value: text(message.payload()),
                    headers: headers.map(|h| (h.key.to_owned(), text(h.value))).collect(),
                };
                found.push((record, message.timestamp().to_millis().unwrap_or_default()));
            }
            Err(KafkaError::PartitionEOF(_)) => ends += 1,
            Err(error) => panic!("{topic}: {error}"),
        }
    }
    found
}

/// A real Apache Kafka, fed and read by kcat.
pub(crate) struct Real(Arc<Node>);

impl Real {
    /// `None`, said loudly, where a part is missing; a panic instead where `CI=true` promises it.
    pub(crate) fn start() -> Option<Self> {
        if Command::new("kcat").arg("-V").output().is_err() {
            assert!(
                std::env::var("CI").as_deref() != Ok("true"),
                "kcat is not installed"
            );
            eprintln!("SKIPPED: needs kcat");
            return None;
        }
        Node::get().map(Self)
    }

    fn kcat(&self, arguments: &[&str]) -> Command {
        let mut kcat = Command::new("kcat");
        kcat.args(["-b", self.0.brokers()]).args(arguments);
        kcat
    }
}

impl Broker for Real {
    fn brokers(&self) -> String {
        self.0.brokers().to_owned()
    }

    fn delivery(&self) -> &'static str {
        "transactional"
    }

    fn feed(&self, topic: &str, records: &[Produced]) {
        // The first write makes the topic, with as many partitions as the node is set up for.
        let mut partitions: BTreeMap<i32, Vec<u8>> = BTreeMap::new();
        for record in records {
            let lines = partitions.entry(record.partition).or_default();
            writeln!(lines, "{}\t{}", record.key, record.value).unwrap();
        }
        for (partition, lines) in partitions {
            let mut kcat = self
                .kcat(&["-P", "-t", topic, "-p", &partition.to_string(), "-K", "\t"])
                .stdin(Stdio::piped())
                .spawn()
                .unwrap();
            kcat.stdin.take().unwrap().write_all(&lines).unwrap();
            assert!(kcat.wait().unwrap().success());
        }
    }

    fn read(&self, topic: &str) -> Vec<Found> {
        let out = self
            .kcat(&[
                "-C",
                "-t",
                topic,
                "-e",
                "-q",
                "-X",
                "isolation.level=read_committed",
            ])
            .args(["-f", "%p\t%k\t%h\t%s\n"])
            .output()
            .unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let text = String::from_utf8(out.stdout).unwrap();
        text.lines().map(line).collect()
    }
}

/// One record as kcat prints it.
fn line(line: &str) -> Found {
    let mut parts = line.splitn(4, '\t');
    let mut next = || parts.next().unwrap();
    let (partition, key, headers, value) = (next(), next(), next(), next());
    let headers = headers.split(',').filter_map(|h| h.split_once('='));
    Found {
        partition: partition.parse().unwrap(),
        key: key.to_owned(),
        value: value.to_owned(),
        headers: headers
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
    }
}
