//! Generated sequences through the crate and through the naive model, step by step.

#![expect(clippy::unwrap_used, reason = "a test")]

mod model;

use model::{Model, Row};
use proptest::prelude::*;
use types::{Aggregate, Kind, Timestamp};
use windowing::{SeriesWindow, WindowSpec};

/// Times in quarters of a second, so that they meet often.
const UNIT: i64 = 250;

#[derive(Clone, Debug)]
enum Op {
    /// A sample so many units after the latest one.
    Sample(i64, f64),
    /// An idle close so many units after the latest sample.
    Idle(i64),
    Flush,
}

/// One step: an operation, and whether the closed buckets are taken and the state goes through bytes after it.
#[derive(Clone, Debug)]
struct Step {
    op: Op,
    take: bool,
    snapshot: bool,
}

fn step() -> impl Strategy<Value = Step> {
    let value = prop_oneof![
        30 => (-3..40_i32).prop_map(|v| f64::from(v) / 8.0),
        5 => -1e9..1e9_f64,
        1 => prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(f64::NEG_INFINITY)],
    ];
    let delta = prop_oneof![
        12 => 1..9_i64,
        6 => -16..=0_i64,
        2 => 8..60_i64,
        1 => 60..200_i64,
    ];
    let op = prop_oneof![
        40 => (delta, value).prop_map(|(delta, value)| Op::Sample(delta, value)),
        3 => (-10..60_i64).prop_map(Op::Idle),
        1 => Just(Op::Flush),
    ];
    (op, prop::bool::weighted(0.7), prop::bool::weighted(0.2)).prop_map(|(op, take, snapshot)| Step {
        op,
        take,
        snapshot,
    })
}

fn spec() -> impl Strategy<Value = WindowSpec> {
    let interval = prop_oneof![
        4 => Just(Some(1_000)),
        2 => Just(Some(2_500)),
        1 => Just(Some(700)),
        3 => Just(None),
    ];
    let kind = prop_oneof![Just(Kind::Gauge), Just(Kind::Counter)];
    let aggregate = prop_oneof![
        Just(Aggregate::Mean),
        Just(Aggregate::Sum),
        Just(Aggregate::Max),
        Just(Aggregate::Min),
        Just(Aggregate::Last),
    ];
    let lateness = prop_oneof![Just(0), 0..6_000_i64];
    let samples = prop_oneof![Just(4_096_usize), 1..4_usize];
    (
        interval,
        kind,
        aggregate,
        lateness,
        1..7_usize,
        0..9_usize,
        samples,
    )
        .prop_map(
            |(interval, kind, aggregate, lateness, window, restart_after, max_samples_per_bucket)| {
                WindowSpec {
                    idle: windowing::Idle::Ms(0),
                    interval,
                    kind,
                    aggregate,
                    lateness,
                    window,
                    restart_after,
                    max_samples_per_bucket,
                }
            },
        )
}

fn take(series: &mut SeriesWindow, spec: &WindowSpec, rows: &mut Vec<Row>) {
    let mut occurrences = Vec::new();
    while let Some(closed) = series.next_closed(spec, &mut occurrences) {
        let window = series.window().unwrap();
        assert_eq!(
            (window.len(), window.end_index()),
            (spec.window, closed.bucket.index)
        );
        let filled = window.filled_mask().filter(|&f| f).count();
        assert_eq!(window.filled_share(), filled as f64 / spec.window as f64);
        rows.push(Row {
            closed,
            occurrences: std::mem::take(&mut occurrences),
            window: (window.values().collect(), window.filled_mask().collect()),
        });
    }
    assert_eq!(occurrences, []);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn equals_the_naive_model(
        spec in spec(),
        start in -400..400_i64,
        steps in prop::collection::vec(step(), 1..160),
    ) {
        prop_assert_eq!(spec.validate(), Ok(()));
        let mut model = Model::new(spec.clone());
        let mut series = SeriesWindow::new();
        let mut rows = Vec::new();
        for step in steps {
            let latest = model.event_time().unwrap_or(start * UNIT);
            match step.op {
                Op::Sample(delta, value) => {
                    let time = latest + delta * UNIT;
                    let mut out = Vec::new();
                    let got = series.observe(&spec, Timestamp::from_millis(time), value, &mut out);
                    let want = model.observe(time, value);
                    prop_assert_eq!(got, want.map(|_| ()));
                    prop_assert_eq!(out, want.into_iter().collect::<Vec<_>>());
                }
                Op::Idle(delta) => {
                    series.close_idle(&spec, Timestamp::from_millis(latest + delta * UNIT));
                    model.close_idle(latest + delta * UNIT);
                }
                Op::Flush => {
                    series.flush(&spec);
                    model.flush();
                }
            }
            if step.take {
                take(&mut series, &spec, &mut rows);
                prop_assert_eq!(&rows, &model.rows);
            }
            if step.snapshot {
                let bytes = postcard::to_stdvec(&series).unwrap();
                let restored: SeriesWindow = postcard::from_bytes(&bytes).unwrap();
                prop_assert_eq!(&restored, &series);
                series = restored;
            }
            prop_assert_eq!(series.event_time().map(Timestamp::millis), model.event_time());
            if model.event_time().is_some() {
                prop_assert_eq!(series.interval(), model.interval);
            }
        }
        take(&mut series, &spec, &mut rows);
        prop_assert_eq!(&rows, &model.rows);
    }

    /// Restored at one step, a copy and the original say the same to the end, and end in the same state.
    #[test]
    fn a_restored_copy_goes_on_equally(
        spec in spec(),
        steps in prop::collection::vec(step(), 2..160),
        at in any::<prop::sample::Index>(),
    ) {
        let at = at.index(steps.len());
        let mut original = SeriesWindow::new();
        let mut copy = None;
        for (i, step) in steps.iter().enumerate() {
            if i == at {
                copy = Some(postcard::from_bytes(&postcard::to_stdvec(&original).unwrap()).unwrap());
            }
            let latest = original.event_time().map_or(0, Timestamp::millis);
            let want = apply(&mut original, &spec, step, latest);
            if let Some(copy) = &mut copy {
                prop_assert_eq!(apply(copy, &spec, step, latest), want);
            }
        }
        prop_assert_eq!(copy.as_ref(), Some(&original));
    }
}

fn apply(
    series: &mut SeriesWindow,
    spec: &WindowSpec,
    step: &Step,
    latest: i64,
) -> impl PartialEq + std::fmt::Debug {
    let mut out = Vec::new();
    let mut result = Ok(());
    match step.op {
        Op::Sample(delta, value) => {
            result = series.observe(
                spec,
                Timestamp::from_millis(latest + delta * UNIT),
                value,
                &mut out,
            );
        }
        Op::Idle(delta) => {
            series.close_idle(spec, Timestamp::from_millis(latest + delta * UNIT));
        }
        Op::Flush => series.flush(spec),
    }
    let mut rows = Vec::new();
    if step.take {
        take(series, spec, &mut rows);
    }
    (result, out, rows)
}
