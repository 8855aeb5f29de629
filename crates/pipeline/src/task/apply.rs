//! The output side of a task: what follows as the queue is applied, in order.

use std::collections::BTreeMap;
use std::sync::Arc;

use alerting::{Observation, Origin, Outlook, Reading};
use scorer::WindowOutput;
use scorer::causal::{Forecast, Scored, WindowResult};
use scorer::manifest::ModelKind;
use types::{Alert, Bucket, DurationMs, Occurrence, RowStatus, ScoreRow, SeriesKey};
use windowing::Closed;

use super::{Answer, Due, Output, Queued, Task, Verdicts};
use crate::settings::TaskSettings;

impl Task {
    pub(super) fn answer(&mut self, answers: Vec<(u64, Option<WindowOutput>)>) {
        let mut answers: BTreeMap<u64, Option<WindowOutput>> = answers.into_iter().collect();
        for queued in &mut self.state.queue {
            if answers.is_empty() {
                return;
            }
            if let Some(due) = queued.due_mut()
                && let Some(answer) = answers.remove(&due.id)
            {
                due.answer = answer.map_or(Answer::Failed, Answer::Given);
                due.input = Vec::new();
            }
        }
    }

    /// Applies the queue up to the first window that the nets have not answered.
    pub(super) fn apply(&mut self, out: &mut Vec<Output>) {
        while let Some(front) = self.state.queue.front() {
            if front.due().is_some_and(|due| due.answer == Answer::Awaited) {
                return;
            }
            let Some(queued) = self.state.queue.pop_front() else {
                return;
            };
            match queued {
                Queued::Coarse {
                    series,
                    bucket,
                    interval,
                    floor,
                    window,
                } => {
                    self.apply_coarse(&series, &bucket, interval, floor, window.as_ref());
                }
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
                Queued::Silent {
                    series,
                    missed,
                    available_at,
                } => {
                    let mut alerts = Vec::new();
                    let settings = Arc::clone(&self.settings);
                    let verdicts = verdicts_of(&settings, &mut self.state.verdicts, &series);
                    let origin = origin(&settings, &series);
                    verdicts.silence.begin(&origin, missed, available_at, &mut alerts);
                    self.emit_alerts(alerts, out);
                }
                Queued::Returned {
                    series,
                    at,
                    available_at,
                } => {
                    let mut alerts = Vec::new();
                    if let Some(verdicts) = self.state.verdicts.get_mut(&series) {
                        let origin = origin(&self.settings, &series);
                        verdicts.silence.end(&origin, available_at, at, &mut alerts);
                    }
                    self.emit_alerts(alerts, out);
                }
                Queued::Evict { series, available_at } => {
                    let mut alerts = Vec::new();
                    if let Some(mut verdicts) = self.state.verdicts.remove(&series) {
                        let origin = origin(&self.settings, &series);
                        verdicts.machine.end(&origin, available_at, &mut alerts);
                        verdicts.limits.end(&origin, available_at, &mut alerts);
                        verdicts.silence.end(&origin, available_at, None, &mut alerts);
                    }
                    self.emit_alerts(alerts, out);
                }
                Queued::Live => {
                    self.state.muted = false;
                    self.state.stand_by_what_was_told();
                }
                Queued::Processed { next_offset } => out.push(Output::Processed { next_offset }),
            }
        }
    }

