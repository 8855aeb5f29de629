//! Questions to the broker that the group's consumer cannot answer without moving.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Message as _, Offset, TopicPartitionList};
use types::Timestamp;

use super::{ConnectionSettings, KafkaError, KafkaErrorKind, TopicPartition};

/// How far back a record is looked for: what lies right before an offset may be a transaction marker.
const BACK: i64 = 16;

/// The timestamp of the first record among the last few before `offset`, not older than `low`; `None` when there is none.
///
/// # Errors
/// When a client cannot be made, or the partition cannot be read or does not answer in `timeout`.
pub fn record_time(
    connection: &ConnectionSettings,
    source: &TopicPartition,
    low: i64,
    offset: i64,
    timeout: Duration,
) -> Result<Option<Timestamp>, KafkaError> {
    let from = (offset - BACK).max(low);
    if from >= offset {
        return Ok(None);
    }
    read_one(connection, source, Offset::Offset(from), timeout)
}

/// Whether a partition may be read: asks for what comes after its end, so that it need hold nothing.
///
/// # Errors
/// As of [`record_time`].
pub fn may_read(
    connection: &ConnectionSettings,
    source: &TopicPartition,
    timeout: Duration,
) -> Result<(), KafkaError> {
    read_one(connection, source, Offset::End, timeout).map(drop)
}

/// The timestamp of the record at `from`; `None` at the end of the partition.
fn read_one(
    connection: &ConnectionSettings,
    source: &TopicPartition,
    from: Offset,
    timeout: Duration,
) -> Result<Option<Timestamp>, KafkaError> {
    let operation = "read one record";
    let consumer: BaseConsumer = connection
        .lookup()
        .create()
        .map_err(|e| KafkaError::new(operation, &e))?;
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&source.topic, source.partition, from)
        .map_err(|e| KafkaError::new(operation, &e))?;
    consumer
        .assign(&list)
        .map_err(|e| KafkaError::new(operation, &e))?;
    match consumer.poll(timeout) {
        Some(Ok(message)) => Ok(message.timestamp().to_millis().map(Timestamp::from_millis)),
        Some(Err(rdkafka::error::KafkaError::PartitionEOF(_))) => Ok(None),
        // Taken for "no such record", this would shorten what is read again after a restart.
        None => Err(KafkaError {
            operation,
            kind: KafkaErrorKind::Unavailable,
            message: "the partition's leader does not answer".to_owned(),
        }),
        Some(Err(error)) => Err(KafkaError::new(operation, &error)),
    }
}
