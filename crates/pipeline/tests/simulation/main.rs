//! The protocol in a simulated world: a virtual clock, a simulated log, agents that crash before and after every call, hang
//! and come back, are added and removed. Whatever happens, a reader of committed records finds what the undisturbed run says:
//! nothing lost, nothing twice, per series in order. A schedule is a function of its number.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod agent;
mod broker;
mod dice;
mod workload;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use agent::{Flaw, Mode, Ways};
use pipeline::delivery::FirstStart;
use world::{Tally, schedule};

/// Schedules in the ordinary tests, and within which every broken driver must be found.
const FEW: u64 = 1_000;
/// Schedules that show a known shortfall.
const SOME: u64 = 200;
const MANY: u64 = 100_000;

fn ways(flaw: Flaw, mode: Mode, first: FirstStart) -> Ways {
    Ways {
        flaw,
        mode,
        first,
        lookback: i64::MAX / 4,
        keeps: false,
        ticks: false,
        settings: workload::settings(),
    }
}

/// With a state topic, and a lookback that is of no use.
fn keeping(flaw: Flaw, first: FirstStart) -> Ways {
    Ways {
        lookback: workload::INTERVAL,
        keeps: true,
        ..ways(flaw, Mode::Transactional, first)
    }
}

/// Runs schedules by number on all cores; the failures, by number.
fn run(ways: &Ways, seeds: std::ops::Range<u64>) -> (Tally, Vec<(u64, String)>) {
    let (next, end) = (AtomicU64::new(seeds.start), seeds.end);
    let found = Mutex::new((Tally::default(), Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut tally = Tally::default();
                let mut failures = Vec::new();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        break;
                    }
                    if let Err(what) = schedule(ways, seed, &mut tally) {
                        failures.push((seed, what));
                    }
                }
                let mut found = found.lock().unwrap();
                found.0.add(&tally);
                found.1.extend(failures);
            });
        }
    });
    let (tally, mut failures) = found.into_inner().unwrap();
    failures.sort();
    (tally, failures)
}

fn assert_sound(ways: &Ways, seeds: std::ops::Range<u64>) -> Tally {
    let (tally, failures) = run(ways, seeds);
    println!("{tally}");
    let first = &failures[..failures.len().min(10)];
    assert!(
        failures.is_empty(),
        "{} schedules fail, first {first:#?}",
        failures.len()
    );
    tally
}

#[test]
fn nothing_is_lost_and_nothing_is_said_twice() {
    let tally = assert_sound(
        &ways(Flaw::None, Mode::Transactional, FirstStart::Earliest),
        0..FEW,
    );
    for step in [
        "init", "poll", "begin", "produce", "offsets", "commit", "abort", "restore",
    ] {
        assert!(tally.crashes(step) >= 10, "too few crashes at {step}:\n{tally}");
    }
}

/// What a lookback does not reach, a cold start, what the clock closed: a restart knows it.
#[test]
fn state_is_carried_over_restarts() {
    assert_sound(&keeping(Flaw::None, FirstStart::Earliest), 0..SOME);
    assert_sound(&keeping(Flaw::None, FirstStart::Latest), 0..SOME);
    let ticks = Ways {
        ticks: true,
        ..keeping(Flaw::None, FirstStart::Earliest)
    };
    let tally = assert_sound(&ticks, 0..FEW);
    assert!(tally.crashes("restore") >= 10, "{tally}");
    let looks_back = Ways {
        lookback: i64::MAX / 4,
        ticks: true,
        ..keeping(Flaw::None, FirstStart::Lookback)
    };
    assert_sound(&looks_back, 0..SOME);
}

#[test]
fn a_first_start_that_looks_back_is_decided_once() {
    assert_sound(
        &ways(Flaw::None, Mode::Transactional, FirstStart::Lookback),
        0..FEW,
    );
}

#[test]
fn at_least_once_loses_nothing() {
    assert_sound(&ways(Flaw::None, Mode::AtLeastOnce, FirstStart::Earliest), 0..FEW);
}

/// `cargo test -p pipeline --test simulation -- --ignored --nocapture`
#[test]
#[ignore = "minutes: the long run"]
fn a_hundred_thousand_schedules() {
    assert_sound(
        &ways(Flaw::None, Mode::Transactional, FirstStart::Earliest),
        0..MANY,
    );
}

/// The simulation is worth what it finds.
#[test]
fn broken_drivers_are_found() {
    for flaw in [
        Flaw::OffsetsFirst,
        Flaw::OffsetsApart,
        Flaw::NoMembership,
        Flaw::UnstableLookup,
        Flaw::ReadNotProcessed,
        Flaw::AbortForgotten,
        Flaw::CommitNotResumed,
        Flaw::NoPast,
        Flaw::LoudPast,
    ] {
        let ways = ways(flaw, Mode::Transactional, FirstStart::Earliest);
        let found =
            (0..FEW).find_map(|seed| Some((seed, schedule(&ways, seed, &mut Tally::default()).err()?)));
        let (seed, what) = found.unwrap_or_else(|| panic!("{flaw:?} is not found within {FEW} schedules"));
        println!("{flaw:?}: schedule {seed}: {what}");
    }
    for flaw in [Flaw::StateApart, Flaw::UnstableState] {
        let ways = keeping(flaw, FirstStart::Earliest);
        let found =
            (0..FEW).find_map(|seed| Some((seed, schedule(&ways, seed, &mut Tally::default()).err()?)));
        let (seed, what) = found.unwrap_or_else(|| panic!("{flaw:?} is not found within {FEW} schedules"));
        println!("{flaw:?}: schedule {seed}: {what}");
    }
}

/// What a restart cannot read again without a state topic: docs/reliability.md says so. With one,
/// see above, these are sound.
#[test]
fn what_is_not_carried_over_a_restart_is_known() {
    let sound = || ways(Flaw::None, Mode::Transactional, FirstStart::Earliest);
    let short = |buckets: i64| Ways {
        lookback: buckets * workload::INTERVAL,
        ..sound()
    };
    let latest = Ways {
        first: FirstStart::Latest,
        ..sound()
    };
    let ticks = Ways {
        ticks: true,
        ..sound()
    };
    // Streams are of 20 to 59 buckets.
    for (name, ways) in [
        ("lookback of 10 buckets", short(10)),
        ("lookback of 20 buckets", short(20)),
        ("lookback of 40 buckets", short(40)),
        ("start at the end", latest),
        ("idle closes", ticks),
    ] {
        let (_, failures) = run(&ways, 0..SOME);
        let (seed, what) = failures
            .first()
            .unwrap_or_else(|| panic!("{name}: mended? then say so"));
        println!("{name}: {} of {SOME}, first {seed}: {what}", failures.len());
    }
    assert!(run(&short(60), 0..SOME).1.is_empty());
}
