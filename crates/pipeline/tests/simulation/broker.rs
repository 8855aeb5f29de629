//! A broker as far as the protocol sees it: an input topic, an output log with transactions, a consumer group.
//!
//! What is kept of Apache Kafka: transactional ids with epochs; a new epoch ends what the old one left open; transactions
//! time out; offsets that travel in a transaction are checked against the group's generation when they are sent, not when
//! it commits; whoever asks for committed offsets is put off while a transaction holds some; readers of committed
//! records see them in the order of the log, and of the state topic nothing behind a record whose transaction has not been
//! marked as ended, which takes a while after it has. Rebalances are eager, members may be static.

use std::collections::BTreeMap;

use pipeline::StateRecord;
use types::Record;

/// Silence after which the group gives a member up, and how long it waits for members to come to a rebalance.
pub(crate) const SESSION: i64 = 10_000;
/// Age at which the coordinator aborts a transaction.
const TRANSACTION: i64 = 15_000;
/// Longest time from the end of a transaction to its mark on the state topic.
const MARK: i64 = 400;

/// What a call can come back with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// No answer: it may have happened or not. Also: not now.
    Unavailable,
    /// The partitions are another's.
    Lost,
    /// Another client with the same identity took over.
    Fenced,
}

/// Membership under which an assignment was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Membership {
    pub(crate) member: u64,
    pub(crate) generation: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TxnState {
    Open,
    Committed,
    Aborted,
}

struct Txn {
    state: TxnState,
    offsets: BTreeMap<usize, i64>,
    opened: i64,
    /// When the state topic has its mark, once it has ended.
    marked: i64,
}

#[derive(Default)]
struct ProducerState {
    epoch: u32,
    open: Option<usize>,
}

struct Written {
    txn: Option<usize>,
    key: String,
    text: String,
}

struct Kept {
    txn: Option<usize>,
    record: StateRecord,
}

struct MemberState {
    heard: i64,
    joined: bool,
    assignment: Vec<usize>,
}

/// What the group tells a member that asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is none any more.
    Unknown,
    /// Give up what you hold and come to the rebalance.
    Rebalancing,
    /// Wait for the others.
    Joined,
    /// Yours, since this generation.
    Stable(u64, Vec<usize>),
}

#[derive(Default)]
pub(crate) struct Broker {
    pub(crate) now: i64,
    /// Records by partition; offsets have gaps, as transactions of the input's producers leave them.
    pub(crate) input: Vec<Vec<Record>>,
    output: Vec<Written>,
    /// The state topic, by partition.
    state: Vec<Vec<Kept>>,
    txns: Vec<Txn>,
    producers: BTreeMap<String, ProducerState>,
    pub(crate) committed: Vec<Option<i64>>,
    /// What the group committed first: there its start was decided.
    pub(crate) first_committed: Vec<Option<i64>>,
    members: BTreeMap<u64, MemberState>,
    statics: BTreeMap<usize, u64>,
    next_member: u64,
    generation: u64,
    /// A rebalance is under way, for this long at most.
    deadline: Option<i64>,
}

impl Broker {
    pub(crate) fn new(partitions: usize) -> Self {
        Self {
            input: vec![Vec::new(); partitions],
            state: (0..partitions).map(|_| Vec::new()).collect(),
            committed: vec![None; partitions],
            first_committed: vec![None; partitions],
            ..Self::default()
        }
    }

    // Input.

    pub(crate) fn end(&self, partition: usize) -> i64 {
        self.input[partition].last().map_or(0, |r| r.offset + 1)
    }

    pub(crate) fn record_at(&self, partition: usize, offset: i64) -> Option<&Record> {
        let at = self.input[partition].partition_point(|r| r.offset < offset);
        self.input[partition].get(at)
    }

    pub(crate) fn record_before(&self, partition: usize, offset: i64) -> Option<&Record> {
        let at = self.input[partition].partition_point(|r| r.offset < offset);
        self.input[partition].get(at.checked_sub(1)?)
    }

    // Producers.

    pub(crate) fn init(&mut self, id: &str) -> u32 {
        let producer = self.producers.entry(id.to_owned()).or_default();
        producer.epoch += 1;
        let (epoch, open) = (producer.epoch, producer.open.take());
        if let Some(txn) = open {
            self.finish(txn, TxnState::Aborted);
        }
        epoch
    }

