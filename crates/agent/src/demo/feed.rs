//! The stream: what every series reads at every step of event time, as records.

use std::time::Duration;

use ingest::synthetic::{Fault, FaultKind, PlannedFault, SeriesSpec, Stream, fault_plan, fleet};
use serde_json::json;
use types::{DurationMs, SeriesKey, Timestamp};

/// Length of a step in event time (milliseconds): the interval of every series of the fleet.
pub(super) const STEP_MS: DurationMs = 60_000;
/// Length of a step by the clock.
pub(super) const STEP: Duration = Duration::from_millis(100);
/// Steps of past before the stream is live. A window, and 320 errors after it: enough for a tail, and for a
/// confidence above one half.
pub(super) const PAST: u32 = 420;
/// First step: Monday 2026-01-05, 00:00 UTC.
const EPOCH_MS: i64 = 1_767_571_200_000;
/// Steps between two faults, on average over all series: one in four seconds.
const GAP: DurationMs = 40;
/// Steps at the end in which no fault begins: time to notice the last.
const NOTICE: DurationMs = 30;

/// A fault and the series that has it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Injection {
    pub(super) series: SeriesKey,
    pub(super) fault: Fault,
    /// Data units of one unit of magnitude.
    pub(super) unit: f64,
}

/// One sample as a record.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outbound {
    pub(super) key: SeriesKey,
    pub(super) time: Timestamp,
    pub(super) payload: String,
}

/// All series, step by step.
pub(super) struct Feed {
    series: Vec<(SeriesKey, Stream)>,
    injections: Vec<Injection>,
    steps: u32,
}

impl Feed {
    /// `n` series that are live for `live`.
    pub(super) fn new(seed: u64, n: usize, live: Duration, faults: bool) -> Self {
        let start = Timestamp::from_millis(EPOCH_MS);
        let specs = fleet(seed, n);
        let plan = if faults {
            plan(seed, &specs, live)
        } else {
            Vec::new()
        };
        let series = specs.iter().enumerate().map(|(i, spec)| {
            let own = plan.iter().filter(|p| p.series == i).map(|p| p.fault);
            (spec.key.clone(), spec.stream(start).with_faults(own))
        });
        Self {
            series: series.collect(),
            injections: plan
                .iter()
                .map(|p| Injection {
                    series: specs[p.series].key.clone(),
                    fault: p.fault,
                    unit: specs[p.series].fault_unit(),
                })
                .collect(),
            steps: 0,
        }
    }

    /// What shall go wrong, in order of start.
    pub(super) fn injections(&self) -> &[Injection] {
        &self.injections
    }

    /// Number of series.
    pub(super) fn width(&self) -> usize {
        self.series.len()
    }

    /// Characters of the longest series.
    pub(super) fn longest_key(&self) -> usize {
        let lengths = self.series.iter().map(|(key, _)| key.as_str().len());
        lengths.max().unwrap_or(0)
    }

    /// Steps taken.
    pub(super) fn steps(&self) -> u32 {
        self.steps
    }

    /// Event time of the next step.
    pub(super) fn now(&self) -> Timestamp {
        time_of(self.steps)
    }

    /// The records of the next step, one a series.
    pub(super) fn step(&mut self) -> Vec<Outbound> {
        self.steps += 1;
        let samples = self.series.iter_mut().filter_map(|(key, stream)| {
            let (time, value) = stream.next()?;
            Some(Outbound {
                payload: record(key, time, value),
                key: key.clone(),
                time,
            })
        });
        samples.collect()
    }
}

fn time_of(step: u32) -> Timestamp {
    Timestamp::from_millis(EPOCH_MS) + i64::from(step) * STEP_MS
}

fn plan(seed: u64, specs: &[SeriesSpec], live: Duration) -> Vec<PlannedFault> {
    let steps = i64::try_from(live.as_millis() / STEP.as_millis()).unwrap_or(i64::MAX / STEP_MS);
    let from = time_of(PAST);
    let until = from + (steps - NOTICE).max(0).saturating_mul(STEP_MS);
    fault_plan(seed, specs, from, until, GAP * STEP_MS)
}

fn record(key: &SeriesKey, time: Timestamp, value: f64) -> String {
    let labels: serde_json::Map<String, serde_json::Value> = key
        .labels()
        .into_iter()
        .map(|(name, value)| (name, value.into()))
        .collect();
    json!({ "name": key.name(), "labels": labels, "timestamp": time.to_string(), "value": value }).to_string()
}

impl Injection {
    /// What is done to the series, for a person.
    pub(super) fn describe(&self) -> String {
        let Fault {
            kind,
            duration,
            magnitude,
            ..
        } = self.fault;
        let size = super::screen::number(magnitude.abs() * self.unit);
        let minutes = duration / 60_000;
        let what = match kind {
            FaultKind::Spike => format!("spike of +{size}"),
            FaultKind::Dip => format!("dip of -{size}"),
            FaultKind::LevelShift if magnitude < 0.0 => format!("level shift by -{size}"),
            FaultKind::LevelShift => format!("level shift by +{size}"),
            FaultKind::NoiseBurst => format!("noise of ±{size}"),
            FaultKind::Drift => format!("drift to +{size}"),
            FaultKind::Flatline | FaultKind::SeasonalityBreak => kind.name().to_owned(),
        };
        format!("{what} for {minutes} min")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ingest::decode::{Format, LabelRules, decode};

    const LIVE: Duration = Duration::from_secs(60);

    #[test]
    fn records_decode_to_what_the_series_read() {
        let mut feed = Feed::new(1, 3, LIVE, false);
        let first = feed.step();
        let specs = fleet(1, 3);
        for (outbound, spec) in first.iter().zip(&specs) {
            let decoded = decode(
                outbound.payload.as_bytes(),
                Format::NativeJson,
                None,
                &LabelRules::default(),
            );
            let sample = &decoded.samples[0];
            let (time, value) = spec.stream(outbound.time).next().unwrap();
            assert_eq!((&sample.series, sample.time), (&spec.key, time));
            assert_eq!(sample.value, value);
        }
        assert_eq!(feed.now(), first[0].time + STEP_MS);
    }

    #[test]
    fn a_seed_means_the_same_stream_and_faults() {
        let all = |seed| {
            let mut feed = Feed::new(seed, 36, LIVE, true);
            let steps: Vec<Outbound> = (0..PAST + 60).flat_map(|_| feed.step()).collect();
            (feed.injections().to_vec(), steps)
        };
        assert_eq!(all(3), all(3));
        assert_ne!(all(3), all(4));
    }

    #[test]
    fn faults_begin_soon_and_end_in_time_to_be_noticed() {
        for seed in 0..20 {
            let feed = Feed::new(seed, 36, LIVE, true);
            let starts: Vec<Timestamp> = feed.injections().iter().map(|i| i.fault.start).collect();
            let after = |seconds: u32| time_of(PAST + seconds * 10);
            assert!(
                starts[0] < after(30),
                "seed {seed}: the first fault comes at {}",
                starts[0]
            );
            assert!(starts.iter().all(|s| *s >= time_of(PAST) && *s < after(57)));
            assert!(
                (5..30).contains(&starts.len()),
                "seed {seed}: {} faults",
                starts.len()
            );
            assert!(Feed::new(seed, 36, LIVE, false).injections().is_empty());
        }
    }
}
