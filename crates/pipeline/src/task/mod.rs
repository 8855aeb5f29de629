//! Everything of one input partition: series, windows, scores, open alerts.
//!
//! `intake` is what records and controls change at once: series and windows. `apply` is what follows as the queue
//! between the two is applied in order: scores, alerts, rows. `silence` notices series that come no more, `memory` counts bytes.

mod apply;
mod intake;
mod keep;
mod memory;
mod overdue;
mod rest;
mod silence;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use alerting::{AlertMachine, LimitMachine, Missed, SilenceMachine};
use scorer::WindowOutput;
use scorer::causal::SeriesScorer;
use scorer::normalise::{Affine, FloorEstimate};
use serde::{Deserialize, Serialize};
use types::{
    Alert, Bucket, Control, DurationMs, Forecast, Occurrence, Record, Rejected, ScoreRow, SeriesKey,
    Timestamp,
};
use windowing::{Closed, CoarseWindow, SeriesWindow};

use self::keep::Ledger;
pub(crate) use self::keep::{Learnt, Said};
pub use self::memory::TaskMemory;
pub use self::overdue::Overdue;
use self::overdue::Windowed;
use self::rest::Rest;
use self::silence::{Pulse, Watch};
use crate::settings::TaskSettings;
use crate::state::{Mark, Place};

/// What goes into a task.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// The next record of the partition.
    Record(&'a Record),
    /// Whatever acts on the task and is no record.
    Control(&'a Control),
    /// The nets' answers to due windows by their ids, in any order; `None` where inference failed.
    Scored(Vec<(u64, Option<WindowOutput>)>),
    /// The input is over. With `flush`, what live would not have scored yet is scored all the same.
    EndOfInput {
        /// Close and score everything now.
        flush: bool,
    },
}

/// What comes out of a task.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "an output is moved once, from the task to its sink"
)]
pub enum Output {
    /// A window for the nets: answer with [`Input::Scored`].
    Due {
        /// Names the window within its task.
        id: u64,
        /// The nets' input, length L.
        input: Vec<f32>,
    },
    /// An alert state to send.
    Alert(Alert),
    /// A bucket's final row.
    Row(ScoreRow),
    /// What the next bucket of a series will be, said as one closes.
    Forecast(Forecast),
    /// A part of a record that was not used.
    Rejected {
        /// The record's offset.
        offset: i64,
        /// Why.
        rejected: Rejected,
    },
    /// Something to count.
    Occurred(Occurrence),
    /// Everything that records below this offset caused has come out before this.
    Processed {
        /// The next offset to read.
        next_offset: i64,
    },
}

/// One partition's state. See [`crate`] for what makes it deterministic.
#[derive(Clone, Debug)]
pub struct Task {
    settings: Arc<TaskSettings>,
    state: State,
}

/// All that a snapshot holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct State {
    /// Input side: what records change at once.
    series: BTreeMap<SeriesKey, Intake>,
    /// Series by when they were last used, a [`Self::moment`].
    by_use: BTreeSet<(u64, SeriesKey)>,
    /// One more than the offset of the newest record: what was last used then can be told from the record alone.
    moment: u64,
    next_due: u64,
    watch: Watch,
    /// What has happened but is not applied yet, in order; the front waits for the nets.
    queue: VecDeque<Queued>,
    /// Output side: what changes as the queue is applied.
    verdicts: BTreeMap<SeriesKey, Verdicts>,
    /// The past is being re-read: nothing is said. Output side.
    muted: bool,
    /// The same on the input side, which may be ahead: what could not be used has been said before.
    rereading: bool,
    /// What is to be kept outside.
    ledger: Ledger,
    /// Events that were open when the past, which is read again, was told. Output side.
    told: BTreeMap<SeriesKey, (AlertMachine, LimitMachine)>,
}

