//! What a second window of coarser buckets says. It cannot alert by itself: it makes more, or nothing, of what the fine one
//! found. The two look at different times and at different noise, so that their agreement is worth more than either.

use serde::{Deserialize, Serialize};
use types::Bucket;

use crate::causal::{ScoreSpec, WindowResult};
use crate::tail::{Tail, TailSpec};

/// State of one series' coarse channel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Coarse {
    tail: Tail,
    /// What the next coarse bucket will be, if the nets predict and the window before it said so; data units.
    forecast: Option<f64>,
    /// How rare the newest coarse bucket is, decades.
    decades: f64,
    /// Fine buckets that may still lean on it.
    left: u32,
}

impl Coarse {
    /// Coarse errors kept: a part of what the fine channels keep, for as long a time.
    const HISTORY: usize = 1000;
    /// Items in which they are kept, see [`TailSpec::items`].
    const ITEMS: usize = 104;
    /// Coarse errors before it has a say. The rarest of a few is no rare one, and what leans on it comes to the boundary too soon.
    const LEAST: usize = 100;

    /// Takes the coarse bucket that closed with the fine one to be judged next.
    pub(crate) fn close(
        &mut self,
        spec: &ScoreSpec,
        floor: f64,
        bucket: &Bucket,
        learns: bool,
        window: Option<&WindowResult<'_>>,
    ) {
        let forecast = self.forecast.take();
        (self.decades, self.left) = (0.0, spec.coarse_factor);
        let Some(window) = window.filter(|_| !bucket.filled) else {
            return;
        };
        let (seen, next) = window.newest();
        self.forecast = next;
        let Some(error) = forecast.or(seen).map(|expected| (bucket.value - expected).abs()) else {
            return;
        };
        let tail = TailSpec {
            history: Self::HISTORY.min(spec.tail.history),
            items: Self::ITEMS,
            ..spec.tail
        };
        if self.tail.len() >= Self::LEAST {
            self.decades = self.tail.decades(&tail, floor, error);
        }
        if learns {
            self.tail.push(&tail, error);
        }
    }

    /// How rare the coarse bucket is that the fine bucket closing now ends, or came after: decades. Once a fine bucket.
    pub(crate) fn lean(&mut self) -> f64 {
        let decades = if self.left > 0 { self.decades } else { 0.0 };
        self.left = self.left.saturating_sub(1);
        decades
    }

    pub(crate) fn tail(&self) -> &Tail {
        &self.tail
    }

    /// Forgets what was under way: the window starts anew.
    pub(crate) fn restart(&mut self) {
        (self.forecast, self.decades, self.left) = (None, 0.0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::ModelKind;
    use crate::normalise::Affine;
    use types::Timestamp;

    fn bucket(i: u64, value: f64) -> Bucket {
        Bucket {
            start: Timestamp::from_millis(i as i64 * 1000),
            value,
            filled: false,
            index: i,
        }
    }

    fn close(coarse: &mut Coarse, model: ModelKind, value: f64, said: [f32; 3], learns: bool) {
        let window = WindowResult {
            model,
            affine: Affine {
                center: 0.0,
                half_range: 1.0,
            },
            reconstruction: &said,
            critic: None,
            filled_share: 0.0,
            is_young: false,
        };
        coarse.close(
            &ScoreSpec::default(),
            1e-9,
            &bucket(0, value),
            learns,
            Some(&window),
        );
    }

    #[test]
    fn a_rare_coarse_bucket_is_leant_on_until_the_next() {
        let mut coarse = Coarse::default();
        assert_eq!(coarse.lean(), 0.0);
        for i in 0..200 {
            close(
                &mut coarse,
                ModelKind::Tadgan,
                f64::from(i % 7),
                [9.0, 9.0, 0.0],
                true,
            );
        }
        assert!(coarse.lean() < 1.0);
        close(&mut coarse, ModelKind::Tadgan, 50.0, [9.0, 9.0, 0.0], true);
        let first = coarse.lean();
        assert!(first > 3.0, "{first}");
        for _ in 1..ScoreSpec::default().coarse_factor {
            assert_eq!(coarse.lean(), first);
        }
        assert_eq!(coarse.lean(), 0.0);
        coarse.close(&ScoreSpec::default(), 1e-9, &bucket(0, 1.0), true, None);
        assert_eq!(coarse.lean(), 0.0);
    }

    #[test]
    fn a_few_errors_have_no_say() {
        let mut coarse = Coarse::default();
        let mut said = |value| {
            close(&mut coarse, ModelKind::Tadgan, value, [9.0, 9.0, 0.0], true);
            coarse.lean()
        };
        assert!((0..Coarse::LEAST).all(|i| said(if i % 20 == 19 { 50.0 } else { 1.0 }) == 0.0));
        assert!(said(90.0) > 1.5);
    }

    #[test]
    fn nets_that_predict_are_held_to_what_they_said_before() {
        let mut coarse = Coarse::default();
        for _ in 0..100 {
            close(&mut coarse, ModelKind::Aer, 1.0, [0.0, 1.0, 1.0], true);
        }
        // The reconstruction is right, what was forecast is not.
        close(&mut coarse, ModelKind::Aer, 4.0, [0.0, 4.0, 1.0], true);
        assert!(coarse.lean() > 3.0);
        coarse.restart();
        assert_eq!((coarse.lean(), coarse.forecast), (0.0, None));
    }

    #[test]
    fn what_is_not_to_be_learnt_leaves_the_past_alone() {
        let mut coarse = Coarse::default();
        for _ in 0..100 {
            close(&mut coarse, ModelKind::Tadgan, 1.0, [0.0; 3], true);
        }
        let past = coarse.tail.clone();
        close(&mut coarse, ModelKind::Tadgan, 9.0, [0.0; 3], false);
        assert_eq!(coarse.tail.len(), past.len());
    }
}
