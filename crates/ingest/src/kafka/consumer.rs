//! A group member whose owner decides where every partition starts.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, ConsumerGroupMetadata};
use rdkafka::error::KafkaError as Native;
use rdkafka::message::Message as _;
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use rdkafka::{Offset, TopicPartitionList};
use types::Timestamp;

use super::{ConnectionSettings, GroupSettings, KafkaError, KafkaErrorKind};

/// One partition of one topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// Topic.
    pub topic: Arc<str>,
    /// Partition number.
    pub partition: i32,
}

/// A record as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Where it lay.
    pub source: TopicPartition,
    /// Its position there.
    pub offset: i64,
    /// The record's own timestamp, whether set by its producer or by the broker.
    pub time: Option<Timestamp>,
    /// Key.
    pub key: Option<Vec<u8>>,
    /// Value; empty for a tombstone.
    pub payload: Vec<u8>,
}

/// What the consumer has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A record.
    Message(Message),
    /// These partitions, and no others, are ours; answer with [`Consumer::assign`].
    Assigned(Vec<TopicPartition>),
    /// These partitions go away; answer with [`Consumer::release`].
    Revoked {
        /// All that were assigned: the protocol is eager.
        partitions: Vec<TopicPartition>,
        /// They are gone already: nothing of them can be committed any more.
        lost: bool,
    },
    /// First offset that no reader may see yet, by partition; lag is measured against it. Every few seconds.
    Ends(BTreeMap<TopicPartition, i64>),
    /// Records that were fetched and wait for [`Consumer::poll`] (bytes). With [`Event::Ends`].
    Fetched(u64),
    /// Something failed. Unless its kind ends the client, librdkafka goes on by itself.
    Error(KafkaError),
}

/// Where to begin in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At this offset; at the oldest one left if retention has eaten it.
    At(i64),
    /// At the oldest record.
    Beginning,
    /// After the newest record.
    End,
}

/// A member of a consumer group. Dropped, it leaves the group, and waits for as long as that takes; [`Consumer::leave`] does not.
pub struct Consumer {
    inner: Client,
    /// The membership under which the current assignment was made. Taken with the assignment and never later: a member
    /// that has dropped out has an empty one, which brokers accept from transactions as "fences nobody".
    membership: Option<Arc<ConsumerGroupMetadata>>,
    /// One allocation a topic, not one a record.
    topics: BTreeMap<String, Arc<str>>,
    /// What goes with offsets, by topic.
    notes: BTreeMap<Arc<str>, String>,
}

impl Consumer {
    /// Joins the group and subscribes to `topics`. Returns at once: no broker need be there yet.
    ///
    /// # Errors
    /// When librdkafka refuses a setting or a topic name.
    pub fn connect(
        connection: &ConnectionSettings,
        group: &GroupSettings,
        topics: &[String],
    ) -> Result<Self, KafkaError> {
        let config = connection.consumer(group);
        let inner = BaseConsumer::from_config_and_context(&config, Hand::default())
            .map_err(|e| KafkaError::new("create consumer", &e))?;
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        inner
            .subscribe(&names)
            .map_err(|e| KafkaError::new("subscribe", &e))?;
        Ok(Self {
            inner: Client(inner),
            membership: None,
            topics: BTreeMap::new(),
            notes: BTreeMap::new(),
        })
    }

    /// The next event, waiting up to `timeout` for one.
    pub fn poll(&mut self, timeout: Duration) -> Option<Event> {
        let event = self.next(timeout);
        if let Some(Event::Assigned(_)) = &event {
            self.membership = self.inner.group_metadata().map(Arc::new);
        }
        event
    }

    fn next(&mut self, timeout: Duration) -> Option<Event> {
        if let Some(event) = self.inner.context().take() {
            return Some(event);
        }
        match self.inner.poll(timeout) {
            Some(Ok(message)) => {
                let topic = match self.topics.get(message.topic()) {
                    Some(topic) => Arc::clone(topic),
                    None => {
                        let topic: Arc<str> = message.topic().into();
                        self.topics.insert(topic.to_string(), Arc::clone(&topic));
                        topic
                    }
                };
                Some(Event::Message(Message {
                    source: TopicPartition {
                        topic,
                        partition: message.partition(),
                    },
                    offset: message.offset(),
                    time: message.timestamp().to_millis().map(Timestamp::from_millis),
                    key: message.key().map(<[u8]>::to_vec),
                    payload: message.payload().unwrap_or_default().to_vec(),
                }))
            }
            Some(Err(error)) => Some(Event::Error(KafkaError::new("consume", &error))),
            None => self.inner.context().take(),
        }
    }

