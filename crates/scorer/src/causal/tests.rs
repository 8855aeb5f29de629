//! Short series by hand, and what must hold for any.

use super::*;
use crate::normalise::Affine;
use proptest::prelude::*;

const CALIBRATION: LagCalibration = LagCalibration {
    lag: 0,
    error_median: 0.1,
    error_p99: 0.5,
    critic_center: 0.0,
    critic_scale: 1.0,
};

const MAP: Affine = Affine {
    center: 0.0,
    half_range: 1.0,
};

/// Of nets that always expect 0.
const EXPECTS_ZERO: WindowResult<'static> = WindowResult {
    model: ModelKind::Tadgan,
    affine: MAP,
    reconstruction: &[0.0; 100],
    critic: Some(0.0),
    filled_share: 0.0,
    is_young: false,
};

/// Feeds `values` to [`EXPECTS_ZERO`] and returns every verdict.
fn run(spec: &ScoreSpec, scorer: &mut SeriesScorer, first: u64, values: &[f64]) -> Vec<Scored> {
    let mut out = vec![];
    for (index, value) in (first..).zip(values) {
        close(spec, scorer, index, *value, false, Some(EXPECTS_ZERO), &mut out);
    }
    out
}

/// The same with nets that take each next value to be half of the last one, and see what they have seen as it was.
fn run_predicting(
    spec: &ScoreSpec,
    scorer: &mut SeriesScorer,
    first: u64,
    values: &[f64],
) -> Vec<(Scored, Forecast)> {
    let mut out = vec![];
    for (index, value) in (first..).zip(values) {
        let mut scored = vec![];
        let y = [9.0, *value as f32, *value as f32 / 2.0];
        let forecast = close(
            spec,
            scorer,
            index,
            *value,
            false,
            Some(predicting(&y)),
            &mut scored,
        );
        out.extend(scored.into_iter().map(|s| (s, forecast.unwrap())));
    }
    out
}

fn predicting(y: &[f32]) -> WindowResult<'_> {
    WindowResult {
        model: ModelKind::Aer,
        affine: MAP,
        reconstruction: y,
        critic: None,
        filled_share: 0.0,
        is_young: false,
    }
}

