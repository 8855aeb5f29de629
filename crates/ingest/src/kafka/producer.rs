//! Outputs, and the offsets that they belong to.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError as Native, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, PurgeConfig, ThreadedProducer};
use rdkafka::{ClientContext, TopicPartitionList};
use types::Timestamp;

use super::consumer::{Consumer, TopicPartition};
use super::{ConnectionSettings, Delivery, KafkaError, KafkaErrorKind, failpoint};

/// A record to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing<'a> {
    /// Topic.
    pub topic: &'a str,
    /// Records of one key keep their order.
    pub key: &'a [u8],
    /// Value.
    pub payload: &'a [u8],
    /// Names and values, in this order.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// The record's own timestamp; the present when `None`.
    pub time: Option<Timestamp>,
}

/// Writes outputs and commits input offsets with them, in one of two ways ([`Delivery`]).
///
/// The owner's cycle is [`begin`](Self::begin), any number of [`send`](Self::send), then
/// [`commit`](Self::commit) or [`abort`](Self::abort).
pub struct Producer {
    /// With its own thread: aborting waits for delivery reports without serving them. Shared with a call that has not come back.
    inner: Arc<ThreadedProducer<Reports>>,
    transactional: bool,
    /// A commit has no answer: until it has one, librdkafka does nothing but ask for it again.
    committing: Cell<bool>,
}

impl Producer {
    /// Makes the client. Returns at once: no broker need be there yet.
    ///
    /// # Errors
    /// When librdkafka refuses a setting.
    pub fn connect(connection: &ConnectionSettings, delivery: &Delivery) -> Result<Self, KafkaError> {
        let config = connection.producer(delivery);
        let inner = ThreadedProducer::from_config_and_context(&config, Reports::default())
            .map_err(|e| KafkaError::new("create producer", &e))?;
        Ok(Self {
            inner: Arc::new(inner),
            transactional: matches!(delivery, Delivery::Transactional { .. }),
            committing: Cell::new(false),
        })
    }

    /// Takes over the transactional id: fences whoever used it and ends what they left open.
    /// Must succeed before the first [`begin`](Self::begin); may be tried again. Nothing to do at least once.
    ///
    /// # Errors
    /// [`Unavailable`](KafkaErrorKind::Unavailable) when the brokers do not answer in `timeout`; others end the client.
    pub fn init(&self, timeout: Duration) -> Result<(), KafkaError> {
        if !self.transactional {
            return Ok(());
        }
        self.inner
            .init_transactions(timeout)
            .map_err(|e| KafkaError::new("take over the transactional id", &e))
    }

    /// Opens a transaction.
    ///
    /// # Errors
    /// When one is open already, or the client has ended.
    pub fn begin(&self) -> Result<(), KafkaError> {
        self.inner.context().clear();
        if !self.transactional {
            return Ok(());
        }
        self.inner
            .begin_transaction()
            .map_err(|e| KafkaError::new("begin a transaction", &e))
    }

    /// Queues one record; where the queue is full, waits up to `timeout` for room.
    ///
    /// # Errors
    /// When the queue stays full, or the record can never be written (too large, unknown topic).
    pub fn send(&self, outgoing: &Outgoing<'_>, timeout: Duration) -> Result<(), KafkaError> {
        let headers = outgoing.headers.iter().fold(
            OwnedHeaders::new_with_capacity(outgoing.headers.len()),
            |headers, (key, value)| {
                headers.insert(Header {
                    key,
                    value: Some(*value),
                })
            },
        );
        let mut record = BaseRecord::to(outgoing.topic)
            .key(outgoing.key)
            .payload(outgoing.payload)
            .headers(headers);
        record.timestamp = outgoing.time.map(Timestamp::millis);
        self.enqueue(record, timeout)
    }

