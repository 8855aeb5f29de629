//! The input side of a task: what records and control records change at once.

use std::sync::Arc;

use ingest::decode::Refusals;
use scorer::normalise::FloorEstimate;
use types::{
    Control, ControlKind, Occurrence, Payload, Record, RejectReason, Rejected, Sample, SeriesKey, Timestamp,
};
use windowing::{CoarseWindow, SeriesWindow, Window};

use super::silence::Pulse;
use super::{Answer, Due, Intake, Output, Queued, State, Task, overdue};
use crate::settings::TaskSettings;
use crate::state::Tick;

impl Task {
    pub(super) fn record(&mut self, record: &Record, out: &mut Vec<Output>) {
        while let Some(tick) = self.state.ledger.next_tick(record.offset) {
            self.tick(tick, out);
        }
        self.state.moment = u64::try_from(record.offset).unwrap_or(0) + 1;
        self.state.ledger.begin(record.offset, self.state.watch.clock());
        let decoded;
        let samples: &[Sample] = match &record.payload {
            Payload::Samples(samples) => samples,
            Payload::Bytes(bytes) => {
                let settings = &self.settings;
                decoded = ingest::decode::decode(bytes, settings.format, record.time, &settings.labels);
                for rejected in decoded.rejected {
                    self.reject(record.offset, rejected, out);
                }
                &decoded.samples
            }
        };
        let mut refusals = Refusals::default();
        for (number, sample) in samples.iter().enumerate() {
            self.state.ledger.sample(number);
            if let Err(rejected) = self.sample(record, sample, out)
                && let Some(rejected) = refusals.take(rejected)
            {
                self.reject(record.offset, rejected, out);
            }
        }
        for rejected in refusals.rest() {
            self.reject(record.offset, rejected, out);
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
        let now = self.clock(sample.time);
        if self.state.ledger.knows(&sample.series) {
            return Ok(());
        }
        let Some(intake) = self.intake(&settings, sample, now, out)? else {
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
        self.heard(&sample.series, sample.time, now);
        if !self.state.ledger.is_rereading() {
            self.look_around(now, out);
        }
        Ok(())
    }

    /// The series of `sample`, made if need be; `None` when a rule ignores it.
    fn intake(
        &mut self,
        settings: &TaskSettings,
        sample: &Sample,
        now: Timestamp,
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
                maintenance: settings.maintenance_of(key),
                window: SeriesWindow::new(),
                coarse: CoarseWindow::default(),
                floor: FloorEstimate::default(),
                last_use: 0,
                pulse: Pulse::new(now),
                behind: None,
                first: self.state.ledger.place(),
                windowed: None,
            };
            self.state.series.insert(key.clone(), intake);
            self.state.ledger.says(key);
            out.push(Output::Occurred(Occurrence::SeriesCreated));
        }
        let state = &mut self.state;
        let Some(intake) = state.series.get_mut(key) else {
            return Ok(None);
        };
        state.by_use.remove(&(intake.last_use, key.clone()));
        state.by_use.insert((state.moment, key.clone()));
        intake.last_use = state.moment;
        state.ledger.learns(key, &mut intake.behind);
        Ok(Some(intake))
    }

