//! All randomness of a run: one seed, and one independent stream a purpose, step and shard.
//!
//! Streams instead of one long sequence make a draw independent of the order of work, and make the generator step
//! the whole position of the randomness, which is what a checkpoint needs.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What a stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// First weights; `step` is the net.
    Weights = 1,
    /// Which windows; `step` is the epoch or the generator step.
    Batches = 2,
    /// Latents of the prior.
    Latents = 3,
    /// Interpolation weights of the penalty.
    Alphas = 4,
    /// Dropout masks of the critic of windows and of the generator that feeds it.
    DropoutX = 5,
    /// Dropout masks of the critic of latents.
    DropoutZ = 6,
    /// Dropout masks of the generator step.
    DropoutG = 7,
    /// Latents that epochs are judged by.
    Judge = 8,
    /// Values of a generated series.
    Series = 9,
    /// Jumps at the ends of windows.
    Denoise = 10,
}

/// A seeded family of streams.
#[derive(Clone, Copy, Debug)]
pub struct Streams {
    seed: u64,
}

impl Streams {
    /// The streams of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The stream of a purpose at a step for one shard of the batch.
    #[must_use]
    pub fn stream(self, purpose: Purpose, step: usize, shard: usize) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(((step as u64) << 16) | ((shard as u64) << 8) | purpose as u64);
        rng
    }
}

/// Uniform in [0, 1) with 24 bits.
pub fn uniform(rng: &mut impl Rng) -> f32 {
    (rng.next_u32() >> 8) as f32 / (1 << 24) as f32
}

/// Uniform in 0..n; the bias of at most n / 2⁶⁴ is accepted.
pub fn below(rng: &mut impl Rng, n: usize) -> usize {
    ((u128::from(rng.next_u64()) * n as u128) >> 64) as usize
}

/// Fills `out` with independent N(0, 1) values (Box–Muller).
pub fn normals(rng: &mut impl Rng, out: &mut [f32]) {
    for pair in out.chunks_mut(2) {
        // 1 − u lies in (0, 1], so that the logarithm is finite.
        let radius = (-2.0 * libm::log(1.0 - f64::from(uniform(rng)))).sqrt();
        let angle = std::f64::consts::TAU * f64::from(uniform(rng));
        pair[0] = (radius * libm::cos(angle)) as f32;
        if let Some(second) = pair.get_mut(1) {
            *second = (radius * libm::sin(angle)) as f32;
        }
    }
}

/// Fills `out` with dropout factors: 0 with probability `rate`, else `1 / (1 − rate)`.
pub fn dropout_mask(rng: &mut impl Rng, rate: f32, out: &mut [f32]) {
    let keep = 1.0 / (1.0 - rate);
    let cut = (rate * 65_536.0).round() as u16;
    let mut bytes = [0u8; 1024];
    for chunk in out.chunks_mut(bytes.len() / 2) {
        let bytes = &mut bytes[..chunk.len() * 2];
        rng.fill_bytes(bytes);
        for (slot, draw) in chunk.iter_mut().zip(bytes.chunks_exact(2)) {
            *slot = if u16::from_le_bytes([draw[0], draw[1]]) < cut {
                0.0
            } else {
                keep
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_and_repeat() {
        let draw = |purpose, step, shard| Streams::new(7).stream(purpose, step, shard).next_u64();
        assert_eq!(draw(Purpose::Latents, 3, 1), draw(Purpose::Latents, 3, 1));
        assert_ne!(draw(Purpose::Latents, 3, 1), draw(Purpose::Latents, 3, 0));
        assert_ne!(draw(Purpose::Latents, 3, 1), draw(Purpose::Latents, 4, 1));
        assert_ne!(draw(Purpose::Latents, 3, 1), draw(Purpose::Alphas, 3, 1));
    }

    #[test]
    fn moments_are_right() {
        let mut rng = Streams::new(1).stream(Purpose::Latents, 0, 0);
        let mut values = vec![0.0; 100_001];
        normals(&mut rng, &mut values);
        let n = values.len() as f64;
        let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
        let var = values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / n;
        assert!(mean.abs() < 0.02 && (var - 1.0).abs() < 0.02, "{mean} {var}");
        dropout_mask(&mut rng, 0.2, &mut values);
        let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
        assert!((mean - 1.0).abs() < 0.01, "{mean}");
    }
}
