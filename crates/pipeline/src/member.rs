//! A group member's side of the protocol, without I/O: the partitions that it holds, their tasks, and what has come out of
//! them but is not published.
//!
//! The daemon drives it against Kafka, the simulation (`tests/simulation`) against a simulated log.

use std::collections::BTreeMap;
use std::sync::Arc;

use types::{Control, ControlKind, Record};

use crate::delivery::Delivery;
use crate::host::{Host, Inference, TaskId};
use crate::settings::TaskSettings;
use crate::state::{Course, Head, Identity, Past, StateRecord};
use crate::task::{Input, Output, Task};

/// What a process holds between assignment and revocation.
pub struct Member {
    host: Host,
    held: BTreeMap<TaskId, Held>,
    outputs: Vec<(TaskId, Output)>,
}

struct Held {
    delivery: Delivery,
    /// Offset after the last record fed.
    position: i64,
    /// Where state is kept: by what the numbers of the task are computed.
    identity: Option<Identity>,
    /// Records to write in the first publication.
    begun: Vec<StateRecord>,
}

/// How a partition begins.
#[derive(Clone, Debug)]
pub struct Start {
    /// Whose task.
    pub id: TaskId,
    /// Where reading starts.
    pub delivery: Delivery,
    /// What the task needs to know.
    pub settings: Arc<TaskSettings>,
    /// What it begins with.
    pub past: Past,
    /// By what its numbers are computed, where its state is kept.
    pub identity: Option<Identity>,
}

/// What must reach the broker as one: in one transaction, or the outputs first and acknowledged, then the offsets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Publication {
    /// What came out, in order.
    pub outputs: Vec<(TaskId, Output)>,
    /// What is to be kept of the tasks, in order.
    pub state: Vec<(TaskId, StateRecord)>,
    /// The next offset to process by partition. Never empty where an output is to be seen by others: the offsets are what
    /// the broker checks membership by, and without them a member that has lost its partitions could still speak.
    pub next: BTreeMap<TaskId, i64>,
}

/// Control records that took effect with a record, for whoever keeps a log of inputs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Before it.
    pub before: Option<Control>,
    /// After it.
    pub after: Option<Control>,
}

impl Member {
    /// A member that holds nothing.
    #[must_use]
    pub fn new(host: Host) -> Self {
        Self {
            host,
            held: BTreeMap::new(),
            outputs: Vec::new(),
        }
    }

    /// These partitions, and no others, are held from now on, each with a task that has seen nothing but what was kept of it; what was
    /// not published is forgotten. Also the way to begin again from the committed offsets. Returns the control records that took
    /// effect.
    pub fn assigned(&mut self, starts: Vec<Start>) -> Vec<(TaskId, Control)> {
        self.release();
        let mut controls = Vec::with_capacity(starts.len());
        for start in starts {
            let Start { id, delivery, .. } = &start;
            let (id, position, muted) = (id.clone(), delivery.read_from(), delivery.starts_muted());
            let held = Held {
                position,
                begun: begun(&start),
                delivery: start.delivery,
                identity: start.identity,
            };
            self.host.assign(id.clone(), Task::new(start.settings, muted));
            let control = Control {
                offset: position,
                kind: ControlKind::Start { muted },
            };
            self.control(&id, &control);
            controls.push((id.clone(), control));
            if let Some(task) = self.host.task_mut(&id) {
                if held.identity.is_some() {
                    task.keep();
                }
                if let Past::Kept(kept) = start.past {
                    task.go_on(*kept);
                }
            }
            self.held.insert(id.clone(), held);
            // There may be nothing to read again.
            controls.extend(self.speak(&id, position).map(|live| (id, live)));
        }
        controls
    }

    /// Lets go of everything, published or not. Returns what was held.
    pub fn release(&mut self) -> Vec<TaskId> {
        self.outputs.clear();
        let held: Vec<TaskId> = std::mem::take(&mut self.held).into_keys().collect();
        for id in &held {
            self.host.revoke(id);
        }
        held
    }

    /// Feeds the next record of a partition; `None` where it is not held, or the record has been fed already.
    pub fn record(&mut self, id: &TaskId, record: &Record) -> Option<Taken> {
        let held = self.held.get_mut(id).filter(|h| record.offset >= h.position)?;
        held.position = record.offset + 1;
        let before = self.speak(id, record.offset);
        self.host.feed(id, Input::Record(record), &mut self.outputs);
        // Not only with the next record: time passes in a partition that has been read to its end, too.
        let after = self.speak(id, record.offset + 1);
        Some(Taken { before, after })
    }

    /// Ends the silence of a task once its past is re-read up to `offset`.
    fn speak(&mut self, id: &TaskId, offset: i64) -> Option<Control> {
        let live = self.held.get_mut(id)?.delivery.before(offset)?;
        self.control(id, &live);
        Some(live)
    }

    /// Feeds a control record.
    pub fn control(&mut self, id: &TaskId, control: &Control) {
        self.host.feed(id, Input::Control(control), &mut self.outputs);
    }

    /// Runs every due window.
    pub fn infer(&mut self) -> Inference {
        self.host.infer(&mut self.outputs)
    }

