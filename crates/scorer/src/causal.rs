//! The causal score of one series: each bucket judged once, from what was there at the close of bucket `t + lag`.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use types::{Bucket, DurationMs, Parts, Timestamp};

use crate::companions::{DayEnvelope, SeenRange};
use crate::manifest::LagCalibration;
use crate::normalise::{Affine, median};
use crate::tail::{Tail, TailSpec};

/// Constants of the causal score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoreSpec {
    /// How many later windows a bucket waits for.
    pub lag: usize,
    /// Tail estimate of every channel.
    pub tail: TailSpec,
    /// Buckets over which a peak must be the highest to count.
    pub refractory: usize,
    /// Decades added when the value leaves everything seen before.
    pub range_bonus: f64,
    /// Share of the seen range by which it must leave it.
    pub range_tolerance: f64,
    /// Weight of the time-of-day channel; 0 leaves it out.
    pub envelope_weight: f64,
    /// Weight of the critic channel; 0 leaves it out of the score (its part is still reported).
    pub critic_weight: f64,
    /// Decades taken off per decade of earlier peaks that were as high.
    pub rarity: f64,
    /// Decades at which the score is 1.
    pub warn_decades: f64,
    /// Decades at which the score is 2.
    pub critical_decades: f64,
    /// Buckets for which an event under way is kept out of its own reference; then it becomes normal.
    pub hold: usize,
    /// Reference length at which the history part of the confidence is one half.
    pub half_history: f64,
}

impl Default for ScoreSpec {
    fn default() -> Self {
        Self {
            lag: 0,
            tail: TailSpec::default(),
            refractory: 100,
            range_bonus: 1.0,
            range_tolerance: 0.05,
            envelope_weight: 0.8,
            critic_weight: 0.0,
            rarity: 0.5,
            warn_decades: 3.0,
            critical_decades: 4.5,
            hold: 100,
            half_history: 300.0,
        }
    }
}

impl ScoreSpec {
    /// Puts decades of tail probability on the score scale: 0 at 0, 1 at `warn_decades`, 2 at `critical_decades`,
    /// linear between and beyond.
    #[must_use]
    pub fn scale(&self, decades: f64) -> f64 {
        if decades <= self.warn_decades {
            decades.max(0.0) / self.warn_decades
        } else {
            1.0 + (decades - self.warn_decades) / (self.critical_decades - self.warn_decades)
        }
    }
}

/// What the nets said about the window that ends with a bucket.
#[derive(Clone, Copy, Debug)]
pub struct WindowResult<'a> {
    /// The map the window was scaled with.
    pub affine: Affine,
    /// Reconstruction in the nets' units, oldest first, length L.
    pub reconstruction: &'a [f32],
    /// The critic's value of the real window.
    pub critic: f64,
    /// Share of filled-in buckets in the window, in [0, 1].
    pub filled_share: f64,
}

/// A bucket with its final verdict.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// The bucket.
    pub bucket: Bucket,
    /// Event time at which the verdict existed.
    pub available_at: Timestamp,
    /// The verdict; `None` for a bucket that will never be scored: filled in, or seen by no window.
    pub verdict: Option<Verdict>,
}

/// The verdict on one bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// Median of the reconstructions that saw the bucket, data units.
    pub expected: f64,
    /// How far from normal, on the score scale.
    pub score: f64,
    /// The score after refractory and rarity rules.
    pub peak: f64,
    /// Error in data units at which the reconstruction alone would score 1.
    pub threshold: Option<f64>,
    /// In [0, 1].
    pub confidence: f64,
    /// The parts, on the score scale.
    pub parts: Parts,
}

/// State of one series' score.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SeriesScorer {
    waiting: VecDeque<Waiting>,
    reconstruction: Tail,
    critic: Tail,
    envelope: Tail,
    range: SeenRange,
    day: DayEnvelope,
    /// Errors of the event under way, kept out of its own reference.
    held: Vec<Errors>,
    /// Combined decades after the rarity rule of the last `refractory` scored buckets.
    recent: VecDeque<f32>,
    peaks: Peaks,
}

/// A closed bucket that waits for its later windows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Waiting {
    bucket: Bucket,
    expected: Vec<f64>,
    critic: Vec<f64>,
    filled_share: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Errors {
    reconstruction: f64,
    critic: f64,
    envelope: Option<f64>,
}

