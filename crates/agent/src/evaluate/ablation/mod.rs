//! What the nets add: the product with something simpler in their place.
//!
//! Everything else is the product, to the bit: each series goes through a [`Task`] of its own with the settings of the run, and a
//! stand-in answers the windows that are due. Where settings differ, the function that makes the row says so.
//!
//! | row | in place of the nets |
//! |---|---|
//! | companions only | nothing: range and time of day speak alone |
//! | window median | the window's median in every place |
//! | rank-20 linear | what 20 principal components of the series' first windows make of the window |

mod linear;

use std::sync::Arc;

use alerting::LimitSpec;
use pipeline::{Input, Model, Output, SeriesSettings, Task, TaskSettings};
use scorer::WindowOutput;
use scorer::manifest::ModelKind;
use scorer::normalise::Scaler;
use types::{Payload, Record, Sample, Timestamp};
use windowing::{SeriesWindow, Window};

use super::nab;
use super::stream::{Detections, Heard, Series};
use linear::Linear;

/// Principal components kept.
const RANK: usize = 20;

/// What each of them says of `series`: the same names in the same order for every series. `task` is the product's.
pub(super) fn all(task: &TaskSettings, series: &Series) -> Vec<(&'static str, Detections)> {
    vec![
        ("companions only", companions(task, series)),
        ("window median", window_median(task, series)),
        ("rank-20 linear", rank_20_linear(task, series)),
    ]
}

/// The nets weigh nothing, so there is nothing to wait for and no coarse window. A value out of all that was seen warns by itself,
/// whatever the rarity rule takes off, for there is no error to which it could add; and the envelope counts in full.
fn companions(task: &TaskSettings, series: &Series) -> Detections {
    let task = adapted(task, BY_WINDOW, |own| {
        let score = &mut own.score;
        (score.error_weight, score.coarse_factor, score.lag) = (0.0, 0, 0);
        let warn_decades = score.at_interval(series.interval.unwrap_or(1)).warn_decades;
        (score.range_bonus, score.envelope_weight) = (warn_decades + 1.0, 1.0);
    });
    replay(task, series, &series.samples, |window| vec![0.0; window.len()])
}

fn window_median(task: &TaskSettings, series: &Series) -> Detections {
    let task = adapted(task, BY_WINDOW, |_| {});
    replay(task, series, &series.samples, |window| vec![0.0; window.len()])
}

/// Fitted to the windows in NAB's probation, 15 % of the samples and 750 at most, but in those of two windows at least. Nothing
/// is said during it; its errors are learnt all the same. The product's settings as they are.
fn rank_20_linear(task: &TaskSettings, series: &Series) -> Detections {
    let samples = &series.samples;
    let first = nab::probation(samples.len()).max(2 * task.model.window);
    let Some(&(begin, _)) = samples.get(first) else {
        return Detections::default();
    };
    // One map for all windows, so that it changes nothing but the units.
    let warm_up = series
        .buckets
        .iter()
        .take_while(|bucket| bucket.closed_at < begin);
    let (min, max) = warm_up
        .filter_map(|bucket| bucket.value)
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), value| {
            (value.min(min), value.max(max))
        });
    if min > max {
        return Detections::default();
    }
    let scaler = Scaler::MinMax { min, max };
    let task = adapted(task, scaler, |_| {});
    let linear = Linear::fit(&whole_windows(&task, series, &samples[..first]), RANK);
    let mut said = replay(task, series, samples, |window| linear.reconstruct(window));
    said.scores.retain(|(at, _)| *at >= begin);
    said.levels.retain(|(at, _)| *at >= begin);
    said.alerts.retain(|(fired, _)| *fired >= begin);
    said
}

/// The windows of `samples` as nets would see them, without those that reach back before the first bucket.
fn whole_windows(task: &TaskSettings, series: &Series, samples: &[(Timestamp, f64)]) -> Vec<Vec<f64>> {
    let own = task.settings(task.rule_of(&series.series));
    let (mut state, mut occurred, mut windows) = (SeriesWindow::new(), vec![], vec![]);
    for &(time, value) in samples {
        if state.observe(&own.window, time, value, &mut occurred).is_err() {
            continue;
        }
        while state.next_closed(&own.window, &mut occurred).is_some() {
            let known = |window: &Window<'_>| window.filled_share() <= own.max_filled_share;
            let whole = state
                .window()
                .filter(|window| window.lacking() == 0 && known(window));
            windows.extend(whole.map(|window| {
                let values: Vec<f64> = window.values().collect();
                let (_, input) = task.model.scaler.input(&values, values.len(), 0.0);
                input.iter().map(|x| f64::from(*x)).collect()
            }));
        }
    }
    windows
}

/// Each window by its own median, which becomes 0.
const BY_WINDOW: Scaler = Scaler::Window { gain: 3.0 };

/// The product's settings around a model that only reconstructs, with windows of the same length for every kind of bundle.
fn adapted(task: &TaskSettings, scaler: Scaler, change: impl Fn(&mut SeriesSettings)) -> TaskSettings {
    let mut task = task.clone();
    task.model = Model {
        label: String::new(),
        kind: ModelKind::Tadgan,
        window: task.model.window,
        scaler,
        calibration: Vec::new(),
    };
    let window = task.model.known();
    let rules = task.rules.iter_mut().map(|rule| &mut rule.settings);
    for own in rules.chain([&mut task.defaults]) {
        own.window.window = window;
        own.limits = LimitSpec::default();
        change(own);
    }
    task
}