fn close(
    spec: &ScoreSpec,
    scorer: &mut SeriesScorer,
    index: u64,
    value: f64,
    restarted: bool,
    window: Option<WindowResult<'_>>,
    out: &mut Vec<Scored>,
) -> Option<Forecast> {
    let start = Timestamp::from_millis(index as i64 * 60_000);
    let bucket = Bucket {
        start,
        value,
        filled: false,
        index,
    };
    scorer.close(
        spec,
        &CALIBRATION,
        60_000,
        0.01,
        bucket,
        start + 60_000,
        restarted,
        window,
        out,
    )
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
    assert!(verdict(900).peak > 1.9, "{:?}", verdict(900));
    assert_eq!(verdict(901).peak, 0.0);
    assert!(verdict(901).score > 1.2);
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
fn a_forecast_is_held_against_the_bucket_it_was_of() {
    let spec = ScoreSpec::default();
    let mut values = noise(1000);
    values[900] = 8.0;
    let out = run_predicting(&spec, &mut SeriesScorer::default(), 0, &values);
    for (i, pair) in out.windows(2).enumerate() {
        let (forecast, verdict) = (pair[0].1, pair[1].0.verdict.unwrap());
        assert_eq!(verdict.expected, forecast.value, "bucket {i}");
        assert_eq!(
            verdict.threshold, forecast.half_width,
            "bucket {i} is judged by the band that was promised"
        );
    }
    let spike = out[900].0.verdict.unwrap();
    assert!(
        spike.peak > 1.9 && spike.parts.prediction.unwrap() > 1.5,
        "{spike:?}"
    );
    assert_eq!(
        spike.parts.reconstruction, 0.0,
        "these nets make of it what it was"
    );
    assert_eq!(spike.parts.critic, 0.0);
    let ahead = out[999].1;
    let margin = |i: usize| out[i].1.margin.unwrap();
    let typical = out
        .iter()
        .skip(200)
        .map(|(_, ahead)| ahead.margin.unwrap())
        .fold(9.0, f64::min);
    assert!(
        (0.3..0.7).contains(&typical),
        "the median error where the last were small: {typical}"
    );
    assert!(margin(899) < 2.0 && margin(900) > 7.0, "a miss counts by itself");
    assert!(margin(902) > 7.0 && margin(904) < 2.0, "for three buckets");
    assert!(ahead.half_width.unwrap() > typical && ahead.confidence > 0.7);
    assert_eq!(out[0].1.half_width, None);
}

#[test]
fn without_a_forecast_the_reconstruction_speaks() {
    let spec = ScoreSpec::default();
    let (mut scorer, mut out) = (SeriesScorer::default(), vec![]);
    run_predicting(&spec, &mut scorer, 0, &noise(400));
    let y = [9.0, 0.25, 5.0];
    // A gap: what was forecast was its first bucket.
    close(&spec, &mut scorer, 400, 0.5, true, None, &mut out);
    assert_eq!(out[0].verdict, None);
    close(
        &spec,
        &mut scorer,
        401,
        0.5,
        false,
        Some(predicting(&y)),
        &mut out,
    );
    let first = out[1].verdict.unwrap();
    assert_eq!((first.expected, first.parts.prediction), (0.25, None));
    // The nets fail for a bucket that was forecast, and so do not forecast the one after.
    let none = close(&spec, &mut scorer, 402, 0.5, false, None, &mut out);
    let second = out[2].verdict.unwrap();
    assert_eq!(
        (none, second.expected, second.parts.reconstruction),
        (None, 5.0, 0.0)
    );
    assert!(
        second.confidence < first.confidence,
        "no window saw it: {second:?}"
    );
    close(&spec, &mut scorer, 403, 0.5, false, None, &mut out);
    assert_eq!(out[3].verdict, None);
    // A filled-in bucket is not known, so nothing follows from it.
    let filled = Bucket {
        start: Timestamp::from_millis(404 * 60_000),
        value: 0.5,
        filled: true,
        index: 404,
    };
    let at = filled.start + 60_000;
    let window = Some(predicting(&y));
    let none = scorer.close(
        &spec,
        &CALIBRATION,
        60_000,
        0.01,
        filled,
        at,
        false,
        window,
        &mut out,
    );
    assert_eq!(none, None);
    close(
        &spec,
        &mut scorer,
        405,
        0.5,
        false,
        Some(predicting(&y)),
        &mut out,
    );
    assert_eq!(out[5].verdict.unwrap().expected, 0.25);
}

#[test]
fn later_windows_join_the_forecast_at_larger_lags() {
    let spec = ScoreSpec {
        lag: 2,
        ..ScoreSpec::default()
    };
    let (mut scorer, mut out) = (SeriesScorer::default(), vec![]);
    for (index, y) in [
        [0.0, 0.0, 0.0, 3.0],
        [0.0, 0.0, 1.0, 0.0],
        [0.0, 2.0, 0.0, 0.0],
        [7.0, 0.0, 0.0, 0.0],
    ]
    .iter()
    .enumerate()
    {
        close(
            &spec,
            &mut scorer,
            index as u64,
            0.0,
            false,
            Some(predicting(y)),
            &mut out,
        );
    }
    // Of bucket 1: the forecast 3, then what the windows that end with it and with the next made of it; the third saw it
    // in the place that was itself predicted.
    assert_eq!(out[1].verdict.unwrap().expected, 2.0);
}

#[test]
fn the_scale_is_anchored() {
    let spec = ScoreSpec::default();
    assert_eq!([0.0, 3.2, 6.5].map(|d| spec.scale(d)), [0.0, 1.0, 2.0]);
    assert!((spec.scale(9.8) - 3.0).abs() < 1e-12);
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
    fn restored_predictions_go_on_alike(values in proptest::collection::vec(-5.0..5.0f64, 10..200), cut in 0usize..200, lag in 0usize..3) {
        let spec = ScoreSpec { lag, refractory: 20, hold: 10, ..ScoreSpec::default() };
        let cut = cut.min(values.len());
        let mut whole = SeriesScorer::default();
        run_predicting(&spec, &mut whole, 0, &values[..cut]);
        let mut resumed: SeriesScorer = postcard::from_bytes(&postcard::to_allocvec(&whole).unwrap()).unwrap();
        let want = run_predicting(&spec, &mut whole, cut as u64, &values[cut..]);
        let got = run_predicting(&spec, &mut resumed, cut as u64, &values[cut..]);
        prop_assert_eq!(want, got);
    }

    #[test]
    fn confidence_is_monotone(a in 0usize..9000, b in 0usize..9000, f in 0.0..1.0f64, g in 0.0..1.0f64, s in 0.0..1.0f64, u in 0.0..1.0f64) {
        let spec = ScoreSpec::default();
        let of = |history, filled, seen| confidence(&spec, 60_000, history, (filled, seen));
        prop_assert!(of(a.min(b), f, s) <= of(a.max(b), f, s));
        prop_assert!(of(a, f.max(g), s) <= of(a, f.min(g), s));
        prop_assert!(of(a, f, s.min(u)) <= of(a, f, s.max(u)));
    }

    #[test]
    fn confidence_grows_no_slower_with_longer_intervals(n in 0usize..9000, i in 1i64..100_000_000, j in 1i64..100_000_000) {
        let spec = ScoreSpec::default();
        let of = |interval| confidence(&spec, interval, n, (0.0, 1.0));
        prop_assert!(of(i.min(j)) <= of(i.max(j)));
    }
}

/// With intervals of more than five minutes sooner.
#[test]
fn a_new_series_is_believed_after_so_many_scores() {
    let spec = ScoreSpec::default();
    let scores = |minutes: i64| {
        let believed = |n: &usize| confidence(&spec, minutes * 60_000, *n, (0.0, 1.0)) >= 0.6;
        (1..).find(believed).unwrap()
    };
    assert_eq!(
        [1, 5, 10, 15, 60, 1440].map(scores),
        [450, 450, 225, 150, 150, 150]
    );
}

#[test]
fn what_an_interval_changes() {
    let spec = ScoreSpec::default();
    let warn = |seconds: i64| spec.at_interval(seconds * 1000).warn_decades;
    assert_eq!((warn(300), warn(60), warn(1)), (3.2, 3.2, 3.2));
    assert!((warn(400) - 3.2 + (4.0 / 3.0_f64).log10()).abs() < 1e-12);
    assert_eq!((warn(1800), warn(3600)), (3.2 - 0.35, 3.2 - 0.35));
    // No envelope, no warning upon less.
    assert_eq!((warn(7200), warn(86_400)), (3.2, 3.2));
    let hourly = spec.at_interval(3_600_000);
    assert!((hourly.critical_decades - hourly.warn_decades - 3.3).abs() < 1e-12);
    let low = ScoreSpec {
        warn_decades: 0.4,
        ..spec
    };
    assert_eq!(low.at_interval(3_600_000).warn_decades, 0.2);
    let still = ScoreSpec {
        interval_weight: 0.0,
        ..spec
    };
    assert_eq!(still.at_interval(3_600_000), still);
    let history = |seconds: i64| spec.at_interval(seconds * 1000).tail.history;
    assert_eq!(
        [3600, 300, 150, 60, 1].map(history),
        [4000, 4000, 8000, 20_000, 20_000]
    );
    let coarse = |seconds: i64| spec.coarse_buckets(seconds * 1000);
    assert_eq!([3600, 300, 150, 60, 1].map(coarse), [6, 6, 12, 30, 30]);
    let a_day = |seconds: i64| spec.recurrence_a_day(seconds * 1000);
    assert_eq!(
        [3600, 300, 60].map(a_day),
        [0.0, 0.0, spec.recurrence * 5_f64.log10()]
    );
    for coarse_factor in [0, 1] {
        let alone = ScoreSpec {
            coarse_factor,
            ..spec
        };
        assert!(
            [300, 60]
                .map(|s| alone.coarse_buckets(s * 1000))
                .iter()
                .all(|n| *n < 2)
        );
    }
}

#[test]
fn a_day_of_minutes_is_one_day() {
    let believed = |minutes: i64, n: usize| ScoreSpec::days_believed(60_000 * minutes, n);
    assert_eq!((believed(5, 0), believed(60, 24)), (1.0, 1.0));
    assert!((0.5..0.6).contains(&believed(1, 1440)));
    assert!((0.8..0.9).contains(&believed(1, 7 * 1440)));
    assert!(believed(1, 0) < 0.001);
}

/// An hour's score needs less to warn, and what it learns is the same.
#[test]
fn the_reference_does_not_know_of_boundaries() {
    let mut values = noise(2000);
    for (k, v) in (0..60).zip(&mut values[1500..]) {
        *v = 0.98 + 0.001 * f64::from(k);
    }
    let learnt = |interval_weight: f64| {
        let spec = ScoreSpec {
            interval_weight,
            ..ScoreSpec::default()
        };
        let (mut scorer, mut out) = (SeriesScorer::default(), vec![]);
        for (index, value) in (0..).zip(&values) {
            let bucket = Bucket {
                index,
                start: Timestamp::from_millis(index as i64 * 3_600_000),
                value: *value,
                filled: false,
            };
            scorer.close(
                &spec,
                &CALIBRATION,
                3_600_000,
                1e-3,
                bucket,
                bucket.start,
                false,
                Some(EXPECTS_ZERO),
                &mut out,
            );
        }
        let warned = out.iter().filter(|s| s.verdict.is_some_and(|v| v.score >= 1.0));
        (warned.count(), scorer.reconstruction)
    };
    let (lower, of_lower) = learnt(1.0);
    let (higher, of_higher) = learnt(0.0);
    assert!(lower > higher, "{lower} {higher}");
    assert_eq!(of_lower, of_higher);
}

/// Nets that follow it, and a time of day that each bucket leaves by next to nothing.
#[test]
fn what_drifts_is_said_to_drift() {
    let mut values = noise(3 * 1440);
    values.extend((0..60).map(|i| 1.02 + 0.0005 * f64::from(i)));
    let said = |drift_weight: f64| {
        let spec = ScoreSpec {
            envelope_weight: 0.0,
            drift_weight,
            ..ScoreSpec::default()
        };
        let (mut scorer, mut out) = (SeriesScorer::default(), vec![]);
        for (index, value) in (0..).zip(&values) {
            let window = WindowResult {
                reconstruction: &[*value as f32; 100],
                ..EXPECTS_ZERO
            };
            close(&spec, &mut scorer, index, *value, false, Some(window), &mut out);
        }
        let verdicts = out.into_iter().filter_map(|scored| scored.verdict);
        verdicts.max_by(|a, b| a.peak.total_cmp(&b.peak)).unwrap()
    };
    let drifting = said(0.8);
    assert!(drifting.peak >= 1.0 && drifting.parts.drift > 1.0, "{drifting:?}");
    assert_eq!(drifting.grounds.shares.largest(), Some(types::Part::Drift));
    assert_eq!(drifting.grounds.shares.drift, 1.0);
    assert!(drifting.grounds.drift.unwrap() > 0.0);
    let without = said(0.0);
    assert!(without.peak < 1.0, "{without:?}");
}

/// A spike, and until it has left nets that miss by a few percent of a window ten times as wide.
#[test]
fn what_nets_do_not_resolve_beside_a_spike_is_no_news() {
    let mut values = noise(1100);
    values[1000] = 20.0;
    let run = |resolution: f64| {
        let spec = ScoreSpec {
            resolution,
            range_bonus: 0.0,
            ..ScoreSpec::default()
        };
        let (mut scorer, mut out) = (SeriesScorer::default(), vec![]);
        for (index, value) in (0..).zip(&values) {
            let beside = index > 1000;
            let window = WindowResult {
                affine: Affine {
                    half_range: if index >= 1000 { 10.0 } else { 1.0 },
                    ..MAP
                },
                reconstruction: if beside { &[-0.09; 100] } else { &[0.0; 100] },
                ..EXPECTS_ZERO
            };
            close(&spec, &mut scorer, index, *value, false, Some(window), &mut out);
        }
        out.into_iter()
            .filter_map(|scored| scored.verdict)
            .collect::<Vec<_>>()
    };
    let (whole, resolved) = (run(0.0), run(0.1));
    let loud = |verdicts: &[Verdict]| verdicts[1001..1030].iter().filter(|v| v.own >= 1.0).count();
    assert!(loud(&whole) > 0, "{:?}", &whole[1001..1030]);
    assert_eq!(loud(&resolved), 0);
    assert!(whole[1000].peak > 1.5 && resolved[1000].peak > 0.95 * whole[1000].peak);
    for (index, (verdict, value)) in resolved.iter().zip(&values).enumerate() {
        // Whoever ranks rows still finds them beside it, and the band is where its edge scores 1.
        if (1001..1030).contains(&index) {
            assert!(verdict.score > resolved[990].score, "{index}");
        }
        if let Some(threshold) = verdict.threshold {
            let beyond = (value - verdict.expected).abs() >= threshold;
            assert_eq!(
                beyond,
                verdict.parts.reconstruction >= 1.0,
                "{index}: {verdict:?}"
            );
        }
    }
}

#[test]
fn what_a_young_series_was_worth_leaves_no_trace_in_its_alerts() {
    let mut values = noise(900);
    (values[60], values[800]) = (7.0, 8.0);
    let mut of_part = EXPECTS_ZERO;
    (of_part.reconstruction, of_part.filled_share, of_part.is_young) = (&[1.5; 100], 0.5, true);
    let run = |lag: usize, early: Option<WindowResult<'_>>| {
        let (mut spec, mut scorer, mut out) = (ScoreSpec::default(), SeriesScorer::default(), vec![]);
        spec.lag = lag;
        for (index, value) in (0..).zip(&values) {
            let window = if index < 80 { early } else { Some(EXPECTS_ZERO) };
            close(&spec, &mut scorer, index, *value, false, window, &mut out);
        }
        out.iter().map(|scored| scored.verdict).collect::<Vec<_>>()
    };
    for lag in [0, 4] {
        let (young, silent, first) = (run(lag, Some(of_part)), run(lag, None), 80 - lag);
        let confidence: Vec<f64> = young.iter().map(|v| v.unwrap().confidence).collect();
        assert!(confidence.is_sorted() || lag > 0, "{confidence:?}");
        for (i, (young, silent)) in young.iter().zip(&silent).enumerate().skip(first) {
            let judged = |v: &Verdict| (v.own, v.peak, v.expected, v.threshold, v.parts);
            let (young, silent) = (young.unwrap(), silent.unwrap());
            assert_eq!(judged(&young), judged(&silent), "lag {lag}, bucket {i}");
            assert_eq!(young.confidence == silent.confidence, i >= 2 * first, "{i}");
        }
    }
}

#[test]
fn a_window_that_is_made_up_in_part_makes_no_forecast() {
    let (spec, mut scorer) = (ScoreSpec::default(), SeriesScorer::default());
    // Where a gap comes after a short past, a window may be young once more, but not the series.
    for (index, (is_young, foretells)) in (0..).zip([(true, false), (false, true), (true, true)]) {
        let mut window = predicting(&[9.0, 1.0, 0.5]);
        window.is_young = is_young;
        let forecast = close(&spec, &mut scorer, index, 1.0, false, Some(window), &mut vec![]);
        assert_eq!(forecast.is_some(), foretells, "{index}");
    }
}
