//! What a task makes of series that come no more, and of times for which something is planned.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::sync::Arc;

use pipeline::maintenance::{Span, When};
use pipeline::{Host, Input, Maintenance, Matcher, Model, Output, Rule, Task, TaskId, TaskSettings};
use scorer::manifest::ModelKind;
use scorer::normalise::Scaler;
use scorer::{Backend, BackendError, WindowOutput};
use types::{
    Alert, AlertState, Control, ControlKind, Occurrence, Payload, Record, Sample, ScoreRow, SeriesKey,
    Timestamp,
};

const WINDOW: usize = 10;
const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
/// Event time after which a series of the tests is silent.
const WAIT: i64 = 10 * MINUTE;

/// Every value is what it should be, but for the window's mean.
struct MeanNets;

impl Backend for MeanNets {
    fn run(&mut self, inputs: &[&[f32]]) -> Result<Vec<WindowOutput>, BackendError> {
        let mean = |x: &[f32]| x.iter().sum::<f32>() / x.len() as f32;
        let answer = |x: &&[f32]| WindowOutput {
            reconstruction: vec![mean(x); x.len()],
            critic: None,
        };
        Ok(inputs.iter().map(answer).collect())
    }

    fn device(&self) -> &str {
        "test"
    }
}

fn settings() -> TaskSettings {
    let mut settings = TaskSettings::new(Model {
        label: "test@0".into(),
        kind: ModelKind::Tadgan,
        window: WINDOW,
        scaler: Scaler::Window { gain: 3.0 },
        calibration: vec![],
    });
    settings.defaults.window.interval = Some(MINUTE);
    settings.defaults.alert.silence_after = WAIT;
    settings
}

/// A task with everything it has said.
struct Bench {
    host: Host,
    id: TaskId,
    offset: i64,
    alerts: Vec<Alert>,
    rows: Vec<ScoreRow>,
    silent: usize,
}

impl Bench {
    fn new(settings: TaskSettings) -> Self {
        let id = TaskId {
            topic: "metrics".into(),
            partition: 0,
        };
        let mut host = Host::new(vec![Box::new(MeanNets)]);
        host.assign(id.clone(), Task::new(Arc::new(settings), false));
        Self {
            host,
            id,
            offset: 0,
            alerts: vec![],
            rows: vec![],
            silent: 0,
        }
    }

    fn feed(&mut self, input: Input<'_>) {
        let mut out = vec![];
        self.host.feed(&self.id, input, &mut out);
        self.host.infer(&mut out);
        for (_, output) in out {
            match output {
                Output::Alert(alert) => self.alerts.push(alert),
                Output::Row(row) => self.rows.push(row),
                Output::Occurred(Occurrence::SeriesSilent) => self.silent += 1,
                _ => {}
            }
        }
    }

    /// A sample of each of `series` in the minutes `from..to`.
    fn minutes(&mut self, series: &[&str], from: i64, to: i64) {
        for minute in from..to {
            for name in series {
                self.sample(name, minute * MINUTE, (minute as f64 * 0.7).sin());
            }
        }
    }

    fn sample(&mut self, name: &str, time: i64, value: f64) {
        let (name, host) = name.split_once('@').unwrap_or((name, ""));
        let series = SeriesKey::new(name, [("host", host)]).unwrap();
        let sample = Sample {
            series,
            time: Timestamp::from_millis(time),
            value,
        };
        let record = Record {
            offset: self.offset,
            time: None,
            payload: Payload::Samples(vec![sample]),
        };
        self.offset += 1;
        self.feed(Input::Record(&record));
    }

    fn tick(&mut self, until: i64) {
        let kind = ControlKind::IdleClose {
            until: Timestamp::from_millis(until),
            quiet_since: u64::MAX,
        };
        let control = Control {
            offset: self.offset,
            kind,
        };
        self.feed(Input::Control(&control));
    }

    /// Minute at which each state of a silence was known, with the series.
    fn silences(&self) -> Vec<(AlertState, &str, i64)> {
        let silences = self.alerts.iter().filter(|a| a.kind() == "silence");
        silences
            .map(|a| (a.state, a.series.as_str(), a.available_at.millis() / MINUTE))
            .collect()
    }

    fn task(&self) -> &Task {
        self.host.tasks().next().unwrap().1
    }
}

use AlertState::{Firing, Resolved};

