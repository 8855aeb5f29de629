//! Windows that are shown with a jump at their end, and are to be rebuilt without it.
//!
//! Nets that only see what they are to rebuild learn to rebuild jumps, too, the better the longer they train; of a jump that they
//! rebuild little is left to be found, and what they say should have been there is not what should have been there. Asked for what
//! was there without it, they learn what windows look like instead (denoising auto-encoders: Vincent et al., "Extracting and
//! Composing Robust Features with Denoising Autoencoders", ICML 2008). The end is where a causal score looks.

use rand_chacha::ChaCha8Rng;

use scorer::normalise::Scaler;

use crate::rng;
use crate::train::WINDOW_GAIN;

/// Which windows, and what they are to the nets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Denoise {
    /// Share of the windows, in [0, 1].
    pub share: f64,
    /// Whether each window is scaled by itself, so that one with a jump is scaled otherwise.
    pub by_window: bool,
}

impl Denoise {
    /// Height of a jump, from and to, in the nets' units: small ones are as frequent as large ones, by their logarithm.
    const HEIGHT: (f32, f32) = (0.1, 2.0);
    /// Longest jump, in buckets; most have one.
    const LONGEST: f32 = 4.0;
    /// Smallest standard deviation by which a window is scaled, in the nets' units of the window without the jump.
    const FLOOR: f64 = 0.02 / WINDOW_GAIN;
    /// How far values that are asked for may lie from 0: outputs end not far beyond 1.
    const ASKED_MAX: f32 = 1.5;

    /// Puts jumps at the ends of some windows of `seen`, and gives what is to be rebuilt: both `[samples, window]`, in the nets' units.
    pub(crate) fn spoil(self, rng: &mut ChaCha8Rng, window: usize, seen: &mut [f32]) -> Vec<f32> {
        let mut asked = seen.to_vec();
        let windows = seen.chunks_exact_mut(window).zip(asked.chunks_exact_mut(window));
        for (seen, asked) in windows {
            if f64::from(rng::uniform(rng)) < self.share {
                self.spoil_one(rng, seen, asked);
            }
        }
        asked
    }

    fn spoil_one(self, rng: &mut ChaCha8Rng, seen: &mut [f32], asked: &mut [f32]) {
        let (low, high) = Self::HEIGHT;
        let sign = if rng::uniform(rng) < 0.5 { -1.0 } else { 1.0 };
        let jump = sign * low * (high / low).powf(rng::uniform(rng));
        let buckets = 1 + (rng::uniform(rng).powi(3) * Self::LONGEST) as usize;
        let calm = seen.len().saturating_sub(buckets);
        seen[calm..].iter_mut().for_each(|value| *value += jump);
        if !self.by_window {
            return;
        }
        let scaler = Scaler::Window { gain: WINDOW_GAIN };
        let values: Vec<f64> = seen.iter().map(|value| f64::from(*value)).collect();
        let affine = scaler.fit(&values, Self::FLOOR);
        scaler.apply(affine, &values, seen);
        for value in asked {
            *value = (affine.scale(f64::from(*value)) as f32).clamp(-Self::ASKED_MAX, Self::ASKED_MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, Streams};

    const WINDOW: usize = 100;

    fn spoilt(share: f64, by_window: bool, samples: usize) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
        let wave = |i: usize| 0.5 * ((i % WINDOW) as f32 * 0.2).sin();
        let was: Vec<f32> = (0..samples * WINDOW).map(wave).collect();
        let mut seen = was.clone();
        let mut rng = Streams::new(1).stream(Purpose::Denoise, 0, 0);
        let asked = Denoise { share, by_window }.spoil(&mut rng, WINDOW, &mut seen);
        (was, seen, asked)
    }

    #[test]
    fn a_share_of_the_windows_jumps_at_its_end_alone() {
        let (was, seen, asked) = spoilt(0.2, false, 500);
        assert_eq!(asked, was);
        let windows = || seen.chunks(WINDOW).zip(was.chunks(WINDOW));
        let jumps = windows().filter(|(seen, was)| seen != was).count();
        assert!((70..=130).contains(&jumps), "{jumps}");
        for (seen, was) in windows().filter(|(seen, was)| seen != was) {
            assert_eq!(seen[..WINDOW - 4], was[..WINDOW - 4]);
            let height = (seen[WINDOW - 1] - was[WINDOW - 1]).abs();
            assert!((0.09..=2.01).contains(&height), "{height}");
        }
    }

    #[test]
    fn a_window_that_is_scaled_by_itself_is_scaled_with_its_jump() {
        let (was, seen, asked) = spoilt(1.0, true, 50);
        for ((was, seen), asked) in was
            .chunks(WINDOW)
            .zip(seen.chunks(WINDOW))
            .zip(asked.chunks(WINDOW))
        {
            assert!(seen.iter().all(|value| value.abs() <= 1.0));
            // What did not jump is asked for as it is shown, in the middle of the window, where nothing is clipped.
            let calm = (10..90).all(|i| (seen[i] - asked[i]).abs() < 1e-6);
            assert!(calm, "{:?} {:?}", &seen[10..20], &asked[10..20]);
            // One map for all of it.
            let map = |i: usize, k: usize| (asked[i] - asked[k]) / (was[i] - was[k]);
            assert!((map(WINDOW - 1, 20) / map(50, 20) - 1.0).abs() < 1e-3);
        }
    }

    #[test]
    fn without_a_share_nothing_is_changed() {
        let (was, seen, asked) = spoilt(0.0, true, 20);
        assert!(seen == was && asked == was);
    }
}