    fn apply_coarse(
        &mut self,
        series: &SeriesKey,
        bucket: &Bucket,
        interval: DurationMs,
        floor: f64,
        window: Option<&Due>,
    ) {
        let settings = Arc::clone(&self.settings);
        let verdicts = verdicts_of(&settings, &mut self.state.verdicts, series);
        let spec = &settings.settings(verdicts.rule).score;
        let result = window.and_then(|due| due.result(settings.model.kind));
        let scorer = &mut verdicts.scorer;
        scorer.close_coarse(spec, interval, floor, bucket, result.as_ref());
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
        let result = window.as_ref().and_then(|due| due.result(settings.model.kind));
        let plan = settings.planned(&verdicts.maintenance, closed.bucket.start, interval);
        verdicts.scorer.set_learning(verdicts.rest.learns(plan));
        let mut scored = Vec::new();
        let forecast = verdicts.scorer.close(
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
        self.look_ahead(series, closed, interval, forecast, out);
    }

    /// Says what comes next, and holds it and what has come against the limits of the series. Neither waits for the lag.
    fn look_ahead(
        &mut self,
        series: &SeriesKey,
        closed: &Closed,
        interval: DurationMs,
        forecast: Option<Forecast>,
        out: &mut Vec<Output>,
    ) {
        let settings = Arc::clone(&self.settings);
        let verdicts = verdicts_of(&settings, &mut self.state.verdicts, series);
        let own = settings.settings(verdicts.rule);
        let is_planned = settings
            .planned(&verdicts.maintenance, closed.bucket.start, interval)
            .is_some();
        if own.limits.is_set() && !is_planned {
            let seen = Reading {
                start: closed.bucket.start,
                interval,
                available_at: closed.available_at,
                value: (!closed.bucket.filled).then_some(closed.bucket.value),
                next: forecast.map(|next| Outlook {
                    value: next.value,
                    margin: next.margin,
                    confidence: next.confidence,
                }),
            };
            let mut alerts = Vec::new();
            let origin = origin(&settings, series);
            verdicts
                .limits
                .observe(&own.limits, &own.alert, &origin, &seen, &mut alerts);
            self.emit_alerts(alerts, out);
        }
        if let Some(forecast) = forecast.filter(|_| !self.state.muted) {
            out.push(Output::Forecast(types::Forecast {
                series: series.clone(),
                timestamp: closed.bucket.start + interval,
                value: forecast.value,
                band: forecast
                    .half_width
                    .map(|half| [forecast.value - half, forecast.value + half]),
                confidence: forecast.confidence,
                available_at: closed.available_at,
            }));
        }
    }

    fn emit(&mut self, series: &SeriesKey, interval: DurationMs, scored: Vec<Scored>, out: &mut Vec<Output>) {
        let settings = Arc::clone(&self.settings);
        for scored in scored {
            let mut alerts = Vec::new();
            let verdicts = verdicts_of(&settings, &mut self.state.verdicts, series);
            let spec = &settings.settings(verdicts.rule).alert;
            let origin = origin(&settings, series);
            let plan = settings.planned(&verdicts.maintenance, scored.bucket.start, interval);
            let own = scored.verdict.map(|verdict| verdict.own);
            let window = settings.model.window;
            match observation(&scored, interval) {
                _ if verdicts.rest.covers(spec, window, plan, own) => {}
                Some(seen) => verdicts.machine.observe(spec, &origin, &seen, &mut alerts),
                None => {
                    verdicts
                        .machine
                        .observe_unscored(spec, &origin, scored.available_at, &mut alerts);
                }
            }
            if scored.verdict.is_some() {
                verdicts.scored = Some(scored.bucket.start);
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

    fn emit_alerts(&mut self, alerts: Vec<Alert>, out: &mut Vec<Output>) {
        for alert in alerts {
            if self.state.muted {
                out.push(Output::Occurred(Occurrence::AlertMuted));
            } else {
                self.state.ledger.says(&alert.series);
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

impl Due {
    /// What the nets said, if they did.
    fn result(&self, model: ModelKind) -> Option<WindowResult<'_>> {
        match &self.answer {
            Answer::Given(output) => Some(WindowResult {
                model,
                affine: self.affine,
                reconstruction: &output.reconstruction,
                critic: output.critic.map(f64::from),
                filled_share: self.filled_share,
                is_young: self.is_young,
            }),
            Answer::Awaited | Answer::Failed => None,
        }
    }
}

fn verdicts_of<'a>(
    settings: &TaskSettings,
    all: &'a mut BTreeMap<SeriesKey, Verdicts>,
    series: &SeriesKey,
) -> &'a mut Verdicts {
    all.entry(series.clone()).or_insert_with(|| Verdicts {
        rule: settings.rule_of(series),
        maintenance: settings.maintenance_of(series),
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
        score: verdict.own,
        peak: verdict.peak,
        threshold: verdict.threshold,
        confidence: verdict.confidence,
        parts: verdict.parts,
        grounds: verdict.grounds,
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

fn pending_row(series: &SeriesKey, bucket: Bucket) -> ScoreRow {
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
