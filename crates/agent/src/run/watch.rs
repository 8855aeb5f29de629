//! The daemon's eye on itself: what is overdue, how much is held, how long a canary takes, what was refused.

use std::sync::Arc;
use std::time::Duration;

use pipeline::{Member, Publication, TaskId};
use types::{Rejected, Timestamp};

use super::canary::{self, Canary, Caused};
use super::engine::source_of;
use super::refused::Refused;
use crate::metrics::Metrics;

/// How often tasks are looked through, which goes over every series.
const LOOK: Duration = Duration::from_secs(5);

/// Everything that the loop tells, and is not needed for its work.
pub(crate) struct Watch {
    metrics: Arc<Metrics>,
    canary: Option<Canary>,
    refused: Refused,
    looked_at: Option<Duration>,
}

impl Watch {
    pub(crate) fn new(metrics: Arc<Metrics>, canary: Option<Canary>) -> Self {
        Self {
            metrics,
            canary,
            refused: Refused::default(),
            looked_at: None,
        }
    }

    /// The loop has come round at `elapsed` since its start.
    pub(crate) fn turn(&mut self, elapsed: Duration, member: &Member) {
        self.metrics.turned();
        self.metrics.waiting(member.due(), member.waiting());
        self.refused.tell(elapsed);
    }

    /// Other partitions are held from here on; whether any of them is a canary's.
    pub(crate) fn assigned(&self, has_canary: bool, now: Timestamp) {
        self.metrics.canary_awaited(has_canary, now);
    }

    /// Sends the canary's samples to those partitions that `is_canary` takes.
    pub(crate) fn beat(&mut self, now: Timestamp, member: &Member, is_canary: impl Fn(&TaskId) -> bool) {
        if let Some(canary) = &mut self.canary {
            let held = member.tasks().map(|(id, _)| id).filter(|id| is_canary(id));
            canary.beat(now, held);
        }
    }

    /// Everything that was due has been published: what has no score now should have one. Now and then, looks through the tasks.
    pub(crate) fn look(&mut self, elapsed: Duration, member: &Member) {
        let is_time = self.looked_at.is_none_or(|at| elapsed.saturating_sub(at) >= LOOK);
        if !is_time || member.due() > 0 {
            return;
        }
        self.looked_at = Some(elapsed);
        for (id, task) in member.tasks() {
            let source = source_of(id);
            self.metrics.overdue(&source, task.overdue());
            self.metrics.held(&source, &task.memory());
        }
    }

    /// A part of a record was not used.
    pub(crate) fn rejected(&mut self, elapsed: Duration, task: &TaskId, offset: i64, rejected: &Rejected) {
        self.refused.note(elapsed, task, offset, rejected);
    }

    /// See [`canary::take`].
    pub(crate) fn take(publication: &mut Publication, is_canary: impl Fn(&TaskId) -> bool) -> Caused {
        canary::take(publication, is_canary)
    }

    /// See [`canary::committed`].
    pub(crate) fn committed(&self, caused: &Caused, now: Timestamp) {
        canary::committed(caused, now, &self.metrics);
    }
}
