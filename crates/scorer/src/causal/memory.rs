//! What a series may cost.

use super::*;

/// A series that has been everywhere: full references, a week of more than a bucket a slot, an event under way.
fn full(model: ModelKind) -> SeriesScorer {
    let spec = ScoreSpec::default();
    let calibration = LagCalibration {
        lag: 0,
        error_median: 0.1,
        error_p99: 0.5,
        critic_center: 0.0,
        critic_scale: 1.0,
    };
    let mut scorer = SeriesScorer::default();
    let mut noise = 1_u64;
    for index in 0..40_000 {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let spread = -(((noise >> 11) as f64 + 0.5) / (1_u64 << 53) as f64).ln();
        // Bursts that are remembered as peaks, and at the end a level that is not normal yet.
        let burst = if index % 150 == 0 { 30.0 } else { 0.0 };
        let value = if index < 39_902 { spread + burst } else { 1e9 };
        let bucket = Bucket {
            index,
            start: Timestamp::from_millis(index as i64 * 60_000),
            value,
            filled: false,
        };
        let window = WindowResult {
            model,
            affine: Affine {
                center: 0.0,
                half_range: 1.0,
            },
            reconstruction: &[0.0; 100],
            critic: matches!(model, ModelKind::Tadgan).then_some(spread),
            filled_share: 0.0,
        };
        if index % 6 == 5 {
            scorer.close_coarse(&spec, 1e-3, &bucket, Some(&window));
        }
        scorer.close(
            &spec,
            &calibration,
            60_000,
            1e-3,
            bucket,
            bucket.start,
            false,
            Some(window),
            &mut vec![],
        );
    }
    assert!(scorer.held.len() > 90);
    scorer
}

fn tails(scorer: &SeriesScorer) -> [&Tail; 5] {
    [
        &scorer.reconstruction,
        &scorer.prediction,
        &scorer.critic,
        &scorer.envelope,
        scorer.coarse.tail(),
    ]
}

/// Memory of the whole.
fn live_bytes(scorer: &SeriesScorer) -> usize {
    let tails: usize = tails(scorer)
        .map(|t| t.live_bytes() - size_of::<Tail>())
        .iter()
        .sum();
    let floats = scorer.misses.capacity() + scorer.peaks.recent.capacity() + scorer.peaks.past.capacity();
    let held = scorer.held.capacity() * size_of::<[Option<f32>; 4]>();
    let waiting = scorer.waiting.capacity() * size_of::<Waiting>();
    size_of::<SeriesScorer>() + tails + 4 * floats + held + waiting + scorer.day.heap_bytes()
}

#[test]
fn the_tails_of_a_series_fit_in_four_kilobytes() {
    for model in [ModelKind::Tadgan, ModelKind::Aer] {
        let scorer = full(model);
        let live: usize = tails(&scorer).iter().map(|t| t.live_bytes()).sum();
        let stored = postcard::to_allocvec(&tails(&scorer)).unwrap().len();
        println!("{model:?}: tails {live} live, {stored} stored");
        assert!(live < 4 << 10 && stored < 4 << 10, "{live} {stored}");
    }
}

#[test]
fn the_score_of_a_series_fits_in_twenty_eight_kilobytes() {
    for model in [ModelKind::Tadgan, ModelKind::Aer] {
        let scorer = full(model);
        let (live, stored) = (live_bytes(&scorer), postcard::to_allocvec(&scorer).unwrap().len());
        println!("{model:?}: {live} live, {stored} stored");
        assert!(live < 28 << 10 && stored < 28 << 10, "{live} {stored}");
    }
}
