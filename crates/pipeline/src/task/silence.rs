//! Which series have fallen silent although the time of the others goes on.
//!
//! A series is waited for once it is *regular*: at most a fifth of its last window was filled in, or is not there yet. The
//! task's clock is the latest event time of any sample, or of a tick where the whole partition is quiet. A regular series is
//! silent when the clock has gone on by `silence_after`, and by at least five of its intervals, since it was last heard. It
//! is looked at twice, an interval apart: after a gap of everything, or one wrong clock, the second look finds it back.
//!
//! One cause, one alert: of series whose last samples lie within five intervals of each other only the first found silent alerts;
//! the others are looked at again and again while that alert is open. A series whose name another one has taken up since, as
//! after a deployment, is replaced, not missed. After `max_duration` buckets a series is given up.

use std::collections::BTreeSet;
use std::sync::Arc;

use alerting::Missed;
use serde::{Deserialize, Serialize};
use types::{DurationMs, Occurrence, SeriesKey, Timestamp};

use super::{Intake, Output, Queued, Task};

/// Fewest intervals without a sample that are a silence, and most between the ends of series that fell silent together.
const INTERVALS: DurationMs = 5;
/// Largest share of a window that may be filled in where a series is regular.
const IRREGULAR: f64 = 0.2;

/// All series of a task that are waited for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Watch {
    clock: Option<Timestamp>,
    /// When to look at each again: one entry a series. Where it was heard since, the look only sets the next.
    due: BTreeSet<(Timestamp, SeriesKey)>,
    /// Last samples of the series with an open alert.
    open: BTreeSet<(Timestamp, SeriesKey)>,
}

impl Watch {
    /// The task's clock; `None` before there was any sample.
    pub(super) fn clock(&self) -> Option<Timestamp> {
        self.clock
    }

    pub(super) fn set_clock(&mut self, clock: Option<Timestamp>) {
        self.clock = clock;
    }

    /// A series comes back with its pulse.
    pub(super) fn take_up(&mut self, series: &SeriesKey, pulse: &Pulse) {
        if let Some(due) = pulse.due {
            self.due.insert((due, series.clone()));
        }
        if let (Life::Silent, Some(said)) = (pulse.life, pulse.said) {
            self.open.insert((said, series.clone()));
        }
    }

    /// Whether the clock at `now` has something to look at.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.due.first().is_some_and(|(at, _)| *at <= now)
    }
}

/// What a task knows of one series' comings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Pulse {
    /// The clock when the series came up.
    born: Timestamp,
    /// The clock when it was heard last.
    heard: Timestamp,
    /// Its entry in [`Watch::due`]; `None` while nobody waits for it.
    due: Option<Timestamp>,
    life: Life,
    /// Its last sample before the latest alert. What is not newer is no return, and could not be told apart from it.
    said: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Life {
    Alive,
    /// Found silent once.
    Doubted,
    /// Found silent, without an alert of its own.
    Covered,
    /// It has an alert.
    Silent,
}

impl Pulse {
    /// Of a series whose first sample moved the clock to `now`.
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            born: now,
            heard: now,
            due: None,
            life: Life::Alive,
            said: None,
        }
    }

    /// The clock when the series was heard last.
    pub(super) fn heard(&self) -> Timestamp {
        self.heard
    }

    /// It was heard at `clock`, too.
    pub(super) fn hear(&mut self, clock: Timestamp) {
        self.heard = self.heard.max(clock);
    }
}

impl Task {
    /// The clock after a sample at `time`.
    pub(super) fn clock(&mut self, time: Timestamp) -> Timestamp {
        let clock = &mut self.state.watch.clock;
        *clock.insert(clock.map_or(time, |before| before.max(time)))
    }

    /// A sample of `series` at `time` was taken in; the clock stands at `now`.
    pub(super) fn heard(&mut self, series: &SeriesKey, time: Timestamp, now: Timestamp) {
        let settings = Arc::clone(&self.settings);
        let state = &mut self.state;
        let Some(intake) = state.series.get_mut(series) else {
            return;
        };
        let wait = settings.settings(intake.rule).alert.silence_after;
        if wait <= 0 {
            return;
        }
        let pulse = &mut intake.pulse;
        if pulse.said.is_some_and(|said| time <= said) {
            return;
        }
        pulse.heard = now;
        // What else came of it is known where the past is read again.
        if state.ledger.is_rereading() || pulse.due.is_some() && pulse.life == Life::Alive {
            return;
        }
        state.ledger.says(series);
        if let (Life::Silent, Some(said)) = (pulse.life, pulse.said) {
            state.watch.open.remove(&(said, series.clone()));
            state.queue.push_back(Queued::Returned {
                series: series.clone(),
                at: Some(time),
                available_at: now,
            });
        }
        pulse.life = Life::Alive;
        self.look_at(series, Some(now + wait));
    }