    /// Forgets the series that was used least lately, if it has been silent for long enough at `now`.
    fn make_room(&mut self, now: Timestamp, out: &mut Vec<Output>) -> bool {
        let Some((_, series)) = self.state.by_use.first().cloned() else {
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
        self.state.by_use.remove(&(intake.last_use, series.clone()));
        self.forget_pulse(series, &intake.pulse);
        self.state.ledger.forgets(series, intake.behind);
        let available_at = intake.window.event_time().map_or(now, |t| t.max(now));
        self.state.queue.push_back(Queued::Evict {
            series: series.clone(),
            available_at,
        });
        out.push(Output::Occurred(Occurrence::SeriesEvicted));
    }

    pub(super) fn control(&mut self, control: &Control, out: &mut Vec<Output>) {
        match control.kind {
            ControlKind::Start { muted } => self.state = State::new(muted),
            ControlKind::Live => {
                while let Some(tick) = self.state.ledger.next_tick(i64::MAX) {
                    self.tick(tick, out);
                }
                if let Some(clock) = self.state.ledger.is_reread() {
                    self.clock(clock);
                }
                self.state.rereading = false;
                self.state.queue.push_back(Queued::Live);
            }
            ControlKind::IdleClose { until, quiet_since } => self.tick(
                Tick {
                    offset: control.offset,
                    until,
                    quiet_since,
                },
                out,
            ),
        }
    }

    /// Closes open buckets of quiet series, now or, while the past is read again, then.
    fn tick(&mut self, tick: Tick, out: &mut Vec<Output>) {
        let settings = Arc::clone(&self.settings);
        let is_rereading = self.state.ledger.is_rereading();
        self.state.ledger.begin(tick.offset, self.state.watch.clock());
        let names: Vec<SeriesKey> = self.state.series.keys().cloned().collect();
        for series in names {
            let state = &mut self.state;
            let Some(intake) = state.series.get_mut(&series) else {
                continue;
            };
            if intake.last_use > tick.quiet_since || state.ledger.knows_tick(&series) {
                continue;
            }
            let spec = &settings.settings(intake.rule).window;
            if intake.window.close_idle(spec, tick.until) {
                state.ledger.learns(&series, &mut intake.behind);
            }
            let silent = intake
                .window
                .event_time()
                .is_some_and(|t| tick.until - t > settings.series_ttl);
            self.close(&series, out);
            if silent && !is_rereading {
                self.evict(&series, tick.until, out);
            }
        }
        self.state.ledger.ticks(tick);
        let now = self.clock(tick.until);
        if !is_rereading {
            self.look_around(now, out);
        }
    }

    pub(super) fn flush(&mut self, out: &mut Vec<Output>) {
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
        let mut due = |window: Window<'_>, floor: f64, occurred: &mut Vec<Occurrence>| {
            let is_young = window.lacking() > 0;
            if window.filled_share() > own.max_filled_share {
                // A series that has just begun misses nothing.
                occurred.extend((!is_young).then_some(Occurrence::WindowSkipped));
                return None;
            }
            let values: Vec<f64> = window.values().collect();
            let model = &settings.model;
            let (affine, input) = model.scaler.input(&values, model.window, floor);
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
                is_young,
                input,
                answer: Answer::Awaited,
            })
        };
        while let Some(closed) = intake.window.next_closed(&own.window, &mut occurred) {
            state.ledger.closes();
            let interval = intake.window.interval().unwrap_or(1);
            let plan = settings.planned(&intake.maintenance, closed.bucket.start, interval);
            let is_normal = plan.is_none_or(|plan| plan.learn);
            // To the coarse view, and to the floor, what was planned is as good as missing.
            let mut regarded = closed;
            regarded.bucket.filled |= !is_normal;
            if !regarded.bucket.filled {
                intake.floor.push(closed.bucket.value);
            }
            let floor = intake.floor.floor();
            let (length, factor) = (own.window.window, own.score.coarse_buckets(interval));
            if let Some(bucket) = intake.coarse.push(length, factor, interval, &regarded) {
                let window = intake.coarse.window();
                let window = window.and_then(|window| due(window, floor, &mut occurred));
                state.queue.push_back(Queued::Coarse {
                    series: series.clone(),
                    bucket,
                    interval,
                    floor,
                    window,
                });
            }
            let window = intake.window.window();
            let window = window.and_then(|window| due(window, floor, &mut occurred));
            intake.windowed = overdue::close(intake.windowed, closed.bucket.start, window.is_some());
            if !is_normal {
                intake.window.pass_over();
            }
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

    fn reject(&self, offset: i64, rejected: Rejected, out: &mut Vec<Output>) {
        out.push(Output::Occurred(Occurrence::Rejected(rejected.reason)));
        if !self.state.rereading {
            out.push(Output::Rejected { offset, rejected });
        }
    }
}
