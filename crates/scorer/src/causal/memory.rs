//! What a series may cost.

use super::{SeriesScorer, Tail, Waiting};

impl SeriesScorer {
    /// Memory beside the value itself (bytes).
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let tails: usize = self.tails().iter().map(|tail| tail.heap_bytes()).sum();
        let floats = self.misses.capacity() + self.peaks.recent.capacity() + self.peaks.past.capacity();
        let held = self.held.capacity() * size_of::<[Option<f32>; 4]>();
        let seen = |w: &Waiting| size_of::<f64>() * (w.seen.capacity() + w.critic.capacity());
        let waiting = self.waiting.capacity() * size_of::<Waiting>();
        let waiting = waiting + self.waiting.iter().map(seen).sum::<usize>();
        let finds = self.recurrence.finds.capacity() * size_of::<(i32, f32)>();
        tails + size_of::<f32>() * floats + held + waiting + finds + self.day.heap_bytes()
    }

    fn tails(&self) -> [&Tail; 6] {
        [
            &self.reconstruction,
            &self.whole,
            &self.critic,
            &self.envelope,
            self.drift.tail(),
            self.coarse.tail(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::super::*;
    use crate::normalise::Affine;

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
                is_young: false,
            };
            if index % u64::from(spec.coarse_buckets(60_000)) == 0 {
                scorer.close_coarse(&spec, 60_000, 1e-3, &bucket, Some(&window));
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

    #[test]
    fn the_tails_of_a_series_fit_in_four_kilobytes() {
        for model in [ModelKind::Tadgan, ModelKind::Aer] {
            let scorer = full(model);
            let live: usize = scorer
                .tails()
                .iter()
                .map(|t| size_of::<Tail>() + t.heap_bytes())
                .sum();
            let stored = postcard::to_allocvec(&scorer.tails()).unwrap().len();
            println!("{model:?}: tails {live} live, {stored} stored");
            assert!(live < 4 << 10 && stored < 4 << 10, "{live} {stored}");
        }
    }

    #[test]
    fn the_score_of_a_series_fits_in_twenty_eight_kilobytes() {
        for model in [ModelKind::Tadgan, ModelKind::Aer] {
            let scorer = full(model);
            let (live, stored) = (
                size_of::<SeriesScorer>() + scorer.heap_bytes(),
                postcard::to_allocvec(&scorer).unwrap().len(),
            );
            println!("{model:?}: {live} live, {stored} stored");
            assert!(live < 28 << 10 && stored < 28 << 10, "{live} {stored}");
        }
    }
}
