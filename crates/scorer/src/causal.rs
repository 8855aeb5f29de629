//! The causal score of one series: each bucket judged once, from what was there at the close of bucket `t + lag`.
//!
//! Nets that only reconstruct have seen the bucket they are held against. Nets that predict say before it closes what it
//! will be: that forecast is kept until the bucket is judged, and its error is a channel of its own.

mod drift;
mod memory;
mod peaks;
mod recurrence;
mod resolution;
mod spec;
mod standing;
mod window;

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use types::{Bucket, DurationMs, Grounds, Parts, Timestamp};

use self::drift::Drift;
use self::peaks::Peaks;
use self::recurrence::Recurrence;
use self::resolution::Resolution;
pub use self::spec::ScoreSpec;
use self::standing::{Rarity, Standing};
pub use self::window::WindowResult;
use crate::coarse::Coarse;
use crate::companions::{DayEnvelope, SeenRange, outside};
use crate::manifest::{LagCalibration, ModelKind};
use crate::normalise::median;
use crate::tail::Tail;

/// What the nets say of the bucket after the one that closed last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Forecast {
    /// Its value, data units.
    pub value: f64,
    /// Distance from [`Self::value`] at which the prediction alone would score 1; `None` while the history is short.
    pub half_width: Option<f64>,
    /// What to allow for, data units: the median error of the forecasts so far, or that of one of the last
    /// [`Forecast::RECENT`] where it was larger. `None` before there is one.
    pub margin: Option<f64>,
    /// How much it is worth, in [0, 1].
    pub confidence: f64,
}

impl Forecast {
    /// Forecasts that count by themselves in the margin: errors come in bursts.
    pub const RECENT: usize = 3;
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
    /// Data units. Of nets that reconstruct: the median of what the windows made of it that saw the bucket. Of nets that
    /// predict: at lag 0 what was forecast, else the median of that and the first `lag` reconstructions.
    pub expected: f64,
    /// How far from normal it is in its context, on the score scale: [`Self::own`] from 1 on. Below, for less, with the error of the bucket
    /// before, or the mean of the last buckets where that is more.
    pub score: f64,
    /// How far from normal it is by itself, on the score scale: how high an alert is, and what it ends on.
    pub own: f64,
    /// Its own score after refractory, rarity and recurrence rules.
    pub peak: f64,
    /// Error in data units at which the prediction alone, or where there was none the reconstruction, would score 1.
    pub threshold: Option<f64>,
    /// In [0, 1].
    pub confidence: f64,
    /// The parts, on the score scale.
    pub parts: Parts,
    /// What the score rests on.
    pub grounds: Grounds,
}

/// State of one series' score.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SeriesScorer {
    waiting: VecDeque<Waiting>,
    /// What the next bucket will be, if the window before it said so.
    forecast: Option<f64>,
    /// Errors of the last [`Forecast::RECENT`] forecasts.
    misses: VecDeque<f32>,
    reconstruction: Tail,
    whole: Tail,
    critic: Tail,
    envelope: Tail,
    range: SeenRange,
    day: DayEnvelope,
    drift: Drift,
    resolution: Resolution,
    coarse: Coarse,
    /// Errors of the event under way, kept out of its own reference, in the order of [`Errors::kept`].
    held: Vec<[Option<f32>; 4]>,
    peaks: Peaks,
    recurrence: Recurrence,
    standing: Standing,
    /// Buckets that close now are not learnt from.
    resting: bool,
    /// Since a window did not reach back before the first bucket: the errors that there were until then.
    grown: Option<usize>,
}

/// A closed bucket that waits for its later windows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Waiting {
    bucket: Bucket,
    /// What was forecast before it closed, data units.
    forecast: Option<f64>,
    /// Whether the nets predict.
    predicts: bool,
    /// What the windows that saw it made of it, data units.
    seen: Vec<f64>,
    /// The largest half range of these windows, data units.
    half_range: f64,
    critic: Vec<f64>,
    filled_share: f64,
    /// Rarity of the coarse bucket that it ended or followed, decades.
    coarse: f64,
    /// Whether the reference takes it in.
    learns: bool,
}

impl Waiting {
    fn new(bucket: Bucket, forecast: Option<f64>, coarse: f64, learns: bool) -> Self {
        Self {
            bucket,
            forecast,
            predicts: forecast.is_some(),
            seen: vec![],
            half_range: 0.0,
            critic: vec![],
            filled_share: 1.0,
            coarse,
            learns,
        }
    }

    /// As if no window had seen it.
    fn unseen(self) -> Self {
        Self::new(self.bucket, self.forecast, self.coarse, self.learns)
    }
}