    /// Queues one record for a partition; without a value it is a tombstone.
    ///
    /// # Errors
    /// As of [`Self::send`].
    pub fn keep(
        &self,
        topic: &str,
        partition: i32,
        key: &[u8],
        value: Option<&[u8]>,
        timeout: Duration,
    ) -> Result<(), KafkaError> {
        let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic).partition(partition).key(key);
        record.payload = value;
        self.enqueue(record, timeout)
    }

    fn enqueue(&self, mut record: BaseRecord<'_, [u8], [u8]>, timeout: Duration) -> Result<(), KafkaError> {
        let deadline = Instant::now() + timeout;
        loop {
            match self.inner.send(record) {
                Ok(()) => return Ok(()),
                Err((Native::MessageProduction(RDKafkaErrorCode::QueueFull), back))
                    if Instant::now() < deadline =>
                {
                    record = back;
                    self.inner.poll(Duration::from_millis(20));
                }
                Err((error, _)) => return Err(KafkaError::new("send", &error)),
            }
        }
    }

    /// Makes everything sent since [`begin`](Self::begin) and the next offset to process by input partition final, in `timeout` or
    /// little more.
    ///
    /// # Errors
    /// By kind: [`Abortable`](KafkaErrorKind::Abortable), [`Lost`](KafkaErrorKind::Lost) and everything else that does not end
    /// the client want [`abort`](Self::abort), then the input since the last commit again. A call that does not come back ends it.
    /// A transactional commit that timed out may have happened: only the restart from committed offsets tells.
    pub fn commit(
        &self,
        consumer: &Consumer,
        next: &BTreeMap<TopicPartition, i64>,
        timeout: Duration,
    ) -> Result<(), KafkaError> {
        let deadline = Instant::now() + timeout;
        let left = || deadline.saturating_duration_since(Instant::now()).max(LEAST);
        if !self.transactional {
            self.flush(timeout)?;
            return if next.is_empty() {
                Ok(())
            } else {
                consumer.commit(next, left())
            };
        }
        // A record that could not be written fails the transaction, which knows the cause better than the record.
        self.wait(timeout)?;
        if !next.is_empty() {
            failpoint::pass("before_offsets");
            self.add_offsets(consumer.next_offsets(next)?, consumer.membership()?, left())?;
            failpoint::pass("after_offsets");
        }
        failpoint::pass("before_commit");
        self.commit_transaction(left())
            .map_err(|e| KafkaError::new("commit the transaction", &e))?;
        failpoint::pass("after_commit");
        Ok(())
    }

    /// librdkafka (2.12) forgets the time limit of this call while no broker is left to ask for the group's coordinator. It goes on
    /// behind our back then, and as nothing else can be asked of the client meanwhile, that is over: another that takes over the
    /// transactional id fences it.
    fn add_offsets(
        &self,
        next: TopicPartitionList,
        membership: &Arc<ConsumerGroupMetadata>,
        timeout: Duration,
    ) -> Result<(), KafkaError> {
        let (producer, membership) = (Arc::clone(&self.inner), Arc::clone(membership));
        let (done, heard) = mpsc::channel();
        std::thread::spawn(move || {
            failpoint::pass("in_offsets");
            // Whoever does not listen any more does not mind.
            let _ = done.send(producer.send_offsets_to_transaction(&next, &membership, timeout));
        });
        match heard.recv_timeout(timeout + OVERTIME) {
            Ok(answer) => answer.map_err(|e| KafkaError::new(ADD_OFFSETS, &e)),
            Err(_) => Err(KafkaError {
                operation: ADD_OFFSETS,
                kind: KafkaErrorKind::Fatal,
                message: "the call has not come back".to_owned(),
            }),
        }
    }

    /// Commits, or asks again for the answer of a commit.
    fn commit_transaction(&self, timeout: Duration) -> Result<(), Native> {
        let result = self.inner.commit_transaction(timeout);
        let retriable = |e: &Native| matches!(e, Native::Transaction(e) if e.is_retriable());
        self.committing.set(result.as_ref().is_err_and(retriable));
        result
    }

    /// Ends what was begun. What was sent since [`begin`](Self::begin) is dropped, and readers of committed records never see
    /// it; only where a commit has no answer yet, that is waited for, and it may have gone through.
    /// At least once, drops what has not been written yet.
    ///
    /// # Errors
    /// When the client has ended or the brokers do not answer in `timeout`.
    pub fn abort(&self, timeout: Duration) -> Result<(), KafkaError> {
        let result = if self.transactional {
            if self.committing.get() {
                let result = self.commit_transaction(timeout);
                if result.is_ok() || self.committing.get() {
                    self.inner.context().clear();
                    return result.map_err(|e| KafkaError::new("ask for a commit again", &e));
                }
            }
            self.inner
                .abort_transaction(timeout)
                .map_err(|e| KafkaError::new("abort the transaction", &e))
        } else {
            self.inner.purge(PurgeConfig::default().queue());
            self.inner
                .flush(timeout)
                .map_err(|e| KafkaError::new("flush", &e))
        };
        self.inner.context().clear();
        result
    }

    /// Waits until everything sent is written.
    ///
    /// # Errors
    /// When that takes longer than `timeout`, or a record was refused.
    pub fn flush(&self, timeout: Duration) -> Result<(), KafkaError> {
        self.wait(timeout)?;
        match self.inner.context().first_failure() {
            Some(error) => Err(KafkaError::new("write", &error)),
            None => Ok(()),
        }
    }

    /// Waits until nothing is queued or in flight any more.
    fn wait(&self, timeout: Duration) -> Result<(), KafkaError> {
        // The library's own flush looks every 100 ms only, which would be the latency of every commit.
        let deadline = Instant::now() + timeout;
        while self.inner.in_flight_count() > 0 && Instant::now() < deadline {
            self.inner.poll(Duration::from_millis(2));
        }
        self.inner
            .flush(deadline.saturating_duration_since(Instant::now()))
            .map_err(|e| KafkaError::new("flush", &e))
    }

    /// Records that wait to be written or acknowledged.
    #[must_use]
    pub fn queued(&self) -> usize {
        usize::try_from(self.inner.in_flight_count()).unwrap_or(0)
    }
}

