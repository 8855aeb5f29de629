//! What is kept of a task is enough to go on with it: wherever it is cut, the task that goes on says to the last bit what the one
//! would have said that was not cut.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::sync::Arc;

use alerting::LimitSpec;
use pipeline::delivery::{Delivery, FirstStart, Position};
use pipeline::{
    Gathered, Host, Identity, Input, Member, Model, Output, Past, SeriesSettings, Start, StateRecord, Task,
    TaskId, TaskSettings, Unusable,
};
use proptest::prelude::*;
use scorer::manifest::{LagCalibration, ModelKind, SERVED_LAGS};
use scorer::normalise::Scaler;
use scorer::{Backend, BackendError, WindowOutput};
use types::{
    Alert, Control, ControlKind, Forecast, Kind, Payload, Record, Rejected, Sample, ScoreRow, SeriesKey,
    Timestamp,
};

const WINDOW: usize = 6;
const INTERVAL: i64 = 1_000;

struct MeanNets;

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
        critic: Some(x[x.len() - 1]),
    }
}

/// Sensitive, forgetful and short of room; intervals are inferred where `infers`.
fn settings(kind: ModelKind, lag: usize, infers: bool) -> Arc<TaskSettings> {
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
    defaults.window.interval = (!infers).then_some(INTERVAL);
    defaults.window.lateness = 2 * INTERVAL;
    defaults.score.lag = lag;
    defaults.score.half_history = 5.0;
    defaults.score.warn_decades = 0.6;
    defaults.score.critical_decades = 1.1;
    defaults.score.refractory = 3;
    defaults.score.coarse_factor = 2;
    defaults.alert.min_confidence = 0.05;
    defaults.alert.close_after = 2;
    defaults.alert.silence_after = 5 * INTERVAL;
    defaults.limits = LimitSpec {
        above: Some(5.0),
        below: Some(-0.4),
    };
    if infers {
        defaults.window.kind = Kind::Counter;
    }
    Arc::new(TaskSettings {
        defaults,
        scope: "metrics".into(),
        max_series: 3,
        evict_idle: 4 * INTERVAL,
        series_ttl: 60 * INTERVAL,
        ..TaskSettings::new(model)
    })
}

#[derive(Clone, Debug)]
enum Event {
    Record(Record),
    Tick(Control),
    /// What has come out is published.
    Publish,
    /// The process dies, and another goes on with what was published.
    Crash,
}

fn tick(offset: i64, until: i64, quiet_since: i64) -> Event {
    let (until, quiet_since) = (Timestamp::from_millis(until), quiet_since.unsigned_abs());
    Event::Tick(Control {
        offset,
        kind: ControlKind::IdleClose { until, quiet_since },
    })
}

/// A stream of a few series with disorder, gaps, spikes, bad records and passing time, published and cut here and there.
fn events() -> impl Strategy<Value = Vec<Event>> {
    let step = (
        proptest::collection::vec((0u8..5, -3i64..3), 0..4),
        prop_oneof![12 => 0i64..4, 1 => 4i64..30],
        prop_oneof![8 => -1.0..1.0f64, 1 => 20.0..40.0f64],
        0u8..60,
    );
    proptest::collection::vec(step, 1..200).prop_map(|steps| {
        let (mut clock, mut offset, mut ahead) = (0, 0, 0);
        let mut events = Vec::new();
        for (samples, advance, value, kind) in steps {
            clock += advance * INTERVAL / 2;
            let time = |back: i64| Timestamp::from_millis((clock + back * INTERVAL / 2).max(0));
            let samples = samples.into_iter().map(|(series, back)| Sample {
                series: SeriesKey::from_name(&format!("s{series}")).unwrap(),
                time: time(back),
                value: value + f64::from(series),
            });
            let payload = match kind {
                0 => Payload::Bytes(b"no json".to_vec()),
                _ => Payload::Samples(samples.collect()),
            };
            events.push(Event::Record(Record {
                offset,
                time: None,
                payload,
            }));
            offset += 1;
            match kind {
                2..=6 => {
                    ahead = ahead.max(clock) + i64::from(kind) * INTERVAL;
                    events.push(tick(offset, ahead, offset - 1));
                }
                7..=20 => events.push(Event::Publish),
                21..=24 => events.push(Event::Crash),
                25 => {
                    events.push(Event::Publish);
                    events.push(tick(offset, clock + 9 * INTERVAL, offset));
                    events.push(Event::Publish);
                }
                _ => {}
            }
            // What a transaction leaves in the log.
            offset += i64::from(kind == 1);
        }
        events.push(Event::Crash);
        events
    })
}