/// Sends samples of a series through a task; `answer` is what stands in for the nets.
fn replay(
    task: TaskSettings,
    series: &Series,
    samples: &[(Timestamp, f64)],
    mut answer: impl FnMut(&[f32]) -> Vec<f32>,
) -> Detections {
    let mut heard = Heard::of(std::slice::from_ref(series));
    let mut task = Task::new(Arc::new(task), false);
    let mut outputs = Vec::new();
    for (offset, &(time, value)) in (0..).zip(samples) {
        let sample = Sample {
            series: series.series.clone(),
            time,
            value,
        };
        let record = Record {
            offset,
            time: None,
            payload: Payload::Samples(vec![sample]),
        };
        task.feed(Input::Record(&record), &mut outputs);
        let mut answers = Vec::new();
        for output in outputs.drain(..) {
            match output {
                Output::Due { id, input } => {
                    let reconstruction = answer(&input);
                    let output = WindowOutput {
                        reconstruction,
                        critic: None,
                    };
                    answers.push((id, Some(output)));
                }
                other => heard.hear(other),
            }
        }
        if !answers.is_empty() {
            task.feed(Input::Scored(answers), &mut outputs);
            outputs.drain(..).for_each(|output| heard.hear(output));
        }
    }
    heard.detections(&series.series)
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::SeriesKey;

    use super::super::stream::ClosedBucket;

    const MINUTE: i64 = 60_000;

    fn task(kind: ModelKind) -> TaskSettings {
        let model = Model {
            label: "general@0".to_owned(),
            kind,
            window: 100,
            scaler: BY_WINDOW,
            calibration: Vec::new(),
        };
        TaskSettings::new(model)
    }

    /// One sample a minute.
    fn series(values: impl Iterator<Item = f64>) -> Series {
        let samples: Vec<(Timestamp, f64)> = (0..)
            .zip(values)
            .map(|(i, value)| (Timestamp::from_millis(i * MINUTE), value))
            .collect();
        let closed = samples.iter().map(|&(start, value)| ClosedBucket {
            start,
            value: Some(value),
            closed_at: start + MINUTE,
        });
        Series {
            file: "f/a.csv".to_owned(),
            family: "f".to_owned(),
            series: SeriesKey::from_name("x").unwrap(),
            buckets: closed.collect(),
            samples,
            interval: Some(MINUTE),
            windows: Vec::new(),
            whole: true,
            from: Timestamp::default(),
        }
    }

    /// A wave with some noise of its own.
    fn wave(i: usize) -> f64 {
        let t = i as f64;
        50.0 + 10.0 * (t * 0.21).sin() + (t * t * 0.618).fract()
    }

    fn fired(said: &Detections) -> Vec<i64> {
        said.alerts.iter().map(|(at, _)| at.millis() / MINUTE).collect()
    }

    #[test]
    fn each_finds_what_it_can_know_of() {
        // Out of all that was seen; at the wave's foot instead of its head; flat in its middle.
        let odd = |i: usize| match i {
            2200 => 90.0,
            _ => wave(i),
        };
        let foot = |i: usize| {
            if (2499..2502).contains(&i) {
                100.0 - wave(i)
            } else {
                wave(i)
            }
        };
        for kind in [ModelKind::Tadgan, ModelKind::Aer] {
            let said = all(&task(kind), &series((0..2600).map(odd)));
            for (name, said) in &said {
                // Its bucket closes with the next sample.
                assert!(fired(said).contains(&2201), "{name}: {:?}", fired(said));
            }
        }
        let said = all(&task(ModelKind::Tadgan), &series((0..2600).map(foot)));
        let near = |at: &usize| fired(&said[*at].1).iter().any(|t| (2499..2505).contains(t));
        assert_eq!((0..3).filter(near).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn nothing_is_said_during_the_fit_and_nothing_of_what_is_too_short() {
        let (name, said) = &all(&task(ModelKind::Tadgan), &series((0..2600).map(wave)))[2];
        let begin = Timestamp::from_millis(390 * MINUTE);
        assert_eq!(*name, "rank-20 linear");
        assert_eq!(said.levels[0].0, begin);
        let short = all(&task(ModelKind::Tadgan), &series((0..200).map(wave)));
        assert_eq!(short[2].1, Detections::default());
        let empty = all(&task(ModelKind::Tadgan), &series(std::iter::empty()));
        assert!(empty.iter().all(|(_, said)| *said == Detections::default()));
    }

    #[test]
    fn the_end_of_a_series_changes_nothing_before_it() {
        // Beyond 5000 samples the first 750 are fitted to, however many follow.
        let value = |i: usize| if i % 700 == 699 { 75.0 } else { wave(i) };
        let whole = all(&task(ModelKind::Tadgan), &series((0..5600).map(value)));
        let cut = all(&task(ModelKind::Tadgan), &series((0..5100).map(value)));
        for ((name, whole), (_, cut)) in whole.iter().zip(&cut) {
            assert!(cut.levels.len() > 4000, "{name}");
            assert_eq!(whole.levels[..cut.levels.len()], cut.levels, "{name}");
            assert_eq!(whole.scores[..cut.scores.len()], cut.scores, "{name}");
            assert_eq!(fired(whole)[..cut.alerts.len()], fired(cut), "{name}");
        }
    }
}
