//! What an operator does to topics.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use super::agent::until;

/// Makes topics whose records have times of their own and stay.
pub(crate) fn create(client: &ClientConfig, topics: &[(&str, i32)]) {
    replicated(client, topics, 1);
}

/// The same with so many copies. Where a topic of that name is going away, waits until it is gone.
pub(crate) fn replicated(client: &ClientConfig, topics: &[(&str, i32)], copies: i32) {
    for (name, partitions) in topics {
        let topic =
            NewTopic::new(name, *partitions, TopicReplication::Fixed(copies)).set("retention.ms", "-1");
        until("the topic is made", || {
            let made = ask(client, |admin, options| {
                block_on(admin.create_topics([&topic], options))
            });
            made[0].is_ok().then_some(())
        });
    }
}

/// Deletes topics.
pub(crate) fn delete(client: &ClientConfig, topics: &[&str]) {
    let gone = ask(client, |admin, options| {
        block_on(admin.delete_topics(topics, options))
    });
    assert!(gone.iter().all(Result::is_ok), "{gone:?}");
}

/// Adds partitions, up to so many.
pub(crate) fn extend(client: &ClientConfig, topic: &str, partitions: usize) {
    let new = NewPartitions::new(topic, partitions);
    let made = ask(client, |admin, options| {
        block_on(admin.create_partitions([&new], options))
    });
    assert!(made.iter().all(Result::is_ok), "{made:?}");
    // A producer that has not heard of a partition gives up what is meant for it.
    let reader: BaseConsumer = client.create().unwrap();
    until("the partitions are known", || {
        let metadata = reader.fetch_metadata(Some(topic), Duration::from_secs(20)).ok()?;
        (metadata.topics()[0].partitions().len() == partitions).then_some(())
    });
}

/// Deletes what lies before these offsets, as retention does.
pub(crate) fn expire(client: &ClientConfig, topic: &str, before: &BTreeMap<i32, i64>) {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in before {
        list.add_partition_offset(topic, *partition, Offset::Offset(*offset))
            .unwrap();
    }
    let gone = ask(client, |admin, options| {
        block_on(admin.delete_records(&list, options))
    });
    assert!(gone.elements().iter().all(|e| e.error().is_ok()), "{gone:?}");
}

fn ask<T, E: Debug>(
    client: &ClientConfig,
    question: impl FnOnce(&AdminClient<DefaultClientContext>, &AdminOptions) -> Result<T, E>,
) -> T {
    let admin: AdminClient<_> = client.create().unwrap();
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(20)));
    question(&admin, &options).unwrap()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}
