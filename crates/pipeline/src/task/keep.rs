//! What of a task is kept outside of the process, when, and how another process goes on with it.
//!
//! **What is kept.** Of each series `Said`: the pulse that the silence watch has of it, and its open events. It depends on other
//! series and on what was told, so it is written in the publication in which it changed. And `Learnt`: windows and scores, a
//! function of the series' own samples and of ticks. It is written as of a [`Mark`], the one that waits longest first, one for every
//! [`EVERY`] buckets that close. Of the task the first moment that is not in any `Learnt`, the clock then and now, and the ticks since.
//!
//! **Going on.** Records are read again from that moment, muted. Which series there are is known, so nothing is made and nothing
//! is forgotten: a sample of a series that is not kept is passed over, and one from before a series' mark too. No series is looked
//! for: what came of that is in `Said`. What the task notes beside a sample follows from its offset (`last_use`) and from the
//! clock, which is moved as it was moved then. When the past is read the task is what it was; where the numbers were computed
//! elsewhere and an open event came out otherwise, what was said stands.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use alerting::{AlertMachine, LimitMachine, SilenceMachine};
use scorer::causal::SeriesScorer;
use scorer::normalise::FloorEstimate;
use serde::{Deserialize, Serialize};
use types::{SeriesKey, Timestamp};
use windowing::{CoarseWindow, SeriesWindow};

use super::rest::Rest;
use super::silence::Pulse;
use super::{Intake, State, Task, Verdicts};
use crate::host::TaskId;
use crate::settings::TaskSettings;
use crate::state::{Course, Head, Identity, Kept, Live, Mark, Place, StateRecord, Tick};

/// Buckets that close for each `Learnt` that is written: what is written grows with one part in so many, and what is read and computed
/// again with so many buckets a series.
const EVERY: u64 = 8;
/// Most of them in one publication, so that its transaction stays short.
const MOST: usize = 500;

/// What was told of a series, and what others have to do with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Said {
    first: Place,
    pulse: Pulse,
    machine: AlertMachine,
    limits: LimitMachine,
    silence: SilenceMachine,
}

/// What was learnt from a series' own samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Learnt {
    mark: Mark,
    last_use: u64,
    heard: Timestamp,
    window: SeriesWindow,
    coarse: CoarseWindow,
    floor: FloorEstimate,
    scorer: SeriesScorer,
    machine: AlertMachine,
    limits: LimitMachine,
    rest: Rest,
}

/// What has changed and is not kept yet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Ledger {
    /// Somebody asks for it.
    on: bool,
    /// Before the input under way, and the clock then.
    now: Mark,
    clock: Option<Timestamp>,
    /// The sample under way, by its number in the record.
    number: u64,
    /// Series whose `Learnt` is behind, by since when, with the clock then.
    behind: BTreeMap<(Mark, SeriesKey), Option<Timestamp>>,
    said: BTreeSet<SeriesKey>,
    gone: BTreeSet<SeriesKey>,
    /// Ticks since the first moment in `behind`; the newest is number `now.ticks`.
    ticks: VecDeque<Tick>,
    /// Ticks that are kept, or among `ticks` of what is.
    ticks_saved: u64,
    /// Buckets that have closed and are not paid for with a `Learnt`.
    closed: u64,
    reread: Option<Reread>,
}

/// The past that is read again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Reread {
    /// Ticks still to come.
    ticks: VecDeque<Tick>,
    /// Up to where each series has everything, and where it first came up.
    marks: BTreeMap<SeriesKey, (Mark, Place)>,
    /// The clock when it is over.
    clock: Option<Timestamp>,
}

impl Ledger {
    /// An input comes at this offset.
    pub(super) fn begin(&mut self, offset: i64, clock: Option<Timestamp>) {
        self.now.offset = offset;
        self.clock = clock;
    }

    /// Of the record that came, this sample is next.
    pub(super) fn sample(&mut self, number: usize) {
        self.number = number as u64;
    }

    /// Where the sample under way stands.
    pub(super) fn place(&self) -> Place {
        let (offset, number) = (self.now.offset, self.number);
        Place { offset, number }
    }

    /// What is told of the series changes.
    pub(super) fn says(&mut self, series: &SeriesKey) {
        if self.on && self.reread.is_none() {
            self.said.insert(series.clone());
        }
    }

    /// The windows of the series change; it is behind since then.
    pub(super) fn learns(&mut self, series: &SeriesKey, behind: &mut Option<Mark>) {
        if self.on && behind.is_none() {
            *behind = Some(self.now);
            self.behind.insert((self.now, series.clone()), self.clock);
        }
    }

    pub(super) fn closes(&mut self) {
        self.closed += u64::from(self.on);
    }

