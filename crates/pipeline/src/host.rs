//! The tasks of one process, and inference for all of them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use scorer::{Backend, BackendError, WindowOutput};

use crate::task::{Input, Output, Task};

/// Names a task: its input topic and partition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId {
    /// Topic; the file's name in replay.
    pub topic: Arc<str>,
    /// Partition; 0 in replay of a plain file.
    pub partition: i32,
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// Holds tasks, gathers their due windows, and has the backends answer them.
///
/// What a task puts out does not depend on the batches its windows travel in, nor on the number of backends: backends
/// answer each window by itself, and tasks apply answers in order.
pub struct Host {
    tasks: BTreeMap<TaskId, Task>,
    backends: Vec<Box<dyn Backend>>,
    due: Vec<(TaskId, u64, Vec<f32>)>,
}

/// What one round of inference did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inference {
    /// Windows answered.
    pub windows: usize,
    /// Windows left unanswered for good.
    pub failed: usize,
    /// One message a failed batch.
    pub errors: Vec<BackendError>,
}

impl Host {
    /// A host without tasks. Each backend computes on a thread of its own; there must be at least one.
    #[must_use]
    pub fn new(backends: Vec<Box<dyn Backend>>) -> Self {
        Self {
            tasks: BTreeMap::new(),
            backends,
            due: Vec::new(),
        }
    }

    /// Takes a task over; one that was restored has its unanswered windows run again.
    pub fn assign(&mut self, id: TaskId, task: Task) {
        self.due.retain(|(owner, ..)| *owner != id);
        self.due.extend(
            task.unanswered()
                .map(|(window, input)| (id.clone(), window, input.to_vec())),
        );
        self.tasks.insert(id, task);
    }

    /// Gives a task up; its due windows are forgotten here (a snapshot holds them).
    pub fn revoke(&mut self, id: &TaskId) -> Option<Task> {
        self.due.retain(|(owner, ..)| owner != id);
        self.tasks.remove(id)
    }

    /// The tasks held.
    pub fn tasks(&self) -> impl Iterator<Item = (&TaskId, &Task)> {
        self.tasks.iter()
    }

    /// One of the tasks held.
    pub(crate) fn task_mut(&mut self, id: &TaskId) -> Option<&mut Task> {
        self.tasks.get_mut(id)
    }

    /// Feeds a task; its due windows are kept here until [`Self::infer`], the rest goes to `out`. An input for a task that
    /// is not held is dropped.
    pub fn feed(&mut self, id: &TaskId, input: Input<'_>, out: &mut Vec<(TaskId, Output)>) {
        let Some(task) = self.tasks.get_mut(id) else {
            return;
        };
        let mut outputs = Vec::new();
        task.feed(input, &mut outputs);
        for output in outputs {
            match output {
                Output::Due { id: window, input } => self.due.push((id.clone(), window, input)),
                other => out.push((id.clone(), other)),
            }
        }
    }

    /// Windows that wait for [`Self::infer`].
    #[must_use]
    pub fn due(&self) -> usize {
        self.due.len()
    }

    /// Runs every due window and feeds the answers back. A window whose batch fails stays unscored.
    pub fn infer(&mut self, out: &mut Vec<(TaskId, Output)>) -> Inference {
        let due = std::mem::take(&mut self.due);
        let mut report = Inference::default();
        if due.is_empty() {
            return report;
        }
        let share = due.len().div_ceil(self.backends.len().max(1));
        let answered: Vec<Result<Vec<WindowOutput>, BackendError>> = std::thread::scope(|scope| {
            let workers: Vec<_> = due
                .chunks(share)
                .zip(&mut self.backends)
                .map(|(chunk, backend)| {
                    scope.spawn(move || {
                        let inputs: Vec<&[f32]> = chunk.iter().map(|(.., input)| input.as_slice()).collect();
                        backend.run(&inputs)
                    })
                })
                .collect();
            workers
                .into_iter()
                .map(|w| {
                    w.join()
                        .unwrap_or_else(|_| Err(BackendError("the backend panicked".to_owned())))
                })
                .collect()
        });
        let mut by_task: BTreeMap<TaskId, Vec<(u64, Option<WindowOutput>)>> = BTreeMap::new();
        for (chunk, answer) in due.chunks(share).zip(answered) {
            let mut outputs = match answer {
                Ok(outputs) => {
                    report.windows += outputs.len();
                    outputs
                }
                Err(error) => {
                    report.failed += chunk.len();
                    report.errors.push(error);
                    Vec::new()
                }
            }
            .into_iter();
            for (id, window, _) in chunk {
                by_task
                    .entry(id.clone())
                    .or_default()
                    .push((*window, outputs.next()));
            }
        }
        for (id, answers) in by_task {
            self.feed(&id, Input::Scored(answers), out);
        }
        report
    }
}