#[test]
fn a_series_that_comes_no_more_is_said_once_and_ends_when_it_comes_back() {
    let mut bench = Bench::new(settings());
    bench.minutes(&["a", "b"], 0, 30);
    bench.minutes(&["b"], 30, 39);
    assert_eq!(bench.silences(), []);
    bench.minutes(&["b"], 39, 60);
    assert_eq!(bench.silences(), [(Firing, "a", 39)]);
    assert_eq!((bench.task().open_alerts(), bench.silent), (1, 1));
    let alert = &bench.alerts[0];
    assert_eq!(
        (alert.start.millis(), alert.end.millis()),
        (30 * MINUTE, 39 * MINUTE)
    );
    assert_eq!(alert.silence.unwrap().last.millis(), 29 * MINUTE);
    assert_eq!((alert.confidence, alert.score), (1.0, 1.0));
    bench.minutes(&["a", "b"], 60, 100);
    assert_eq!(bench.silences(), [(Firing, "a", 39), (Resolved, "a", 60)]);
    let resolved = bench.alerts[1].clone();
    assert_eq!(resolved.id, bench.alerts[0].id);
    assert_eq!(resolved.silence.unwrap().returned.unwrap().millis(), 60 * MINUTE);
    bench.minutes(&["b"], 100, 120);
    assert_eq!(
        bench.silences()[2],
        (Firing, "a", 109),
        "the next is an event of its own"
    );
    assert_ne!(bench.alerts[2].id, resolved.id);
}

#[test]
fn a_silence_does_not_last_for_ever() {
    let mut given = settings();
    given.defaults.alert.max_duration = 30;
    let mut bench = Bench::new(given);
    bench.minutes(&["a", "b"], 0, 30);
    bench.minutes(&["b"], 30, 200);
    assert_eq!(bench.silences(), [(Firing, "a", 39), (Resolved, "a", 60)]);
    assert_eq!(bench.alerts[1].silence.unwrap().returned, None);
    bench.minutes(&["a", "b"], 200, 230);
    bench.minutes(&["b"], 230, 250);
    assert_eq!(bench.silences()[2], (Firing, "a", 239));
}

/// A feeder, a host, a deployment: many series end at once, or nearly.
#[test]
fn what_falls_silent_together_alerts_once() {
    let names: Vec<String> = (0..40).map(|i| format!("s{i}")).collect();
    let mut all: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut bench = Bench::new(settings());
    all.push("z");
    bench.minutes(&all, 0, 30);
    bench.minutes(&all[20..], 30, 32);
    bench.minutes(&["z"], 32, 100);
    assert_eq!(bench.silences(), [(Firing, "s0", 39)]);
    assert_eq!(bench.silent, 40);
    // All but one of them come back: the alert ends, and the one that does not gets its own.
    let back: Vec<&str> = all.iter().copied().filter(|name| *name != "s7").collect();
    bench.minutes(&back, 100, 150);
    let silences = bench.silences();
    assert_eq!(silences[1], (Resolved, "s0", 100));
    assert!(matches!(silences[2], (Firing, "s7", 100..=110)), "{silences:?}");
    assert_eq!(silences.len(), 3);
}

#[test]
fn a_gap_of_everything_is_no_silence_once_everything_is_back() {
    let mut bench = Bench::new(settings());
    bench.minutes(&["a", "b", "c"], 0, 30);
    bench.minutes(&["a", "b", "c"], 300, 400);
    // Nor is one clock that is a year ahead.
    bench.sample("a", 400 * MINUTE + 365 * 86_400 * SECOND, 0.0);
    bench.minutes(&["b", "c"], 400, 500);
    assert_eq!(bench.silences(), []);
}

#[test]
fn what_is_replaced_is_not_missed() {
    let mut bench = Bench::new(settings());
    bench.minutes(&["up@1", "up@2", "up_total@3"], 0, 30);
    bench.minutes(&["up@2", "up@4", "up_total@3"], 30, 100);
    assert_eq!(bench.silences(), []);
    // Nobody has taken this one up.
    bench.minutes(&["up@2", "up_total@3"], 100, 130);
    assert_eq!(bench.silences(), [(Firing, "up{host=\"4\"}", 109)]);
}

#[test]
fn what_never_was_regular_is_not_waited_for() {
    let mut bench = Bench::new(settings());
    for minute in 0..60 {
        bench.minutes(&["z"], minute, minute + 1);
        if minute % 3 == 0 {
            bench.minutes(&["every-third"], minute, minute + 1);
        }
        if minute < 8 {
            bench.minutes(&["short"], minute, minute + 1);
        }
    }
    bench.minutes(&["z"], 60, 200);
    assert_eq!((bench.silences(), bench.silent), (vec![], 0));
}

#[test]
fn rules_say_how_long_or_never() {
    let mut given = settings();
    let rule = |name: &str, silence_after| {
        let mut own = given.defaults.clone();
        own.alert.silence_after = silence_after;
        Rule {
            matcher: Matcher {
                name: Some(name.to_owned()),
                labels: vec![],
            },
            settings: own,
        }
    };
    // Never less than five intervals.
    given.rules = vec![rule("off", 0), rule("soon", MINUTE)];
    let mut bench = Bench::new(given);
    bench.minutes(&["off", "soon", "z"], 0, 30);
    bench.minutes(&["z"], 30, 100);
    assert_eq!(bench.silences(), [(Firing, "soon", 34)]);
}

