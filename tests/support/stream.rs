//! A metric stream with everything that a live one brings: disorder, late, double and broken records, and bursts.

use std::collections::BTreeMap;

use types::SeriesKey;

/// Partitions that the stream is spread over.
pub(crate) const PARTITIONS: i32 = 4;
/// Distance of two samples of one series, milliseconds.
const STEP: i64 = 10_000;
/// Samples between two bursts of a series.
const BURST_EVERY: u64 = 45;
/// Series that end halfway: every so many.
const ENDING: usize = 11;

/// A record to be produced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Produced {
    pub(crate) partition: i32,
    pub(crate) key: String,
    pub(crate) value: String,
    /// Time of the record, unix milliseconds.
    pub(crate) time: i64,
}

/// The stream of `series` series, `samples` of each, from `start` (unix milliseconds) on, in the order of producing.
pub(crate) fn records(series: usize, samples: usize, start: i64) -> Vec<Produced> {
    let mut records = Vec::new();
    for k in 0..samples {
        for i in 0..series {
            if i % ENDING == 5 && k > samples / 2 {
                continue;
            }
            // Neighbours change places now and then: disorder that the lateness allows for.
            let k = match chance(i, k / 2 * 2, 1) {
                swapped if swapped < 0.1 && k / 2 * 2 + 1 < samples => k ^ 1,
                _ => k,
            };
            sample(&mut records, i, k, start);
        }
    }
    records
}

fn sample(records: &mut Vec<Produced>, i: usize, k: usize, start: i64) {
    let time = start + STEP * k as i64;
    let mut put = |value: String| {
        records.push(Produced {
            partition: partition(i),
            key: format!("host-{i}"),
            value,
            time: time + 500,
        });
    };
    let roll = chance(i, k, 2);
    if roll < 0.02 {
        // The same moment twice: the second counts.
        put(point(i, time, -1.0));
    } else if roll < 0.03 {
        put(BROKEN[k % BROKEN.len()].to_owned());
    } else if roll < 0.04 {
        put(point(i, time - 20 * STEP, 1.0));
    } else if roll < 0.045 {
        put(point(i, time + 86_400_000, 1.0));
    } else if roll < 0.05 {
        put(format!("[{},{{\"name\":\"x\"}}]", point(i, time, -2.0)));
    }
    put(point(i, time, value(i, k)));
}

/// What no decoder makes a sample of.
const BROKEN: [&str; 4] = [
    "{\"name\":\"load\",\"value\":",
    "{\"name\":\"load\",\"timestamp\":1,\"value\":NaN}",
    "{\"name\":\"\",\"timestamp\":1,\"value\":1}",
    "hello",
];

fn partition(i: usize) -> i32 {
    (i % PARTITIONS as usize) as i32
}

/// A wave with noise and a burst now and then; every fourth series counts up instead.
fn value(i: usize, k: usize) -> f64 {
    let wave = |k: usize| {
        let noise = chance(i, k, 3) - 0.5;
        let burst = if (k as u64 + 7 * i as u64) % BURST_EVERY < 2 {
            60.0
        } else {
            0.0
        };
        50.0 + 10.0 * (k as f64 * 0.3 + i as f64).sin() + 2.0 * noise + burst
    };
    if counts(i) {
        (0..=k).map(|k| wave(k) * 10.0).sum()
    } else {
        wave(k)
    }
}

fn counts(i: usize) -> bool {
    i % 4 == 3
}

fn point(i: usize, time: i64, value: f64) -> String {
    let name = name(i);
    let seconds = time as f64 / 1000.0;
    format!(
        "{{\"name\":\"{name}\",\"labels\":{{\"host\":\"{i}\"}},\"timestamp\":{seconds:.3},\"value\":{value}}}"
    )
}

fn name(i: usize) -> &'static str {
    if counts(i) { "requests_total" } else { "load" }
}

/// Input partition of every series, by its canonical text.
pub(crate) fn partitions(series: usize) -> BTreeMap<String, i32> {
    (0..series)
        .map(|i| {
            let key = SeriesKey::new(name(i), [("host", i.to_string())]).unwrap();
            (key.to_string(), partition(i))
        })
        .collect()
}

/// Records by partition: what an offset of the whole stream comes to.
pub(crate) fn ends(records: &[Produced]) -> BTreeMap<i32, i64> {
    let mut ends = BTreeMap::new();
    for record in records {
        *ends.entry(record.partition).or_default() += 1;
    }
    ends
}

/// In [0, 1), the same for the same arguments (SplitMix64).
fn chance(i: usize, k: usize, purpose: u64) -> f64 {
    let mut z = (i as u64) << 40 ^ (k as u64) << 8 ^ purpose;
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}
