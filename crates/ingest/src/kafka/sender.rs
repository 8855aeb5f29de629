//! Records that nobody waits for, outside any transaction.

use std::fmt;
use std::time::Duration;

use rdkafka::config::FromClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use super::{ConnectionSettings, KafkaError, TopicPartition};

/// Writes now or never: no call blocks, and a record that is not written within seconds is dropped.
pub struct Sender(BaseProducer);

impl Sender {
    /// Makes the client. Returns at once: no broker need be there yet.
    ///
    /// # Errors
    /// When librdkafka refuses a setting.
    pub fn connect(connection: &ConnectionSettings) -> Result<Self, KafkaError> {
        BaseProducer::from_config(&connection.sender())
            .map(Self)
            .map_err(|e| KafkaError::new("create producer", &e))
    }

    /// Queues one record for this partition.
    ///
    /// # Errors
    /// When the queue is full, or the record can never be written.
    pub fn send(&self, target: &TopicPartition, key: &str, payload: &str) -> Result<(), KafkaError> {
        // Makes room: what became of earlier records is of no interest.
        self.0.poll(Duration::ZERO);
        let record = BaseRecord::to(&target.topic)
            .partition(target.partition)
            .key(key)
            .payload(payload);
        self.0
            .send(record)
            .map_err(|(error, _)| KafkaError::new("send", &error))
    }

    /// Waits up to `timeout` for what is queued.
    ///
    /// # Errors
    /// When it takes longer.
    pub fn flush(&self, timeout: Duration) -> Result<(), KafkaError> {
        self.0.flush(timeout).map_err(|e| KafkaError::new("flush", &e))
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}
