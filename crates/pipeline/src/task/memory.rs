//! What a task holds in memory.

use types::SeriesKey;

use super::{Answer, Due, Intake, Queued, Task, Verdicts};
use crate::host::TaskId;

/// Bytes that a task holds, by what for. Counted from the capacities of its containers, without what an allocator adds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskMemory {
    /// Names of series and the maps from them.
    pub names: usize,
    /// Open buckets and fine windows.
    pub windows: usize,
    /// Coarse windows.
    pub coarse: usize,
    /// Scores: what is known of each series' past.
    pub scores: usize,
    /// Open events.
    pub alerts: usize,
    /// What waits for the nets.
    pub queue: usize,
}

impl TaskMemory {
    /// Each part by its name.
    #[must_use]
    pub fn parts(&self) -> [(&'static str, usize); 6] {
        [
            ("names", self.names),
            ("windows", self.windows),
            ("coarse", self.coarse),
            ("scores", self.scores),
            ("alerts", self.alerts),
            ("queue", self.queue),
        ]
    }

    /// All of it.
    #[must_use]
    pub fn total(&self) -> usize {
        self.parts().into_iter().map(|(_, bytes)| bytes).sum()
    }
}

/// Entries that a node of the standard library's ordered map has room for, and those it has after series came in order.
const NODE: [usize; 2] = [11, 6];
/// An event's id: long enough for all that are made.
const ID_BYTES: usize = 48;

impl Task {
    /// What the task holds now. Goes through every series.
    #[must_use]
    pub fn memory(&self) -> TaskMemory {
        let state = &self.state;
        let series = state.series.len();
        let name = |key: &SeriesKey| key.as_str().len() + 2 * size_of::<usize>();
        // One in the map of series, one by use, one with the verdicts, one to look for silence.
        let entries = 4 * size_of::<SeriesKey>() + 2 * size_of::<u64>();
        let slack = room(size_of::<Intake>() + entries) + room(size_of::<Verdicts>());
        let texts: usize = state.series.keys().map(name).sum();
        let mut memory = TaskMemory {
            names: texts + series * (entries + slack) + state.ledger.heap_bytes(),
            queue: state.queue.capacity() * size_of::<Queued>(),
            ..TaskMemory::default()
        };
        for intake in state.series.values() {
            memory.coarse += size_of_val(&intake.coarse) + intake.coarse.heap_bytes();
            let beside = size_of::<Intake>() - size_of_val(&intake.coarse);
            memory.windows += beside + intake.window.heap_bytes() + intake.floor.heap_bytes();
        }
        for verdicts in state.verdicts.values() {
            memory.scores += size_of_val(&verdicts.scorer) + verdicts.scorer.heap_bytes();
            let ids = verdicts.limits.open()
                + usize::from(verdicts.machine.open_id().is_some())
                + usize::from(verdicts.silence.is_open());
            memory.alerts += size_of::<Verdicts>() - size_of_val(&verdicts.scorer) + ids * ID_BYTES;
        }
        memory.queue += state
            .queue
            .iter()
            .filter_map(Queued::due)
            .map(due_bytes)
            .sum::<usize>();
        memory
    }

    /// The most that one window of `length` buckets takes from when it falls due until its answer is applied: its place in the
    /// queue, its values there and on their way to the nets, and the answer (bytes).
    #[must_use]
    pub fn window_bytes(length: usize) -> usize {
        // A queue that grows doubles.
        2 * size_of::<Queued>() + size_of::<(TaskId, u64, Vec<f32>)>() + 3 * length * size_of::<f32>()
    }
}

/// What `size` bytes an entry come to in nodes that are not full, beyond themselves.
fn room(size: usize) -> usize {
    let [full, used] = NODE;
    size * (full - used) / used
}

fn due_bytes(due: &Due) -> usize {
    let answer = match &due.answer {
        Answer::Given(output) => output.reconstruction.capacity(),
        Answer::Awaited | Answer::Failed => 0,
    };
    (due.input.capacity() + answer) * size_of::<f32>()
}