const ADD_OFFSETS: &str = "add offsets to the transaction";

/// What every step of a commit has, however long those before it took.
const LEAST: Duration = Duration::from_secs(1);
/// How far beyond its time limit a call may come back: librdkafka waits half a second before it tries again.
const OVERTIME: Duration = Duration::from_secs(2);

/// Delivery reports: the first failure since the last begin is what a commit must not overlook.
#[derive(Default)]
struct Reports {
    failure: Mutex<Option<Native>>,
}

impl Reports {
    fn first_failure(&self) -> Option<Native> {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn clear(&self) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
            failure.get_or_insert_with(|| error.clone());
        }
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("transactional", &self.transactional)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    use super::super::consumer::tests::member;
    use super::*;

    #[test]
    fn offsets_are_not_waited_for_without_end() {
        let broker = MockCluster::new(1).unwrap();
        broker.create_topic("in", 1, 1).unwrap();
        let (consumer, source) = member(broker.bootstrap_servers());
        let id = "agent".to_owned();
        let timeout = Duration::from_secs(60);
        let connection = ConnectionSettings::new(broker.bootstrap_servers());
        let producer = Producer::connect(&connection, &Delivery::Transactional { id, timeout }).unwrap();
        producer.init(timeout).unwrap();
        producer.begin().unwrap();
        // librdkafka looks for the group's coordinator again and again, until there is nobody left to ask.
        let error = RDKafkaRespErr::RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE;
        broker.request_errors(RDKafkaApiKey::TxnOffsetCommit, &[error; 100]);
        let (done, heard) = mpsc::channel();
        std::thread::spawn(move || {
            let next = BTreeMap::from([(source, 0)]);
            let result = producer.commit(&consumer, &next, Duration::from_secs(3));
            // Clients do not end while their calls are under way.
            done.send((result, producer, consumer)).unwrap();
        });
        assert!(heard.recv_timeout(Duration::from_secs(1)).is_err());
        broker.broker_down(1).unwrap();
        let (result, ..) = heard.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!(result.unwrap_err().kind, KafkaErrorKind::Fatal);
    }
}