impl SeriesScorer {
    /// Takes the next closed bucket of the series with what the nets said of the window that ends with it (`None` when
    /// there is no such window) and appends every bucket whose verdict is final now.
    ///
    /// `floor` is [`crate::normalise::noise_floor`] of the series; `restarted` says that the window was started anew
    /// before this bucket, so that earlier buckets will be seen by no later window.
    #[expect(
        clippy::too_many_arguments,
        reason = "one bucket's facts, each from another owner"
    )]
    pub fn close(
        &mut self,
        spec: &ScoreSpec,
        calibration: &LagCalibration,
        interval: DurationMs,
        floor: f64,
        bucket: Bucket,
        available_at: Timestamp,
        restarted: bool,
        window: Option<WindowResult<'_>>,
        out: &mut Vec<Scored>,
    ) {
        let context = Context {
            spec,
            calibration,
            interval,
            floor,
            available_at,
        };
        if restarted {
            while let Some(waiting) = self.waiting.pop_front() {
                out.push(self.judge(&context, waiting));
            }
        }
        self.waiting.push_back(Waiting {
            bucket,
            expected: vec![],
            critic: vec![],
            filled_share: 1.0,
        });
        if let Some(window) = window {
            self.hear(&window);
        }
        while self
            .waiting
            .front()
            .is_some_and(|w| bucket.index - w.bucket.index >= spec.lag as u64)
        {
            if let Some(waiting) = self.waiting.pop_front() {
                out.push(self.judge(&context, waiting));
            }
        }
    }

    /// Judges what still waits with the windows that have seen it: for `--flush` only.
    pub fn flush(
        &mut self,
        spec: &ScoreSpec,
        calibration: &LagCalibration,
        interval: DurationMs,
        floor: f64,
        available_at: Timestamp,
        out: &mut Vec<Scored>,
    ) {
        let context = Context {
            spec,
            calibration,
            interval,
            floor,
            available_at,
        };
        while let Some(waiting) = self.waiting.pop_front() {
            out.push(self.judge(&context, waiting));
        }
    }

    /// Buckets that wait for later windows, oldest first.
    pub fn waiting(&self) -> impl Iterator<Item = Bucket> + '_ {
        self.waiting.iter().map(|w| w.bucket)
    }

    fn hear(&mut self, window: &WindowResult<'_>) {
        for (waiting, y) in self
            .waiting
            .iter_mut()
            .rev()
            .zip(window.reconstruction.iter().rev())
        {
            waiting.expected.push(window.affine.unscale(f64::from(*y)));
            waiting.critic.push(window.critic);
            waiting.filled_share = waiting.filled_share.min(window.filled_share);
        }
    }

    fn judge(&mut self, context: &Context<'_>, waiting: Waiting) -> Scored {
        let bucket = waiting.bucket;
        let verdict = if bucket.filled {
            None
        } else {
            self.verdict(context, &waiting)
        };
        if !bucket.filled {
            self.range.push(bucket.value);
            self.day.push(bucket.start, context.interval, bucket.value);
        }
        Scored {
            bucket,
            available_at: context.available_at,
            verdict,
        }
    }

    fn verdict(&mut self, context: &Context<'_>, waiting: &Waiting) -> Option<Verdict> {
        if waiting.expected.is_empty() {
            return None;
        }
        let (spec, floor, value) = (context.spec, context.floor, waiting.bucket.value);
        let expected = median(&waiting.expected);
        let centre = context.calibration.critic_center;
        let errors = Errors {
            reconstruction: (value - expected).abs(),
            critic: (median(&waiting.critic) - centre).abs() / context.calibration.critic_scale,
            envelope: self.day.excess(waiting.bucket.start, context.interval, value),
        };
        let history = self.reconstruction.len();
        let reconstruction = self
            .reconstruction
            .decades(&spec.tail, floor, errors.reconstruction);
        let critic = self.critic.decades(&spec.tail, 1e-3, errors.critic);
        let envelope = errors
            .envelope
            .map_or(0.0, |e| self.envelope.decades(&spec.tail, floor, e));
        let range = if self.range.is_new(value, spec.range_tolerance) {
            spec.range_bonus
        } else {
            0.0
        };
        let combined = (reconstruction + range)
            .max(spec.envelope_weight * envelope)
            .max(spec.critic_weight * critic);
        let rare = (combined - spec.rarity * (1.0 + self.peaks.as_high_as(combined) as f64).log10()).max(0.0);
        let peak = if self.recent.iter().all(|r| f64::from(*r) < rare) {
            rare
        } else {
            0.0
        };
        let verdict = Verdict {
            expected,
            score: spec.scale(combined),
            peak: spec.scale(peak),
            threshold: self.reconstruction.error_at(&spec.tail, floor, spec.warn_decades),
            confidence: confidence(
                spec,
                history,
                waiting.filled_share,
                waiting.expected.len() as f64 / (spec.lag as f64 + 1.0),
            ),
            parts: Parts {
                reconstruction: spec.scale(reconstruction),
                critic: spec.scale(critic),
                range: spec.scale(range),
                envelope: spec.scale(envelope),
            },
        };
        self.learn(spec, combined, rare, errors);
        Some(verdict)
    }

    /// The reference takes the errors in, but not those of an event that is still under way and younger than `hold`.
    fn learn(&mut self, spec: &ScoreSpec, combined: f64, rare: f64, errors: Errors) {
        self.peaks.push(combined, spec.refractory);
        self.recent.push_back(rare as f32);
        while self.recent.len() > spec.refractory {
            self.recent.pop_front();
        }
        self.held.push(errors);
        if combined < spec.warn_decades || self.held.len() > spec.hold {
            for errors in std::mem::take(&mut self.held) {
                self.reconstruction.push(&spec.tail, errors.reconstruction);
                self.critic.push(&spec.tail, errors.critic);
                if let Some(envelope) = errors.envelope {
                    self.envelope.push(&spec.tail, envelope);
                }
            }
        }
    }
}