    /// The open transaction of a producer, opened if need be.
    fn txn(&mut self, id: &str, epoch: u32) -> Result<usize, Trouble> {
        let producer = self.producers.get_mut(id).filter(|p| p.epoch == epoch);
        let producer = producer.ok_or(Trouble::Fenced)?;
        if let Some(open) = producer.open {
            return Ok(open);
        }
        let txn = self.txns.len();
        producer.open = Some(txn);
        self.txns.push(Txn {
            state: TxnState::Open,
            offsets: BTreeMap::new(),
            opened: self.now,
            marked: i64::MAX,
        });
        Ok(txn)
    }

    /// Writes a record, in the producer's transaction or outside of any.
    pub(crate) fn write(
        &mut self,
        producer: Option<(&str, u32)>,
        key: &str,
        text: &str,
    ) -> Result<(), Trouble> {
        let txn = producer.map(|(id, epoch)| self.txn(id, epoch)).transpose()?;
        self.output.push(Written {
            txn,
            key: key.to_owned(),
            text: text.to_owned(),
        });
        Ok(())
    }

    fn finish(&mut self, txn: usize, state: TxnState) {
        let late = (txn as i64 * 7) % MARK;
        self.txns[txn].state = state;
        self.txns[txn].marked = self.now + late;
    }

    /// Writes to the state topic, in the producer's transaction or outside of any.
    pub(crate) fn keep(
        &mut self,
        producer: Option<(&str, u32)>,
        partition: usize,
        record: &StateRecord,
    ) -> Result<(), Trouble> {
        let txn = producer.map(|(id, epoch)| self.txn(id, epoch)).transpose()?;
        self.state[partition].push(Kept {
            txn,
            record: record.clone(),
        });
        Ok(())
    }

    /// The committed records of a partition of the state topic; with `stable`, only when every transaction there has ended, else
    /// those before the first that has not.
    pub(crate) fn kept(&self, partition: usize, stable: bool) -> Result<Vec<StateRecord>, Trouble> {
        let log = &self.state[partition];
        let ended = |kept: &&Kept| kept.txn.is_none_or(|txn| self.txns[txn].marked <= self.now);
        let visible = log.iter().take_while(ended).count();
        if stable && visible < log.len() {
            return Err(Trouble::Unavailable);
        }
        let committed = |kept: &&Kept| {
            kept.txn
                .is_none_or(|txn| self.txns[txn].state == TxnState::Committed)
        };
        let records = log[..visible].iter().filter(committed);
        Ok(records.map(|kept| kept.record.clone()).collect())
    }

    /// Offsets in a transaction. Without a membership they are taken from anybody.
    pub(crate) fn add_offsets(
        &mut self,
        (id, epoch): (&str, u32),
        membership: Option<Membership>,
        next: &BTreeMap<usize, i64>,
    ) -> Result<(), Trouble> {
        let txn = self.txn(id, epoch)?;
        if let Some(membership) = membership {
            self.check(membership)?;
        }
        self.txns[txn].offsets.extend(next);
        Ok(())
    }

    pub(crate) fn end_txn(&mut self, id: &str, epoch: u32, commit: bool) -> Result<(), Trouble> {
        let producer = self.producers.get_mut(id).filter(|p| p.epoch == epoch);
        let Some(txn) = producer.ok_or(Trouble::Fenced)?.open.take() else {
            return Ok(());
        };
        if !commit {
            self.finish(txn, TxnState::Aborted);
            return Ok(());
        }
        self.finish(txn, TxnState::Committed);
        let offsets = std::mem::take(&mut self.txns[txn].offsets);
        self.store(&offsets);
        Ok(())
    }

    /// What a reader of committed records finds, by key, in the order of the log.
    pub(crate) fn read_committed(&self) -> BTreeMap<String, Vec<String>> {
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for written in &self.output {
            let state = written
                .txn
                .map_or(TxnState::Committed, |txn| self.txns[txn].state);
            if state == TxnState::Committed {
                found
                    .entry(written.key.clone())
                    .or_default()
                    .push(written.text.clone());
            }
        }
        found
    }

    pub(crate) fn has_open(&self) -> bool {
        self.producers.values().any(|p| p.open.is_some())
    }

    // The group.

    fn check(&self, membership: Membership) -> Result<(), Trouble> {
        let known = self.members.contains_key(&membership.member);
        (known && membership.generation == self.generation)
            .then_some(())
            .ok_or(Trouble::Lost)
    }