impl State {
    fn new(muted: bool) -> Self {
        Self {
            series: BTreeMap::new(),
            by_use: BTreeSet::new(),
            moment: 0,
            next_due: 0,
            watch: Watch::default(),
            queue: VecDeque::new(),
            verdicts: BTreeMap::new(),
            muted,
            rereading: muted,
            ledger: Ledger::default(),
            told: BTreeMap::new(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Intake {
    #[serde(skip)]
    rule: Option<usize>,
    /// What of the settings' maintenance is the series' own.
    #[serde(skip)]
    maintenance: Vec<usize>,
    window: SeriesWindow,
    coarse: CoarseWindow,
    floor: FloorEstimate,
    last_use: u64,
    pulse: Pulse,
    /// Since when what is kept of it is behind.
    behind: Option<Mark>,
    /// Where its first sample stood.
    first: Place,
    /// Nothing that a task does depends on it.
    #[serde(skip)]
    windowed: Windowed,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Verdicts {
    #[serde(skip)]
    rule: Option<usize>,
    /// As of [`Intake`].
    #[serde(skip)]
    maintenance: Vec<usize>,
    scorer: SeriesScorer,
    machine: AlertMachine,
    limits: LimitMachine,
    silence: SilenceMachine,
    rest: Rest,
    /// The newest bucket with a score. Nothing that a task does depends on it.
    #[serde(skip)]
    scored: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Queued {
    /// The coarse bucket that closed with the bucket after it in the queue.
    Coarse {
        series: SeriesKey,
        bucket: Bucket,
        /// Of the bucket that it closed with.
        interval: DurationMs,
        floor: f64,
        window: Option<Due>,
    },
    Closed {
        series: SeriesKey,
        closed: Closed,
        interval: DurationMs,
        floor: f64,
        window: Option<Due>,
    },
    Finish {
        series: SeriesKey,
        interval: DurationMs,
        floor: f64,
        available_at: Timestamp,
    },
    /// The series is silent.
    Silent {
        series: SeriesKey,
        missed: Missed,
        available_at: Timestamp,
    },
    /// It came back, or (without a time) is given up.
    Returned {
        series: SeriesKey,
        at: Option<Timestamp>,
        available_at: Timestamp,
    },
    Evict {
        series: SeriesKey,
        available_at: Timestamp,
    },
    Live,
    Processed {
        next_offset: i64,
    },
}

impl Queued {
    /// The window that it carries.
    fn due(&self) -> Option<&Due> {
        match self {
            Self::Closed { window, .. } | Self::Coarse { window, .. } => window.as_ref(),
            _ => None,
        }
    }

    fn due_mut(&mut self) -> Option<&mut Due> {
        match self {
            Self::Closed { window, .. } | Self::Coarse { window, .. } => window.as_mut(),
            _ => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Due {
    id: u64,
    affine: Affine,
    filled_share: f64,
    is_young: bool,
    input: Vec<f32>,
    answer: Answer,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Answer {
    Awaited,
    Given(WindowOutput),
    Failed,
}

impl Task {
    /// A task that has seen nothing. While `muted` it learns but emits no alerts, rows or forecasts, until a control record
    /// [`types::ControlKind::Live`] takes effect.
    #[must_use]
    pub fn new(settings: Arc<TaskSettings>, muted: bool) -> Self {
        Self {
            settings,
            state: State::new(muted),
        }
    }

    /// The whole state, windows that the nets have not answered included.
    ///
    /// # Errors
    /// When the encoder fails, which it does on no state a task can be in.
    pub fn snapshot(&self) -> Result<Vec<u8>, SnapshotError> {
        postcard::to_stdvec(&self.state).map_err(|e| SnapshotError(e.to_string()))
    }

    /// A task that goes on where [`Self::snapshot`] was taken. Ask [`Self::unanswered`] for the windows to run again.
    ///
    /// # Errors
    /// When the bytes are no snapshot of this version.
    pub fn restore(settings: Arc<TaskSettings>, snapshot: &[u8]) -> Result<Self, SnapshotError> {
        let mut state: State = postcard::from_bytes(snapshot).map_err(|e| SnapshotError(e.to_string()))?;
        for (series, intake) in &mut state.series {
            intake.rule = settings.rule_of(series);
            intake.maintenance = settings.maintenance_of(series);
        }
        for (series, verdicts) in &mut state.verdicts {
            verdicts.rule = settings.rule_of(series);
            verdicts.maintenance = settings.maintenance_of(series);
        }
        Ok(Self { settings, state })
    }

    /// Windows that wait for the nets, in order.
    pub fn unanswered(&self) -> impl Iterator<Item = (u64, &[f32])> {
        let due = self.state.queue.iter().filter_map(Queued::due);
        due.filter(|due| due.answer == Answer::Awaited)
            .map(|due| (due.id, due.input.as_slice()))
    }

    /// Series held now.
    #[must_use]
    pub fn series_count(&self) -> usize {
        self.state.series.len()
    }

    /// Events open now.
    #[must_use]
    pub fn open_alerts(&self) -> usize {
        self.state
            .verdicts
            .values()
            .map(|v| {
                usize::from(v.machine.open_id().is_some())
                    + v.limits.open()
                    + usize::from(v.silence.is_open())
            })
            .sum()
    }

    /// Latest event time of any sample; the task's own notion of now.
    #[must_use]
    pub fn event_time(&self) -> Option<Timestamp> {
        self.state
            .series
            .values()
            .filter_map(|i| i.window.event_time())
            .max()
    }

    /// One more than the offset of the newest record: names a moment for [`types::ControlKind::IdleClose`].
    #[must_use]
    pub fn moment(&self) -> u64 {
        self.state.moment
    }

    /// Whether [`types::ControlKind::IdleClose`] would change anything: only ticks that matter are logged.
    #[must_use]
    pub fn is_idle(&self, until: Timestamp, quiet_since: u64) -> bool {
        let quiet = self
            .state
            .series
            .values()
            .filter(|intake| intake.last_use <= quiet_since);
        self.state.watch.is_due(until)
            || quiet.into_iter().any(|intake| {
                let spec = &self.settings.settings(intake.rule).window;
                intake.window.is_idle(spec, until)
                    || intake
                        .window
                        .event_time()
                        .is_some_and(|t| until - t > self.settings.series_ttl)
            })
    }

    /// Takes one input in and appends what follows from it to `out`.
    pub fn feed(&mut self, input: Input<'_>, out: &mut Vec<Output>) {
        match input {
            Input::Record(record) => self.record(record, out),
            Input::Control(control) => self.control(control, out),
            Input::Scored(answers) => self.answer(answers),
            Input::EndOfInput { flush: true } => self.flush(out),
            Input::EndOfInput { flush: false } => {}
        }
        self.apply(out);
    }
}

/// A snapshot that cannot be written or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("task snapshot: {0}")]
pub struct SnapshotError(String);