    /// Answers [`Event::Assigned`]: begins to read every assigned partition at its start. Again later, it begins anew; meanwhile,
    /// with none, nothing is read of partitions that stay ours.
    ///
    /// # Errors
    /// When the assignment is gone already.
    pub fn assign(&self, starts: &[(TopicPartition, Start)]) -> Result<(), KafkaError> {
        let list = list(starts.iter().map(|(source, start)| {
            let offset = match start {
                Start::At(offset) => Offset::Offset((*offset).max(0)),
                Start::Beginning => Offset::Beginning,
                Start::End => Offset::End,
            };
            (source, offset)
        }))?;
        self.inner
            .assign(&list)
            .map_err(|e| KafkaError::new("assign", &e))
    }

    /// Answers [`Event::Revoked`]: lets go of all partitions, so that the group can move on.
    ///
    /// # Errors
    /// When the client has failed for good.
    pub fn release(&mut self) -> Result<(), KafkaError> {
        self.membership = None;
        self.inner.unassign().map_err(|e| KafkaError::new("release", &e))
    }

    /// Leaves the group, so that it need not wait for the session to end. librdkafka first waits for every commit that has no answer yet,
    /// which takes a minute where the coordinator is gone; after `timeout` that goes on behind our back.
    ///
    /// # Errors
    /// When it has not left in `timeout`.
    pub fn leave(self, timeout: Duration) -> Result<(), KafkaError> {
        let (left, heard) = mpsc::channel();
        let client = self.inner;
        std::thread::spawn(move || {
            drop(client);
            // Whoever does not listen any more does not mind.
            let _ = left.send(());
        });
        heard.recv_timeout(timeout).map_err(|_| KafkaError {
            operation: "leave the group",
            kind: KafkaErrorKind::Unavailable,
            message: "its coordinator does not answer".to_owned(),
        })
    }

    /// Offsets that the group has committed: `None` where it never has. Waits for open transactions to end.
    ///
    /// # Errors
    /// When the group's coordinator does not answer in `timeout`.
    pub fn committed(
        &self,
        partitions: &[TopicPartition],
        timeout: Duration,
    ) -> Result<BTreeMap<TopicPartition, Option<i64>>, KafkaError> {
        offsets(LOOK_UP, &self.found(partitions, timeout)?)
    }

    /// The same with the note that went with each; see [`Self::note`].
    ///
    /// # Errors
    /// As of [`Self::committed`].
    pub fn committed_with_notes(
        &self,
        partitions: &[TopicPartition],
        timeout: Duration,
    ) -> Result<BTreeMap<TopicPartition, Option<(i64, String)>>, KafkaError> {
        let list = self.found(partitions, timeout)?;
        let elements = list.elements();
        let notes = elements.iter().map(|element| element.metadata().to_owned());
        let mut found = BTreeMap::new();
        for (element, note) in elements.iter().zip(notes) {
            let (source, offset) = offset_of(LOOK_UP, element)?;
            found.insert(source, offset.map(|offset| (offset, note)));
        }
        Ok(found)
    }

    fn found(
        &self,
        partitions: &[TopicPartition],
        timeout: Duration,
    ) -> Result<TopicPartitionList, KafkaError> {
        let query = list(partitions.iter().map(|p| (p, Offset::Invalid)))?;
        self.inner
            .committed_offsets(query, timeout)
            .map_err(|e| KafkaError::new(LOOK_UP, &e))
    }

    /// From here on this goes with every offset of `topic` that is committed, for whoever looks it up.
    pub fn note(&mut self, topic: &Arc<str>, note: String) {
        self.notes.insert(Arc::clone(topic), note);
    }

    /// What to commit, with its notes.
    pub(super) fn next_offsets(
        &self,
        next: &BTreeMap<TopicPartition, i64>,
    ) -> Result<TopicPartitionList, KafkaError> {
        let list = list(
            next.iter()
                .map(|(source, offset)| (source, Offset::Offset(*offset))),
        )?;
        for (element, source) in list.elements().iter_mut().zip(next.keys()) {
            if let Some(note) = self.notes.get(&source.topic) {
                element.set_metadata(note);
            }
        }
        Ok(list)
    }

    /// Offset of the first record at or after `time` by partition; `None` where every record is older.
    ///
    /// # Errors
    /// When the brokers do not answer in `timeout`.
    pub fn offsets_at(
        &self,
        partitions: &[TopicPartition],
        time: Timestamp,
        timeout: Duration,
    ) -> Result<BTreeMap<TopicPartition, Option<i64>>, KafkaError> {
        let query = list(
            partitions
                .iter()
                .map(|p| (p, Offset::Offset(time.millis().max(0)))),
        )?;
        let found = self
            .inner
            .offsets_for_times(query, timeout)
            .map_err(|e| KafkaError::new("look up offsets by time", &e))?;
        offsets("look up offsets by time", &found)
    }

