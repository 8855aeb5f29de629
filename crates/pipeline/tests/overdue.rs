//! Whether a task knows its own silence from that of its series.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pipeline::{Host, Input, Model, Overdue, Task, TaskId, TaskSettings};
use scorer::manifest::ModelKind;
use scorer::normalise::Scaler;
use scorer::{Backend, BackendError, WindowOutput};
use types::{Payload, Record, Sample, SeriesKey, Timestamp};

const WINDOW: i64 = 10;
const MINUTE: i64 = 60_000;
const NOTHING: Overdue = Overdue {
    series: 0,
    longest: 0,
};

/// Nets that may break.
struct Nets(Arc<AtomicBool>);

impl Backend for Nets {
    fn run(&mut self, inputs: &[&[f32]]) -> Result<Vec<WindowOutput>, BackendError> {
        if self.0.load(Ordering::Relaxed) {
            return Err(BackendError("broken".to_owned()));
        }
        let answer = |input: &&[f32]| WindowOutput {
            reconstruction: vec![0.0; input.len()],
            critic: None,
        };
        Ok(inputs.iter().map(answer).collect())
    }

    fn device(&self) -> &str {
        "test"
    }
}

struct Bench {
    host: Host,
    id: TaskId,
    settings: Arc<TaskSettings>,
    broken: Arc<AtomicBool>,
    offset: i64,
}

impl Bench {
    fn new(lag: usize, lateness: i64) -> Self {
        let mut settings = TaskSettings::new(Model {
            label: "test@0".into(),
            kind: ModelKind::Tadgan,
            window: WINDOW as usize,
            scaler: Scaler::Window { gain: 3.0 },
            calibration: vec![],
        });
        settings.defaults.window.interval = Some(MINUTE);
        settings.defaults.window.lateness = lateness;
        settings.defaults.score.lag = lag;
        let (settings, broken) = (Arc::new(settings), Arc::new(AtomicBool::new(false)));
        let mut host = Host::new(vec![Box::new(Nets(Arc::clone(&broken)))]);
        let id = TaskId {
            topic: "metrics".into(),
            partition: 0,
        };
        host.assign(id.clone(), Task::new(Arc::clone(&settings), false));
        Self {
            host,
            id,
            settings,
            broken,
            offset: 0,
        }
    }

    fn feed(&mut self, name: &str, minute: i64) {
        let sample = Sample {
            series: SeriesKey::from_name(name).unwrap(),
            time: Timestamp::from_millis(minute * MINUTE),
            value: (minute as f64 * 0.7).sin(),
        };
        let record = Record {
            offset: self.offset,
            time: None,
            payload: Payload::Samples(vec![sample]),
        };
        self.offset += 1;
        self.host.feed(&self.id, Input::Record(&record), &mut Vec::new());
    }

    /// What was overdue after each of these minutes, in each of which each of `series` has a sample.
    fn minutes(&mut self, series: &[&str], minutes: std::ops::Range<i64>) -> Vec<Overdue> {
        let mut seen = Vec::new();
        for minute in minutes {
            for name in series {
                self.feed(name, minute);
            }
            self.host.infer(&mut Vec::new());
            seen.push(self.overdue());
        }
        seen
    }

    fn overdue(&self) -> Overdue {
        self.host.tasks().next().unwrap().1.overdue()
    }

    fn restart(&mut self) {
        let snapshot = self.host.revoke(&self.id).unwrap().snapshot().unwrap();
        let task = Task::restore(Arc::clone(&self.settings), &snapshot).unwrap();
        self.host.assign(self.id.clone(), task);
    }
}

#[test]
fn while_the_nets_answer_nothing_is_overdue_whatever_the_series_do() {
    for (lag, lateness) in [(0, 0), (4, 0), (0, 90_000), (9, 600_000)] {
        let mut bench = Bench::new(lag, lateness);
        let mut seen = bench.minutes(&["ends", "young", "stays"], 0..WINDOW - 2);
        seen.extend(bench.minutes(&["ends", "stays"], WINDOW - 2..40));
        // One is silent, one comes now and then, one has a gap longer than its window.
        for minute in 40..120 {
            let gap = (60..80).contains(&minute);
            let names: &[&str] = match (minute % 7, gap) {
                (0, true) => &["rare", "stays"],
                (0, false) => &["rare", "gap", "stays"],
                (_, true) => &["stays"],
                (_, false) => &["gap", "stays"],
            };
            seen.extend(bench.minutes(names, minute..minute + 1));
        }
        let late = seen.iter().position(|o| *o != NOTHING);
        assert_eq!(late, None, "{lag} {lateness}: {:?}", late.map(|at| seen[at]));
    }
}

#[test]
fn samples_that_come_and_are_not_scored_are_counted_until_they_are() {
    for (lag, lateness) in [(0, 0), (4, 90_000)] {
        let mut bench = Bench::new(lag, lateness);
        bench.minutes(&["a", "b", "ends"], 0..30);
        bench.broken.store(true, Ordering::Relaxed);
        let seen = bench.minutes(&["a", "b"], 30..60);
        // The bucket that fell due with the first of them had no answer; an interval later that is too long.
        let of = |minute: usize| seen[minute - 30];
        let first = seen.iter().position(|o| o.series > 0).unwrap();
        assert_eq!(of(30), NOTHING);
        assert!((1..=3 + lag).contains(&first), "{first}");
        assert!(seen[first..].iter().all(|o| o.series == 2), "{seen:?}");
        let longest: Vec<i64> = seen[first..].iter().map(|o| o.longest).collect();
        assert!(
            longest.windows(2).all(|pair| pair[1] == pair[0] + MINUTE),
            "{longest:?}"
        );
        bench.broken.store(false, Ordering::Relaxed);
        let seen = bench.minutes(&["a", "b"], 60..70);
        assert!(seen[1 + lag..].iter().all(|o| *o == NOTHING), "{seen:?}");
    }
}

#[test]
fn a_series_that_never_had_a_score_is_overdue_from_its_first_window_on() {
    let mut bench = Bench::new(0, 0);
    bench.broken.store(true, Ordering::Relaxed);
    let seen = bench.minutes(&["a"], 0..20);
    // Bucket 1 is a fifth of a window with the one before, closes with minute 2, and is late with minute 3.
    assert_eq!(seen.iter().position(|o| o.series > 0), Some(3));
    assert_eq!(seen[19].longest, 17 * MINUTE);
}

#[test]
fn a_window_that_was_never_answered_is_overdue_too() {
    let mut bench = Bench::new(0, 0);
    bench.minutes(&["a"], 0..20);
    for minute in 20..25 {
        bench.feed("a", minute);
    }
    assert_eq!(
        bench.overdue(),
        Overdue {
            series: 1,
            longest: 4 * MINUTE
        }
    );
    bench.host.infer(&mut Vec::new());
    assert_eq!(bench.overdue(), NOTHING);
}

#[test]
fn after_a_restart_it_counts_from_there() {
    let mut bench = Bench::new(0, 0);
    bench.minutes(&["a"], 0..20);
    bench.broken.store(true, Ordering::Relaxed);
    bench.minutes(&["a"], 20..40);
    bench.restart();
    assert_eq!(bench.overdue(), NOTHING);
    let seen = bench.minutes(&["a"], 40..45);
    assert_eq!(seen.iter().position(|o| o.series > 0), Some(1), "{seen:?}");
}