fn id() -> TaskId {
    TaskId {
        topic: "metrics".into(),
        partition: 3,
    }
}

fn identity() -> Identity {
    Identity {
        bundle: "test@0".to_owned(),
        runtime: "1".to_owned(),
        device: "cpu".to_owned(),
    }
}

/// What others see, each kind and series in its order: what is rejected does not wait for the nets.
#[derive(Debug, Default, PartialEq)]
struct Told {
    alerts: Vec<Alert>,
    rows: Vec<ScoreRow>,
    forecasts: Vec<Forecast>,
    rejected: Vec<(i64, Rejected)>,
}

impl Told {
    fn hear(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Alert(alert) => self.alerts.push(alert),
                Output::Row(row) => self.rows.push(row),
                Output::Forecast(forecast) => self.forecasts.push(forecast),
                Output::Rejected { offset, rejected } => self.rejected.push((offset, rejected)),
                Output::Due { .. } | Output::Occurred(_) | Output::Processed { .. } => {}
            }
        }
    }
}

/// Muted up to `live`, then loud, in one go.
fn undisturbed(settings: &Arc<TaskSettings>, events: &[Event], live: i64) -> Told {
    let mut task = Task::new(Arc::clone(settings), true);
    let (mut told, mut muted) = (Told::default(), true);
    for event in events {
        let mut out = Vec::new();
        let (Event::Record(Record { offset, .. }) | Event::Tick(Control { offset, .. })) = event else {
            continue;
        };
        if muted && *offset >= live {
            muted = false;
            let (offset, kind) = (*offset, ControlKind::Live);
            task.feed(Input::Control(&Control { offset, kind }), &mut out);
        }
        match event {
            Event::Record(record) => task.feed(Input::Record(record), &mut out),
            Event::Tick(control) if !muted => task.feed(Input::Control(control), &mut out),
            _ => {}
        }
        let answers = out.iter().filter_map(|output| match output {
            Output::Due { id, input } => Some((*id, Some(mean(input)))),
            _ => None,
        });
        let answers = answers.collect();
        task.feed(Input::Scored(answers), &mut out);
        told.hear(out);
    }
    told
}

/// What is outside of the process.
#[derive(Default)]
struct Outside {
    state: Vec<StateRecord>,
    told: Told,
    committed: Option<i64>,
}

impl Outside {
    fn open(&self, identity: &Identity, high: i64) -> (Past, Option<Unusable>) {
        let mut gathered = Gathered::new(&id());
        for StateRecord { key, value } in &self.state {
            gathered.take(key.as_bytes(), value.as_deref());
            gathered.take(b"metrics/33 said s1", Some(b"of another"));
        }
        gathered.open(identity, self.committed, high)
    }

    fn start(&self, settings: &Arc<TaskSettings>, live: i64, high: i64) -> (Member, i64) {
        let (past, why) = self.open(&identity(), high);
        assert_eq!(why, None);
        let position = Position {
            low: 0,
            high: if self.committed.is_some() { high } else { live },
            committed: self.committed,
            kept: past.kept().map(pipeline::Kept::read_from),
            lookback: self.committed.is_none().then_some(0),
        };
        let delivery = Delivery::assign(position, FirstStart::Lookback);
        let from = delivery.read_from();
        let mut member = Member::new(Host::new(vec![Box::new(MeanNets)]));
        member.assigned(vec![Start {
            id: id(),
            delivery,
            settings: Arc::clone(settings),
            past,
            identity: Some(identity()),
        }]);
        (member, from)
    }

    fn publish(&mut self, member: &mut Member) -> bool {
        while member.due() > 0 {
            member.infer();
        }
        let Some(publication) = member.publication() else {
            return false;
        };
        self.told.hear(
            publication
                .outputs
                .into_iter()
                .map(|(_, output)| output)
                .collect(),
        );
        self.state
            .extend(publication.state.into_iter().map(|(_, record)| record));
        if let Some(next) = publication.next.get(&id()) {
            self.committed = Some(*next);
        }
        member.published(&publication.next);
        true
    }
}

