//! The stream of a schedule, and what the undisturbed run says of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use pipeline::{Input, Model, Output, SeriesSettings, Task, TaskId, TaskSettings};
use scorer::manifest::{LagCalibration, ModelKind, SERVED_LAGS};
use scorer::normalise::Scaler;
use scorer::{Backend, BackendError, WindowOutput};
use types::{Control, ControlKind, Payload, Record, Sample, SeriesKey, Timestamp};

use crate::agent::text_of;
use crate::dice::Dice;

pub(crate) const INTERVAL: i64 = 1_000;
/// Key of dead letters.
pub(crate) const DEAD_LETTERS: &str = "dead";
/// Key of ticks, before that of their task.
pub(crate) const TICKS: &str = "tick ";
const WINDOW: usize = 4;

/// Nets that any reader can follow: the reconstruction is the window's mean.
pub(crate) struct MeanNets;

impl Backend for MeanNets {
    fn run(&mut self, inputs: &[&[f32]]) -> Result<Vec<WindowOutput>, BackendError> {
        Ok(inputs.iter().map(|x| mean(x)).collect())
    }

    fn device(&self) -> &str {
        "test"
    }
}

fn mean(x: &[f32]) -> WindowOutput {
    let mean = x.iter().sum::<f32>() / x.len() as f32;
    WindowOutput {
        reconstruction: vec![mean; x.len()],
        critic: None,
    }
}

/// Short windows and histories, so that short streams have many events.
pub(crate) fn settings() -> Arc<TaskSettings> {
    let model = Model {
        label: "test@0".into(),
        kind: ModelKind::Tadgan,
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
    defaults.window.lateness = INTERVAL;
    defaults.score.half_history = 3.0;
    defaults.score.warn_decades = 0.6;
    defaults.score.critical_decades = 1.1;
    defaults.score.refractory = 2;
    defaults.alert.min_confidence = 0.05;
    defaults.alert.close_after = 2;
    defaults.alert.keep_firing_for = 0;
    defaults.alert.silence_after = 6 * INTERVAL;
    Arc::new(TaskSettings {
        defaults,
        scope: "metrics".into(),
        ..TaskSettings::new(model)
    })
}

pub(crate) fn task_id(partition: usize) -> TaskId {
    TaskId {
        topic: "metrics".into(),
        partition: partition as i32,
    }
}

/// A partition's records: two series, spikes, a series that pauses, samples that come too late, records that are none.
pub(crate) fn stream(partition: usize, records: usize, dice: &mut Dice) -> Vec<Record> {
    let series: Vec<SeriesKey> = (0..2)
        .map(|s| SeriesKey::from_name(&format!("s{partition}.{s}")).expect("a name"))
        .collect();
    let (mut offset, mut paused) = (0, 0);
    (0..records as i64)
        .map(|i| {
            offset += if dice.one_in(12) { 2 } else { 1 };
            if dice.one_in(40) {
                paused = 12;
            }
            paused -= 1;
            let time = |back: i64| Timestamp::from_millis((100 + i - back) * INTERVAL);
            let mut samples = Vec::new();
            for (s, key) in series.iter().enumerate() {
                if s == 1 && paused > 0 {
                    continue;
                }
                let spike = if dice.one_in(9) { 25.0 } else { 0.0 };
                let back = if dice.one_in(30) { 5 } else { 0 };
                samples.push(Sample {
                    series: key.clone(),
                    time: time(back),
                    value: (i as f64 * 0.7).sin() + 0.3 * dice.unit() + spike,
                });
            }
            let payload = match dice.one_in(15) {
                true => Payload::Bytes(b"no json".to_vec()),
                false => Payload::Samples(samples),
            };
            Record {
                offset: offset - 1,
                time: Some(time(0)),
                payload,
            }
        })
        .collect()
}

/// A tick as text.
pub(crate) fn tick_text(control: &Control) -> String {
    match control.kind {
        ControlKind::IdleClose { until, quiet_since } => {
            format!("{} {} {quiet_since}", control.offset, until.millis())
        }
        ControlKind::Start { .. } | ControlKind::Live => String::new(),
    }
}

fn tick_of(text: &str) -> Option<Control> {
    let mut words = text.split(' ');
    let offset = words.next()?.parse().ok()?;
    let until = Timestamp::from_millis(words.next()?.parse().ok()?);
    let quiet_since = words.next()?.parse().ok()?;
    Some(Control {
        offset,
        kind: ControlKind::IdleClose { until, quiet_since },
    })
}

/// What a group begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Beginning {
    /// From here on it speaks.
    pub(crate) live_from: i64,
    /// And nothing before it is known.
    pub(crate) cold: bool,
}

/// What the alert and dead-letter topics hold, by key in order, when nothing ever fails, the group began so, and these ticks took
/// effect.
pub(crate) fn undisturbed(
    settings: &Arc<TaskSettings>,
    input: &[Vec<Record>],
    beginnings: &[Beginning],
    ticks: &BTreeMap<String, Vec<String>>,
) -> BTreeMap<String, Vec<String>> {
    let mut said: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (partition, records) in input.iter().enumerate() {
        let (id, beginning) = (task_id(partition), beginnings[partition]);
        let mut ticks = ticks.get(&format!("{TICKS}{id}")).into_iter().flatten();
        let mut tick = ticks.next().and_then(|text| tick_of(text));
        let mut task = Task::new(Arc::clone(settings), true);
        let mut say = |out: Vec<Output>| {
            for (key, text) in out.iter().filter_map(text_of) {
                said.entry(format!("{id}/{key}")).or_default().push(text);
            }
        };
        let mut muted = true;
        let mut speak = |task: &mut Task, offset: i64| {
            if !muted || offset < beginning.live_from {
                return Vec::new();
            }
            muted = false;
            let kind = ControlKind::Live;
            feed(task, Input::Control(&Control { offset, kind }))
        };
        for record in records {
            if beginning.cold && record.offset < beginning.live_from {
                continue;
            }
            while let Some(control) = tick.take_if(|tick| tick.offset <= record.offset) {
                say(speak(&mut task, control.offset));
                say(feed(&mut task, Input::Control(&control)));
                tick = ticks.next().and_then(|text| tick_of(text));
            }
            say(speak(&mut task, record.offset));
            say(feed(&mut task, Input::Record(record)));
        }
        while let Some(control) = tick {
            say(speak(&mut task, control.offset));
            say(feed(&mut task, Input::Control(&control)));
            tick = ticks.next().and_then(|text| tick_of(text));
        }
    }
    said
}

fn feed(task: &mut Task, input: Input<'_>) -> Vec<Output> {
    let mut out = Vec::new();
    task.feed(input, &mut out);
    let answers = out.iter().filter_map(|output| match output {
        Output::Due { id, input } => Some((*id, Some(mean(input)))),
        _ => None,
    });
    let answers: Vec<_> = answers.collect();
    task.feed(Input::Scored(answers), &mut out);
    out
}
