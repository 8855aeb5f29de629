//! Everything of one input partition: series, windows, scores, open alerts.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use alerting::{AlertMachine, Observation, Origin};
use scorer::WindowOutput;
use scorer::causal::{Scored, SeriesScorer, WindowResult};
use scorer::normalise::{Affine, FloorEstimate};
use serde::{Deserialize, Serialize};
use types::{
    Alert, Control, ControlKind, DurationMs, Occurrence, Payload, Record, RejectReason, Rejected, RowStatus,
    Sample, ScoreRow, SeriesKey, Timestamp,
};
use windowing::{Closed, SeriesWindow};

use crate::settings::TaskSettings;

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
    /// Series by when they were last used.
    by_use: BTreeMap<u64, SeriesKey>,
    uses: u64,
    next_due: u64,
    /// What has happened but is not applied yet, in order; the front waits for the nets.
    queue: VecDeque<Queued>,
    /// Output side: what changes as the queue is applied.
    verdicts: BTreeMap<SeriesKey, Verdicts>,
    /// The past is being re-read: nothing is said.
    muted: bool,
}

impl State {
    fn new(muted: bool) -> Self {
        Self {
            series: BTreeMap::new(),
            by_use: BTreeMap::new(),
            uses: 0,
            next_due: 0,
            queue: VecDeque::new(),
            verdicts: BTreeMap::new(),
            muted,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Intake {
    #[serde(skip)]
    rule: Option<usize>,
    window: SeriesWindow,
    floor: FloorEstimate,
    last_use: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Verdicts {
    #[serde(skip)]
    rule: Option<usize>,
    scorer: SeriesScorer,
    machine: AlertMachine,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Queued {
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
    Evict {
        series: SeriesKey,
        available_at: Timestamp,
    },
    Live,
    Processed {
        next_offset: i64,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Due {
    id: u64,
    affine: Affine,
    filled_share: f64,
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
    /// A task that has seen nothing. While `muted` it learns but emits neither alerts nor rows, until a control record
    /// [`ControlKind::Live`] takes effect.
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
        }
        for (series, verdicts) in &mut state.verdicts {
            verdicts.rule = settings.rule_of(series);
        }
        Ok(Self { settings, state })
    }

    /// Windows that wait for the nets, in order.
    pub fn unanswered(&self) -> impl Iterator<Item = (u64, &[f32])> {
        self.state.queue.iter().filter_map(|queued| match queued {
            Queued::Closed {
                window: Some(due), ..
            } if due.answer == Answer::Awaited => Some((due.id, due.input.as_slice())),
            _ => None,
        })
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
            .filter(|v| v.machine.open_id().is_some())
            .count()
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

    /// Whether [`ControlKind::IdleClose`] at `until` would change anything: only ticks that matter are logged.
    #[must_use]
    pub fn is_idle(&self, until: Timestamp) -> bool {
        self.state.series.values().any(|intake| {
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

    fn record(&mut self, record: &Record, out: &mut Vec<Output>) {
        let decoded;
        let samples: &[Sample] = match &record.payload {
            Payload::Samples(samples) => samples,
            Payload::Bytes(bytes) => {
                let settings = &self.settings;
                decoded = ingest::decode::decode(bytes, settings.format, record.time, &settings.labels);
                for rejected in decoded.rejected {
                    reject(record.offset, rejected, out);
                }
                &decoded.samples
            }
        };
        for sample in samples {
            if let Err(rejected) = self.sample(record, sample, out) {
                reject(record.offset, rejected, out);
            }
        }
        self.state.queue.push_back(Queued::Processed {
            next_offset: record.offset + 1,
        });
    }

    fn sample(&mut self, record: &Record, sample: &Sample, out: &mut Vec<Output>) -> Result<(), Rejected> {
        let limit = self.settings.future_limit;
        if let Some(ahead) = record
            .time
            .map(|t| sample.time - t)
            .filter(|ahead| *ahead > limit)
        {
            let detail = format!(
                "{} at {} is {ahead} ms ahead of its record",
                sample.series, sample.time
            );
            return Err(Rejected {
                reason: RejectReason::Future,
                detail,
            });
        }
        let settings = Arc::clone(&self.settings);
        let Some(intake) = self.intake(&settings, sample, out)? else {
            return Ok(());
        };
        let spec = &settings.settings(intake.rule).window;
        let mut occurred = Vec::new();
        let taken = intake
            .window
            .observe(spec, sample.time, sample.value, &mut occurred);
        out.extend(occurred.into_iter().map(Output::Occurred));
        taken.map_err(|reason| Rejected {
            reason,
            detail: format!("{} at {}: {}", sample.series, sample.time, reason.name()),
        })?;
        self.close(&sample.series, out);
        Ok(())
    }

    /// The series of `sample`, made if need be; `None` when a rule ignores it.
    fn intake(
        &mut self,
        settings: &TaskSettings,
        sample: &Sample,
        out: &mut Vec<Output>,
    ) -> Result<Option<&mut Intake>, Rejected> {
        let key = &sample.series;
        if !self.state.series.contains_key(key) {
            let rule = settings.rule_of(key);
            if settings.settings(rule).ignore {
                return Ok(None);
            }
            if self.state.series.len() >= settings.max_series && !self.make_room(sample.time, out) {
                let detail = format!("{key} is one more than {} series", settings.max_series);
                return Err(Rejected {
                    reason: RejectReason::TooManySeries,
                    detail,
                });
            }
            let intake = Intake {
                rule,
                window: SeriesWindow::new(),
                floor: FloorEstimate::default(),
                last_use: 0,
            };
            self.state.series.insert(key.clone(), intake);
            out.push(Output::Occurred(Occurrence::SeriesCreated));
        }
        let state = &mut self.state;
        let Some(intake) = state.series.get_mut(key) else {
            return Ok(None);
        };
        state.uses += 1;
        state.by_use.remove(&intake.last_use);
        state.by_use.insert(state.uses, key.clone());
        intake.last_use = state.uses;
        Ok(Some(intake))
    }

    /// Forgets the series that was used least lately, if it has been silent for long enough at `now`.
    fn make_room(&mut self, now: Timestamp, out: &mut Vec<Output>) -> bool {
        let Some(series) = self.state.by_use.values().next().cloned() else {
            return false;
        };
        let last = self.state.series.get(&series).and_then(|i| i.window.event_time());
        if last.is_some_and(|last| now - last <= self.settings.evict_idle) {
            return false;
        }
        self.evict(&series, now, out);
        true
    }

    fn evict(&mut self, series: &SeriesKey, now: Timestamp, out: &mut Vec<Output>) {
        let Some(intake) = self.state.series.remove(series) else {
            return;
        };
        self.state.by_use.remove(&intake.last_use);
        let available_at = intake.window.event_time().map_or(now, |t| t.max(now));
        self.state.queue.push_back(Queued::Evict {
            series: series.clone(),
            available_at,
        });
        out.push(Output::Occurred(Occurrence::SeriesEvicted));
    }

    fn control(&mut self, control: &Control, out: &mut Vec<Output>) {
        match control.kind {
            ControlKind::Start { muted } => self.state = State::new(muted),
            ControlKind::Live => self.state.queue.push_back(Queued::Live),
            ControlKind::IdleClose { until } => {
                let settings = Arc::clone(&self.settings);
                let names: Vec<SeriesKey> = self.state.series.keys().cloned().collect();
                for series in names {
                    let Some(intake) = self.state.series.get_mut(&series) else {
                        continue;
                    };
                    intake
                        .window
                        .close_idle(&settings.settings(intake.rule).window, until);
                    let silent = intake
                        .window
                        .event_time()
                        .is_some_and(|t| until - t > settings.series_ttl);
                    self.close(&series, out);
                    if silent {
                        self.evict(&series, until, out);
                    }
                }
            }
        }
    }

    fn flush(&mut self, out: &mut Vec<Output>) {
        let settings = Arc::clone(&self.settings);
        let names: Vec<SeriesKey> = self.state.series.keys().cloned().collect();
        for series in names {
            let Some(intake) = self.state.series.get_mut(&series) else {
                continue;
            };
            intake.window.flush(&settings.settings(intake.rule).window);
            let facts = intake.window.interval().zip(intake.window.event_time());
            let floor = intake.floor.floor();
            self.close(&series, out);
            if let Some((interval, available_at)) = facts {
                self.state.queue.push_back(Queued::Finish {
                    series,
                    interval,
                    floor,
                    available_at,
                });
            }
        }
    }

    /// Takes every closed bucket of a series and puts it, with the window that ends with it, into the queue.
    fn close(&mut self, series: &SeriesKey, out: &mut Vec<Output>) {
        let settings = Arc::clone(&self.settings);
        let state = &mut self.state;
        let Some(intake) = state.series.get_mut(series) else {
            return;
        };
        let own = settings.settings(intake.rule);
        let mut occurred = Vec::new();
        while let Some(closed) = intake.window.next_closed(&own.window, &mut occurred) {
            if !closed.bucket.filled {
                intake.floor.push(closed.bucket.value);
            }
            let floor = intake.floor.floor();
            let window = intake.window.window().and_then(|window| {
                if window.filled_share() > own.max_filled_share {
                    occurred.push(Occurrence::WindowSkipped);
                    return None;
                }
                let values: Vec<f64> = window.values().collect();
                let affine = settings.model.scaler.fit(&values, floor);
                let mut input = vec![0.0; values.len()];
                settings.model.scaler.apply(affine, &values, &mut input);
                let id = state.next_due;
                state.next_due += 1;
                out.push(Output::Due {
                    id,
                    input: input.clone(),
                });
                occurred.push(Occurrence::WindowDue);
                Some(Due {
                    id,
                    affine,
                    filled_share: window.filled_share(),
                    input,
                    answer: Answer::Awaited,
                })
            });
            let interval = intake.window.interval().unwrap_or(1);
            state.queue.push_back(Queued::Closed {
                series: series.clone(),
                closed,
                interval,
                floor,
                window,
            });
        }
        out.extend(occurred.into_iter().map(Output::Occurred));
    }

    fn answer(&mut self, answers: Vec<(u64, Option<WindowOutput>)>) {
        let mut answers: BTreeMap<u64, Option<WindowOutput>> = answers.into_iter().collect();
        for queued in &mut self.state.queue {
            if answers.is_empty() {
                return;
            }
            if let Queued::Closed {
                window: Some(due), ..
            } = queued
                && let Some(answer) = answers.remove(&due.id)
            {
                due.answer = answer.map_or(Answer::Failed, Answer::Given);
                due.input = Vec::new();
            }
        }
    }

    /// Applies the queue up to the first window that the nets have not answered.
    fn apply(&mut self, out: &mut Vec<Output>) {
        while let Some(front) = self.state.queue.front() {
            if matches!(front, Queued::Closed { window: Some(due), .. } if due.answer == Answer::Awaited) {
                return;
            }
            let Some(queued) = self.state.queue.pop_front() else {
                return;
            };
            match queued {
                Queued::Closed {
                    series,
                    closed,
                    interval,
                    floor,
                    window,
                } => {
                    self.apply_closed(&series, &closed, interval, floor, window, out);
                }
                Queued::Finish {
                    series,
                    interval,
                    floor,
                    available_at,
                } => {
                    let settings = Arc::clone(&self.settings);
                    let verdicts = verdicts_of(&settings, &mut self.state.verdicts, &series);
                    let spec = &settings.settings(verdicts.rule).score;
                    let calibration = settings.model.calibration(spec.lag);
                    let mut scored = Vec::new();
                    verdicts
                        .scorer
                        .flush(spec, &calibration, interval, floor, available_at, &mut scored);
                    self.emit(&series, interval, scored, out);
                }
                Queued::Evict { series, available_at } => {
                    let mut alerts = Vec::new();
                    if let Some(mut verdicts) = self.state.verdicts.remove(&series) {
                        verdicts
                            .machine
                            .end(&origin(&self.settings, &series), available_at, &mut alerts);
                    }
                    self.emit_alerts(alerts, out);
                }
                Queued::Live => self.state.muted = false,
                Queued::Processed { next_offset } => out.push(Output::Processed { next_offset }),
            }
        }
    }

    fn apply_closed(
        &mut self,
        series: &SeriesKey,
        closed: &Closed,
        interval: DurationMs,
        floor: f64,
        window: Option<Due>,
        out: &mut Vec<Output>,
    ) {
        let settings = Arc::clone(&self.settings);
        let verdicts = verdicts_of(&settings, &mut self.state.verdicts, series);
        let spec = &settings.settings(verdicts.rule).score;
        let result = window.as_ref().and_then(|due| match &due.answer {
            Answer::Given(output) => Some(WindowResult {
                affine: due.affine,
                reconstruction: &output.reconstruction,
                critic: f64::from(output.critic),
                filled_share: due.filled_share,
            }),
            Answer::Awaited | Answer::Failed => None,
        });
        let mut scored = Vec::new();
        verdicts.scorer.close(
            spec,
            &settings.model.calibration(spec.lag),
            interval,
            floor,
            closed.bucket,
            closed.available_at,
            closed.restarted,
            result,
            &mut scored,
        );
        self.emit(series, interval, scored, out);
    }

    fn emit(&mut self, series: &SeriesKey, interval: DurationMs, scored: Vec<Scored>, out: &mut Vec<Output>) {
        let settings = Arc::clone(&self.settings);
        for scored in scored {
            let mut alerts = Vec::new();
            let verdicts = verdicts_of(&settings, &mut self.state.verdicts, series);
            let spec = &settings.settings(verdicts.rule).alert;
            let origin = origin(&settings, series);
            match observation(&scored, interval) {
                Some(seen) => verdicts.machine.observe(spec, &origin, &seen, &mut alerts),
                None => {
                    verdicts
                        .machine
                        .observe_unscored(spec, &origin, scored.available_at, &mut alerts);
                }
            }
            let row = final_row(series, &scored, verdicts.machine.open_id());
            self.emit_alerts(alerts, out);
            if scored.verdict.is_some() {
                out.push(Output::Occurred(Occurrence::BucketScored));
            }
            if !self.state.muted {
                out.push(Output::Row(row));
            }
        }
    }

    fn emit_alerts(&self, alerts: Vec<Alert>, out: &mut Vec<Output>) {
        for alert in alerts {
            if self.state.muted {
                out.push(Output::Occurred(Occurrence::AlertMuted));
            } else {
                out.push(Output::Occurred(Occurrence::AlertEmitted));
                out.push(Output::Alert(alert));
            }
        }
    }

    /// Rows of buckets that have no final score yet, by series and time. Meaningful once every window is answered.
    #[must_use]
    pub fn pending_rows(&self) -> Vec<ScoreRow> {
        let mut rows = Vec::new();
        for (series, intake) in &self.state.series {
            let spec = &self.settings.settings(intake.rule).window;
            if let Some(verdicts) = self.state.verdicts.get(series) {
                rows.extend(
                    verdicts
                        .scorer
                        .waiting()
                        .map(|bucket| pending_row(series, bucket)),
                );
            }
            let mut rest = intake.window.clone();
            rest.flush(spec);
            while let Some(closed) = rest.next_closed(spec, &mut Vec::new()) {
                rows.push(pending_row(series, closed.bucket));
            }
        }
        rows
    }
}

fn reject(offset: i64, rejected: Rejected, out: &mut Vec<Output>) {
    out.push(Output::Occurred(Occurrence::Rejected(rejected.reason)));
    out.push(Output::Rejected { offset, rejected });
}

fn verdicts_of<'a>(
    settings: &TaskSettings,
    all: &'a mut BTreeMap<SeriesKey, Verdicts>,
    series: &SeriesKey,
) -> &'a mut Verdicts {
    all.entry(series.clone()).or_insert_with(|| Verdicts {
        rule: settings.rule_of(series),
        ..Verdicts::default()
    })
}

fn origin<'a>(settings: &'a TaskSettings, series: &'a SeriesKey) -> Origin<'a> {
    Origin {
        scope: &settings.scope,
        series,
        bundle: &settings.model.label,
    }
}

fn observation(scored: &Scored, interval: DurationMs) -> Option<Observation> {
    let verdict = scored.verdict?;
    Some(Observation {
        start: scored.bucket.start,
        interval,
        available_at: scored.available_at,
        value: scored.bucket.value,
        expected: verdict.expected,
        score: verdict.score,
        peak: verdict.peak,
        threshold: verdict.threshold,
        confidence: verdict.confidence,
        parts: verdict.parts,
    })
}

fn final_row(series: &SeriesKey, scored: &Scored, open: Option<&str>) -> ScoreRow {
    let verdict = scored.verdict;
    ScoreRow {
        timestamp: scored.bucket.start,
        series: series.clone(),
        value: (!scored.bucket.filled).then_some(scored.bucket.value),
        expected: verdict.map(|v| v.expected),
        score: verdict.map(|v| v.score),
        peak: verdict.map(|v| v.peak),
        threshold: verdict.and_then(|v| v.threshold),
        confidence: verdict.map_or(0.0, |v| v.confidence),
        status: RowStatus::Final,
        available_at: Some(scored.available_at),
        alert: open.map(str::to_owned),
    }
}

fn pending_row(series: &SeriesKey, bucket: types::Bucket) -> ScoreRow {
    ScoreRow {
        timestamp: bucket.start,
        series: series.clone(),
        value: (!bucket.filled).then_some(bucket.value),
        expected: None,
        score: None,
        peak: None,
        threshold: None,
        confidence: 0.0,
        status: RowStatus::Pending,
        available_at: None,
        alert: None,
    }
}

/// A snapshot that cannot be written or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("task snapshot: {0}")]
pub struct SnapshotError(String);
