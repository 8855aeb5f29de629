//! A fleet at rest: what a detector must stay silent on.

use types::{DurationMs, Kind};

use super::fleet::{blank, harmonic};
use super::random::Random;
use super::shape::{DAY_MS, Shape};
use super::{Noise, SeriesSpec};

const MINUTE: DurationMs = 60_000;
const HOUR: DurationMs = 60 * MINUTE;

/// `n` series of an ordinary fleet, one sample every five minutes, to which nothing happens: no fault, no change of
/// level, no trend. Unlike [`super::fleet`] they are not tame. There are weekends, heavy tails, bursts of Pareto
/// height, reverting walks, small counts and counters that restart; most hosts share a time zone, so that what the
/// day and the week do is done to most at once.
///
/// The shapes come in turn, each named by its metric. The same seed gives the same series, and a larger `n` only adds to
/// them.
#[must_use]
pub fn calm(seed: u64, n: usize) -> Vec<SeriesSpec> {
    (0..n)
        .map(|i| {
            let mut random = Random::new(seed, 16 + i as u64);
            let (name, recipe) = SHAPES[i % SHAPES.len()];
            let mut spec = blank(name, i / SHAPES.len(), &mut random);
            spec.interval = 5 * MINUTE;
            spec.limits.0 = 0.0;
            spec.zone = random.pick(&[0, 0, 0, 0, 0, 0, 0, HOUR, -5 * HOUR, 8 * HOUR]);
            recipe(&mut spec, &mut random);
            spec
        })
        .collect()
}

type Recipe = fn(&mut SeriesSpec, &mut Random);

const SHAPES: [(&str, Recipe); 20] = [
    ("requests_per_second", requests),
    ("http_requests_total", requests_total),
    ("cpu_usage_percent", cpu),
    ("memory_used_bytes", memory),
    ("heap_used_bytes", heap),
    ("request_latency_ms", latency),
    ("gc_pause_ms", pauses),
    ("queue_depth", queue),
    ("errors_per_interval", errors),
    ("replicas_ready", constant),
    ("replicas_running", autoscaled),
    ("batch_rows_read", batches),
    ("network_bytes_per_second", nightly),
    ("compressor_power_watts", on_off),
    ("disk_used_percent", disk),
    ("room_temperature_celsius", temperature),
    ("replication_lag_ms", lag),
    ("cache_hit_percent", hits),
    ("load_average", load),
    ("orders_per_interval", orders),
];

/// A working day that is busiest early in the afternoon; weekends are quieter for three hosts in five.
fn day(random: &mut Random) -> Shape {
    let peak = random.between(12.0, 16.0) / 24.0;
    Shape::Cycle {
        harmonics: vec![
            harmonic(1.0, random.between(0.6, 0.9), 0.25 - peak),
            harmonic(2.0, random.between(0.0, 0.25), random.uniform()),
        ],
        weekend: if random.chance(0.6) {
            random.between(0.1, 0.5)
        } else {
            0.0
        },
    }
}

fn noise(random: &mut Random, low: f64, high: f64) -> Noise {
    Noise {
        sd: random.decades(low, high),
        rho: random.pick(&[0.0, 0.0, 0.5, 0.9]),
        grows: 0.0,
    }
}

fn requests(spec: &mut SeriesSpec, random: &mut Random) {
    spec.layers = vec![(1.0, day(random))];
    spec.scale = random.decades(1.0, 1e4);
    spec.offset = spec.scale * random.between(1.3, 3.0);
    spec.noise = Noise {
        grows: random.between(0.2, 0.8),
        ..noise(random, 0.02, 0.15)
    };
}

fn requests_total(spec: &mut SeriesSpec, random: &mut Random) {
    requests(spec, random);
    spec.kind = Kind::Counter;
    spec.quantum = 1.0;
    spec.restarts = random.pick(&[0, 14 * DAY_MS]);
}

fn cpu(spec: &mut SeriesSpec, random: &mut Random) {
    spec.layers = vec![(1.0, day(random))];
    spec.offset = random.between(20.0, 60.0);
    spec.scale = spec.offset * random.between(0.2, 0.5);
    spec.noise = noise(random, 0.05, 0.3);
    spec.limits.1 = 100.0;
}

fn memory(spec: &mut SeriesSpec, random: &mut Random) {
    spec.layers = vec![(1.0, reverting(random, 6.0, 48.0)), (0.3, day(random))];
    spec.scale = random.decades(1e7, 1e9);
    spec.offset = 8.0 * spec.scale;
    spec.noise = noise(random, 0.01, 0.1);
    spec.quantum = 4096.0;
}

/// A walk whose standard deviation is 1, with a memory of so many hours.
fn reverting(random: &mut Random, low: f64, high: f64) -> Shape {
    let hours = random.decades(low, high);
    Shape::Walk {
        hourly: libm::sqrt(2.0 / hours),
        memory: (hours * HOUR as f64) as i64,
        drift: 0.0,
    }
}

fn heap(spec: &mut SeriesSpec, random: &mut Random) {
    spec.layers = vec![(
        1.0,
        Shape::Sawtooth {
            period: (random.between(0.5, 6.0) * HOUR as f64) as i64,
            fall: 0.02,
            jitter: random.between(0.05, 0.3),
        },
    )];
    spec.scale = random.decades(1e7, 1e9);
    spec.offset = spec.scale * random.between(0.2, 1.0);
    spec.noise = noise(random, 0.01, 0.05);
}

