//! Many series at once: varied ones to train on, calm ones to watch.

use types::{DurationMs, Kind, SeriesKey};

use super::random::Random;
use super::shape::{DAY_MS, Harmonic, Shape};
use super::{Noise, SeriesSpec};

const MINUTE: DurationMs = 60_000;
const HOUR: DurationMs = 60 * MINUTE;

/// `n` series over all shapes, units, noise levels and intervals (1, 5, 10, 60 minutes), to train a general
/// bundle on. The same seed gives the same series, and a larger `n` only adds to them.
#[must_use]
pub fn corpus(seed: u64, n: usize) -> Vec<SeriesSpec> {
    (0..n)
        .map(|i| {
            let mut random = Random::new(seed, 16 + i as u64);
            let (name, recipe) = CORPUS[i % CORPUS.len()];
            let mut spec = blank(name, i, &mut random);
            spec.interval = random.pick(&[MINUTE, 5 * MINUTE, 5 * MINUTE, 10 * MINUTE, HOUR]);
            spec.zone =
                random.between(-12.0, 12.0) as i64 * HOUR + random.between(0.0, 4.0) as i64 * 15 * MINUTE;
            spec.scale = random.decades(0.01, 1e4);
            spec.noise = noise(&mut random, 0.01, 0.3);
            recipe(&mut spec, &mut random);
            if random.chance(0.15) {
                // A coarse instrument: a dozen or a hundred steps over the usual range.
                spec.quantum = spec.quantum.max(spec.scale * random.decades(0.01, 0.1));
            }
            spec
        })
        .collect()
}

/// `n` well-behaved series of a web service, one sample a minute, on which a sensible detector stays silent:
/// the same every day, light-tailed noise, no weekends, no jumps. The same seed gives the same series, and a
/// larger `n` only adds to them.
#[must_use]
pub fn fleet(seed: u64, n: usize) -> Vec<SeriesSpec> {
    (0..n)
        .map(|i| {
            let mut random = Random::new(seed, 16 + i as u64);
            let (name, recipe) = FLEET[i % FLEET.len()];
            let mut spec = blank(name, i / FLEET.len(), &mut random);
            spec.limits.0 = 0.0;
            recipe(&mut spec, &mut random);
            spec
        })
        .collect()
}

type Recipe = fn(&mut SeriesSpec, &mut Random);

const CORPUS: [(&str, Recipe); 18] = [
    ("web_requests_per_second", traffic),
    ("cpu_usage_percent", busy),
    ("heap_used_bytes", teeth),
    ("batch_rows_read", bursts),
    ("pool_size", steps),
    ("http_requests_total", counter),
    ("compressor_power_watts", on_off),
    ("replication_lag_ms", walk),
    ("replicas_ready", constant),
    ("request_latency_ms", latency),
    ("queue_depth", queue),
    ("login_failures", counts),
    ("network_bytes_per_second", traffic_with_jobs),
    ("disk_used_percent", slow_teeth),
    ("room_temperature_celsius", smooth),
    ("orders_per_minute", cycle_with_counts),
    ("load_average", noisy),
    ("cache_bytes", drifting),
];

const FLEET: [(&str, Recipe); 8] = [
    ("http_requests_per_second", |spec, random| {
        calm_cycle(spec, random, 800.0, 300.0, 0.05);
    }),
    ("cpu_usage_percent", |spec, random| {
        calm_cycle(spec, random, 40.0, 12.0, 0.12);
        spec.limits.1 = 100.0;
    }),
    ("memory_used_bytes", |spec, random| {
        calm_cycle(spec, random, 6e9, 4e8, 0.1);
        spec.quantum = 4096.0;
    }),
    ("request_latency_ms", |spec, random| {
        let sigma = random.between(0.05, 0.08);
        let phase = random.uniform();
        spec.layers = vec![(
            1.0,
            Shape::Latency {
                sigma,
                swing: 0.15,
                phase,
            },
        )];
        spec.scale = random.between(20.0, 80.0);
    }),
    ("queue_depth", |spec, random| {
        let mean = random.between(60.0, 120.0);
        spec.layers = vec![(1.0, Shape::Count { mean, swing: 0.2 })];
    }),
    ("disk_mb_per_second", |spec, random| {
        spec.layers = vec![(1.0, Shape::Constant)];
        spec.offset = random.between(80.0, 160.0);
        spec.scale = spec.offset * random.between(0.02, 0.05);
        spec.noise = Noise {
            sd: 1.0,
            rho: random.between(0.3, 0.7),
            grows: 0.0,
        };
    }),
    ("active_connections", |spec, random| {
        calm_cycle(spec, random, 1500.0, 500.0, 0.04);
        spec.quantum = 1.0;
    }),
    ("cache_hit_percent", |spec, random| {
        spec.layers = vec![(1.0, Shape::Constant)];
        spec.offset = random.between(85.0, 92.0);
        spec.scale = random.between(0.3, 0.6);
        spec.noise.sd = 1.0;
        spec.limits.1 = 100.0;
    }),
];