    pub(super) fn forgets(&mut self, series: &SeriesKey, behind: Option<Mark>) {
        if let Some(mark) = behind {
            self.behind.remove(&(mark, series.clone()));
        }
        if self.on {
            self.gone.insert(series.clone());
        }
    }

    pub(super) fn is_rereading(&self) -> bool {
        self.reread.is_some()
    }

    /// Whether the sample under way is in what is known of the series already, or was none of a series that is held.
    pub(super) fn knows(&self, series: &SeriesKey) -> bool {
        let Some(reread) = &self.reread else { return false };
        let place = self.place();
        let is_known = |(mark, first): &(Mark, Place)| place.offset < mark.offset || place < *first;
        reread.marks.get(series).is_none_or(is_known)
    }

    /// Whether the tick that comes is in what is known of the series already.
    pub(super) fn knows_tick(&self, series: &SeriesKey) -> bool {
        let (reread, number) = (self.reread.as_ref(), self.now.ticks + 1);
        reread.is_some_and(|r| r.marks.get(series).is_none_or(|(mark, _)| number <= mark.ticks))
    }

    /// A tick took effect.
    pub(super) fn ticks(&mut self, tick: Tick) {
        self.now.ticks += 1;
        if self.on {
            self.ticks.push_back(tick);
        }
    }

    /// The next tick that took effect before a record at `offset` did.
    pub(super) fn next_tick(&mut self, offset: i64) -> Option<Tick> {
        let reread = self.reread.as_mut()?;
        reread.ticks.front().filter(|tick| tick.offset <= offset)?;
        reread.ticks.pop_front()
    }

    /// The past is read; the clock now.
    pub(super) fn is_reread(&mut self) -> Option<Timestamp> {
        self.reread.take()?.clock
    }

    /// Bytes beside the value itself.
    pub(super) fn heap_bytes(&self) -> usize {
        let names = self.said.len() + self.gone.len();
        self.behind.len() * size_of::<((Mark, SeriesKey), Option<Timestamp>)>()
            + names * size_of::<SeriesKey>()
            + self.ticks.capacity() * size_of::<Tick>()
    }
}

impl Task {
    /// From here on the task notes what is to be kept; [`Self::save`] gives it.
    pub(crate) fn keep(&mut self) {
        self.state.ledger.on = true;
    }

    /// Whether something has changed of which the next offset says nothing.
    pub(crate) fn has_unsaved(&self) -> bool {
        let ledger = &self.state.ledger;
        let some_behind = ledger.closed >= EVERY && !ledger.behind.is_empty();
        let ticked = ledger.now.ticks > ledger.ticks_saved;
        ticked || !ledger.said.is_empty() || !ledger.gone.is_empty() || some_behind
    }

    /// What is to be kept now: all that has come out of the task, and every record below `next` is in it. Taken for kept from then on.
    pub(crate) fn save(&mut self, id: &TaskId, identity: &Identity, next: i64) -> Vec<StateRecord> {
        let mut records = Vec::new();
        let ledger = &mut self.state.ledger;
        // Nothing owes more than all of them once.
        ledger.closed = ledger.closed.min(EVERY * ledger.behind.len() as u64);
        ledger.now.offset = next;
        let now = ledger.now;
        ledger.ticks_saved = now.ticks;
        let gone = std::mem::take(&mut ledger.gone);
        for series in &gone {
            if self.state.series.contains_key(series) {
                // What another series of that name has left is to go.
                records.extend(self.save_learnt(id, series, now));
            } else {
                records.push(StateRecord::said(id, series, None::<&Said>));
                records.push(StateRecord::learnt(id, series, None::<&Learnt>));
            }
        }
        for series in std::mem::take(&mut self.state.ledger.said) {
            records.extend(
                self.said(&series)
                    .map(|said| StateRecord::said(id, &series, Some(&said))),
            );
        }
        for _ in 0..MOST {
            let ledger = &mut self.state.ledger;
            let Some(((_, series), _)) = ledger.behind.first_key_value() else {
                break;
            };
            if ledger.closed < EVERY {
                break;
            }
            ledger.closed -= EVERY;
            let series = series.clone();
            records.extend(self.save_learnt(id, &series, now));
        }
        records.push(StateRecord::head(id, &self.head(identity, now)));
        records
    }

    fn head(&mut self, identity: &Identity, now: Mark) -> Head {
        let clock = self.state.watch.clock();
        let ledger = &mut self.state.ledger;
        let (since, clock_then) = match ledger.behind.first_key_value() {
            Some(((mark, _), clock)) => (*mark, *clock),
            None => (now, clock),
        };
        while ledger.ticks.len() as u64 > now.ticks - since.ticks {
            ledger.ticks.pop_front();
        }
        Head {
            identity: identity.clone(),
            next: now.offset,
            course: Course::Live(Live {
                since,
                clock_then,
                clock,
                ticks: ledger.ticks.iter().copied().collect(),
            }),
        }
    }

