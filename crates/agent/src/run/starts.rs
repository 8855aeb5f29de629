//! Where the partitions that are assigned start: asks the brokers, and the protocol decides.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ingest::kafka::{KafkaError, TopicPartition};
use pipeline::delivery::{Delivery, FirstStart, Gap, Position};
use pipeline::{Kept, Origin, Past};

use crate::clock;
use crate::config::StartMode;
use crate::run::engine::{Parts, task_id};

/// What this process knows of the group's topics that brokers do not keep: with a topic they forget what was committed of it.
#[derive(Default)]
pub(super) struct Starts {
    /// Topics with which the group was seen at work.
    known: BTreeSet<Arc<str>>,
    /// Partitions that began anew before our eyes, and topics that did: what is committed may be of the ones before.
    anew: BTreeSet<TopicPartition>,
    anew_topics: BTreeSet<Arc<str>>,
    /// What was told since the last commit, so that it is not told again with every attempt.
    told: BTreeMap<TopicPartition, Gap>,
}

/// What the brokers say of a topic.
struct OfTopic {
    partitions: i32,
    /// Those of the group's offsets.
    notes: Vec<Option<Origin>>,
}

type Topics = BTreeMap<Arc<str>, OfTopic>;

/// What the brokers say of a partition.
struct Found {
    low: i64,
    high: i64,
    committed: Option<i64>,
}

impl Starts {
    /// The partition is another one of the same name.
    pub(super) fn begun_anew(&mut self, source: &TopicPartition) {
        self.anew.insert(source.clone());
        self.anew_topics.insert(Arc::clone(&source.topic));
    }