pub(super) fn blank(name: &str, i: usize, random: &mut Random) -> SeriesSpec {
    let key = SeriesKey::new(name, [("host", format!("web-{i}"))]).expect("a constant name and one label");
    SeriesSpec::new(key, Shape::Constant, random.bits())
}

fn calm_cycle(spec: &mut SeriesSpec, random: &mut Random, offset: f64, scale: f64, sd: f64) {
    let size = random.between(0.8, 1.25);
    let phase = random.uniform();
    spec.offset = offset * size;
    spec.scale = scale * size;
    spec.noise = Noise {
        sd,
        rho: random.between(0.0, 0.4),
        grows: 0.0,
    };
    spec.layers[0].1 = Shape::Cycle {
        harmonics: vec![
            harmonic(1.0, 0.9, phase),
            harmonic(2.0, random.between(0.05, 0.2), random.uniform()),
        ],
        weekend: 0.0,
    };
}

pub(super) fn harmonic(per_day: f64, amplitude: f64, phase: f64) -> Harmonic {
    Harmonic {
        per_day,
        amplitude,
        phase,
    }
}

/// Noise between `low` and `high` (log-uniform), half of it correlated in time.
fn noise(random: &mut Random, low: f64, high: f64) -> Noise {
    Noise {
        sd: random.decades(low, high),
        rho: if random.chance(0.5) {
            random.between(0.0, 0.95)
        } else {
            0.0
        },
        grows: if random.chance(0.3) {
            random.between(0.0, 0.8)
        } else {
            0.0
        },
    }
}

/// A daily cycle of up to four harmonics whose highest is about 1.
fn day(random: &mut Random, weekend: f64) -> Shape {
    let phase = random.uniform();
    let mut harmonics = vec![harmonic(1.0, random.between(0.5, 0.9), phase)];
    for k in 2..=4 {
        if random.chance(0.6) {
            harmonics.push(harmonic(
                k as f64,
                random.between(0.0, 0.5) / k as f64,
                random.uniform(),
            ));
        }
    }
    Shape::Cycle { harmonics, weekend }
}

fn traffic(spec: &mut SeriesSpec, random: &mut Random) {
    let weekend = if random.chance(0.6) {
        random.between(0.1, 0.7)
    } else {
        0.0
    };
    spec.layers = vec![(1.0, day(random, weekend))];
    spec.offset = spec.scale * random.between(1.3, 4.0);
    spec.limits.0 = 0.0;
}

fn busy(spec: &mut SeriesSpec, random: &mut Random) {
    traffic(spec, random);
    spec.scale = random.between(2.0, 30.0);
    spec.offset = random.between(10.0, 60.0);
    spec.limits = (0.0, 100.0);
}

fn teeth(spec: &mut SeriesSpec, random: &mut Random) {
    let period = random.between(8.0, 120.0) * spec.interval as f64;
    let fall = random.between(0.01, 0.4);
    let jitter = if random.chance(0.5) {
        random.between(0.0, 0.3)
    } else {
        0.0
    };
    spec.layers = vec![(
        1.0,
        Shape::Sawtooth {
            period: period as i64,
            fall,
            jitter,
        },
    )];
    spec.offset = spec.scale * random.between(0.0, 3.0);
    spec.noise = noise(random, 0.003, 0.15);
}

fn slow_teeth(spec: &mut SeriesSpec, random: &mut Random) {
    let period = random.pick(&[6 * HOUR, 12 * HOUR, DAY_MS, 2 * DAY_MS, 7 * DAY_MS]);
    let jitter = random.between(0.0, 0.2);
    spec.layers = vec![(
        1.0,
        Shape::Sawtooth {
            period,
            fall: 0.02,
            jitter,
        },
    )];
    spec.scale = random.between(5.0, 50.0);
    spec.offset = random.between(5.0, 40.0);
    spec.noise = noise(random, 0.001, 0.05);
    spec.limits = (0.0, 100.0);
}

fn jobs(spec: &SeriesSpec, random: &mut Random) -> Shape {
    let every = random.between(6.0, 150.0) * spec.interval as f64;
    let length = every * random.between(0.03, 0.4);
    Shape::Bursts {
        every: every as i64,
        length: (length as i64).max(spec.interval),
        tail: if random.chance(0.6) {
            random.between(1.5, 6.0)
        } else {
            0.0
        },
        jitter: if random.chance(0.5) {
            random.between(0.0, 0.4)
        } else {
            0.0
        },
    }
}

fn bursts(spec: &mut SeriesSpec, random: &mut Random) {
    spec.layers = vec![(1.0, jobs(spec, random))];
    spec.noise = noise(random, 0.003, 0.3);
    spec.limits.0 = 0.0;
}

fn traffic_with_jobs(spec: &mut SeriesSpec, random: &mut Random) {
    traffic(spec, random);
    let weight = random.between(0.2, 1.0);
    spec.layers.push((weight, jobs(spec, random)));
}