fn latency(spec: &mut SeriesSpec, random: &mut Random) {
    let (sigma, swing) = (random.between(0.1, 0.6), random.between(0.0, 0.3));
    let phase = random.uniform();
    spec.layers = vec![(1.0, Shape::Latency { sigma, swing, phase })];
    spec.scale = random.decades(5.0, 500.0);
}

fn pauses(spec: &mut SeriesSpec, random: &mut Random) {
    let freedom = random.pick(&[3, 4, 5]);
    spec.layers = vec![(1.0, Shape::StudentT { freedom })];
    spec.scale = random.between(1.0, 5.0);
    spec.offset = 10.0 * spec.scale;
}

fn queue(spec: &mut SeriesSpec, random: &mut Random) {
    spec.layers = vec![(
        1.0,
        Shape::Queue {
            load: random.between(0.5, 0.8),
            swing: random.between(0.0, 0.15),
            capacity: random.decades(3.0, 30.0),
        },
    )];
}

fn errors(spec: &mut SeriesSpec, random: &mut Random) {
    spec.layers = vec![(
        1.0,
        Shape::Count {
            mean: random.decades(0.02, 3.0),
            swing: random.between(0.0, 0.6),
        },
    )];
}

fn constant(spec: &mut SeriesSpec, random: &mut Random) {
    spec.offset = random.between(1.0, 20.0).round();
    spec.quantum = 1.0;
}

fn autoscaled(spec: &mut SeriesSpec, random: &mut Random) {
    spec.layers = vec![(1.0, day(random))];
    spec.scale = random.between(1.0, 6.0);
    spec.offset = spec.scale * random.between(1.5, 3.0);
    spec.noise = noise(random, 0.02, 0.1);
    spec.quantum = 1.0;
}

fn batches(spec: &mut SeriesSpec, random: &mut Random) {
    let every = random.decades(1.0, 12.0) * HOUR as f64;
    spec.layers = vec![(
        1.0,
        Shape::Bursts {
            every: every as i64,
            length: (every * random.between(0.1, 0.4)) as i64,
            tail: random.between(3.0, 6.0),
            jitter: random.between(0.0, 0.4),
        },
    )];
    spec.scale = random.decades(1e2, 1e5);
    spec.noise = noise(random, 0.005, 0.05);
    spec.offset = 0.3 * spec.scale;
}

/// Traffic, and a backup at the same hour every night.
fn nightly(spec: &mut SeriesSpec, random: &mut Random) {
    requests(spec, random);
    spec.layers.push((
        random.between(0.5, 2.0),
        Shape::Bursts {
            every: DAY_MS,
            length: random.between(15.0, 90.0) as i64 * MINUTE,
            tail: 0.0,
            jitter: 0.0,
        },
    ));
    if random.chance(0.5) {
        spec.zone += random.between(-4.0, 4.0) as i64 * HOUR + random.between(0.0, 12.0) as i64 * 5 * MINUTE;
    }
}

fn on_off(spec: &mut SeriesSpec, random: &mut Random) {
    spec.layers = vec![(
        1.0,
        Shape::OnOff {
            period: (random.between(0.5, 4.0) * HOUR as f64) as i64,
            duty: random.between(0.2, 0.8),
            jitter: random.between(0.0, 0.3),
        },
    )];
    spec.scale = random.between(200.0, 2000.0);
    spec.offset = 0.1 * spec.scale;
    spec.noise = noise(random, 0.005, 0.05);
}

fn disk(spec: &mut SeriesSpec, random: &mut Random) {
    spec.layers = vec![(
        1.0,
        Shape::Sawtooth {
            period: random.pick(&[DAY_MS / 2, DAY_MS, 2 * DAY_MS]),
            fall: 0.02,
            jitter: random.between(0.0, 0.1),
        },
    )];
    spec.scale = random.between(5.0, 30.0);
    spec.offset = random.between(30.0, 60.0);
    spec.noise = noise(random, 0.002, 0.02);
}

fn temperature(spec: &mut SeriesSpec, random: &mut Random) {
    spec.layers = vec![
        (1.0, day(random)),
        (random.between(0.1, 0.5), reverting(random, 12.0, 48.0)),
    ];
    spec.scale = random.between(0.5, 4.0);
    spec.offset = 22.0;
    spec.noise = noise(random, 0.01, 0.05);
}

fn lag(spec: &mut SeriesSpec, random: &mut Random) {
    spec.layers = vec![(1.0, reverting(random, 0.5, 12.0))];
    spec.scale = random.decades(1.0, 100.0);
    spec.offset = 5.0 * spec.scale;
    spec.noise = noise(random, 0.05, 0.5);
}

fn hits(spec: &mut SeriesSpec, random: &mut Random) {
    spec.offset = random.between(85.0, 92.0);
    spec.scale = random.between(0.3, 0.8);
    spec.noise = Noise {
        sd: 1.0,
        ..noise(random, 1.0, 2.0)
    };
    spec.limits.1 = 100.0;
}

fn load(spec: &mut SeriesSpec, random: &mut Random) {
    spec.layers = vec![(1.0, day(random))];
    spec.scale = random.between(0.5, 4.0);
    spec.offset = 3.0 * spec.scale;
    spec.noise = noise(random, 0.3, 1.0);
}

fn orders(spec: &mut SeriesSpec, random: &mut Random) {
    let mean = random.decades(3.0, 300.0);
    spec.layers = vec![
        (1.0, day(random)),
        (1.0 / libm::sqrt(mean), Shape::Count { mean, swing: 0.0 }),
    ];
    spec.scale = libm::sqrt(mean);
    spec.offset = spec.scale;
    spec.quantum = 1.0;
}