/// The events with every cut in its place, and in the end all is published.
fn cut(settings: &Arc<TaskSettings>, events: &[Event], live: i64) -> Told {
    let high = events.iter().rev().find_map(|event| match event {
        Event::Record(record) => Some(record.offset + 1),
        _ => None,
    });
    let high = high.unwrap_or(0).max(live);
    let mut outside = Outside::default();
    let (mut member, _) = outside.start(settings, live, high);
    outside.publish(&mut member);
    // Each cut happens once: what follows is done again.
    let (mut next, mut published, mut last_cut) = (0, 0, 0);
    while let Some(event) = events.get(next) {
        next += 1;
        match event {
            Event::Record(record) => drop(member.record(&id(), record)),
            Event::Tick(control) if member.is_live(&id()) => member.control(&id(), control),
            Event::Publish if outside.publish(&mut member) && member.is_live(&id()) => published = next,
            Event::Crash if next > last_cut => {
                last_cut = next;
                let from;
                (member, from) = outside.start(settings, live, high);
                for event in &events[..published] {
                    match event {
                        Event::Record(record) if record.offset >= from => drop(member.record(&id(), record)),
                        _ => {}
                    }
                }
                next = published;
            }
            Event::Tick(_) | Event::Publish | Event::Crash => {}
        }
    }
    outside.publish(&mut member);
    outside.told
}

/// Where two lists part, and what stands there.
fn first_difference<T: Clone + PartialEq>(a: &[T], b: &[T]) -> Option<(usize, Option<T>, Option<T>)> {
    let at = (0..a.len().max(b.len())).find(|i| a.get(*i) != b.get(*i))?;
    Some((at, a.get(at).cloned(), b.get(at).cloned()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_task_goes_on_wherever_it_is_cut(
        events in events(),
        live in prop_oneof![Just(0i64), 0i64..40],
        lag in prop_oneof![Just(0usize), Just(2)],
        infers in any::<bool>(),
        kind in prop_oneof![Just(ModelKind::Tadgan), Just(ModelKind::Aer)],
    ) {
        let settings = settings(kind, lag, infers);
        let wanted = undisturbed(&settings, &events, live);
        let found = cut(&settings, &events, live);
        prop_assert_eq!(first_difference(&found.alerts, &wanted.alerts), None);
        prop_assert_eq!(first_difference(&found.rows, &wanted.rows), None);
        prop_assert_eq!(first_difference(&found.forecasts, &wanted.forecasts), None);
        prop_assert_eq!(first_difference(&found.rejected, &wanted.rejected), None);
    }
}

/// `cargo test -p pipeline --test keep -- --ignored --nocapture`
#[test]
#[ignore = "prints what docs/reliability.md says of the bytes a series"]
fn bytes_of_a_series() {
    let model = settings(ModelKind::Tadgan, 0, false).model.clone();
    let model = Model { window: 100, ..model };
    for (name, interval, days) in [
        ("60 s", 60_000, 8),
        ("5 min", 300_000, 15),
        ("60 s, new", 60_000, 0),
    ] {
        let mut own = TaskSettings::new(model.clone());
        own.defaults.window.interval = Some(interval);
        let mut outside = Outside::default();
        let (mut member, _) = outside.start(&Arc::new(own), 0, 0);
        let buckets = days * 86_400_000 / interval + 150;
        for i in 0..buckets {
            let record = Record {
                offset: i,
                time: None,
                payload: Payload::Samples(vec![Sample {
                    series: SeriesKey::from_name("a").unwrap(),
                    time: Timestamp::from_millis(i * interval),
                    value: (i as f64 * 0.013).sin() + f64::from((i * 7919 % 101) as u32) / 50.0,
                }]),
            };
            member.record(&id(), &record);
            outside.publish(&mut member);
        }
        let (mut written, mut newest) = (0, std::collections::BTreeMap::new());
        for StateRecord { key, value } in &outside.state {
            let bytes = key.len() + value.as_ref().map_or(0, Vec::len);
            written += bytes;
            newest.insert(key.clone(), bytes);
        }
        let written = written as i64 / buckets;
        println!("{name}: {newest:?}, {written} bytes written a bucket, heads included");
    }
}