    /// Windows that wait for [`Self::infer`].
    #[must_use]
    pub fn due(&self) -> usize {
        self.host.due()
    }

    /// Outputs that wait for [`Self::publication`].
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.outputs.len()
    }

    /// Partitions held, with their tasks.
    pub fn tasks(&self) -> impl Iterator<Item = (&TaskId, &Task)> {
        self.host.tasks()
    }

    /// Offset after the last record fed of a partition that is held.
    #[must_use]
    pub fn position(&self, id: &TaskId) -> Option<i64> {
        self.held.get(id).map(|held| held.position)
    }

    /// Whether a partition is held and the re-read of its past is over.
    #[must_use]
    pub fn is_live(&self, id: &TaskId) -> bool {
        self.held.get(id).is_some_and(|held| held.delivery.is_live())
    }

    /// Takes what is to be published now; `None` when there is nothing, and while windows are due: of a record whose windows
    /// have no answer some outputs may be out and others not. When publishing fails, begin again ([`Self::assigned`]).
    pub fn publication(&mut self) -> Option<Publication> {
        if self.due() > 0 {
            return None;
        }
        let outputs = std::mem::take(&mut self.outputs);
        for (id, output) in &outputs {
            if let (Output::Processed { next_offset }, Some(held)) = (output, self.held.get_mut(id)) {
                held.delivery.processed(*next_offset);
            }
        }
        let mut next: BTreeMap<TaskId, i64> = self
            .held
            .iter()
            .filter_map(|(id, held)| Some((id.clone(), held.delivery.to_commit()?)))
            .collect();
        let state = self.state(&next);
        if next.is_empty() && (!state.is_empty() || outputs.iter().any(|(_, output)| is_said(output))) {
            next = self
                .held
                .iter()
                .map(|(id, held)| (id.clone(), held.delivery.next_offset()))
                .collect();
        }
        (!next.is_empty() || !outputs.is_empty()).then_some(Publication { outputs, state, next })
    }

    /// What is to be kept of the tasks, those in `next` and others that have changed.
    fn state(&mut self, next: &BTreeMap<TaskId, i64>) -> Vec<(TaskId, StateRecord)> {
        let mut records = Vec::new();
        for (id, held) in &mut self.held {
            let (Some(identity), Some(task)) = (&held.identity, self.host.task_mut(id)) else {
                continue;
            };
            let begun = std::mem::take(&mut held.begun);
            let is_new = !begun.is_empty() || next.contains_key(id) || task.has_unsaved();
            records.extend(begun.into_iter().map(|record| (id.clone(), record)));
            // While the past is read nothing changes of what others know.
            if held.delivery.is_live() && is_new {
                let saved = task.save(id, identity, held.delivery.next_offset());
                records.extend(saved.into_iter().map(|record| (id.clone(), record)));
            }
        }
        records
    }

    /// All of a publication is with the broker, offsets included.
    pub fn published(&mut self, next: &BTreeMap<TaskId, i64>) {
        for (id, offset) in next {
            if let Some(held) = self.held.get_mut(id) {
                held.delivery.committed(*offset);
            }
        }
    }
}

/// What to write of a task with which nothing goes on: what there was is of no use, and here it began.
fn begun(start: &Start) -> Vec<StateRecord> {
    let (Past::Nothing { stale }, Some(identity)) = (&start.past, &start.identity) else {
        return Vec::new();
    };
    let head = Head {
        identity: identity.clone(),
        next: start.delivery.next_offset(),
        course: Course::Begun {
            read_from: start.delivery.read_from(),
        },
    };
    let gone = stale.iter().cloned().map(StateRecord::gone);
    gone.chain([StateRecord::head(&start.id, &head)]).collect()
}

/// Whether it is for others to see, not only for this process.
fn is_said(output: &Output) -> bool {
    match output {
        Output::Alert(_) | Output::Row(_) | Output::Forecast(_) | Output::Rejected { .. } => true,
        Output::Due { .. } | Output::Occurred(_) | Output::Processed { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use types::{RejectReason, Rejected};

    use super::*;
    use crate::delivery::{FirstStart, Position};

    /// Without offsets the broker would not look whether the speaker still holds its partitions.
    #[test]
    fn what_is_said_goes_with_offsets_even_if_they_are_not_new() {
        let id = TaskId {
            topic: "metrics".into(),
            partition: 0,
        };
        let position = Position {
            low: 0,
            high: 9,
            committed: Some(5),
            kept: None,
            lookback: None,
        };
        let mut member = Member::new(Host::new(vec![]));
        let delivery = Delivery::assign(position, FirstStart::Earliest);
        member.held.insert(
            id.clone(),
            Held {
                delivery,
                position: 5,
                identity: None,
                begun: vec![],
            },
        );
        assert_eq!(member.publication(), None);
        let rejected = Rejected {
            reason: RejectReason::Malformed,
            detail: String::new(),
        };
        let output = Output::Rejected { offset: 4, rejected };
        member.outputs.push((id.clone(), output));
        let publication = member.publication().unwrap();
        assert_eq!(publication.next, BTreeMap::from([(id, 5)]));
        member.published(&publication.next);
        assert_eq!(member.publication(), None);
    }
}
