//! What everything in delivery rests on: a task is a pure function of its inputs, however they are cut.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::sync::Arc;

use alerting::LimitSpec;
use pipeline::maintenance::{Span, When};
use pipeline::{
    Host, Input, Maintenance, Matcher, Model, Output, SeriesSettings, Task, TaskId, TaskSettings,
};
use proptest::prelude::*;
use scorer::manifest::{LagCalibration, ModelKind, SERVED_LAGS};
use scorer::normalise::Scaler;
use scorer::{Backend, BackendError, WindowOutput};
use types::{
    Alert, AlertState, Control, ControlKind, Forecast, Occurrence, Payload, Record, RejectReason, Sample,
    ScoreRow, SeriesKey, Timestamp,
};

const WINDOW: usize = 8;
const INTERVAL: i64 = 1_000;

/// Nets that any reader can follow: the reconstruction is the window's mean, the critic its last value.
struct MeanNets;

impl Backend for MeanNets {
    fn run(&mut self, inputs: &[&[f32]]) -> Result<Vec<WindowOutput>, BackendError> {
        Ok(inputs.iter().map(|x| mean_output(x)).collect())
    }

    fn device(&self) -> &str {
        "test"
    }
}

fn mean_output(x: &[f32]) -> WindowOutput {
    let mean = x.iter().sum::<f32>() / x.len() as f32;
    WindowOutput {
        reconstruction: vec![mean; x.len()],
        critic: Some(x[x.len() - 1]),
    }
}

fn settings(lag: usize) -> Arc<TaskSettings> {
    settings_of(ModelKind::Tadgan, lag)
}

/// Of nets that predict, the means above are a forecast, too; limits are set where values and forecasts come by.
fn settings_of(kind: ModelKind, lag: usize) -> Arc<TaskSettings> {
    let model = Model {
        label: "test@0".into(),
        kind,
        window: WINDOW,
        scaler: Scaler::Window { gain: 3.0 },
        calibration: SERVED_LAGS
            .map(|lag| LagCalibration {
                lag,
                error_median: 0.1,
                error_p99: 0.5,
                critic_center: 0.0,
                critic_scale: 1.0,
            })
            .to_vec(),
    };
    let mut defaults = SeriesSettings::new(model.known());
    defaults.window.interval = Some(INTERVAL);
    defaults.window.lateness = 2 * INTERVAL;
    defaults.score.lag = lag;
    // Short histories, so that small cases open and close events.
    defaults.score.half_history = 5.0;
    defaults.score.warn_decades = 1.2;
    defaults.score.critical_decades = 1.8;
    defaults.score.refractory = 5;
    defaults.alert.min_confidence = 0.1;
    defaults.alert.close_after = 2;
    defaults.alert.keep_firing_for = 0;
    if kind.predicts() {
        defaults.limits = LimitSpec {
            above: Some(5.0),
            below: Some(-0.4),
        };
    }
    defaults.alert.silence_after = 5 * INTERVAL;
    let maintenance = Maintenance {
        matcher: Matcher {
            name: Some("s0".to_owned()),
            labels: vec![],
        },
        when: When::Once(Span {
            start: Timestamp::from_millis(40 * INTERVAL),
            end: Timestamp::from_millis(60 * INTERVAL),
        }),
        learn: false,
    };
    Arc::new(TaskSettings {
        defaults,
        maintenance: vec![maintenance],
        scope: "metrics".into(),
        max_series: 3,
        ..TaskSettings::new(model)
    })
}

#[derive(Clone, Debug)]
enum Event {
    Record(Record),
    Control(Control),
}

