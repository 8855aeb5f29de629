//! A process: the real [`Member`], driven as the daemon drives it, one call to the broker a step.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use pipeline::delivery::{Delivery, FirstStart, Position};
use pipeline::{
    Gathered, Host, Identity, Kept, Member, Output, Past, Publication, Start, StateRecord, TaskId,
    TaskSettings,
};
use types::{Control, ControlKind};

use crate::broker::{Broker, Membership, Standing, Trouble};
use crate::dice::Dice;
use crate::workload::{self, MeanNets};

/// What is wrong with the driver on purpose, or with what the agent can know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Nothing.
    None,
    /// Offsets are committed by themselves, before the alerts.
    OffsetsFirst,
    /// Offsets are committed by themselves, after the transaction with the alerts.
    OffsetsApart,
    /// Offsets in transactions carry no membership: a member that was given up is not fenced.
    NoMembership,
    /// Committed offsets are asked for without waiting for open transactions.
    UnstableLookup,
    /// Offsets of what was read are committed, not of what was processed.
    ReadNotProcessed,
    /// After an abort without an answer the next transaction begins, and takes in what the old one left.
    AbortForgotten,
    /// A commit without an answer is never asked for again.
    CommitNotResumed,
    /// A restart begins at the committed offset, without the past.
    NoPast,
    /// A restart speaks while it reads the past again.
    LoudPast,
    /// State is written outside of the transaction.
    StateApart,
    /// State is read without waiting for open transactions.
    UnstableState,
}

/// How outputs and offsets travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Transactional,
    AtLeastOnce,
}

/// What all agents of a schedule share.
#[derive(Clone)]
pub(crate) struct Ways {
    pub(crate) flaw: Flaw,
    pub(crate) mode: Mode,
    pub(crate) first: FirstStart,
    /// How far back a restart reads (milliseconds of record time).
    pub(crate) lookback: i64,
    /// State is kept on a topic.
    pub(crate) keeps: bool,
    /// Quiet series are closed as the clock goes on.
    pub(crate) ticks: bool,
    pub(crate) settings: Arc<TaskSettings>,
}

/// One call that did or did not come through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// The call never arrives.
    Before,
    /// The answer never arrives.
    After,
}

/// What comes after a publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Poll,
    Release,
    Stop,
}

/// One call on the way of a publication.
#[derive(Clone, Debug)]
enum Call {
    Begin,
    Write {
        key: String,
        text: String,
    },
    Keep {
        partition: usize,
        record: StateRecord,
    },
    /// Offsets in the transaction.
    Offsets,
    /// Offsets by themselves.
    Apart,
    Commit,
}

enum Phase {
    Init,
    Poll,
    Publishing {
        next: BTreeMap<TaskId, i64>,
        calls: VecDeque<Call>,
        then: Then,
    },
    Aborting(Then),
    LookUp(Vec<usize>),
    Restore(Vec<(usize, Option<i64>)>),
    Stopped,
}

pub(crate) struct Agent {
    pub(crate) instance: usize,
    ways: Ways,
    transactional_id: String,
    epoch: u32,
    is_static: bool,
    member: Option<u64>,
    membership: Option<Membership>,
    machine: Member,
    positions: BTreeMap<usize, i64>,
    /// Assigned partitions without a start.
    unanswered: Option<Vec<usize>>,
    /// A commit (true) or abort (false) without an answer. Like librdkafka, the client refuses everything but to ask again.
    unfinished: Option<bool>,
    stopping: bool,
    last_record: i64,
    /// Ticks that took effect since the last publication.
    ticked: Vec<(TaskId, Control)>,
    phase: Phase,
}

impl Agent {
    pub(crate) fn new(ways: Ways, instance: usize, transactional_id: String, is_static: bool) -> Self {
        Self {
            instance,
            ways,
            transactional_id,
            epoch: 0,
            is_static,
            member: None,
            membership: None,
            machine: Member::new(Host::new(vec![Box::new(MeanNets)])),
            positions: BTreeMap::new(),
            unanswered: None,
            unfinished: None,
            stopping: false,
            last_record: 0,
            ticked: Vec::new(),
            phase: Phase::Init,
        }
    }

