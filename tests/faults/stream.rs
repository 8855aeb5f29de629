//! The input of one run: metrics with many spells of trouble, and everything that ends on the dead-letter topic.

use crate::support::stream::Produced;

use super::chance::Chance;

/// Partitions of the input topic.
pub(crate) const PARTITIONS: i32 = 4;
/// Series: with the sensitive settings of the harness about every third is in alert at any time.
const SERIES: usize = 96;
/// Buckets that are there before anything is disturbed: the window of the shipped bundle, and a few that are scored.
const BEFORE: usize = 104;
/// Buckets that come while things are disturbed.
const DURING: usize = 65;
/// Buckets that come after the last kill.
const AFTER: usize = 20;
/// Distance of two samples of one series, milliseconds.
const STEP: i64 = 10_000;
/// 2026-01-01: no time in the input depends on when it is run.
const START: i64 = 1_767_225_600_000;

/// By seed: records of the buckets before, of each bucket during, and of those after.
pub(crate) fn generate(seed: u64) -> (Vec<Produced>, Vec<Vec<Produced>>, Vec<Produced>) {
    let mut chance = Chance::new(seed, "stream");
    let mut series: Vec<Series> = (0..SERIES).map(|i| Series::new(i, &mut chance)).collect();
    let mut bucket = |k: usize| {
        let mut records = Vec::new();
        for one in &mut series {
            one.bucket(k, &mut chance, &mut records);
        }
        records
    };
    let before = (0..BEFORE).flat_map(&mut bucket).collect();
    let during = (BEFORE..BEFORE + DURING).map(&mut bucket).collect();
    let after = (0..AFTER).flat_map(|k| bucket(BEFORE + DURING + k)).collect();
    (before, during, after)
}

struct Series {
    number: usize,
    phase: f64,
    /// Buckets of trouble left.
    trouble: usize,
}

impl Series {
    fn new(number: usize, chance: &mut Chance) -> Self {
        Self {
            number,
            phase: chance.unit() * std::f64::consts::TAU,
            trouble: 0,
        }
    }

    fn bucket(&mut self, k: usize, chance: &mut Chance, records: &mut Vec<Produced>) {
        self.trouble = match self.trouble {
            0 if chance.is(0.06) => 5 + chance.below(10),
            left => left.saturating_sub(1),
        };
        let noise = if self.trouble > 0 { 30.0 } else { 2.0 };
        let value = 50.0 + 10.0 * (k as f64 * 0.3 + self.phase).sin() + noise * (chance.unit() - 0.5);
        let time = START + STEP * k as i64;
        let point = |time: i64, value: f64| {
            let (host, seconds) = (self.number, time as f64 / 1000.0);
            format!(
                "{{\"name\":\"load\",\"labels\":{{\"host\":\"{host}\"}},\"timestamp\":{seconds:.3},\"value\":{value:.3}}}"
            )
        };
        let mut put = |value: String| {
            records.push(Produced {
                partition: self.number as i32 % PARTITIONS,
                key: format!("host-{}", self.number),
                value,
                time: time + 500,
            });
        };
        match chance.below(100) {
            // The same moment twice: the second counts.
            0 => put(point(time, -1.0)),
            1 => put(BROKEN[chance.below(BROKEN.len())].to_owned()),
            2 => put(point(time - 20 * STEP, 1.0)),
            3 => put(point(time + 86_400_000, 1.0)),
            4 => put(format!("[{},{{\"name\":\"x\"}}]", point(time, -2.0))),
            _ => {}
        }
        put(point(time, value));
    }
}

/// What no decoder makes a sample of.
const BROKEN: [&str; 4] = [
    "{\"name\":\"load\",\"value\":",
    "{\"name\":\"load\",\"timestamp\":1,\"value\":NaN}",
    "{\"name\":\"\",\"timestamp\":1,\"value\":1}",
    "hello",
];
