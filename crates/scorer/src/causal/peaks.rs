//! From how unusual a bucket is to what alerts open on: once an event, and less for what happens every day.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use types::DurationMs;

use super::ScoreSpec;
use crate::companions::DAY_MS;

/// What the peaks of a series were.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Peaks {
    /// Combined decades after the rarity rule of the last [`span`] scored buckets.
    pub(super) recent: VecDeque<f32>,
    /// Earlier peaks, at most one a span.
    pub(super) past: VecDeque<f32>,
    /// Highest so far in the span under way and its age in buckets.
    current: Option<(f32, u32)>,
}

impl Peaks {
    /// Peaks remembered.
    const KEEP: usize = 256;
    /// Lowest decades that count as a peak.
    const LOWEST: f64 = 1.5;
    /// Decades by which an earlier peak may be lower and still count as as high.
    const SLACK: f64 = 0.3;

    /// `combined` decades less what the rarity rule takes off, and what is left of that by the refractory rule.
    /// What `creeps` up never stands out of the buckets before it: it is news where it is the first to pass the boundary by as
    /// much as others must pass those.
    pub(super) fn judge(&self, spec: &ScoreSpec, combined: f64, creeps: bool) -> (f64, f64) {
        let as_high = |p: &&f32| f64::from(**p) >= combined - Self::SLACK;
        let earlier = self.past.iter().filter(as_high).count();
        let rare = (combined - spec.rarity * (1.0 + earlier as f64).log10()).max(0.0);
        let passed = |decades: f64| creeps && decades >= spec.warn_decades + spec.rise;
        let rises = self
            .recent
            .iter()
            .map(|r| f64::from(*r))
            .all(|recent| recent + spec.rise <= rare || passed(rare) && !passed(recent));
        (rare, if rises { rare } else { 0.0 })
    }

    /// Takes in the next bucket, `interval` milliseconds long, and what [`Self::judge`] made of it.
    pub(super) fn push(&mut self, spec: &ScoreSpec, interval: DurationMs, combined: f64, rare: f64) {
        let span = span(spec, interval);
        self.recent.push_back(rare as f32);
        while self.recent.len() > span {
            self.recent.pop_front();
        }
        if let Some((highest, age)) = self.current.as_mut() {
            *highest = highest.max(combined as f32);
            *age += 1;
            if *age as usize >= span {
                self.past.push_back(*highest);
                self.current = None;
            }
        } else if combined > Self::LOWEST {
            self.current = Some((combined as f32, 0));
        }
        while self.past.len() > Self::KEEP {
            self.past.pop_front();
        }
    }
}

/// Buckets over which a peak must be the highest: [`ScoreSpec::refractory`], but no more than a day, unless that has fewer than
/// [`SPAN_MIN`]. What happens the day after is news, however long a bucket is.
fn span(spec: &ScoreSpec, interval: DurationMs) -> usize {
    let day = usize::try_from(DAY_MS / interval.max(1)).unwrap_or(usize::MAX);
    spec.refractory.min(day.max(SPAN_MIN))
}

const SPAN_MIN: usize = 25;

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: DurationMs = 60_000;

    #[test]
    fn only_a_rise_speaks_within_the_span() {
        let spec = ScoreSpec {
            rarity: 0.0,
            ..ScoreSpec::default()
        };
        let mut peaks = Peaks::default();
        let mut heard = |decades: f64| {
            let (rare, peak) = peaks.judge(&spec, decades, false);
            peaks.push(&spec, MINUTE, decades, rare);
            peak
        };
        assert_eq!(heard(4.0), 4.0);
        assert_eq!((heard(4.0), heard(4.3)), (0.0, 0.0));
        assert_eq!(heard(5.0), 5.0);
        for _ in 0..spec.refractory {
            assert_eq!(heard(1.0), 0.0);
        }
        assert_eq!(heard(4.0), 4.0);
    }

    #[test]
    fn what_creeps_up_speaks_once_it_has_passed_the_boundary() {
        let spec = ScoreSpec {
            rarity: 0.0,
            ..ScoreSpec::default()
        };
        for creeps in [false, true] {
            let mut peaks = Peaks::default();
            let mut heard: Vec<f64> = vec![];
            // Up by a twentieth of a decade at a time, and down again.
            for decades in (40..100)
                .chain((40..100).rev())
                .map(|i| f64::from(i) / 20.0 + 0.01)
            {
                let (rare, peak) = peaks.judge(&spec, decades, creeps);
                peaks.push(&spec, MINUTE, decades, rare);
                heard.extend(Some(peak).filter(|peak| *peak > 2.1));
            }
            if creeps {
                assert!(
                    matches!(heard[..], [peak] if (3.6..3.7).contains(&peak)),
                    "{heard:?}"
                );
            } else {
                assert!(heard.is_empty(), "{heard:?}");
            }
        }
    }

    #[test]
    fn what_happens_again_and_again_counts_less() {
        let spec = ScoreSpec::default();
        let mut peaks = Peaks::default();
        let mut told = Vec::new();
        for i in 0..10 * spec.refractory * 2 {
            let decades = if i % (2 * spec.refractory) == 0 { 4.0 } else { 0.5 };
            let (rare, peak) = peaks.judge(&spec, decades, false);
            peaks.push(&spec, MINUTE, decades, rare);
            if decades > 1.0 {
                told.push(peak);
            }
        }
        assert_eq!(told[0], 4.0);
        assert!(told.is_sorted_by(|a, b| a > b), "{told:?}");
        assert!(
            (told[9] - (4.0 - spec.rarity)).abs() < 1e-6,
            "ten times as often: {}",
            told[9]
        );
    }

    #[test]
    fn the_span_is_no_longer_than_a_day() {
        let spec = ScoreSpec::default();
        assert_eq!(span(&spec, 1000), 150);
        assert_eq!(span(&spec, 300_000), 150);
        assert_eq!(span(&spec, 1_800_000), 48);
        assert_eq!(span(&spec, 3_600_000), 25);
        assert_eq!(span(&spec, DAY_MS), 25);
        let short = ScoreSpec {
            refractory: 10,
            ..spec
        };
        assert_eq!(span(&short, DAY_MS), 10);
    }
}