    /// Looks at every series that is due when the clock stands at `now`.
    pub(super) fn look_around(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        while self.state.watch.is_due(now) {
            let Some((_, series)) = self.state.watch.due.pop_first() else {
                return;
            };
            let Some(intake) = self.state.series.get_mut(&series) else {
                continue;
            };
            intake.pulse.due = None;
            let next = self.look(&series, now, out);
            self.look_at(&series, next);
            // That a series which is well is looked at again later follows from when it was heard.
            let intake = self.state.series.get(&series);
            let is_well =
                intake.is_some_and(|i| i.pulse.life == Life::Alive && i.window.interval().is_some());
            if !is_well || next.is_none() {
                self.state.ledger.says(&series);
            }
        }
    }

    /// The series is forgotten.
    pub(super) fn forget_pulse(&mut self, series: &SeriesKey, pulse: &Pulse) {
        if let Some(due) = pulse.due {
            self.state.watch.due.remove(&(due, series.clone()));
        }
        if let Some(said) = pulse.said {
            self.state.watch.open.remove(&(said, series.clone()));
        }
    }

    fn look_at(&mut self, series: &SeriesKey, next: Option<Timestamp>) {
        let (Some(intake), watch) = (self.state.series.get_mut(series), &mut self.state.watch) else {
            return;
        };
        if let Some(before) = intake.pulse.due.take() {
            watch.due.remove(&(before, series.clone()));
        }
        if let Some(next) = next {
            watch.due.insert((next, series.clone()));
            intake.pulse.due = Some(next);
        }
    }

    /// One look at a series; when to look again, later than `now`.
    fn look(&mut self, series: &SeriesKey, now: Timestamp, out: &mut Vec<Output>) -> Option<Timestamp> {
        let settings = Arc::clone(&self.settings);
        let intake = self.state.series.get(series)?;
        let spec = &settings.settings(intake.rule).alert;
        let (Some(interval), Some(last)) = (intake.window.interval(), intake.window.event_time()) else {
            let next = intake.pulse.heard + spec.silence_after;
            return (next > now).then_some(next);
        };
        let span = INTERVALS.saturating_mul(interval);
        let wait = spec.silence_after.max(span);
        let given_up = last + interval.saturating_mul(1 + i64::from(spec.max_duration));
        let next = match intake.pulse.life {
            Life::Alive => {
                let first_look = intake.pulse.heard + (wait - interval);
                if first_look > now {
                    return Some(first_look);
                }
                regularity(intake)?;
                self.set_life(series, Life::Doubted);
                return Some(now + interval);
            }
            Life::Silent => {
                self.give_up(series, now);
                return None;
            }
            Life::Doubted | Life::Covered => {
                if let Some(planned) = settings.planned(&intake.maintenance, now, 1) {
                    return Some(planned.end + wait);
                }
                now + wait
            }
        };
        let is_new = intake.pulse.life == Life::Doubted;
        if is_new {
            out.push(Output::Occurred(Occurrence::SeriesSilent));
            self.set_life(series, Life::Covered);
        } else if now >= given_up + -span {
            return None;
        }
        if self.is_replaced(series, last + -span) {
            return None;
        }
        let mut open = self.state.watch.open.iter();
        if open.any(|(other, _)| (*other - last).abs() <= span) {
            return Some(next);
        }
        self.alert(series, last, interval, now)?;
        Some(given_up.max(now + interval))
    }

    fn set_life(&mut self, series: &SeriesKey, life: Life) {
        if let Some(intake) = self.state.series.get_mut(series) {
            intake.pulse.life = life;
        }
    }

    fn alert(
        &mut self,
        series: &SeriesKey,
        last: Timestamp,
        interval: DurationMs,
        now: Timestamp,
    ) -> Option<()> {
        let intake = self.state.series.get_mut(series)?;
        let regularity = regularity(intake)?;
        let value = intake.window.last_value()?;
        intake.pulse.life = Life::Silent;
        intake.pulse.said = Some(last);
        self.state.watch.open.insert((last, series.clone()));
        self.state.queue.push_back(Queued::Silent {
            series: series.clone(),
            missed: Missed {
                last,
                interval,
                value,
                regularity,
            },
            available_at: now,
        });
        Some(())
    }

    fn give_up(&mut self, series: &SeriesKey, now: Timestamp) {
        let Some(intake) = self.state.series.get_mut(series) else {
            return;
        };
        intake.pulse.life = Life::Covered;
        if let Some(said) = intake.pulse.said {
            self.state.watch.open.remove(&(said, series.clone()));
            self.state.queue.push_back(Queued::Returned {
                series: series.clone(),
                at: None,
                available_at: now,
            });
        }
    }

    /// Whether another series of the same name has come up since `since`.
    fn is_replaced(&self, series: &SeriesKey, since: Timestamp) -> bool {
        // Keys of one name stand side by side but for the one without labels, which has no successor.
        let is_same = |(other, _): &(&SeriesKey, &Intake)| other.name() == series.name();
        let (before, after) = (
            self.state.series.range(..series),
            self.state.series.range(series..),
        );
        let mut others = before.rev().take_while(is_same).chain(after.take_while(is_same));
        others.any(|(other, intake)| other != series && intake.pulse.born >= since)
    }
}

/// Share of the last window's buckets that had samples; `None` where the series is not regular.
fn regularity(intake: &Intake) -> Option<f64> {
    let filled = intake.window.window()?.filled_share();
    (filled <= IRREGULAR).then_some(1.0 - filled)
}