    /// The group has offsets of these partitions as they are now.
    pub(super) fn published<'a>(&mut self, sources: impl Iterator<Item = &'a TopicPartition>) {
        for source in sources {
            self.known.insert(Arc::clone(&source.topic));
            self.anew.remove(source);
            self.told.remove(source);
        }
    }

    /// A start for each of `sources`.
    pub(super) fn decide(
        &mut self,
        own: &mut Parts,
        sources: &[TopicPartition],
    ) -> Result<Vec<(TopicPartition, Delivery, Past)>, KafkaError> {
        let (topics, mut found) = self.look_up(own, sources)?;
        let mut pasts = match &mut own.publisher.state {
            Some(state) => {
                let kept = |source: &TopicPartition| !own.settings.is_canary(&source.topic);
                let kept = found.iter().filter(|(source, _)| kept(source));
                let ends = kept.clone().map(|(source, at)| (source.clone(), at.high));
                let committed = kept.map(|(source, at)| (source.clone(), at.committed));
                state.pasts(&own.consumer, &committed.collect(), &ends.collect())?
            }
            None => BTreeMap::new(),
        };
        for (source, (_, next)) in &pasts {
            // The state knows of more records than there are, and the group of none: they went with their topic.
            let is_shorter = next.is_some_and(|next| found.get(source).is_some_and(|at| next > at.high));
            if is_shorter && topics.get(&source.topic).is_some_and(|t| t.notes.is_empty()) {
                self.known.insert(Arc::clone(&source.topic));
            }
        }
        let origins = self.origins(own, &topics);
        let mut starts = Vec::with_capacity(sources.len());
        for source in sources {
            let Some(at) = found.remove(source) else { continue };
            let (past, _) = pasts.remove(source).unwrap_or_default();
            let delivery = if own.settings.is_canary(&source.topic) {
                // Nothing is to be learnt from old samples of our own.
                let position = at.position(None, None);
                Delivery::assign(position, FirstStart::Latest)
            } else {
                let origin = origins.get(&source.topic).copied();
                let is_anew = at.committed.is_none() && self.is_anew(source, &topics);
                self.start(
                    own,
                    source,
                    &at,
                    past.kept().map(Kept::read_from),
                    (origin, is_anew),
                )?
            };
            starts.push((source.clone(), delivery, past));
        }
        Ok(starts)
    }

    fn start(
        &mut self,
        own: &Parts,
        source: &TopicPartition,
        at: &Found,
        kept: Option<i64>,
        (origin, is_anew): (Option<Origin>, bool),
    ) -> Result<Delivery, KafkaError> {
        // Downtime must not shorten the lookback: it is measured from the last committed record.
        let anchor = match at.committed.filter(|_| kept.is_none()) {
            Some(offset) => own
                .publisher
                .record_time(source, at.low, offset, own.patience())?,
            None => None,
        };
        let all = own.settings.all();
        let from = anchor.unwrap_or_else(clock::now) + -all.state.lookback;
        let one = std::slice::from_ref(source);
        let lookback = own.consumer.offsets_at(one, from, own.patience())?;
        let lookback = lookback.get(source).copied().flatten();
        let position = at.position(kept, lookback);
        self.tell(own, source, position.gap().or(is_anew.then_some(Gap::Anew)));
        let first = match all.kafka.start {
            StartMode::Earliest => FirstStart::Earliest,
            StartMode::Latest => FirstStart::Latest,
            StartMode::Lookback => FirstStart::Lookback,
        };
        let is_later = origin.is_some_and(|origin| origin.is_later(source.partition));
        if at.committed.is_none() && is_later && !is_anew {
            tracing::info!(task = %task_id(source), "the partition was added: begins with its oldest record");
        }
        let first = origin.map_or(first, |origin| origin.first_start(source.partition, first));
        Ok(Delivery::assign(position, first))
    }

    /// Bounds and offsets of `sources`, and what there is of their topics.
    fn look_up(
        &self,
        own: &Parts,
        sources: &[TopicPartition],
    ) -> Result<(Topics, BTreeMap<TopicPartition, Found>), KafkaError> {
        let (mut topics, mut all) = (Topics::new(), BTreeMap::new());
        for source in sources {
            if topics.contains_key(&source.topic) {
                continue;
            }
            let count = own.consumer.partition_count(&source.topic, own.patience())?;
            let partitions = i32::try_from(count).unwrap_or(i32::MAX);
            let every: Vec<TopicPartition> = (0..partitions)
                .map(|partition| TopicPartition {
                    topic: Arc::clone(&source.topic),
                    partition,
                })
                .collect();
            let committed = own.consumer.committed_with_notes(&every, own.patience())?;
            let notes = committed.values().flatten();
            let notes = notes.map(|(_, note)| note.parse().ok()).collect();
            topics.insert(Arc::clone(&source.topic), OfTopic { partitions, notes });
            all.extend(committed);
        }
        let mut found = BTreeMap::new();
        for source in sources {
            let (low, high) = own.consumer.bounds(source, own.patience())?;
            let committed = all.get(source).and_then(Option::as_ref);
            let committed = committed.filter(|_| !self.anew.contains(source));
            let at = Found {
                low,
                high,
                committed: committed.map(|(offset, _)| *offset),
            };
            found.insert(source.clone(), at);
        }
        Ok((topics, found))
    }

    /// How the group began with each topic; from here on that goes with its offsets.
    fn origins(&self, own: &mut Parts, topics: &Topics) -> BTreeMap<Arc<str>, Origin> {
        let mut origins = BTreeMap::new();
        for (topic, OfTopic { partitions, notes }) in topics {
            let origin = if self.anew_topics.contains(topic) {
                Origin::of(&[], true, *partitions)
            } else {
                Origin::of(notes, self.known.contains(topic), *partitions)
            };
            own.consumer.note(topic, origin.to_string());
            origins.insert(Arc::clone(topic), origin);
        }
        origins
    }

    /// Whether a partition without an offset is another one of the same name: its topic was seen to be, or has no offset at all, though
    /// the group was here.
    fn is_anew(&self, source: &TopicPartition, topics: &Topics) -> bool {
        let is_unknown = topics.get(&source.topic).is_some_and(|t| t.notes.is_empty());
        self.anew_topics.contains(&source.topic) || is_unknown && self.known.contains(&source.topic)
    }

    fn tell(&mut self, own: &Parts, source: &TopicPartition, gap: Option<Gap>) {
        let Some(gap) = gap.filter(|gap| self.told.get(source) != Some(gap)) else {
            return;
        };
        self.told.insert(source.clone(), gap);
        let task = task_id(source);
        match gap {
            Gap::Expired(records) => {
                own.metrics.expired(records);
                tracing::warn!(%task, records, "deleted before they were processed: goes on with the oldest record left");
            }
            Gap::Anew => {
                own.metrics.anew();
                tracing::warn!(%task, "the topic was made anew: begins with its oldest record");
            }
        }
    }
}

impl Found {
    fn position(&self, kept: Option<i64>, lookback: Option<i64>) -> Position {
        let Self { low, high, committed } = *self;
        Position {
            low,
            high,
            committed,
            kept,
            lookback,
        }
    }
}