/// Confidence of a score in [0, 1]: `n/(n + half_history) · (1 − 0.6·filled) · seen`, with `n` errors in the reference,
/// the share of filled-in buckets and the share of the `lag + 1` windows that saw the bucket. Monotone in each.
#[must_use]
pub fn confidence(spec: &ScoreSpec, history: usize, filled_share: f64, seen_share: f64) -> f64 {
    let n = history as f64;
    n / (n + spec.half_history) * (1.0 - 0.6 * filled_share.clamp(0.0, 1.0)) * seen_share.clamp(0.0, 1.0)
}

struct Context<'a> {
    spec: &'a ScoreSpec,
    calibration: &'a LagCalibration,
    interval: DurationMs,
    floor: f64,
    available_at: Timestamp,
}

/// Earlier peaks, at most one a refractory span, for the rarity rule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Peaks {
    past: VecDeque<f32>,
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

    fn as_high_as(&self, decades: f64) -> usize {
        self.past
            .iter()
            .filter(|p| f64::from(**p) >= decades - Self::SLACK)
            .count()
    }

    fn push(&mut self, decades: f64, span: usize) {
        if let Some((highest, age)) = self.current.as_mut() {
            *highest = highest.max(decades as f32);
            *age += 1;
            if *age as usize >= span {
                self.past.push_back(*highest);
                self.current = None;
            }
        } else if decades > Self::LOWEST {
            self.current = Some((decades as f32, 0));
        }
        while self.past.len() > Self::KEEP {
            self.past.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CALIBRATION: LagCalibration = LagCalibration {
        lag: 0,
        error_median: 0.1,
        error_p99: 0.5,
        critic_center: 0.0,
        critic_scale: 1.0,
    };

    /// Feeds `values` (with nets that always expect 0) and returns every verdict.
    fn run(spec: &ScoreSpec, scorer: &mut SeriesScorer, first: u64, values: &[f64]) -> Vec<Scored> {
        let mut out = vec![];
        for (i, value) in values.iter().enumerate() {
            let index = first + i as u64;
            let start = Timestamp::from_millis(index as i64 * 60_000);
            let bucket = Bucket {
                start,
                value: *value,
                filled: false,
                index,
            };
            let window = WindowResult {
                affine: Affine {
                    center: 0.0,
                    half_range: 1.0,
                },
                reconstruction: &[0.0; 100],
                critic: 0.0,
                filled_share: 0.0,
            };
            scorer.close(
                spec,
                &CALIBRATION,
                60_000,
                0.01,
                bucket,
                start + 60_000,
                false,
                Some(window),
                &mut out,
            );
        }
        out
    }

    fn noise(n: usize) -> Vec<f64> {
        (0..n)
            .map(|i| ((i as f64 * 0.754_877_666).fract() - 0.5) * 2.0)
            .collect()
    }

    #[test]
    fn a_spike_scores_high_once_and_noise_does_not() {
        let spec = ScoreSpec::default();
        let mut values = noise(1000);
        values[900] = 8.0;
        values[901] = 7.0;
        let out = run(&spec, &mut SeriesScorer::default(), 0, &values);
        let verdict = |i: usize| out[i].verdict.unwrap();
        assert!(verdict(900).peak > 2.0, "{:?}", verdict(900));
        assert_eq!(verdict(901).peak, 0.0);
        assert!(verdict(901).score > 2.0);
        let loud = out.iter().filter(|s| s.verdict.unwrap().peak >= 1.0).count();
        assert_eq!(loud, 1);
    }

    #[test]
    fn a_new_level_becomes_normal() {
        let spec = ScoreSpec::default();
        let mut values = noise(3000);
        for v in &mut values[1000..] {
            *v += 10.0;
        }
        let out = run(&spec, &mut SeriesScorer::default(), 0, &values);
        assert!(out[1000].verdict.unwrap().score > 2.0);
        assert!(
            out[1050].verdict.unwrap().score > 1.0,
            "an event does not judge itself"
        );
        let late: Vec<_> = out[1300..]
            .iter()
            .filter(|s| s.verdict.unwrap().score >= 1.0)
            .collect();
        assert!(late.is_empty(), "nothing lasts for ever: {:?}", &late[..3]);
    }

    #[test]
    fn a_bucket_is_final_at_its_lag() {
        let spec = ScoreSpec {
            lag: 4,
            ..ScoreSpec::default()
        };
        let out = run(&spec, &mut SeriesScorer::default(), 0, &noise(10));
        assert_eq!(out.len(), 6);
        assert_eq!(out[0].bucket.index, 0);
        assert_eq!(out[0].available_at, Timestamp::from_millis(5 * 60_000));
    }

    #[test]
    fn filled_buckets_are_never_scored() {
        let mut out = vec![];
        let bucket = Bucket {
            start: Timestamp::from_millis(0),
            value: 1.0,
            filled: true,
            index: 0,
        };
        let mut scorer = SeriesScorer::default();
        let spec = ScoreSpec::default();
        scorer.close(
            &spec,
            &CALIBRATION,
            60_000,
            0.1,
            bucket,
            bucket.start + 60_000,
            false,
            None,
            &mut out,
        );
        assert_eq!(out[0].verdict, None);
    }

    #[test]
    fn the_scale_is_anchored() {
        let spec = ScoreSpec::default();
        assert_eq!([0.0, 3.0, 4.5, 6.0].map(|d| spec.scale(d)), [0.0, 1.0, 2.0, 3.0]);
    }

    proptest! {
        #[test]
        fn restored_scorers_go_on_alike(values in proptest::collection::vec(-5.0..5.0f64, 10..300), cut in 0usize..300, lag in 0usize..5) {
            let spec = ScoreSpec { lag, refractory: 20, hold: 10, ..ScoreSpec::default() };
            let cut = cut.min(values.len());
            let mut whole = SeriesScorer::default();
            run(&spec, &mut whole, 0, &values[..cut]);
            let mut resumed: SeriesScorer = postcard::from_bytes(&postcard::to_allocvec(&whole).unwrap()).unwrap();
            let want = run(&spec, &mut whole, cut as u64, &values[cut..]);
            let got = run(&spec, &mut resumed, cut as u64, &values[cut..]);
            prop_assert_eq!(want, got);
        }

        #[test]
        fn confidence_is_monotone(a in 0usize..9000, b in 0usize..9000, f in 0.0..1.0f64, g in 0.0..1.0f64, s in 0.0..1.0f64, u in 0.0..1.0f64) {
            let spec = ScoreSpec::default();
            prop_assert!(confidence(&spec, a.min(b), f, s) <= confidence(&spec, a.max(b), f, s));
            prop_assert!(confidence(&spec, a, f.max(g), s) <= confidence(&spec, a, f.min(g), s));
            prop_assert!(confidence(&spec, a, f, s.min(u)) <= confidence(&spec, a, f, s.max(u)));
        }
    }
}