#[derive(Clone, Copy, Debug)]
struct Errors {
    /// Of reconstruction, as far as the nets resolve it.
    reconstruction: Option<f64>,
    /// Of prediction; of nets that do not predict, of reconstruction and all of it.
    whole: Option<f64>,
    critic: Option<f64>,
    envelope: Option<f64>,
}

impl Errors {
    /// As precise as any [`Tail`] keeps them.
    fn kept(&self) -> [Option<f32>; 4] {
        [self.reconstruction, self.whole, self.critic, self.envelope].map(|error| error.map(|e| e as f32))
    }
}

impl SeriesScorer {
    /// Share of the noise floor that the scale of the envelope's tail is held to. Where each day is like the one before, a small
    /// distance from all of them is news, and the floor is taken from the swing of a whole day.
    const ENVELOPE_FLOOR: f64 = 0.2;

    /// Whether buckets that close from here on become part of the series' past, as they do unless told otherwise. Those
    /// that do not are scored all the same.
    pub fn set_learning(&mut self, learning: bool) {
        self.resting = !learning;
    }

    /// Takes the coarse bucket that closed with the bucket which [`Self::close`] gets next, with what the nets said of the
    /// window that ends with it. `interval` and `floor` are those of that call.
    pub fn close_coarse(
        &mut self,
        spec: &ScoreSpec,
        interval: DurationMs,
        floor: f64,
        bucket: &Bucket,
        window: Option<&WindowResult<'_>>,
    ) {
        let spec = spec.at_interval(interval);
        self.coarse.close(&spec, floor, bucket, !self.resting, window);
    }