    fn store(&mut self, next: &BTreeMap<usize, i64>) {
        for (partition, offset) in next {
            self.committed[*partition] = Some(*offset);
            self.first_committed[*partition].get_or_insert(*offset);
        }
    }

    /// Offsets outside of any transaction.
    pub(crate) fn commit(
        &mut self,
        membership: Membership,
        next: &BTreeMap<usize, i64>,
    ) -> Result<(), Trouble> {
        self.check(membership)?;
        self.store(next);
        Ok(())
    }

    /// Committed offsets; with `stable`, only when no open transaction holds some of these partitions.
    pub(crate) fn lookup(&self, partitions: &[usize], stable: bool) -> Result<Vec<Option<i64>>, Trouble> {
        let pending =
            |txn: &Txn| txn.state == TxnState::Open && partitions.iter().any(|p| txn.offsets.contains_key(p));
        if stable && self.txns.iter().any(pending) {
            return Err(Trouble::Unavailable);
        }
        Ok(partitions.iter().map(|p| self.committed[*p]).collect())
    }

    /// A process joins; a static one takes the place of its predecessor, if the group still knows that.
    pub(crate) fn join(&mut self, instance: Option<usize>) -> u64 {
        self.next_member += 1;
        let id = self.next_member;
        let before = instance.and_then(|i| self.statics.insert(i, id));
        if let Some(mut state) = before.and_then(|b| self.members.remove(&b)) {
            state.heard = self.now;
            state.joined = true;
            self.members.insert(id, state);
            return id;
        }
        let state = MemberState {
            heard: self.now,
            joined: true,
            assignment: Vec::new(),
        };
        self.members.insert(id, state);
        self.rebalance();
        id
    }

    pub(crate) fn leave(&mut self, member: u64) {
        if self.members.remove(&member).is_some() {
            self.rebalance();
        }
    }

    /// Whether a static member's place was taken.
    pub(crate) fn is_replaced(&self, instance: usize, member: u64) -> bool {
        self.statics.get(&instance).is_some_and(|m| *m != member)
    }

    pub(crate) fn heartbeat(&mut self, member: u64) {
        if let Some(state) = self.members.get_mut(&member) {
            state.heard = self.now;
        }
    }

    pub(crate) fn standing(&self, member: u64) -> Standing {
        match self.members.get(&member) {
            None => Standing::Unknown,
            Some(state) if self.deadline.is_some() && state.joined => Standing::Joined,
            Some(_) if self.deadline.is_some() => Standing::Rebalancing,
            Some(state) => Standing::Stable(self.generation, state.assignment.clone()),
        }
    }

    /// The member holds nothing any more and has come to the rebalance.
    pub(crate) fn rejoin(&mut self, member: u64) {
        if let Some(state) = self.members.get_mut(&member) {
            state.joined = true;
        }
    }

    fn rebalance(&mut self) {
        if self.deadline.is_none() {
            self.deadline = Some(self.now + SESSION);
            for state in self.members.values_mut() {
                // Who holds nothing has nothing to give up.
                state.joined = state.assignment.is_empty();
            }
        }
    }

    /// Lets time do its part.
    pub(crate) fn pass(&mut self, elapsed: i64) {
        self.now += elapsed;
        let now = self.now;
        let mut expired = Vec::new();
        for producer in self.producers.values_mut() {
            if let Some(txn) = producer
                .open
                .filter(|txn| now - self.txns[*txn].opened > TRANSACTION)
            {
                expired.push(txn);
                producer.open = None;
                producer.epoch += 1;
            }
        }
        for txn in expired {
            self.finish(txn, TxnState::Aborted);
        }
        let before = self.members.len();
        self.members.retain(|_, state| now - state.heard <= SESSION);
        if self.members.len() < before {
            self.rebalance();
        }
        let Some(deadline) = self.deadline else { return };
        if now > deadline {
            self.members.retain(|_, state| state.joined);
        }
        if self.members.values().all(|state| state.joined) {
            self.deadline = None;
            self.generation += 1;
            let (count, turn) = (self.members.len(), self.generation as usize);
            for (i, state) in self.members.values_mut().enumerate() {
                // Partitions wander from generation to generation.
                state.assignment = (0..self.input.len())
                    .filter(|p| (p + turn) % count == i)
                    .collect();
                state.joined = false;
            }
        }
    }
}