/// A stream of a few series with disorder, duplicates, gaps, spikes, bad records and passing time.
fn events() -> impl Strategy<Value = Vec<Event>> {
    let step = (
        0u8..4,
        -3i64..6,
        prop_oneof![8 => -1.0..1.0f64, 1 => 20.0..40.0f64],
        0u8..40,
    );
    proptest::collection::vec(step, 1..160).prop_map(|steps| {
        let mut clock = 0;
        let mut out = Vec::new();
        for (offset, (series, advance, value, kind)) in steps.into_iter().enumerate() {
            let offset = offset as i64;
            clock += advance.max(0) * INTERVAL / 2;
            let time = Timestamp::from_millis(clock + advance.min(0) * INTERVAL / 2);
            let sample = Sample {
                series: SeriesKey::from_name(&format!("s{series}")).unwrap(),
                time,
                value,
            };
            let payload = match kind {
                0 => Payload::Bytes(b"no json".to_vec()),
                1 => Payload::Bytes(
                    format!(r#"{{"name":"s{series}","timestamp":"{time}","value":{value}}}"#).into_bytes(),
                ),
                _ => Payload::Samples(vec![sample]),
            };
            if kind == 2 {
                let until = Timestamp::from_millis(clock + 5 * INTERVAL);
                out.push(Event::Control(Control {
                    offset,
                    kind: ControlKind::IdleClose {
                        until,
                        quiet_since: offset as u64 / 2,
                    },
                }));
            }
            out.push(Event::Record(Record {
                offset,
                time: Some(Timestamp::from_millis(clock)),
                payload,
            }));
        }
        out
    })
}

fn feed(task: &mut Task, event: &Event, out: &mut Vec<Output>) {
    match event {
        Event::Record(record) => task.feed(Input::Record(record), out),
        Event::Control(control) => task.feed(Input::Control(control), out),
    }
}

/// Answers every due window at once and strips the windows from the outputs.
fn settle(task: &mut Task, raw: Vec<Output>, out: &mut Vec<Output>) {
    let mut answers = Vec::new();
    for output in raw {
        match output {
            Output::Due { id, input } => answers.push((id, Some(mean_output(&input)))),
            other => out.push(other),
        }
    }
    if !answers.is_empty() {
        let mut more = Vec::new();
        task.feed(Input::Scored(answers), &mut more);
        out.extend(more);
    }
}

/// The plain run: every window is answered before the next event.
fn reference(lag: usize, events: &[Event]) -> Vec<Output> {
    reference_of(&settings(lag), events)
}

fn reference_of(settings: &Arc<TaskSettings>, events: &[Event]) -> Vec<Output> {
    let mut task = Task::new(Arc::clone(settings), false);
    let mut out = Vec::new();
    for event in events {
        let mut raw = Vec::new();
        feed(&mut task, event, &mut raw);
        settle(&mut task, raw, &mut out);
    }
    out
}

/// Nets that reconstruct, and nets that predict.
fn kinds() -> impl Strategy<Value = ModelKind> {
    prop_oneof![Just(ModelKind::Tadgan), Just(ModelKind::Aer)]
}

/// What consumers see, in order; occurrences are counted, not ordered.
fn said(outputs: &[Output]) -> (Vec<ScoreRow>, Vec<Alert>, Vec<Forecast>) {
    let rows = outputs.iter().filter_map(|o| {
        if let Output::Row(r) = o {
            Some(r.clone())
        } else {
            None
        }
    });
    let alerts = outputs.iter().filter_map(|o| {
        if let Output::Alert(a) = o {
            Some(a.clone())
        } else {
            None
        }
    });
    let forecasts = outputs.iter().filter_map(|o| {
        if let Output::Forecast(f) = o {
            Some(f.clone())
        } else {
            None
        }
    });
    (rows.collect(), alerts.collect(), forecasts.collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// A snapshot taken at any event, with windows under way or not, goes on alike.
    #[test]
    fn snapshot_and_restore_anywhere(events in events(), cut in 0usize..160, lag in prop_oneof![Just(0usize), Just(1), Just(4)], owing in any::<bool>(), kind in kinds()) {
        let cut = cut.min(events.len());
        let settings = settings_of(kind, lag);
        let mut task = Task::new(Arc::clone(&settings), false);
        let mut out = Vec::new();
        for event in &events[..cut] {
            let mut raw = Vec::new();
            feed(&mut task, event, &mut raw);
            if owing {
                // Windows stay unanswered: the snapshot must carry them.
                out.extend(raw.into_iter().filter(|o| !matches!(o, Output::Due { .. })));
            } else {
                settle(&mut task, raw, &mut out);
            }
        }
        let mut restored = Task::restore(Arc::clone(&settings), &task.snapshot().unwrap()).unwrap();
        let owed: Vec<_> = restored.unanswered().map(|(id, x)| (id, Some(mean_output(x)))).collect();
        let mut more = Vec::new();
        restored.feed(Input::Scored(owed), &mut more);
        out.extend(more);
        for event in &events[cut..] {
            let mut raw = Vec::new();
            feed(&mut restored, event, &mut raw);
            settle(&mut restored, raw, &mut out);
        }
        prop_assert_eq!(said(&out), said(&reference_of(&settings, &events)));
    }

    /// Answers may come late, in any order and in any portions.
    #[test]
    fn arrival_order_does_not_matter(events in events(), seed in any::<u64>(), lag in prop_oneof![Just(0usize), Just(2)], kind in kinds()) {
        let settings = settings_of(kind, lag);
        let mut task = Task::new(Arc::clone(&settings), false);
        let (mut out, mut owed, mut dice) = (Vec::new(), Vec::new(), seed | 1);
        let mut roll = |n: usize| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (dice >> 33) as usize % n.max(1)
        };
        for event in &events {
            let mut raw = Vec::new();
            feed(&mut task, event, &mut raw);
            for output in raw {
                match output {
                    Output::Due { id, input } => owed.push((id, Some(mean_output(&input)))),
                    other => out.push(other),
                }
            }
            while !owed.is_empty() && roll(3) == 0 {
                let answer = owed.swap_remove(roll(owed.len()));
                task.feed(Input::Scored(vec![answer]), &mut out);
            }
        }
        owed.reverse();
        task.feed(Input::Scored(owed), &mut out);
        prop_assert_eq!(said(&out), said(&reference_of(&settings, &events)));
    }

    /// Nor do batches and the number of backends.
    #[test]
    fn rounds_and_threads_do_not_matter(events in events(), every in 1usize..50, threads in 1usize..4) {
        let id = TaskId { topic: "metrics".into(), partition: 0 };
        let mut host = Host::new((0..threads).map(|_| Box::new(MeanNets) as Box<dyn Backend>).collect());
        host.assign(id.clone(), Task::new(settings(1), false));
        let mut out = Vec::new();
        for (i, event) in events.iter().enumerate() {
            match event {
                Event::Record(record) => host.feed(&id, Input::Record(record), &mut out),
                Event::Control(control) => host.feed(&id, Input::Control(control), &mut out),
            }
            if i % every == 0 {
                host.infer(&mut out);
            }
        }
        host.infer(&mut out);
        let out: Vec<Output> = out.into_iter().map(|(_, o)| o).collect();
        prop_assert_eq!(said(&out), said(&reference(1, &events)));
    }

    /// A stream cut short says the same as far as it goes, and nothing is said twice.
    #[test]
    fn a_prefix_is_a_prefix(events in events(), cut in 0usize..160, kind in kinds()) {
        let cut = cut.min(events.len());
        let settings = settings_of(kind, 2);
        let (whole, part) = (said(&reference_of(&settings, &events)), said(&reference_of(&settings, &events[..cut])));
        prop_assert!(whole.0.starts_with(&part.0));
        prop_assert!(whole.1.starts_with(&part.1));
        prop_assert!(whole.2.starts_with(&part.2));
        let mut ids: Vec<String> = whole.1.iter().map(Alert::event_id).collect();
        ids.sort();
        ids.dedup();
        prop_assert_eq!(ids.len(), whole.1.len());
    }

    /// A muted re-read ends in the state of an open one: from the live record on, both say the same.
    #[test]
    fn muting_changes_nothing_but_what_is_said(events in events(), live in 0usize..160, kind in kinds()) {
        let live = live.min(events.len());
        let settings = settings_of(kind, 0);
        let mut task = Task::new(Arc::clone(&settings), true);
        let mut out = Vec::new();
        for (i, event) in events.iter().enumerate() {
            if i == live {
                let control = Control { offset: i as i64, kind: ControlKind::Live };
                task.feed(Input::Control(&control), &mut out);
            }
            let mut raw = Vec::new();
            feed(&mut task, event, &mut raw);
            settle(&mut task, raw, &mut out);
        }
        let loud = reference_of(&settings, &events);
        let silent = said(&reference_of(&settings, &events[..live]));
        let whole = said(&loud);
        if live < events.len() {
            prop_assert_eq!(said(&out), (whole.0[silent.0.len()..].to_vec(), whole.1[silent.1.len()..].to_vec(), whole.2[silent.2.len()..].to_vec()));
            let letters = |all: &[Output]| all.iter().filter(|o| matches!(o, Output::Rejected { .. })).cloned().collect::<Vec<_>>();
            let before = letters(&reference_of(&settings, &events[..live])).len();
            prop_assert_eq!(letters(&out), letters(&loud)[before..].to_vec());
        } else {
            prop_assert_eq!(said(&out), (vec![], vec![], vec![]));
        }
    }
}

fn sample(series: &str, index: i64, value: f64) -> Record {
    let series = SeriesKey::from_name(series).unwrap();
    let time = Timestamp::from_millis(index * INTERVAL);
    Record {
        offset: index,
        time: None,
        payload: Payload::Samples(vec![Sample { series, time, value }]),
    }
}

fn run(task: &mut Task, record: &Record, out: &mut Vec<Output>) {
    let mut raw = Vec::new();
    task.feed(Input::Record(record), &mut raw);
    settle(task, raw, out);
}

#[test]
fn a_spike_fires_and_resolves() {
    let mut task = Task::new(settings(0), false);
    let mut out = Vec::new();
    for i in 0..200 {
        let value = if i == 150 { 30.0 } else { (i as f64 * 0.7).sin() };
        run(&mut task, &sample("cpu", i, value), &mut out);
    }
    let (rows, alerts, _) = said(&out);
    let states: Vec<_> = alerts
        .iter()
        .filter(|a| a.start.millis() == 150 * INTERVAL)
        .map(|a| a.state)
        .collect();
    assert_eq!(states, [AlertState::Firing, AlertState::Resolved]);
    let row = rows
        .iter()
        .find(|r| r.timestamp.millis() == 150 * INTERVAL)
        .unwrap();
    assert_eq!(
        row.alert.as_deref(),
        Some(
            alerts
                .iter()
                .find(|a| a.start == row.timestamp)
                .unwrap()
                .id
                .as_str()
        )
    );
    assert_eq!(row.available_at.unwrap().millis(), 153 * INTERVAL);
}

#[test]
fn a_series_too_many_is_rejected_or_makes_room() {
    let mut task = Task::new(settings(0), false);
    let mut out = Vec::new();
    for series in ["a", "b", "c", "d"] {
        run(&mut task, &sample(series, 0, 1.0), &mut out);
    }
    let rejected = Output::Occurred(Occurrence::Rejected(RejectReason::TooManySeries));
    assert_eq!(out.iter().filter(|o| **o == rejected).count(), 1);
    run(&mut task, &sample("d", 7_200, 1.0), &mut out);
    assert!(out.contains(&Output::Occurred(Occurrence::SeriesEvicted)));
    assert_eq!(task.series_count(), 3);
}

#[test]
fn samples_from_the_future_are_rejected() {
    let mut task = Task::new(settings(0), false);
    let mut record = sample("cpu", 10_000, 1.0);
    record.time = Some(Timestamp::from_millis(0));
    let mut out = Vec::new();
    run(&mut task, &record, &mut out);
    assert!(out.contains(&Output::Occurred(Occurrence::Rejected(RejectReason::Future))));
    assert_eq!(task.series_count(), 0);
}

#[test]
fn a_failed_batch_leaves_windows_unscored_and_nothing_stuck() {
    let mut task = Task::new(settings(0), false);
    let mut rows = 0;
    for i in 0..30 {
        let mut raw = Vec::new();
        task.feed(Input::Record(&sample("cpu", i, 1.0)), &mut raw);
        let ids: Vec<_> = raw
            .iter()
            .filter_map(|o| {
                if let Output::Due { id, .. } = o {
                    Some((*id, None))
                } else {
                    None
                }
            })
            .collect();
        task.feed(Input::Scored(ids), &mut raw);
        rows += raw
            .iter()
            .filter(|o| matches!(o, Output::Row(r) if r.score.is_none()))
            .count();
    }
    assert_eq!(rows, 27);
}

#[test]
fn what_is_not_scored_at_the_end_is_pending_unless_flushed() {
    for flush in [false, true] {
        let mut task = Task::new(settings(4), false);
        let mut out = Vec::new();
        for i in 0..30 {
            run(&mut task, &sample("cpu", i, (i as f64).sin()), &mut out);
        }
        let mut raw = Vec::new();
        task.feed(Input::EndOfInput { flush }, &mut raw);
        settle(&mut task, raw, &mut out);
        let pending = task.pending_rows();
        assert_eq!(said(&out).0.len() + pending.len(), 30);
        // Three buckets are open (two by lateness), four wait for later windows.
        assert_eq!(pending.len(), if flush { 0 } else { 7 });
        if flush {
            assert!(said(&out).0.last().unwrap().score.is_some());
        }
    }
}

/// Nets that take the next value to be the newest one and half the window's rise more, and see what they have seen.
fn rising(x: &[f32]) -> WindowOutput {
    let known = &x[..x.len() - 1];
    let mut y = known.to_vec();
    y.push(known[known.len() - 1] + (known[known.len() - 1] - known[0]) / 2.0);
    WindowOutput {
        reconstruction: y,
        critic: None,
    }
}

#[test]
fn what_comes_next_is_said_as_a_bucket_closes_and_held_against_limits() {
    let mut task = Task::new(settings_of(ModelKind::Aer, 1), false);
    let mut out = Vec::new();
    // A calm past, then a climb through the upper limit, and back.
    let climb = [
        1.0, 2.0, 3.0, 4.0, 5.5, 6.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0,
    ];
    let values: Vec<f64> = (0..60)
        .map(|i| (f64::from(i) * 0.9).sin() * 0.1)
        .chain(climb)
        .collect();
    for (i, value) in (0..).zip(&values) {
        let mut raw = Vec::new();
        task.feed(Input::Record(&sample("cpu", i, *value)), &mut raw);
        for output in raw {
            match output {
                Output::Due { id, input } => {
                    assert_eq!(input.len(), WINDOW);
                    assert_eq!(
                        input[WINDOW - 1],
                        input[WINDOW - 2],
                        "what is to come stands as the newest"
                    );
                    task.feed(Input::Scored(vec![(id, Some(rising(&input)))]), &mut out);
                }
                other => out.push(other),
            }
        }
    }
    let (rows, alerts, forecasts) = said(&out);
    // Known are seven buckets; two stay open by lateness, and the one under way.
    assert_eq!(forecasts.len(), values.len() - (WINDOW - 2) - 3);
    let first = &forecasts[0];
    assert_eq!((first.timestamp.millis(), first.band), (7 * INTERVAL, None));
    assert_eq!(
        first.available_at.millis(),
        9 * INTERVAL,
        "as the bucket before it closes"
    );
    let last = forecasts.last().unwrap();
    let [low, high] = last.band.unwrap();
    assert!(low < last.value && last.value < high && last.confidence > 0.5);
    // At lag 1 the score waits for one more window; the forecast did not.
    let row = rows.iter().find(|r| r.timestamp == last.timestamp);
    assert!(row.is_none());
    let up: Vec<&Alert> = alerts
        .iter()
        .filter(|a| a.limit.is_some_and(|l| l.value == 5.0))
        .collect();
    let states: Vec<AlertState> = up.iter().map(|a| a.state).collect();
    assert_eq!(
        states,
        [AlertState::Firing, AlertState::Escalated, AlertState::Resolved]
    );
    assert_eq!(
        up[0].severity,
        types::Severity::Warning,
        "announced before it happened"
    );
    assert!(up[0].value < 5.0 && up[0].limit.unwrap().forecast > Some(5.0));
    assert_eq!(up[1].value, 5.5);
    assert!(up[1].available_at.millis() == 67 * INTERVAL && up[0].available_at < up[1].available_at);
}
