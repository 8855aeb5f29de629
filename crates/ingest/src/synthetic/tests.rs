use std::collections::BTreeSet;

use proptest::prelude::*;
use types::{Kind, SeriesKey, Timestamp};

use super::*;

const START: Timestamp = Timestamp::MIN;

fn monday() -> Timestamp {
    Timestamp::parse("2026-01-05T00:00:00Z", None).unwrap()
}

fn key() -> SeriesKey {
    SeriesKey::from_name("x").unwrap()
}

fn spec(shape: Shape) -> SeriesSpec {
    SeriesSpec::new(key(), shape, 7)
}

fn sine() -> Shape {
    Shape::Cycle {
        harmonics: vec![Harmonic {
            per_day: 1.0,
            amplitude: 1.0,
            phase: 0.0,
        }],
        weekend: 0.5,
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn sd(values: &[f64]) -> f64 {
    let m = mean(values);
    mean(&values.iter().map(|v| (v - m).powi(2)).collect::<Vec<_>>()).sqrt()
}

/// FNV-1a over the bits: short, and enough to notice a changed one.
fn digest(values: impl IntoIterator<Item = f64>) -> u64 {
    values
        .into_iter()
        .flat_map(|v| v.to_bits().to_le_bytes())
        .fold(0xcbf2_9ce4_8422_2325, |h, byte| {
            (h ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
}

/// Training data are named by command and seed: a change here means that shipped bundles cannot be made again.
#[test]
fn a_seed_means_the_same_bits_for_ever() {
    let all = corpus(1, 36).into_iter().flat_map(|s| s.generate(monday(), 300));
    assert_eq!(digest(all), 13_518_086_233_639_376_478, "corpus");
    let all = fleet(1, 16).into_iter().flat_map(|s| s.generate(monday(), 300));
    assert_eq!(digest(all), 15_701_289_352_535_788_991, "fleet");
    let all = calm(1, 40).into_iter().flat_map(|s| s.generate(monday(), 300));
    assert_eq!(digest(all), 9_307_691_592_486_372_904, "calm");
}

#[test]
fn a_larger_corpus_or_fleet_begins_with_the_smaller() {
    assert_eq!(corpus(5, 40)[..18], corpus(5, 18)[..]);
    assert_eq!(fleet(5, 40)[..9], fleet(5, 9)[..]);
    assert_ne!(corpus(5, 18), corpus(6, 18));
    assert_eq!(calm(5, 40)[..21], calm(5, 21)[..]);
}

#[test]
fn keys_are_unique() {
    for specs in [corpus(3, 500), fleet(3, 100), calm(3, 100)] {
        let keys: BTreeSet<_> = specs.iter().map(|s| s.key.clone()).collect();
        assert_eq!(keys.len(), specs.len());
    }
}

#[test]
fn samples_lie_on_the_grid() {
    let start = Timestamp::from_millis(-90_001);
    let times: Vec<i64> = spec(sine())
        .stream(start)
        .take(3)
        .map(|(t, _)| t.millis())
        .collect();
    assert_eq!(times, [-60_000, 0, 60_000]);
}

#[test]
fn a_stream_ends_where_time_does() {
    let late = Timestamp::MAX + -59_999;
    assert_eq!(spec(Shape::Constant).stream(late).count(), 1);
}

#[test]
fn a_cycle_repeats_by_the_day_and_rests_at_weekends() {
    let values = spec(sine()).generate(monday(), 7 * 1440);
    for i in 1440..2 * 1440 {
        assert!(
            (values[i] - values[i + 1440]).abs() < 1e-9,
            "Tuesday and Wednesday are alike"
        );
    }
    assert!((values[360] - 1.0).abs() < 1e-9, "the peak is at 06:00");
    assert!(
        (values[6 * 1440 + 360] - 0.0).abs() < 1e-9,
        "half of it on Sunday"
    );
    let jump = values.windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0, f64::max);
    assert!(jump < 0.02, "the weekend comes in gently: {jump}");
}

#[test]
fn shapes_without_jitter_are_periodic_on_the_clock() {
    let hour = 3_600_000;
    let shapes = [
        Shape::Sawtooth {
            period: hour,
            fall: 0.1,
            jitter: 0.0,
        },
        Shape::Bursts {
            every: hour,
            length: hour / 6,
            tail: 0.0,
            jitter: 0.0,
        },
        Shape::OnOff {
            period: hour,
            duty: 0.25,
            jitter: 0.0,
        },
    ];
    for shape in shapes {
        let from_start = spec(shape.clone()).generate(monday(), 240);
        let from_later = spec(shape.clone()).generate(monday() + 17 * 60_000, 240 - 17);
        assert_eq!(from_start[..60], from_start[60..120], "{shape:?}");
        assert_eq!(from_start[17..], from_later[..], "{shape:?}");
        assert_eq!(
            from_start.iter().copied().fold(f64::MAX, f64::min),
            0.0,
            "{shape:?}"
        );
        let top = from_start.iter().copied().fold(f64::MIN, f64::max);
        assert!((0.95..=1.0).contains(&top), "{shape:?} {top}");
    }
    let on: f64 = spec(Shape::OnOff {
        period: hour,
        duty: 0.25,
        jitter: 0.0,
    })
    .generate(monday(), 60)
    .iter()
    .sum();
    assert_eq!(on, 15.0);
}

#[test]
fn noise_has_its_deviation_and_correlation() {
    let mut s = spec(Shape::Constant);
    s.noise = Noise {
        sd: 2.0,
        rho: 0.8,
        grows: 0.0,
    };
    let x = s.generate(START, 50_000);
    assert!((sd(&x) - 2.0).abs() < 0.1, "{}", sd(&x));
    let lagged = mean(&x.windows(2).map(|w| w[0] * w[1]).collect::<Vec<_>>()) / sd(&x).powi(2);
    assert!((lagged - 0.8).abs() < 0.02, "{lagged}");
}

#[test]
fn random_shapes_have_their_moments() {
    let x = spec(Shape::Count {
        mean: 3.0,
        swing: 0.0,
    })
    .generate(START, 20_000);
    assert!(x.iter().all(|v| v.fract() == 0.0 && *v >= 0.0));
    assert!((mean(&x) - 3.0).abs() < 0.06 && (sd(&x) - 3_f64.sqrt()).abs() < 0.05);
    let x = spec(Shape::Latency {
        sigma: 0.5,
        swing: 0.0,
        phase: 0.0,
    })
    .generate(START, 20_000);
    let logs: Vec<f64> = x.iter().map(|v| v.ln()).collect();
    assert!(mean(&logs).abs() < 0.02 && (sd(&logs) - 0.5).abs() < 0.02);
    let x = spec(Shape::Queue {
        load: 0.7,
        swing: 0.0,
        capacity: 10.0,
    })
    .generate(START, 20_000);
    assert!(x.iter().all(|v| v.fract() == 0.0 && *v >= 0.0));
    assert!(
        x.contains(&0.0) && mean(&x) < 20.0,
        "a queue below capacity empties"
    );
    let x = spec(Shape::StudentT { freedom: 5 }).generate(START, 20_000);
    assert!(mean(&x).abs() < 0.03 && (sd(&x) - (5_f64 / 3.0).sqrt()).abs() < 0.05);
    assert!(x.iter().any(|v| v.abs() > 7.0), "heavy tails");
}

#[test]
fn steps_stay_and_jump_and_pulled_walks_stay_near() {
    let x = spec(Shape::Steps {
        dwell: 6_000_000,
        size: 1.0,
    })
    .generate(monday(), 10_000);
    let jumps = x.windows(2).filter(|w| w[0] != w[1]).count();
    assert!(
        (60..140).contains(&jumps),
        "{jumps} jumps where about 100 are due"
    );
    let x = spec(Shape::Walk {
        hourly: 1.0,
        memory: 3_600_000,
        drift: 0.0,
    })
    .generate(START, 50_000);
    // Ornstein and Uhlenbeck: variance = (hourly² per hour) × memory / 2.
    assert!((sd(&x) - 0.5_f64.sqrt()).abs() < 0.05, "{}", sd(&x));
}

#[test]
fn counters_grow_and_restart_at_zero() {
    let mut s = spec(sine());
    s.kind = Kind::Counter;
    s.scale = 50.0;
    s.offset = 100.0;
    s.quantum = 1.0;
    s.restarts = DAY_MS;
    let x = s.generate(monday(), 10 * 1440);
    let resets: Vec<f64> = x.windows(2).filter(|w| w[1] < w[0]).map(|w| w[1]).collect();
    assert!((3..25).contains(&resets.len()), "{}", resets.len());
    assert!(
        resets.iter().all(|v| *v <= 150.0 * 60.0),
        "one interval after a restart"
    );
    assert!(x.iter().all(|v| v.fract() == 0.0));
}

#[test]
fn limits_and_quantum_hold() {
    let mut s = spec(sine());
    s.scale = 10.0;
    s.limits = (-2.0, 3.0);
    s.quantum = 0.5;
    let x = s.generate(monday(), 1440);
    assert!(
        x.iter()
            .all(|v| (-2.0..=3.0).contains(v) && (v * 2.0).fract() == 0.0)
    );
}

#[test]
fn every_fault_acts_where_it_should_and_nowhere_else() {
    let mut s = spec(sine());
    s.noise.sd = 0.05;
    let plain = s.generate(monday(), 600);
    for kind in FaultKind::ALL {
        let fault = Fault {
            kind,
            start: monday() + 300 * 60_000,
            duration: 60 * 60_000,
            magnitude: 5.0,
        };
        let x: Vec<f64> = s
            .stream(monday())
            .with_faults([fault])
            .take(600)
            .map(|(_, v)| v)
            .collect();
        let moved: Vec<usize> = (0..600).filter(|&i| x[i] != plain[i]).collect();
        assert!(moved.iter().all(|i| (300..360).contains(i)), "{kind:?}");
        assert!(moved.len() >= 59, "{kind:?} shows: {}", moved.len());
        let shift = x[359] - plain[359];
        let want = 5.0 * s.fault_unit();
        match kind {
            FaultKind::Spike | FaultKind::LevelShift => assert!((shift - want).abs() < 1e-9),
            FaultKind::Dip => assert!((shift + want).abs() < 1e-9),
            FaultKind::Drift => assert!((shift - want * 59.0 / 60.0).abs() < 1e-9),
            FaultKind::Flatline => assert!(x[300..360].iter().all(|v| *v == plain[299])),
            FaultKind::NoiseBurst => {
                let added: Vec<f64> = (300..360).map(|i| x[i] - plain[i]).collect();
                assert!((0.7..1.4).contains(&(sd(&added) / want)), "{}", sd(&added) / want);
            }
            FaultKind::SeasonalityBreak => assert!(shift < -2.0, "upside down: {shift}"),
        }
    }
}

#[test]
fn a_plan_leaves_room_between_the_faults_of_a_series() {
    let specs = fleet(9, 12);
    let until = monday() + 10 * DAY_MS;
    let plan = fault_plan(9, &specs, monday(), until, 3_600_000);
    assert_eq!(plan, fault_plan(9, &specs, monday(), until, 3_600_000));
    assert!((180..300).contains(&plan.len()), "{}", plan.len());
    assert!(plan.is_sorted_by_key(|p| p.fault.start));
    for i in 0..specs.len() {
        let own: Vec<Fault> = plan.iter().filter(|p| p.series == i).map(|p| p.fault).collect();
        assert!(own.windows(2).all(|w| w[1].start - w[0].end() >= 149 * 60_000));
    }
    assert_eq!(fault_plan(9, &[], monday(), until, 3_600_000), []);
}

/// What calm means, as far as it can be said without a detector: after two days, five more stay within
/// 6 standard deviations of the same hour's history.
#[test]
fn the_fleet_is_calm() {
    for s in fleet(4, 32) {
        let x = s.generate(monday(), 7 * 1440);
        let (past, future) = x.split_at(2 * 1440);
        for hour in 0..24 {
            let of_hour = |day: usize, x: &[f64]| x[day * 1440 + hour * 60..][..60].to_vec();
            let seen: Vec<f64> = (0..2).flat_map(|day| of_hour(day, past)).collect();
            for v in (0..5).flat_map(|day| of_hour(day, future)) {
                let z = (v - mean(&seen)).abs() / sd(&seen);
                assert!(z < 6.0, "{} at {hour}:00: {z} standard deviations", s.key);
            }
        }
    }
}

/// Nothing happens to it: two weeks look like the two before, whatever goes on within them.
#[test]
fn a_fleet_at_rest_keeps_its_level() {
    for s in calm(4, 60).iter().filter(|s| s.kind == Kind::Gauge) {
        let x = s.generate(monday(), 28 * 288);
        assert!(
            x.iter().all(|v| v.is_finite() && *v >= 0.0 && *v <= s.limits.1),
            "{}",
            s.key
        );
        let (past, future) = x.split_at(14 * 288);
        let moved = (mean(future) - mean(past)).abs();
        assert!(moved <= sd(past), "{} moved by {moved}", s.key);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn values_are_finite_within_limits_and_repeatable(seed: u64, start in -4_000_000_000_000_i64..4_000_000_000_000) {
        let start = Timestamp::from_millis(start);
        for s in corpus(seed, 18) {
            let x = s.generate(start, 200);
            prop_assert!(x.iter().all(|v| v.is_finite()), "{}", s.key);
            if s.kind == Kind::Gauge {
                prop_assert!(x.iter().all(|v| *v <= s.limits.1 && *v >= s.limits.0 - s.quantum), "{}", s.key);
            } else {
                // A fall is a restart: what is left is one interval's count.
                let most = 4.0 * s.offset * s.interval as f64 / 1000.0;
                prop_assert!(x.windows(2).all(|w| w[1] >= w[0] || w[1] <= most));
            }
            prop_assert!(s.fault_unit() > 0.0);
            prop_assert_eq!(digest(x), digest(s.generate(start, 200)));
        }
    }
}
