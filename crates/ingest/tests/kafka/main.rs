//! The Kafka edge against the embedded broker and, where one can be started, against a real Apache Kafka.
//!
//! The embedded broker cannot show what transactions promise: only the tests in `real` do.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod embedded;
mod node;
mod real;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ingest::kafka::{
    ConnectionSettings, Consumer, Delivery, Event, GroupSettings, Outgoing, Producer, Start, TopicPartition,
};

/// Longer than anything here takes on a loaded machine.
const LIMIT: Duration = Duration::from_secs(60);

fn consumer(brokers: &str, group: &str, topic: &str) -> Consumer {
    let group = GroupSettings {
        group: group.to_owned(),
        instance_id: None,
        session_timeout: Duration::from_secs(6),
    };
    Consumer::connect(&ConnectionSettings::new(brokers), &group, &[topic.to_owned()]).unwrap()
}

fn producer(brokers: &str, delivery: &Delivery) -> Producer {
    let producer = Producer::connect(&ConnectionSettings::new(brokers), delivery).unwrap();
    producer.init(LIMIT).unwrap();
    producer
}

fn transactional(id: &str) -> Delivery {
    Delivery::Transactional {
        id: id.to_owned(),
        timeout: Duration::from_secs(10),
    }
}

/// Writes these values, all under one key and therefore to one partition.
fn fill(brokers: &str, topic: &str, values: &[&str]) {
    let producer = producer(brokers, &Delivery::AtLeastOnce);
    producer.begin().unwrap();
    for value in values {
        send(&producer, topic, value);
    }
    producer.flush(LIMIT).unwrap();
}

fn send(producer: &Producer, topic: &str, value: &str) {
    let outgoing = Outgoing {
        topic,
        key: b"series",
        payload: value.as_bytes(),
        headers: &[("ce_id", b"id.firing"), ("content-type", b"application/json")],
        time: None,
    };
    producer.send(&outgoing, LIMIT).unwrap();
}

/// Polls until `wanted` takes an event. Errors are passed over: librdkafka reports what it recovers from, too.
fn until<T>(consumer: &mut Consumer, mut wanted: impl FnMut(Event) -> Option<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    while Instant::now() < deadline {
        if let Some(found) = consumer.poll(Duration::from_millis(100)).and_then(&mut wanted) {
            return found;
        }
    }
    panic!("nothing of the kind within {LIMIT:?}");
}

fn assigned(consumer: &mut Consumer) -> Vec<TopicPartition> {
    until(consumer, |event| match event {
        Event::Assigned(partitions) => Some(partitions),
        _ => None,
    })
}

/// Waits for an assignment and answers it with one start for all.
fn assign(consumer: &mut Consumer, start: Start) -> Vec<TopicPartition> {
    let partitions = assigned(consumer);
    let starts: Vec<_> = partitions.iter().map(|p| (p.clone(), start)).collect();
    consumer.assign(&starts).unwrap();
    partitions
}

/// The next `count` values with the offset after each, by partition.
fn read(consumer: &mut Consumer, count: usize) -> (Vec<String>, BTreeMap<TopicPartition, i64>) {
    let mut values = Vec::new();
    let mut next = BTreeMap::new();
    while values.len() < count {
        until(consumer, |event| match event {
            Event::Message(message) => {
                values.push(String::from_utf8(message.payload).unwrap());
                next.insert(message.source, message.offset + 1);
                Some(())
            }
            _ => None,
        });
    }
    (values, next)
}
