//! The generated series: a wave once a day with some noise, and from one day on the same wave every six hours.

use std::f64::consts::TAU;

use types::Timestamp;

use crate::rng::{self, Purpose, Streams};

/// Buckets a day: one each half hour. A day is the season.
pub const PERIOD: usize = 48;

/// Milliseconds of a bucket.
const INTERVAL_MS: i64 = 1_800_000;

/// First sample: 2026-01-01T00:00:00Z.
const START_MS: i64 = 1_767_225_600_000;

/// Buckets that are trained on; days that follow are as they are, but the nets have not seen them.
pub(super) const LEARNED: usize = 20 * PERIOD;

/// Bucket from which on the wave comes more often.
pub const CHANGE: usize = 30 * PERIOD;

/// Waves a day from there on.
const WAVES: usize = 4;

/// Buckets in all.
pub(super) const LEN: usize = 38 * PERIOD;

/// Middle and amplitude of the wave, and the noise's standard deviation, data units.
const MIDDLE: f64 = 100.0;
const AMPLITUDE: f64 = 40.0;
const NOISE: f64 = 2.4;

/// Values of the series of a seed, one a bucket. The wave starts anywhere, and does not jump where its season changes.
pub(super) fn values(seed: u64) -> Vec<f64> {
    let mut draws = vec![0.0; LEN];
    let mut stream = Streams::new(seed).stream(Purpose::Series, 0, 0);
    let first = f64::from(rng::uniform(&mut stream));
    rng::normals(&mut stream, &mut draws);
    let values = draws.iter().enumerate().map(|(bucket, draw)| {
        let more = (WAVES - 1) * bucket.saturating_sub(CHANGE);
        let turns = first + (bucket + more) as f64 / PERIOD as f64;
        MIDDLE + AMPLITUDE * libm::sin(TAU * turns.fract()) + NOISE * f64::from(*draw)
    });
    // As the file has them.
    values.map(|value| (1_000.0 * value).round() / 1_000.0).collect()
}

/// When a bucket starts.
pub(super) fn time(bucket: usize) -> Timestamp {
    Timestamp::from_millis(START_MS + INTERVAL_MS * bucket as i64)
}

/// The series as a metric file.
pub(super) fn csv(values: &[f64]) -> String {
    let rows = values.iter().enumerate();
    let rows = rows.map(|(bucket, value)| format!("{},{value:.3}\n", time(bucket)));
    format!("timestamp,value\n{}", rows.collect::<String>())
}

/// The first two periods of the old season after its end, as the labels of a file.
pub(super) fn labels(file: &str) -> String {
    let (start, end) = (time(CHANGE), time(CHANGE + 2 * PERIOD));
    format!("{{\"{file}\": [[\"{start}\", \"{end}\"]]}}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often the wave rises through its middle, by a mean over three hours that the noise does not cross.
    fn rises(values: &[f64]) -> usize {
        let smooth: Vec<f64> = values.windows(7).map(|w| w.iter().sum::<f64>() / 7.0).collect();
        let above = |value: f64| value > MIDDLE + 8.0;
        let below = |value: f64| value < MIDDLE - 8.0;
        let mut low = false;
        let mut count = 0;
        for value in smooth {
            count += usize::from(low && above(value));
            low = !above(value) && (low || below(value));
        }
        count
    }

    #[test]
    fn the_season_changes_where_it_should_and_nowhere_else() {
        for seed in 0..3 {
            let values = values(seed);
            assert_eq!(values.len(), LEN);
            let before = rises(&values[..CHANGE]);
            assert!((29..=30).contains(&before), "seed {seed}: {before}");
            let after = rises(&values[CHANGE..]);
            assert!((31..=32).contains(&after), "seed {seed}: {after}");
        }
        assert_eq!(values(1), values(1));
        assert_ne!(values(1), values(2));
    }
}