    /// The oldest offset of a partition and the one after its newest record.
    ///
    /// # Errors
    /// When the partition's leader does not answer in `timeout`.
    pub fn bounds(&self, source: &TopicPartition, timeout: Duration) -> Result<(i64, i64), KafkaError> {
        self.inner
            .fetch_watermarks(&source.topic, source.partition, timeout)
            .map_err(|e| KafkaError::new("look up the bounds of a partition", &e))
    }

    /// Number of partitions of `topic`, without creating it.
    ///
    /// # Errors
    /// When no broker answers in `timeout`, or the topic does not exist.
    pub fn partition_count(&self, topic: &str, timeout: Duration) -> Result<usize, KafkaError> {
        let operation = "look up a topic";
        let metadata = self
            .inner
            .fetch_metadata(Some(topic), timeout)
            .map_err(|e| KafkaError::new(operation, &e))?;
        let found = metadata.topics().iter().find(|t| t.name() == topic);
        match found {
            Some(topic) if topic.error().is_none() => Ok(topic.partitions().len()),
            Some(topic)
                if topic.error() == Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED) =>
            {
                let denied = Native::MetadataFetch(RDKafkaErrorCode::TopicAuthorizationFailed);
                Err(KafkaError::new(operation, &denied))
            }
            _ => Err(KafkaError {
                operation,
                kind: KafkaErrorKind::UnknownTopic,
                message: format!("no topic `{topic}`"),
            }),
        }
    }

    /// Stops fetching from `partitions`; the rest goes on.
    ///
    /// # Errors
    /// When one of them is not assigned.
    pub fn pause(&self, partitions: &[TopicPartition]) -> Result<(), KafkaError> {
        let list = list(partitions.iter().map(|p| (p, Offset::Invalid)))?;
        self.inner.pause(&list).map_err(|e| KafkaError::new("pause", &e))
    }

    /// Undoes [`Self::pause`].
    ///
    /// # Errors
    /// When one of `partitions` is not assigned.
    pub fn resume(&self, partitions: &[TopicPartition]) -> Result<(), KafkaError> {
        let list = list(partitions.iter().map(|p| (p, Offset::Invalid)))?;
        self.inner
            .resume(&list)
            .map_err(|e| KafkaError::new("resume", &e))
    }

    /// Commits the next offset to process by partition, and looks up to `timeout` for it at the broker.
    ///
    /// librdkafka's synchronous commit waits for as long as the coordinator is away, and the answer to an
    /// asynchronous one does not reach us; looking is bounded.
    pub(super) fn commit(
        &self,
        next: &BTreeMap<TopicPartition, i64>,
        timeout: Duration,
    ) -> Result<(), KafkaError> {
        let deadline = Instant::now() + timeout;
        self.membership()?;
        self.inner
            .commit(&self.next_offsets(next)?, CommitMode::Async)
            .map_err(|e| KafkaError::new(COMMIT, &e))?;
        let partitions: Vec<TopicPartition> = next.keys().cloned().collect();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let found = self.committed(&partitions, left)?;
            if next
                .iter()
                .all(|(source, offset)| found.get(source) == Some(&Some(*offset)))
            {
                return Ok(());
            }
            // A commit that was refused is never found.
            self.membership()?;
            if left.is_zero() {
                return Err(KafkaError {
                    operation: COMMIT,
                    kind: KafkaErrorKind::Unavailable,
                    message: "the group's coordinator has not taken them".to_owned(),
                });
            }
            std::thread::park_timeout(Duration::from_millis(2).min(left));
        }
    }

    /// Proof, for a transaction, that the partitions are still ours.
    pub(super) fn membership(&self) -> Result<&Arc<ConsumerGroupMetadata>, KafkaError> {
        match &self.membership {
            Some(membership) if !self.inner.assignment_lost() => Ok(membership),
            _ => Err(KafkaError {
                operation: COMMIT,
                kind: KafkaErrorKind::Lost,
                message: "no partition is assigned any more".to_owned(),
            }),
        }
    }
}

const COMMIT: &str = "commit offsets";
const LOOK_UP: &str = "look up committed offsets";

/// More events than wait for a consumer that has let go of its partitions.
const WAITING_MAX: usize = 100;

/// Leaves the group when it is dropped. What was not committed will be read again.
struct Client(BaseConsumer<Hand>);

impl Deref for Client {
    type Target = BaseConsumer<Hand>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // From here on nobody answers rebalances, and closing waits for an answer.
        self.context().closing.store(true, Ordering::Relaxed);
        // One may be owed already. A failure means that there is nothing left to let go of.
        let _ = self.unassign();
        // Its question may still wait in the queue. Found there when librdkafka has closed, nobody hears the answer that it waits for.
        for _ in 0..WAITING_MAX {
            let _ = self.poll(Duration::ZERO);
        }
    }
}

