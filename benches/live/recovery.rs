//! An agent is killed and another started at once: how long until alerts flow again, and until nothing waits?

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use agent::clock::now;

use crate::broker::{Behind, Broker};
use crate::fleet::{BUCKET_MS, Fleet, PARTITIONS, SETTINGS};
use crate::process::Agent;
use crate::{Options, pause};

/// Of 10 000 eras of a series so many have a fault: with twelve buckets an era more than one begins a second of 10 000 series.
const FAULTS: u64 = 1_000;
/// How long the first agent goes on after it has read the past: every series closes buckets, and its state is kept again.
const SETTLE: Duration = Duration::from_secs(75);
/// What was under way when the agent died may still become visible so long after.
const ECHO: Duration = Duration::from_millis(300);
/// Longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(600);
/// Session timeout by default, and what the rest may take.
const BAR: f64 = 45.0 + 15.0;

/// How an agent comes back.
#[derive(Clone, Copy)]
struct Way {
    name: &'static str,
    keeps_state: bool,
    is_static: bool,
}

const WAYS: [Way; 4] = [
    Way {
        name: "state-dynamic",
        keeps_state: true,
        is_static: false,
    },
    Way {
        name: "state-static",
        keeps_state: true,
        is_static: true,
    },
    Way {
        name: "lookback-dynamic",
        keeps_state: false,
        is_static: false,
    },
    Way {
        name: "lookback-static",
        keeps_state: false,
        is_static: true,
    },
];

/// Seconds after the kill.
#[derive(Default)]
struct Back {
    assigned: f64,
    live: f64,
    alert: f64,
    caught_up: f64,
    /// The longest time without an alert in the half minute before the kill.
    calm: f64,
}

/// Runs it and prints what came of it.
pub(crate) fn measure(options: &Options) {
    let series = options.series.unwrap_or(10_000);
    let preload = options.preload.unwrap_or(150);
    let Some(broker) = Broker::start() else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let mut fleet = Fleet::new(broker.producer("recovery"), "recovery", series, FAULTS);
    let from = now().millis().div_euclid(BUCKET_MS) * BUCKET_MS;
    fleet.preload(from, preload, BUCKET_MS);
    let pace = fleet.go_on(from, BUCKET_MS, 0);
    println!(
        "{series} series, {preload} buckets before, then one sample a minute each; seconds after the kill\n\n\
         | way | partitions assigned | past read again | first alert state | caught up | longest pause of alerts before | bar |\n\
         |---|---|---|---|---|---|---|"
    );
    for way in WAYS {
        if options.only.as_ref().is_some_and(|only| only != way.name) {
            continue;
        }
        let back = kill(way, &broker, dir.path(), options.agent.as_ref());
        let verdict = if back.alert <= BAR { "kept" } else { "BROKEN" };
        println!(
            "| {} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} | {BAR:.0}: {verdict} |",
            way.name, back.assigned, back.live, back.alert, back.caught_up, back.calm
        );
        if way.keeps_state {
            print_state(&broker, way.name, series);
        }
    }
    println!("the stream was late by {:.1} s at most", pace.behind());
}

fn kill(way: Way, broker: &Broker, dir: &Path, program: Option<&PathBuf>) -> Back {
    let alerts = broker.watch(&format!("{}-alerts", way.name));
    let mut level = Level::new(broker.behind(way.name, "recovery"));
    let config = config(way, broker, dir);
    let mut first = Agent::start(program, &config, dir.join(format!("{}-first.log", way.name)));
    // The start alone is committed, too.
    until("the past is digested", &mut first, |agent| {
        is_live(&agent.log()) && level.is_reached()
    });
    let settled = Instant::now();
    let mut seen = Vec::new();
    until("half a bucket more", &mut first, |_| {
        seen.extend(alerts.take());
        settled.elapsed() >= SETTLE
    });
    let mut back = Back {
        calm: longest_pause(&seen, settled + SETTLE / 2),
        ..Back::default()
    };
    first.kill();
    let killed = Instant::now();
    let mut second = Agent::start(program, &config, dir.join(format!("{}-second.log", way.name)));
    until("alerts, and nothing that waits", &mut second, |agent| {
        let log = agent.log();
        let since = killed.elapsed().as_secs_f64();
        note(&mut back.assigned, since, log.contains("partitions assigned"));
        note(
            &mut back.live,
            since,
            log.matches(": live").count() >= PARTITIONS as usize,
        );
        if let Some(at) = alerts.take().into_iter().find(|at| *at > killed + ECHO) {
            note(&mut back.alert, (at - killed).as_secs_f64(), true);
        }
        note(&mut back.caught_up, since, back.alert > 0.0 && level.is_reached());
        back.caught_up > 0.0
    });
    back
}

/// Whether every partition has read its past again.
fn is_live(log: &str) -> bool {
    log.matches(": live").count() >= PARTITIONS as usize
}

/// Keeps the first moment at which something is so.
fn note(moment: &mut f64, now: f64, is_so: bool) {
    if is_so && *moment == 0.0 {
        *moment = now;
    }
}

/// Asks ten times a second while the agent lives.
fn until(what: &str, agent: &mut Agent, mut ask: impl FnMut(&Agent) -> bool) {
    let began = Instant::now();
    while !ask(agent) {
        assert!(
            began.elapsed() < LIMIT,
            "not within {LIMIT:?}: {what}; {}",
            agent.log()
        );
        agent.must_live();
        pause(100);
    }
}

/// Whether everything that came is committed, but for the last second.
struct Level {
    behind: Behind,
    ends: Option<(Instant, Vec<i64>)>,
}

impl Level {
    fn new(behind: Behind) -> Self {
        Self { behind, ends: None }
    }

    fn is_reached(&mut self) -> bool {
        let is_old = |(at, _): &(Instant, Vec<i64>)| at.elapsed() > Duration::from_millis(1_500);
        if self.ends.as_ref().is_none_or(is_old) {
            self.ends = self.behind.ends().map(|ends| (Instant::now(), ends));
        }
        let Some((_, ends)) = &self.ends else { return false };
        self.behind.records(ends) == Some(0)
    }
}

fn config(way: Way, broker: &Broker, dir: &Path) -> PathBuf {
    let (name, path) = (way.name, dir.join(format!("{}.toml", way.name)));
    let member = if way.is_static {
        format!("group_instance_id = \"{name}\"\n")
    } else {
        String::new()
    };
    let state = if way.keeps_state {
        format!("[state]\ntopic = \"{name}-state\"\n")
    } else {
        "[state]\ntopic = \"off\"\n".to_owned()
    };
    let text = format!(
        "[kafka]\nbrokers = \"{}\"\ntopics = [\"recovery\"]\ngroup = \"{name}\"\n{member}{state}\
         [alerts]\ntopic = \"{name}-alerts\"\n{SETTINGS}",
        broker.address()
    );
    std::fs::write(&path, text).expect("room");
    path
}

fn print_state(broker: &Broker, way: &str, series: usize) {
    let newest = broker.newest(&format!("{way}-state"));
    let all: usize = newest.values().sum();
    println!(
        "|  state: {} records, {:.1} MB, {:.0} bytes a series |||||||",
        newest.len(),
        all as f64 / 1e6,
        all as f64 / series as f64
    );
}

/// The longest time between two alerts from `from` on (seconds).
fn longest_pause(seen: &[Instant], from: Instant) -> f64 {
    let late: Vec<&Instant> = seen.iter().filter(|at| **at >= from).collect();
    let pauses = late
        .windows(2)
        .map(|pair| pair[1].saturating_duration_since(*pair[0]));
    pauses.max().unwrap_or_default().as_secs_f64()
}