    /// Takes the next closed bucket of the series with what the nets said of the window that ends with it (`None` when
    /// there is no such window) and appends every bucket whose verdict is final now. Gives the forecast of the bucket to come
    /// where the nets predict, there was a window, and the bucket was not filled in.
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
    ) -> Option<Forecast> {
        let context = Context {
            spec: &spec.at_interval(interval),
            event_decades: spec.warn_decades,
            calibration,
            interval,
            floor,
            available_at,
        };
        let mut forecast = self.forecast.take();
        if restarted {
            // It was of the first bucket of the gap.
            forecast = None;
            self.coarse.restart();
            while let Some(waiting) = self.waiting.pop_front() {
                out.push(self.judge(&context, waiting));
            }
            self.standing.restart();
            self.drift.restart();
        }
        if let Some(forecast) = forecast.filter(|_| !bucket.filled && !self.resting) {
            self.misses.push_back((bucket.value - forecast).abs() as f32);
            while self.misses.len() > Forecast::RECENT {
                self.misses.pop_front();
            }
        }
        let coarse = self.coarse.lean();
        self.waiting
            .push_back(Waiting::new(bucket, forecast, coarse, !self.resting));
        if let Some(window) = window {
            if self.grown.is_none() && !window.is_young {
                self.come_of_age();
            }
            self.hear(&window);
        }
        if bucket.filled || self.grown.is_none() {
            // It would be made of what is not known.
            self.forecast = None;
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
        Some(self.ahead(&context, self.forecast?, window?.filled_share))
    }

    /// The forecast as what it says is worth now.
    fn ahead(&mut self, context: &Context<'_>, value: f64, filled_share: f64) -> Forecast {
        let (spec, floor) = (context.spec, context.floor);
        let median = self.whole.median(&spec.tail);
        let misses = self.misses.iter().map(|miss| f64::from(*miss));
        Forecast {
            value,
            half_width: self.whole.error_at(&spec.tail, floor, spec.warn_decades),
            margin: median.map(|median| misses.fold(median, f64::max)),
            confidence: confidence(spec, context.interval, self.whole.len(), (filled_share, 1.0)),
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
            spec: &spec.at_interval(interval),
            event_decades: spec.warn_decades,
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

    /// The first whole window. Nets miss more where a window is made up in part: what they missed in such ones, and what came of
    /// it, is no measure of what they miss now, and buckets that still wait are judged by whole ones alone. What the companions
    /// have seen stays, and what rows go on from.
    fn come_of_age(&mut self) {
        let young = std::mem::take(self);
        *self = Self {
            waiting: young.waiting.into_iter().map(Waiting::unseen).collect(),
            range: young.range,
            day: young.day,
            coarse: young.coarse,
            standing: young.standing,
            resting: young.resting,
            grown: Some(young.reconstruction.len()),
            ..Self::default()
        };
    }

    fn hear(&mut self, window: &WindowResult<'_>) {
        let (y, last) = (
            window.reconstruction,
            window.reconstruction.len().saturating_sub(1),
        );
        let value = |y: &f32| window.affine.unscale(f64::from(*y));
        let seen = match window.model {
            ModelKind::Tadgan => y,
            ModelKind::Aer => {
                self.forecast = y.last().map(value).filter(|forecast| forecast.is_finite());
                // The first was predicted from what came after it.
                y.get(1..last).unwrap_or_default()
            }
        };
        for (waiting, y) in self.waiting.iter_mut().rev().zip(seen.iter().rev()) {
            waiting.predicts |= matches!(window.model, ModelKind::Aer);
            waiting.seen.push(value(y));
            waiting.half_range = waiting.half_range.max(window.affine.half_range);
            waiting.critic.extend(window.critic);
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
        if !bucket.filled && waiting.learns {
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
        let (spec, floor, value) = (context.spec, context.floor, waiting.bucket.value);
        let expected = expected(spec.lag, waiting)?;
        let distance = |from: f64| (value - from).abs();
        let calibration = context.calibration;
        let time_of_day = self.day.bounds(waiting.bucket.start, context.interval);
        let unresolved = self
            .resolution
            .unresolved(spec.resolution, waiting.half_range, waiting.learns);
        let missed = median_of(&waiting.seen).map(distance);
        let errors = Errors {
            reconstruction: missed.map(|missed| (missed - unresolved).max(0.0)),
            whole: if waiting.predicts {
                waiting.forecast.map(distance)
            } else {
                missed
            },
            critic: median_of(&waiting.critic)
                .map(|c| (c - calibration.critic_center).abs() / calibration.critic_scale),
            envelope: time_of_day.map(|bounds| outside(bounds, value)),
        };
        let decades = |tail: &mut Tail, floor, error: Option<f64>| {
            error.map_or(0.0, |error| tail.decades(&spec.tail, floor, error))
        };
        let history = match waiting.forecast {
            Some(_) => self.whole.len(),
            None => self.reconstruction.len(),
        };
        let history = history.max(self.grown.unwrap_or_default());
        let reconstruction = decades(&mut self.reconstruction, floor, errors.reconstruction);
        let prediction = match waiting.forecast {
            Some(_) => decades(&mut self.whole, floor, errors.whole),
            None => 0.0,
        };
        let critic = decades(&mut self.critic, 1e-3, errors.critic);
        let days_believed = ScoreSpec::days_believed(context.interval, self.envelope.len());
        let envelope =
            days_believed * decades(&mut self.envelope, Self::ENVELOPE_FLOOR * floor, errors.envelope);
        let range = if self.range.is_new(value, spec.range_tolerance) {
            spec.range_bonus
        } else {
            0.0
        };
        let drifted = self.drift.judge(spec, floor, time_of_day, value, waiting.learns);
        let combine = |nets: f64| {
            (spec.error_weight * nets + range).max(spec.envelope_weight * envelope)
                + support(spec.coarse_weight, waiting.coarse)
                + support(spec.critic_weight, critic)
        };
        let (found, drift) = (
            combine(reconstruction.max(prediction)),
            spec.drift_weight * drifted.decades,
        );
        let combined = found.max(drift);
        let a_day = spec.recurrence_a_day(context.interval);
        let custom = a_day * self.recurrence.custom(waiting.bucket.start, found) as f64;
        let news = (found - custom).max(drift).max(0.0);
        let (rare, peak) = self.peaks.judge(spec, news, drift > found);
        // Of whole errors: that an event makes windows wide is a reason not to call its other buckets news, none to rank them lower.
        let of_two = self.standing.of_two(errors.whole, waiting.learns);
        let of_two = decades(&mut self.whole, floor, of_two);
        let rarity = Rarity {
            own: combined,
            of_two: combine(of_two),
        };
        let standing = self.standing.judge(spec, floor, value, rarity, waiting.learns);
        let decades = Parts {
            reconstruction,
            prediction: waiting.forecast.map(|_| prediction),
            critic,
            range,
            envelope,
            drift: drifted.decades,
            coarse: waiting.coarse,
        };
        let (leading, unresolved) = match waiting.forecast {
            Some(_) => (&mut self.whole, 0.0),
            None => (&mut self.reconstruction, unresolved),
        };
        let ahead = usize::from(waiting.forecast.is_some());
        let seen_share = (waiting.seen.len() + ahead) as f64 / (spec.lag + 1 + ahead) as f64;
        let verdict = Verdict {
            expected,
            score: spec.scale(standing),
            own: spec.scale(combined),
            peak: spec.scale(peak),
            threshold: leading
                .error_at(&spec.tail, floor, spec.warn_decades)
                .map(|error| error + unresolved),
            confidence: confidence(
                spec,
                context.interval,
                history,
                (waiting.filled_share, seen_share),
            ),
            parts: Parts {
                reconstruction: spec.scale(reconstruction),
                prediction: waiting.forecast.map(|_| spec.scale(prediction)),
                critic: spec.scale(critic),
                range: spec.scale(range),
                envelope: spec.scale(envelope),
                drift: spec.scale(drifted.decades),
                coarse: spec.scale(waiting.coarse),
            },
            grounds: Grounds {
                shares: shares(spec, &decades, combined),
                seen: self.range.bounds(),
                time_of_day,
                drift: drifted.mean,
            },
        };
        if waiting.learns {
            self.peaks.push(spec, context.interval, combined, rare);
            if a_day > 0.0 {
                self.recurrence.push(waiting.bucket.start, found);
            }
            self.learn(context, combined, errors, waiting.predicts);
        }
        Some(verdict)
    }

    /// The reference takes the errors in, but not those of an event that is still under way and younger than `hold`.
    fn learn(&mut self, context: &Context<'_>, combined: f64, errors: Errors, predicts: bool) {
        let spec = context.spec;
        self.held.push(errors.kept());
        if combined < context.event_decades || self.held.len() > spec.hold {
            for errors in std::mem::take(&mut self.held) {
                let tails = [
                    &mut self.reconstruction,
                    &mut self.whole,
                    &mut self.critic,
                    &mut self.envelope,
                ];
                let whole = spec.tail;
                let [rough, companions] = [whole.rough(), whole.of_companions()];
                let specs = [whole, if predicts { whole } else { rough }, rough, companions];
                for ((tail, spec), error) in tails.into_iter().zip(specs).zip(errors) {
                    if let Some(error) = error {
                        tail.push(&spec, f64::from(error));
                    }
                }
            }
        }
    }
}

/// How much of the `combined` decades is due to each channel: of the alternatives the one that came to them has all, the
/// others nothing. Must follow the combination in [`SeriesScorer::verdict`].
fn shares(spec: &ScoreSpec, decades: &Parts, combined: f64) -> Parts {
    let mut shares = Parts {
        prediction: decades.prediction.map(|_| 0.0),
        ..Parts::default()
    };
    if combined <= 0.0 {
        return shares;
    }
    // Nothing adds to it, so that where it is as much as all the rest it led.
    if spec.drift_weight * decades.drift >= combined {
        shares.drift = 1.0;
        return shares;
    }
    shares.coarse = support(spec.coarse_weight, decades.coarse) / combined;
    shares.critic = support(spec.critic_weight, decades.critic) / combined;
    let nets = decades.prediction.unwrap_or_default().max(decades.reconstruction);
    if spec.envelope_weight * decades.envelope >= nets + decades.range {
        shares.envelope = spec.envelope_weight * decades.envelope / combined;
    } else {
        match decades.prediction {
            Some(prediction) if prediction > decades.reconstruction => {
                shares.prediction = Some(prediction / combined);
            }
            _ => shares.reconstruction = decades.reconstruction / combined,
        }
        shares.range = decades.range / combined;
    }
    shares
}

/// Decades that evidence adds which cannot speak by itself: `weight` for each beyond the half that one bucket in three has.
fn support(weight: f64, decades: f64) -> f64 {
    const MARGIN: f64 = 0.5;
    weight * (decades - MARGIN).max(0.0)
}

/// What a bucket should have been, see [`Verdict::expected`]; `None` where no window says anything of it.
fn expected(lag: usize, waiting: &Waiting) -> Option<f64> {
    match waiting.forecast {
        Some(forecast) => {
            let later = waiting.seen.iter().take(lag).copied();
            median_of(&std::iter::once(forecast).chain(later).collect::<Vec<_>>())
        }
        None => median_of(&waiting.seen),
    }
}

fn median_of(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| median(values))
}

/// Confidence of a score in [0, 1]: `n/(n + half) · (1 − 0.6·filled) · seen`, with `n` errors in the reference (or as many as before the first
/// whole window, where that is more), `half` of them at this
/// interval (300, or 25 hours of them where that is less, but at least 100), the share of filled-in buckets and the share of the
/// `lag + 1` windows that saw the bucket (of one more where there was a forecast: the window before it). Monotone in each.
#[must_use]
pub fn confidence(
    spec: &ScoreSpec,
    interval: DurationMs,
    history: usize,
    (filled_share, seen_share): (f64, f64),
) -> f64 {
    let n = history as f64;
    let grown = n / (n + spec.half_history(interval));
    grown * (1.0 - 0.6 * filled_share.clamp(0.0, 1.0)) * seen_share.clamp(0.0, 1.0)
}

struct Context<'a> {
    /// With the boundaries of this interval.
    spec: &'a ScoreSpec,
    /// Decades from which an event is under way, whatever the interval: what it does to the reference is not measured in alerts.
    event_decades: f64,
    calibration: &'a LagCalibration,
    interval: DurationMs,
    floor: f64,
    available_at: Timestamp,
}

#[cfg(test)]
mod tests;
