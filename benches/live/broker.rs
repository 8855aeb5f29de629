//! The node, its clients, and who reads the alerts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, Producer as _};
use rdkafka::{Offset, TopicPartitionList};

use crate::fleet::PARTITIONS;
use crate::node::Node;

const LIMIT: Duration = Duration::from_secs(30);

/// A node of Apache Kafka of our own.
pub(crate) struct Broker(Arc<Node>);

impl Broker {
    pub(crate) fn start() -> Option<Self> {
        Node::get().map(Self)
    }

    pub(crate) fn address(&self) -> &str {
        self.0.brokers()
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.address());
        config
    }

    /// A producer, and the topic made.
    pub(crate) fn producer(&self, topic: &str) -> BaseProducer {
        let producer: BaseProducer = self
            .client()
            .set("enable.idempotence", "true")
            .set("linger.ms", "50")
            .set("compression.type", "lz4")
            .set("queue.buffering.max.messages", "20000")
            .create()
            .expect("settings that librdkafka takes");
        self.make(&producer, topic);
        producer
    }

    /// Asking for a topic makes it.
    fn make(&self, producer: &BaseProducer, topic: &str) {
        let until = Instant::now() + LIMIT;
        loop {
            let metadata = producer.client().fetch_metadata(Some(topic), LIMIT);
            let count = metadata.map_or(0, |m| m.topics().iter().map(|t| t.partitions().len()).sum());
            if count == PARTITIONS as usize {
                return;
            }
            assert!(
                Instant::now() < until,
                "{topic} is not there, but {count} partitions"
            );
            crate::pause(200);
        }
    }

    /// A consumer that belongs to no group but may ask for the offsets of `group`.
    fn reader(&self, group: &str) -> BaseConsumer {
        self.client()
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("fetch.wait.max.ms", "50")
            .set("isolation.level", "read_committed")
            .create()
            .expect("settings that librdkafka takes")
    }

    /// Tells the moment of each record that is committed on a topic from now on.
    pub(crate) fn watch(&self, topic: &str) -> Watcher {
        self.make(&self.producer(topic), topic);
        let consumer = self.reader("watcher");
        assign(&consumer, topic, Offset::End);
        let (sender, seen) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                if let Some(Ok(_)) = consumer.poll(Duration::from_millis(100))
                    && sender.send(Instant::now()).is_err()
                {
                    return;
                }
            }
        });
        Watcher {
            seen,
            stop,
            thread: Some(thread),
        }
    }

    /// Who tells how far a group is behind.
    pub(crate) fn behind(&self, group: &str, topic: &str) -> Behind {
        Behind {
            consumer: self.reader(group),
            topic: topic.to_owned(),
        }
    }

    /// The newest value of each key of a compacted topic: size of key and value.
    pub(crate) fn newest(&self, topic: &str) -> BTreeMap<Vec<u8>, usize> {
        let consumer = self.reader("newest");
        let partitions = assign(&consumer, topic, Offset::Beginning);
        let (mut newest, mut ends) = (BTreeMap::new(), 0);
        while ends < partitions {
            match consumer.poll(LIMIT).expect("records or the end of a partition") {
                Ok(message) => {
                    let key = message.key().unwrap_or_default().to_vec();
                    match message.payload() {
                        Some(value) => newest.insert(key.clone(), key.len() + value.len()),
                        None => newest.remove(&key),
                    };
                }
                Err(KafkaError::PartitionEOF(_)) => ends += 1,
                Err(error) => panic!("{topic}: {error}"),
            }
        }
        newest
    }
}

/// Reads every partition of a topic from `offset`; returns their number.
fn assign(consumer: &BaseConsumer, topic: &str, offset: Offset) -> usize {
    let metadata = consumer
        .fetch_metadata(Some(topic), LIMIT)
        .expect("a broker that answers");
    let mut list = TopicPartitionList::new();
    for partition in metadata.topics()[0].partitions() {
        list.add_partition_offset(topic, partition.id(), offset)
            .expect("an offset");
    }
    consumer.assign(&list).expect("partitions to read");
    list.count()
}

/// Reads a topic beside everything else.
pub(crate) struct Watcher {
    seen: Receiver<Instant>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    /// Moments of records since the last call.
    pub(crate) fn take(&self) -> Vec<Instant> {
        self.seen.try_iter().collect()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// How far a group is behind the ends of its topic.
pub(crate) struct Behind {
    consumer: BaseConsumer,
    topic: String,
}

impl Behind {
    /// The ends of all partitions.
    pub(crate) fn ends(&self) -> Option<Vec<i64>> {
        let end = |partition| self.consumer.fetch_watermarks(&self.topic, partition, LIMIT);
        (0..PARTITIONS)
            .map(|p| end(p).ok().map(|(_, high)| high))
            .collect()
    }

    /// Records before `ends` that are not committed.
    pub(crate) fn records(&self, ends: &[i64]) -> Option<i64> {
        let mut query = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            query.add_partition(&self.topic, partition);
        }
        let found = self.consumer.committed_offsets(query, LIMIT).ok()?;
        let left = found.elements().into_iter().map(|e| {
            let end = ends.get(e.partition() as usize).copied().unwrap_or_default();
            (end - e.offset().to_raw().unwrap_or_default().max(0)).max(0)
        });
        Some(left.sum())
    }
}
