//! The state topic: what was kept of the tasks that begin, and where to write what is to be kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ingest::kafka::{
    ConnectionSettings, Consumer, KafkaError, Producer, StateLog, TopicPartition, failpoint,
};
use pipeline::{Gathered, Identity, Past, StateRecord, TaskId};

use crate::clock::Stopwatch;
use crate::metrics::Metrics;
use crate::run::engine::task_id;

/// How long a producer whose process died may keep its transaction open at most before one start gives up and the next is tried.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What is known of the topic.
pub(crate) struct StateTopic {
    pub(crate) connection: ConnectionSettings,
    pub(crate) topic: String,
    /// Topics whose state it holds.
    pub(crate) inputs: Vec<String>,
    pub(crate) identity: Identity,
    pub(crate) metrics: Arc<Metrics>,
    /// Once a broker has answered.
    pub(crate) log: Option<StateLog>,
}

impl StateTopic {
    /// What there is of each of these tasks, which go on at their committed offsets, and up to where it had come; `ends` are those of
    /// their partitions.
    pub(crate) fn pasts(
        &mut self,
        consumer: &Consumer,
        committed: &BTreeMap<TopicPartition, Option<i64>>,
        ends: &BTreeMap<TopicPartition, i64>,
    ) -> Result<BTreeMap<TopicPartition, (Past, Option<i64>)>, KafkaError> {
        let watch = Stopwatch::start();
        let log = self.open(consumer)?;
        let mut gathered: BTreeMap<&TopicPartition, (i32, Gathered)> = ends
            .keys()
            .map(|source| {
                (
                    source,
                    (
                        log.partition_of(source.partition),
                        Gathered::new(&task_id(source)),
                    ),
                )
            })
            .collect();
        let partitions: BTreeSet<i32> = gathered.values().map(|(partition, _)| *partition).collect();
        log.read(partitions, TIMEOUT, |partition, key, value| {
            failpoint::pass("in_restore");
            for (_, gathered) in gathered.values_mut().filter(|(at, _)| *at == partition) {
                gathered.take(key, value);
            }
        })?;
        let mut pasts = BTreeMap::new();
        for (source, (_, gathered)) in gathered {
            let committed = committed.get(source).copied().flatten();
            let end = ends.get(source).copied().unwrap_or(i64::MAX);
            let next = gathered.next();
            let (past, lost) = gathered.open(&self.identity, committed, end);
            let task = task_id(source);
            if let Some(reason) = lost {
                self.metrics.state_lost();
                tracing::warn!(%task, %reason, "begins without its state: the lookback is read again");
            }
            if let Some(kept) = past.kept() {
                tracing::info!(
                    %task, series = kept.series_count(), bytes = kept.bytes(), took = ?watch.elapsed(), "state read"
                );
                if let Some(other) = kept.other_numbers(&self.identity) {
                    tracing::info!(%task, ?other, "the state was computed elsewhere: last digits may differ");
                }
            }
            pasts.insert(source.clone(), (past, next));
        }
        Ok(pasts)
    }

    fn open(&mut self, consumer: &Consumer) -> Result<&StateLog, KafkaError> {
        let log = match self.log.take() {
            Some(log) => log,
            None => {
                let mut most = 1;
                for input in &self.inputs {
                    most = most.max(consumer.partition_count(input, TIMEOUT)?);
                }
                StateLog::open(&self.connection, &self.topic, most, TIMEOUT)?
            }
        };
        Ok(self.log.insert(log))
    }

    /// Queues what is to be kept.
    pub(crate) fn keep(
        &self,
        producer: &Producer,
        records: &[(TaskId, StateRecord)],
        timeout: Duration,
    ) -> Result<(), KafkaError> {
        let Some(log) = &self.log else { return Ok(()) };
        for (task, StateRecord { key, value }) in records {
            let partition = log.partition_of(task.partition);
            producer.keep(log.topic(), partition, key.as_bytes(), value.as_deref(), timeout)?;
            self.metrics.kept(key.len() + value.as_ref().map_or(0, Vec::len));
        }
        Ok(())
    }
}
