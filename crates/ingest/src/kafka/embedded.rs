//! A broker inside this process, for the demo and for tests.

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

use super::KafkaError;

/// librdkafka's mock cluster: one broker on a local port, in memory.
///
/// It keeps no promises of transactions: offsets sent to them are dropped, aborted records stay visible and nobody
/// is fenced. Use [`Delivery::AtLeastOnce`](super::Delivery::AtLeastOnce) with it.
pub struct EmbeddedBroker {
    cluster: MockCluster<'static, DefaultProducerContext>,
}

impl EmbeddedBroker {
    /// Starts it with these topics and their numbers of partitions.
    ///
    /// # Errors
    /// When no port can be had, or a topic's name or number of partitions is refused.
    pub fn start(topics: &[(&str, i32)]) -> Result<Self, KafkaError> {
        let operation = "start the embedded broker";
        let cluster = MockCluster::new(1).map_err(|e| KafkaError::new(operation, &e))?;
        for (topic, partitions) in topics {
            cluster
                .create_topic(topic, *partitions, 1)
                .map_err(|e| KafkaError::new(operation, &e))?;
        }
        Ok(Self { cluster })
    }

    /// `host:port`, as clients want it.
    #[must_use]
    pub fn brokers(&self) -> String {
        self.cluster.bootstrap_servers()
    }
}

impl std::fmt::Debug for EmbeddedBroker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("EmbeddedBroker").field(&self.brokers()).finish()
    }
}
