//! A compacted topic on which state is kept: made where it is missing, and read to its end.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError as Native;
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};

use super::{ConnectionSettings, KafkaError, KafkaErrorKind};

const READ: &str = "read the state topic";
const MAKE: &str = "make the state topic";
/// Between two looks whether a transaction has ended.
const PAUSE: Duration = Duration::from_millis(50);

/// The topic, and how many partitions it has.
#[derive(Clone, Debug)]
pub struct StateLog {
    connection: ConnectionSettings,
    topic: String,
    partitions: i32,
}

impl StateLog {
    /// Looks the topic up, and makes it where it is missing: compacted, with as many partitions as `wanted`.
    ///
    /// # Errors
    /// When no broker answers in `timeout`, or it refuses.
    pub fn open(
        connection: &ConnectionSettings,
        topic: &str,
        wanted: usize,
        timeout: Duration,
    ) -> Result<Self, KafkaError> {
        let reader = reader(connection.lookup(), READ)?;
        let deadline = Instant::now() + timeout;
        let mut made = false;
        loop {
            let metadata = reader
                .fetch_metadata(Some(topic), timeout)
                .map_err(|e| KafkaError::new(READ, &e))?;
            let found = metadata.topics().iter().find(|t| t.name() == topic);
            let partitions = found
                .filter(|t| t.error().is_none())
                .map_or(0, |t| t.partitions().len());
            if partitions > 0 {
                return Ok(Self {
                    connection: connection.clone(),
                    topic: topic.to_owned(),
                    partitions: i32::try_from(partitions).unwrap_or(i32::MAX),
                });
            }
            if !made {
                make(connection, topic, wanted, timeout)?;
                made = true;
            } else if Instant::now() > deadline {
                return Err(unavailable(MAKE, format!("no topic `{topic}`")));
            } else {
                // It is not known everywhere at once.
                std::thread::park_timeout(PAUSE);
            }
        }
    }

    /// Its name.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Where the state of an input partition lies.
    #[must_use]
    pub fn partition_of(&self, input: i32) -> i32 {
        input.rem_euclid(self.partitions.max(1))
    }

    /// Gives every committed record of these partitions to `take`, with its key, and its value unless it is a tombstone, after every
    /// transaction has ended that was open there.
    ///
    /// # Errors
    /// When the brokers do not answer in `timeout`, or a transaction stays open for longer.
    pub fn read(
        &self,
        partitions: impl IntoIterator<Item = i32>,
        timeout: Duration,
        mut take: impl FnMut(i32, &[u8], Option<&[u8]>),
    ) -> Result<(), KafkaError> {
        let committed = reader(self.connection.lookup(), READ)?;
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            self.wait(&committed, partition, timeout)?;
            list.add_partition_offset(&self.topic, partition, Offset::Beginning)
                .map_err(|e| KafkaError::new(READ, &e))?;
        }
        committed.assign(&list).map_err(|e| KafkaError::new(READ, &e))?;
        let mut open: BTreeSet<i32> = list.elements().iter().map(|e| e.partition()).collect();
        while !open.is_empty() {
            match committed.poll(timeout) {
                Some(Ok(message)) => take(
                    message.partition(),
                    message.key().unwrap_or_default(),
                    message.payload(),
                ),
                Some(Err(Native::PartitionEOF(partition))) => drop(open.remove(&partition)),
                Some(Err(error)) => return Err(KafkaError::new(READ, &error)),
                None => return Err(unavailable(READ, "no answer".to_owned())),
            }
        }
        Ok(())
    }

    /// Waits until readers of committed records see as far as anybody does now.
    fn wait(&self, committed: &BaseConsumer, partition: i32, timeout: Duration) -> Result<(), KafkaError> {
        let deadline = Instant::now() + timeout;
        let mut config = self.connection.lookup();
        config.set("isolation.level", "read_uncommitted");
        let all = reader(config, READ)?;
        let end = |reader: &BaseConsumer| {
            reader
                .fetch_watermarks(&self.topic, partition, timeout)
                .map(|(_, end)| end)
                .map_err(|e| KafkaError::new(READ, &e))
        };
        let wanted = end(&all)?;
        while end(committed)? < wanted {
            if Instant::now() > deadline {
                return Err(unavailable(READ, "a transaction is open".to_owned()));
            }
            std::thread::park_timeout(PAUSE);
        }
        Ok(())
    }
}

fn unavailable(operation: &'static str, message: String) -> KafkaError {
    KafkaError {
        operation,
        kind: KafkaErrorKind::Unavailable,
        message,
    }
}

fn reader(config: ClientConfig, operation: &'static str) -> Result<BaseConsumer, KafkaError> {
    config.create().map_err(|e| KafkaError::new(operation, &e))
}

fn make(
    connection: &ConnectionSettings,
    topic: &str,
    wanted: usize,
    timeout: Duration,
) -> Result<(), KafkaError> {
    let admin: AdminClient<DefaultClientContext> = connection
        .base()
        .create()
        .map_err(|e| KafkaError::new(MAKE, &e))?;
    let partitions = i32::try_from(wanted.max(1)).unwrap_or(i32::MAX);
    // As many copies as the brokers make of any topic.
    let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(-1)).set("cleanup.policy", "compact");
    let options = AdminOptions::new().operation_timeout(Some(timeout));
    let results = wait_for(admin.create_topics([&new], &options)).map_err(|e| KafkaError::new(MAKE, &e))?;
    for result in results {
        match result {
            // Another agent was faster.
            Ok(_) | Err((_, Code::TopicAlreadyExists)) => {}
            Err((_, code)) => return Err(KafkaError::new(MAKE, &Native::AdminOp(code))),
        }
    }
    Ok(())
}

/// Waits for an answer that the client's own thread brings.
fn wait_for<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let (mut future, mut context) = (pin!(future), Context::from_waker(&waker));
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(answer) => return answer,
            Poll::Pending => std::thread::park(),
        }
    }
}