    fn said(&self, series: &SeriesKey) -> Option<Said> {
        let intake = self.state.series.get(series)?;
        let verdicts = self.state.verdicts.get(series);
        let (machine, limits, silence) = verdicts
            .map(|v| (v.machine.clone(), v.limits.clone(), v.silence.clone()))
            .unwrap_or_default();
        Some(Said {
            first: intake.first,
            pulse: intake.pulse.clone(),
            machine,
            limits,
            silence,
        })
    }

    fn save_learnt(&mut self, id: &TaskId, series: &SeriesKey, mark: Mark) -> Option<StateRecord> {
        let intake = self.state.series.get_mut(series)?;
        if let Some(since) = intake.behind.take() {
            self.state.ledger.behind.remove(&(since, series.clone()));
        }
        let verdicts = self.state.verdicts.get(series).cloned().unwrap_or_default();
        let learnt = Learnt {
            mark,
            last_use: intake.last_use,
            heard: intake.pulse.heard(),
            window: intake.window.clone(),
            coarse: intake.coarse.clone(),
            floor: intake.floor.clone(),
            scorer: verdicts.scorer,
            machine: verdicts.machine,
            limits: verdicts.limits,
            rest: verdicts.rest,
        };
        Some(StateRecord::learnt(id, series, Some(&learnt)))
    }

    /// Goes on with what is kept; a muted task that has seen nothing. The records from [`Kept::read_from`] on must follow.
    pub fn go_on(&mut self, kept: Kept) {
        let Course::Live(live) = kept.head.course else {
            // It had only begun, just so.
            return;
        };
        let settings = Arc::clone(&self.settings);
        let state = &mut self.state;
        let mut marks = BTreeMap::new();
        for (series, (said, learnt)) in kept.series {
            let rule = settings.rule_of(&series);
            if settings.settings(rule).ignore {
                state.ledger.gone.insert(series);
                continue;
            }
            let mark = learnt.as_ref().map(|learnt| learnt.mark).unwrap_or_default();
            marks.insert(series.clone(), (mark, said.first));
            state
                .told
                .insert(series.clone(), (said.machine.clone(), said.limits.clone()));
            state.take_up(series, said, learnt, &settings);
        }
        state.watch.set_clock(live.clock_then);
        state.ledger.now = live.since;
        state.ledger.ticks_saved = live.since.ticks + live.ticks.len() as u64;
        state.ledger.reread = Some(Reread {
            ticks: live.ticks.into(),
            marks,
            clock: live.clock,
        });
    }
}

impl State {
    fn take_up(&mut self, series: SeriesKey, said: Said, learnt: Option<Learnt>, settings: &TaskSettings) {
        let (rule, maintenance) = (settings.rule_of(&series), settings.maintenance_of(&series));
        let mut intake = Intake {
            rule,
            maintenance: maintenance.clone(),
            window: SeriesWindow::new(),
            coarse: CoarseWindow::default(),
            floor: FloorEstimate::default(),
            last_use: 0,
            pulse: said.pulse,
            behind: None,
            first: said.first,
            windowed: None,
        };
        let mut verdicts = Verdicts {
            rule,
            maintenance,
            silence: said.silence,
            ..Verdicts::default()
        };
        if let Some(learnt) = learnt {
            intake.window = learnt.window;
            intake.coarse = learnt.coarse;
            intake.floor = learnt.floor;
            intake.last_use = learnt.last_use;
            intake.pulse.hear(learnt.heard);
            verdicts.scorer = learnt.scorer;
            verdicts.machine = learnt.machine;
            verdicts.limits = learnt.limits;
            verdicts.rest = learnt.rest;
        }
        self.watch.take_up(&series, &intake.pulse);
        self.by_use.insert((intake.last_use, series.clone()));
        self.series.insert(series.clone(), intake);
        self.verdicts.insert(series, verdicts);
    }

    /// The past is read again. Where an open event came out otherwise, since the numbers were computed elsewhere, what was said
    /// stands.
    pub(super) fn stand_by_what_was_told(&mut self) {
        for (series, (machine, limits)) in std::mem::take(&mut self.told) {
            let Some(verdicts) = self.verdicts.get_mut(&series) else {
                continue;
            };
            if !machine.is_told_as(&verdicts.machine) {
                verdicts.machine = machine;
            }
            if !limits.is_told_as(&verdicts.limits) {
                verdicts.limits = limits;
            }
        }
    }
}