/// librdkafka's callbacks, which run inside [`Consumer::poll`]: they translate and hand over, nothing else.
#[derive(Default)]
struct Hand {
    events: Mutex<VecDeque<Event>>,
    closing: AtomicBool,
}

impl Hand {
    fn take(&self) -> Option<Event> {
        self.events
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front()
    }

    fn put(&self, event: Event) {
        self.events
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_back(event);
    }
}

impl ClientContext for Hand {
    fn stats(&self, statistics: Statistics) {
        let (mut ends, mut fetched) = (BTreeMap::new(), 0);
        for (topic, of_topic) in statistics.topics {
            let topic: Arc<str> = topic.into();
            for (partition, state) in of_topic.partitions {
                // One queue serves all partitions, and each of them says how long it is.
                fetched = state.fetchq_size.max(fetched);
                // -1 stands for "all partitions" and for offsets not known yet.
                if partition >= 0 && state.ls_offset >= 0 {
                    let topic = Arc::clone(&topic);
                    ends.insert(TopicPartition { topic, partition }, state.ls_offset);
                }
            }
        }
        if !ends.is_empty() {
            self.put(Event::Ends(ends));
            self.put(Event::Fetched(fetched));
        }
    }

    fn error(&self, error: Native, _reason: &str) {
        self.put(Event::Error(KafkaError::new("consume", &error)));
    }
}

impl ConsumerContext for Hand {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, err: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let assigned = err == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.closing.load(Ordering::Relaxed) {
            // Nobody is left to answer. A failure means that there is nothing left to let go of.
            let _ = consumer.unassign();
            return;
        }
        let partitions: Vec<TopicPartition> = list
            .elements()
            .iter()
            .map(|e| TopicPartition {
                topic: e.topic().into(),
                partition: e.partition(),
            })
            .collect();
        self.put(if assigned {
            Event::Assigned(partitions)
        } else {
            Event::Revoked {
                partitions,
                lost: consumer.assignment_lost(),
            }
        });
    }
}

fn list<'a>(
    entries: impl IntoIterator<Item = (&'a TopicPartition, Offset)>,
) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::new();
    for (source, offset) in entries {
        list.add_partition_offset(&source.topic, source.partition, offset)
            .map_err(|e| KafkaError::new("name a partition", &e))?;
    }
    Ok(list)
}

fn offsets(
    operation: &'static str,
    list: &TopicPartitionList,
) -> Result<BTreeMap<TopicPartition, Option<i64>>, KafkaError> {
    let mut found = BTreeMap::new();
    for element in list.elements() {
        let (source, offset) = offset_of(operation, &element)?;
        found.insert(source, offset);
    }
    Ok(found)
}

fn offset_of(
    operation: &'static str,
    element: &TopicPartitionListElem<'_>,
) -> Result<(TopicPartition, Option<i64>), KafkaError> {
    element.error().map_err(|e| KafkaError::new(operation, &e))?;
    let offset = match element.offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    };
    let source = TopicPartition {
        topic: element.topic().into(),
        partition: element.partition(),
    };
    Ok((source, offset))
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.topic, self.partition)
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use rdkafka::mocking::MockCluster;

    use super::*;

    /// The group's first member, at work on the only partition of `in`.
    pub(in crate::kafka) fn member(brokers: String) -> (Consumer, TopicPartition) {
        let group = GroupSettings {
            group: "g".to_owned(),
            instance_id: None,
            session_timeout: Duration::from_secs(6),
        };
        let connection = ConnectionSettings::new(brokers);
        let mut consumer = Consumer::connect(&connection, &group, &["in".to_owned()]).unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        let source = loop {
            assert!(Instant::now() < deadline, "no assignment");
            if let Some(Event::Assigned(sources)) = consumer.poll(Duration::from_millis(10)) {
                break sources[0].clone();
            }
        };
        consumer.assign(&[(source.clone(), Start::Beginning)]).unwrap();
        (consumer, source)
    }

    #[test]
    fn who_leaves_does_not_wait_for_a_commit_without_an_answer() {
        let broker = MockCluster::new(1).unwrap();
        broker.create_topic("in", 1, 1).unwrap();
        let limit = Duration::from_secs(8);
        let (one, _) = member(broker.bootstrap_servers());
        assert!(one.leave(limit).is_ok());
        let (other, source) = member(broker.bootstrap_servers());
        broker
            .broker_round_trip_time(1, Duration::from_secs(600))
            .unwrap();
        let next = other.next_offsets(&BTreeMap::from([(source, 0)])).unwrap();
        other.inner.commit(&next, CommitMode::Async).unwrap();
        let error = other.leave(limit).unwrap_err();
        assert_eq!(error.kind, KafkaErrorKind::Unavailable);
    }
}