/// Live, a partition without a record has only ticks.
#[test]
fn the_clock_of_a_silent_partition_counts() {
    let mut bench = Bench::new(settings());
    bench.minutes(&["a", "b"], 0, 30);
    let is_idle = |bench: &Bench, minute: i64| {
        let until = Timestamp::from_millis(minute * MINUTE);
        bench.task().is_idle(until, 0)
    };
    for minute in 30..80 {
        if is_idle(&bench, minute) {
            bench.tick(minute * MINUTE);
        }
    }
    assert_eq!(bench.silences(), [(Firing, "a", 39)]);
    bench.minutes(&["a", "b"], 80, 81);
    assert_eq!(bench.silences()[1], (Resolved, "a", 80));
}

#[test]
fn a_forgotten_series_is_silent_no_more() {
    let mut given = settings();
    given.max_series = 2;
    given.evict_idle = 20 * MINUTE;
    let mut bench = Bench::new(given);
    bench.minutes(&["a", "b"], 0, 30);
    bench.minutes(&["b"], 30, 60);
    bench.minutes(&["c"], 60, 61);
    assert_eq!(bench.silences(), [(Firing, "a", 39), (Resolved, "a", 60)]);
    bench.minutes(&["b", "c"], 61, 100);
    assert_eq!(bench.silences().len(), 2);
}

fn planned(from: i64, to: i64, learn: bool) -> Maintenance {
    Maintenance {
        matcher: Matcher::default(),
        when: When::Once(Span {
            start: Timestamp::from_millis(from * MINUTE),
            end: Timestamp::from_millis(to * MINUTE),
        }),
        learn,
    }
}

#[test]
fn during_maintenance_nobody_is_missed() {
    let mut given = settings();
    given.maintenance = vec![planned(25, 60, false)];
    let mut bench = Bench::new(given);
    bench.minutes(&["a", "b"], 0, 30);
    bench.minutes(&["b"], 30, 100);
    // But who is not back afterwards is.
    assert_eq!(bench.silences(), [(Firing, "a", 70)]);
}

/// Minutes of a wave with a plateau.
fn disturbed(bench: &mut Bench, from: i64, to: i64, until: i64) {
    for minute in 0..until {
        let up = if (from..to).contains(&minute) { 40.0 } else { 0.0 };
        bench.sample("a", minute * MINUTE, up + (minute as f64 * 0.7).sin());
    }
}

fn sensitive() -> TaskSettings {
    let mut given = settings();
    given.defaults.score.half_history = 5.0;
    given
}

#[test]
fn maintenance_and_the_return_from_it_alert_nobody() {
    let mut plain = Bench::new(sensitive());
    disturbed(&mut plain, 300, 320, 600);
    assert!(!plain.alerts.is_empty());

    let mut given = sensitive();
    given.maintenance = vec![planned(300, 320, false)];
    let mut bench = Bench::new(given.clone());
    disturbed(&mut bench, 300, 320, 600);
    assert_eq!(bench.alerts, []);
    let worst = bench.rows.iter().filter_map(|row| row.score).fold(0.0, f64::max);
    assert!(worst > 1.0, "scores come out: {worst}");

    // Nothing was learnt: the same later is as unusual as it would have been without.
    let mut bench = Bench::new(given);
    disturbed(&mut bench, 300, 320, 420);
    for minute in 420..440 {
        bench.sample("a", minute * MINUTE, 40.0);
    }
    assert!(matches!(bench.alerts[0].state, Firing), "{:?}", bench.alerts);
    assert_eq!(bench.alerts[0].start.millis(), 420 * MINUTE);
}

#[test]
fn an_open_alert_rests_and_goes_on() {
    let mut plain = Bench::new(sensitive());
    disturbed(&mut plain, 300, 301, 600);
    let states = |bench: &Bench| -> Vec<(AlertState, i64)> {
        let all = bench.alerts.iter();
        all.map(|a| (a.state, a.available_at.millis() / MINUTE)).collect()
    };
    let (Some(&(Firing, at)), Some(&(Resolved, end))) = (states(&plain).first(), states(&plain).last())
    else {
        panic!("{:?}", plain.alerts)
    };
    assert_eq!(at, 301);
    let mut given = sensitive();
    given.maintenance = vec![planned(301, 360, true)];
    let mut bench = Bench::new(given);
    disturbed(&mut bench, 300, 301, 600);
    let rested = states(&bench);
    assert_eq!(rested[0], (Firing, 301));
    assert!(
        end < 360 && rested[1].1 > 360 && rested.len() == 2,
        "{end}, {rested:?}"
    );
}