    /// Name of what it is about to do.
    pub(crate) fn doing(&self) -> &'static str {
        match &self.phase {
            Phase::Init => "init",
            Phase::Poll => "poll",
            Phase::Publishing { calls, .. } => match calls.front() {
                Some(Call::Begin) => "begin",
                Some(Call::Write { .. } | Call::Keep { .. }) => "produce",
                Some(Call::Offsets | Call::Apart) => "offsets",
                Some(Call::Commit) => "commit",
                None => "published",
            },
            Phase::Aborting(_) => "abort",
            Phase::LookUp(_) | Phase::Restore(_) => "restore",
            Phase::Stopped => "stopped",
        }
    }

    pub(crate) fn stop(&mut self) {
        self.stopping = true;
    }

    pub(crate) fn heartbeat(&self, broker: &mut Broker) {
        if let Some(member) = self.member {
            broker.heartbeat(member);
        }
    }

    /// One step; false when the process is over.
    pub(crate) fn step(&mut self, broker: &mut Broker, fault: Fault, dice: &mut Dice) -> bool {
        match std::mem::replace(&mut self.phase, Phase::Poll) {
            Phase::Init => self.init(broker, fault),
            Phase::Poll => return self.poll(broker, dice),
            Phase::Publishing { next, calls, then } => return self.publish(broker, fault, next, calls, then),
            Phase::Aborting(then) => return self.abort(broker, fault, then),
            Phase::LookUp(sources) => self.look_up(broker, fault, &sources),
            Phase::Restore(sources) => self.restore(broker, fault, &sources),
            Phase::Stopped => return false,
        }
        true
    }

    fn init(&mut self, broker: &mut Broker, fault: Fault) {
        let epoch = call(fault, || Ok(broker.init(&self.transactional_id)));
        match epoch {
            Ok(epoch) => {
                self.epoch = epoch;
                self.member = Some(broker.join(self.is_static.then_some(self.instance)));
            }
            Err(_) => self.phase = Phase::Init,
        }
    }

    fn poll(&mut self, broker: &mut Broker, dice: &mut Dice) -> bool {
        if self.stopping {
            self.start_publishing(broker, Then::Stop);
            return true;
        }
        match dice.below(20) {
            0..=2 => {
                self.machine.infer();
                return true;
            }
            3..=5 => {
                self.start_publishing(broker, Then::Poll);
                return true;
            }
            6 if self.unanswered.is_some() => {
                self.phase = Phase::LookUp(self.unanswered.take().unwrap_or_default());
                return true;
            }
            7 if self.ways.ticks => {
                self.tick(broker);
                return true;
            }
            _ => {}
        }
        let Some(member) = self.member else {
            self.member = Some(broker.join(self.is_static.then_some(self.instance)));
            return true;
        };
        if self.is_static && broker.is_replaced(self.instance, member) {
            return false;
        }
        match broker.standing(member) {
            Standing::Unknown => {
                // Lost: nothing of it can be committed any more.
                self.release();
                self.member = None;
            }
            Standing::Rebalancing => self.start_publishing(broker, Then::Release),
            Standing::Joined => {}
            Standing::Stable(generation, partitions) => {
                let membership = Membership { member, generation };
                if self.membership == Some(membership) {
                    self.read(broker, dice);
                } else if self.membership.is_some() {
                    self.release();
                } else {
                    self.membership = Some(membership);
                    self.phase = Phase::LookUp(partitions);
                }
            }
        }
        true
    }

    fn read(&mut self, broker: &Broker, dice: &mut Dice) {
        if self.positions.is_empty() {
            return;
        }
        let at = dice.below(self.positions.len() as u64) as usize;
        let Some((partition, position)) = self.positions.iter_mut().nth(at) else {
            return;
        };
        // What one fetch brings.
        for _ in 0..=dice.below(8) {
            let Some(record) = broker.record_at(*partition, *position) else {
                return;
            };
            *position = record.offset + 1;
            self.last_record = broker.now;
            self.machine.record(&workload::task_id(*partition), record);
        }
    }

    fn tick(&mut self, broker: &Broker) {
        let silent = broker.now - self.last_record;
        let idle: Vec<(TaskId, Control)> = self
            .machine
            .tasks()
            .filter(|(id, _)| self.machine.is_live(id))
            .filter_map(|(id, task)| {
                let (until, quiet_since) = (task.event_time()? + silent, task.moment());
                let control = Control {
                    offset: self.machine.position(id)?,
                    kind: ControlKind::IdleClose { until, quiet_since },
                };
                task.is_idle(until, quiet_since).then(|| (id.clone(), control))
            })
            .collect();
        for (id, control) in idle {
            self.machine.control(&id, &control);
            self.ticked.push((id, control));
        }
    }

    fn release(&mut self) {
        self.machine.release();
        self.ticked.clear();
        self.positions.clear();
        self.unanswered = None;
        self.membership = None;
    }

    fn start_publishing(&mut self, broker: &mut Broker, then: Then) {
        if self.ways.flaw != Flaw::ReadNotProcessed {
            while self.machine.due() > 0 {
                self.machine.infer();
            }
        }
        let positions = || {
            let next = self.positions.keys().map(|p| workload::task_id(*p));
            next.filter_map(|id| Some((id.clone(), self.machine.position(&id)?)))
                .collect()
        };
        let publication = match self.ways.flaw {
            Flaw::ReadNotProcessed if self.machine.due() > 0 => Some(Publication {
                next: positions(),
                ..Publication::default()
            }),
            _ => self.machine.publication(),
        };
        match publication {
            Some(Publication { outputs, state, next }) => {
                let calls = self.calls(&outputs, state, !next.is_empty());
                self.phase = Phase::Publishing { next, calls, then };
            }
            None => self.finish(broker, then),
        }
    }

    /// Begin, every record, offsets, commit: as the daemon's publisher and producer do it, or wrong on purpose.
    fn calls(
        &mut self,
        outputs: &[(TaskId, Output)],
        state: Vec<(TaskId, StateRecord)>,
        has_offsets: bool,
    ) -> VecDeque<Call> {
        let offsets = |call| has_offsets.then_some(call);
        let mut calls = VecDeque::new();
        if self.ways.flaw == Flaw::OffsetsFirst {
            calls.extend(offsets(Call::Apart));
        }
        calls.push_back(Call::Begin);
        calls.extend(outputs.iter().filter_map(|(id, output)| {
            let (key, text) = text_of(output)?;
            let key = format!("{id}/{key}");
            Some(Call::Write { key, text })
        }));
        calls.extend(state.into_iter().map(|(id, record)| Call::Keep {
            partition: id.partition as usize,
            record,
        }));
        // No part of the protocol: so that it can be known which took effect.
        calls.extend(
            std::mem::take(&mut self.ticked)
                .into_iter()
                .map(|(id, control)| Call::Write {
                    key: format!("{}{id}", workload::TICKS),
                    text: workload::tick_text(&control),
                }),
        );
        match (self.ways.mode, self.ways.flaw) {
            (Mode::AtLeastOnce, _) => calls.extend(offsets(Call::Apart)),
            (Mode::Transactional, Flaw::OffsetsFirst) => calls.push_back(Call::Commit),
            (Mode::Transactional, Flaw::OffsetsApart) => {
                calls.push_back(Call::Commit);
                calls.extend(offsets(Call::Apart));
            }
            (Mode::Transactional, _) => {
                calls.extend(offsets(Call::Offsets));
                calls.push_back(Call::Commit);
            }
        }
        calls
    }

    /// After a publication, gone well or not.
    fn finish(&mut self, broker: &mut Broker, then: Then) {
        match (then, self.member) {
            (Then::Poll, _) => {}
            (Then::Release, member) => {
                self.release();
                if let Some(member) = member {
                    broker.rejoin(member);
                }
            }
            (Then::Stop, member) => {
                // Static members go without a word.
                if let Some(member) = member.filter(|_| !self.is_static) {
                    broker.leave(member);
                }
                self.phase = Phase::Stopped;
            }
        }
    }

    fn publish(
        &mut self,
        broker: &mut Broker,
        fault: Fault,
        next: BTreeMap<TaskId, i64>,
        mut calls: VecDeque<Call>,
        then: Then,
    ) -> bool {
        let offsets: BTreeMap<usize, i64> = next.iter().map(|(id, o)| (id.partition as usize, *o)).collect();
        let (id, epoch) = (self.transactional_id.as_str(), self.epoch);
        let membership = self.membership.ok_or(Trouble::Lost);
        let result = match calls.pop_front() {
            Some(Call::Begin) if self.unfinished.is_some() => Err(Trouble::Unavailable),
            Some(Call::Begin) | None => Ok(()),
            Some(Call::Write { key, text }) => {
                let producer = (self.ways.mode == Mode::Transactional).then_some((id, epoch));
                call(fault, || broker.write(producer, &key, &text))
            }
            Some(Call::Keep { partition, record }) => {
                let is_apart = self.ways.flaw == Flaw::StateApart;
                let producer = (!is_apart).then_some((id, epoch));
                call(fault, || broker.keep(producer, partition, &record))
            }
            Some(Call::Offsets) => {
                let membership = match self.ways.flaw {
                    Flaw::NoMembership => Ok(None),
                    _ => membership.map(Some),
                };
                membership.and_then(|m| call(fault, || broker.add_offsets((id, epoch), m, &offsets)))
            }
            Some(Call::Apart) => membership.and_then(|m| call(fault, || broker.commit(m, &offsets))),
            Some(Call::Commit) => {
                let result = call(fault, || broker.end_txn(id, epoch, true));
                self.unfinished = (result == Err(Trouble::Unavailable)).then_some(true);
                result
            }
        };
        match result {
            Ok(()) if calls.is_empty() => {
                self.machine.published(&next);
                self.finish(broker, then);
            }
            Ok(()) => self.phase = Phase::Publishing { next, calls, then },
            Err(Trouble::Fenced) => return false,
            Err(_) => self.phase = Phase::Aborting(then),
        }
        true
    }

    /// Ends what is open, one way or the other; then everything starts again from what is committed.
    fn abort(&mut self, broker: &mut Broker, fault: Fault, then: Then) -> bool {
        if self.ways.mode == Mode::Transactional {
            let commit = self.unfinished.unwrap_or(false);
            let result = match self.ways.flaw {
                Flaw::CommitNotResumed if commit => Err(Trouble::Unavailable),
                _ => call(fault, || {
                    broker.end_txn(&self.transactional_id, self.epoch, commit)
                }),
            };
            match result {
                Ok(()) => self.unfinished = None,
                Err(Trouble::Fenced) => return false,
                Err(_) if self.ways.flaw == Flaw::AbortForgotten => self.unfinished = None,
                // The next publication cannot begin and comes here again.
                Err(_) => self.unfinished = Some(commit),
            }
        }
        self.ticked.clear();
        let sources: Vec<usize> = self
            .machine
            .release()
            .iter()
            .map(|id| id.partition as usize)
            .collect();
        self.finish(broker, then);
        if then == Then::Poll && !sources.is_empty() {
            // Not at once: whoever has lost its partitions must come to hear of it.
            self.unanswered = Some(sources);
        }
        true
    }

    /// Where to start; when the brokers do not say, that is asked again later.
    fn look_up(&mut self, broker: &Broker, fault: Fault, sources: &[usize]) {
        self.machine.release();
        let stable = self.ways.flaw != Flaw::UnstableLookup && self.ways.mode == Mode::Transactional;
        match call(fault, || broker.lookup(sources, stable)) {
            Ok(committed) => self.phase = Phase::Restore(sources.iter().copied().zip(committed).collect()),
            Err(_) => self.unanswered = Some(sources.to_vec()),
        }
    }

    /// What to start with.
    fn restore(&mut self, broker: &mut Broker, fault: Fault, sources: &[(usize, Option<i64>)]) {
        let mut starts = Vec::new();
        for (partition, committed) in sources {
            let id = workload::task_id(*partition);
            let mut past = Past::Unkept;
            if self.ways.keeps {
                let stable = self.ways.flaw != Flaw::UnstableState;
                let Ok(records) = call(fault, || broker.kept(*partition, stable)) else {
                    self.unanswered = Some(sources.iter().map(|(p, _)| *p).collect());
                    return;
                };
                let mut gathered = Gathered::new(&id);
                for record in records {
                    gathered.take(record.key.as_bytes(), record.value.as_deref());
                }
                (past, _) = gathered.open(&identity(), *committed, broker.end(*partition));
            }
            let position = self.position(broker, *partition, *committed, &past);
            let mut delivery = Delivery::assign(position, self.ways.first);
            if self.ways.flaw == Flaw::LoudPast {
                delivery.before(position.high);
            }
            starts.push(Start {
                id,
                delivery,
                past,
                settings: Arc::clone(&self.ways.settings),
                identity: self.ways.keeps.then(identity),
            });
        }
        let read_from = |start: &Start| (start.id.partition as usize, start.delivery.read_from());
        self.positions = starts.iter().map(read_from).collect();
        self.machine.assigned(starts);
        // Before anything is read: a start that was decided must not be decided again.
        self.start_publishing(broker, Then::Poll);
    }

    fn position(&self, broker: &Broker, partition: usize, committed: Option<i64>, past: &Past) -> Position {
        let high = broker.end(partition);
        let anchor = broker.record_before(partition, committed.unwrap_or(high));
        let from = anchor.and_then(|r| r.time).map(|t| t + -self.ways.lookback);
        let mut young = broker.input[partition].iter().filter(|r| r.time >= from);
        let lookback = match self.ways.flaw {
            Flaw::NoPast => committed,
            _ => young.next().map(|r| r.offset),
        };
        Position {
            low: 0,
            high,
            committed,
            kept: past.kept().map(Kept::read_from),
            lookback,
        }
    }
}

fn identity() -> Identity {
    Identity {
        bundle: "test@0".to_owned(),
        runtime: "test".to_owned(),
        device: "test".to_owned(),
    }
}

/// Makes a call of which the question or the answer may be lost.
fn call<T>(fault: Fault, act: impl FnOnce() -> Result<T, Trouble>) -> Result<T, Trouble> {
    match fault {
        Fault::Before => Err(Trouble::Unavailable),
        Fault::None => act(),
        Fault::After => act().and(Err(Trouble::Unavailable)),
    }
}

/// Key and text of what goes to the alert and dead-letter topics.
pub(crate) fn text_of(output: &Output) -> Option<(String, String)> {
    match output {
        Output::Alert(alert) => Some((alert.series.to_string(), alerting::wire::to_json(alert))),
        Output::Rejected { offset, rejected } => Some((
            workload::DEAD_LETTERS.to_owned(),
            format!("{offset} {} {}", rejected.reason.name(), rejected.detail),
        )),
        _ => None,
    }
}