fn steps(spec: &mut SeriesSpec, random: &mut Random) {
    let dwell = random.between(20.0, 400.0) * spec.interval as f64;
    spec.layers = vec![(
        1.0,
        Shape::Steps {
            dwell: dwell as i64,
            size: 1.0,
        },
    )];
    spec.offset = 5.0 * spec.scale;
    spec.noise = noise(random, 0.003, 0.6);
}

fn counter(spec: &mut SeriesSpec, random: &mut Random) {
    traffic(spec, random);
    spec.kind = Kind::Counter;
    spec.quantum = 1.0;
    spec.scale = random.decades(0.5, 1e3);
    spec.offset = spec.scale * random.between(1.1, 3.0);
    spec.restarts = random.pick(&[0, 7 * DAY_MS, 30 * DAY_MS]);
}

fn on_off(spec: &mut SeriesSpec, random: &mut Random) {
    let period = random.between(6.0, 200.0) * spec.interval as f64;
    let duty = random.between(0.15, 0.85);
    let jitter = if random.chance(0.5) {
        random.between(0.0, 0.4)
    } else {
        0.0
    };
    spec.layers = vec![(
        1.0,
        Shape::OnOff {
            period: period as i64,
            duty,
            jitter,
        },
    )];
    spec.noise = noise(random, 0.001, 0.2);
}

fn walk(spec: &mut SeriesSpec, random: &mut Random) {
    let hours = spec.interval as f64 / HOUR as f64;
    let memory = random.decades(10.0, 500.0) * spec.interval as f64;
    spec.layers = vec![(
        1.0,
        Shape::Walk {
            hourly: random.decades(0.02, 0.3) / hours.sqrt(),
            memory: memory as i64,
            drift: 0.0,
        },
    )];
    spec.offset = 4.0 * spec.scale;
    spec.limits.0 = 0.0;
    spec.noise = noise(random, 0.001, 0.3);
}

fn drifting(spec: &mut SeriesSpec, random: &mut Random) {
    spec.layers = vec![
        (
            1.0,
            Shape::Walk {
                hourly: random.decades(0.01, 0.2),
                memory: 0,
                drift: random.between(-1.0, 1.0),
            },
        ),
        (random.between(0.0, 1.0), day(random, 0.0)),
    ];
    spec.noise = noise(random, 0.003, 0.2);
}

fn constant(spec: &mut SeriesSpec, random: &mut Random) {
    spec.offset = spec.scale * random.between(0.0, 10.0);
    spec.noise = if random.chance(0.3) {
        Noise::default()
    } else {
        noise(random, 1e-5, 1e-2)
    };
}

fn latency(spec: &mut SeriesSpec, random: &mut Random) {
    let sigma = random.decades(0.05, 0.8);
    let swing = random.between(0.0, 0.6);
    let phase = random.uniform();
    spec.layers = vec![(1.0, Shape::Latency { sigma, swing, phase })];
    spec.noise = noise(random, 0.001, 0.1);
    spec.limits.0 = 0.0;
}

fn queue(spec: &mut SeriesSpec, random: &mut Random) {
    let load = random.between(0.5, 0.9);
    spec.layers = vec![(
        1.0,
        Shape::Queue {
            load,
            swing: random.between(0.0, (0.95 / load - 1.0).min(0.6)),
            capacity: random.decades(2.0, 30.0),
        },
    )];
    spec.scale = 1.0;
    spec.noise = Noise::default();
}

fn counts(spec: &mut SeriesSpec, random: &mut Random) {
    spec.layers = vec![(
        1.0,
        Shape::Count {
            mean: random.decades(0.05, 30.0),
            swing: random.between(0.0, 0.9),
        },
    )];
    spec.scale = 1.0;
    spec.noise = Noise::default();
}

fn cycle_with_counts(spec: &mut SeriesSpec, random: &mut Random) {
    traffic(spec, random);
    let mean = random.decades(3.0, 300.0);
    spec.layers
        .push((1.0 / mean.sqrt(), Shape::Count { mean, swing: 0.0 }));
    spec.scale = mean.sqrt();
    spec.offset = 2.0 * spec.scale;
    spec.quantum = 1.0;
}

/// Slow physical quantities: a daily and a weekly wave, hardly any noise.
fn smooth(spec: &mut SeriesSpec, random: &mut Random) {
    let phase = random.uniform();
    spec.layers = vec![(
        1.0,
        Shape::Cycle {
            harmonics: vec![
                harmonic(1.0, 1.0, phase),
                harmonic(1.0 / 7.0, random.between(0.2, 1.5), random.uniform()),
                harmonic(
                    random.between(6.0, 48.0),
                    random.between(0.0, 0.3),
                    random.uniform(),
                ),
            ],
            weekend: 0.0,
        },
    )];
    spec.scale = random.between(0.5, 8.0);
    spec.offset = random.between(-5.0, 40.0);
    spec.noise = noise(random, 0.002, 0.05);
}

/// A cycle nearly or wholly buried in noise.
fn noisy(spec: &mut SeriesSpec, random: &mut Random) {
    traffic(spec, random);
    spec.noise = noise(random, 0.3, 5.0);
    spec.limits.0 = f64::MIN;
}
