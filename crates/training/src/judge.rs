//! What nets in training are worth, measured once an epoch on fixed windows, with dropout off.
//!
//! - error: mean squared difference of window and reconstruction, the nets' units, over windows and time; for AER its
//!   loss, the mean of three such errors with its weights;
//! - constant error: the same of the one best-known constant, the median of all values of those windows;
//! - diversity: mean over pairs of 256 samples `G(z)` of their root mean square difference, over the same of the
//!   training windows. 1 is as diverse as the data; below [`COLLAPSED`] the generator has collapsed: whatever z is,
//!   it draws nearly the same. The latents z are drawn once, from the seed;
//! - spread: variance of the reconstructions over that of the windows, over windows and time. Near 0 the output is a
//!   constant, and white noise, the hardest to reconstruct, still gives about latent width over window length;
//! - latent: mean length of `E(x)` over √latent, the length of a draw of the prior.

use scorer::manifest::ModelKind;

use crate::nets::{AerLoss, EncoderTape, GeneratorTape, Nets, Weights};
use crate::rng::{self, Purpose, Streams};

/// Windows of each slice, and samples of the prior, that an epoch is judged by.
pub const JUDGED: usize = 256;

/// Diversity below which a generator counts as collapsed.
pub const COLLAPSED: f64 = 0.25;

const BATCH: usize = 64;
/// Distance and variance, in the nets' units, that rounding makes of windows which are all the same.
const NOTHING: f64 = 1e-12;

/// What an epoch is judged by; see the module for what the numbers mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measures {
    /// Error on windows that are trained on.
    pub training_error: f64,
    /// Error on windows of the validation slice.
    pub held_out_error: f64,
    /// Diversity of G(z); not a number where there is nothing to compare with.
    pub diversity: f64,
    /// Spread of the reconstructions of the training windows; not a number when those are constant.
    pub spread: f64,
    /// Mean length of the latents of the training windows.
    pub latent: f64,
}

/// The fixed windows and latents.
#[derive(Clone, Debug)]
pub struct Judge {
    training: Vec<f32>,
    held_out: Vec<f32>,
    prior: Vec<f32>,
    threads: usize,
    /// Constant error of the training windows.
    pub training_constant: f64,
    /// Constant error of the validation windows.
    pub held_out_constant: f64,
    distance: f64,
    variance: f64,
}

impl Judge {
    /// Judges by windows of both slices (the nets' units, side by side). Nets without a prior are not asked for G(z).
    #[must_use]
    pub fn new(nets: &Nets, seed: u64, threads: usize, training: Vec<f32>, held_out: Vec<f32>) -> Self {
        let drawn = match nets.sizes.model() {
            ModelKind::Tadgan => JUDGED,
            ModelKind::Aer => 0,
        };
        let mut prior = vec![0.0; drawn * nets.sizes.latent];
        rng::normals(&mut Streams::new(seed).stream(Purpose::Judge, 0, 0), &mut prior);
        Self {
            training_constant: constant_error(&training),
            held_out_constant: constant_error(&held_out),
            distance: or_nothing(mean_distance(&training, nets.sizes.window)),
            variance: or_nothing(variance(&training)),
            training,
            held_out,
            prior,
            threads,
        }
    }

    /// Whether the nets have a prior, and so critics.
    #[must_use]
    pub fn has_prior(&self) -> bool {
        !self.prior.is_empty()
    }

    /// Measures nets.
    #[must_use]
    pub fn look(&self, nets: &Nets, weights: &Weights) -> Measures {
        let (latent, rebuilt) = self.rebuild(nets, weights, &self.training);
        let (_, held_out) = self.rebuild(nets, weights, &self.held_out);
        let drawn = in_batches(&self.prior, nets.sizes.latent, self.threads, |latents| {
            let mut tape = GeneratorTape::default();
            nets.generator
                .forward(&weights.generator, latents, None, &mut tape);
            tape.out
        });
        let diversity = match drawn.concat() {
            drawn if drawn.is_empty() => f64::NAN,
            drawn => mean_distance(&drawn, nets.sizes.window) / self.distance,
        };
        let lengths = latent.chunks_exact(nets.sizes.latent).map(mean_square);
        let count = (latent.len() / nets.sizes.latent) as f64;
        Measures {
            training_error: error(nets, &rebuilt, &self.training),
            held_out_error: error(nets, &held_out, &self.held_out),
            diversity,
            spread: variance(&rebuilt) / self.variance,
            latent: lengths.map(f64::sqrt).sum::<f64>() / count,
        }
    }

    fn rebuild(&self, nets: &Nets, weights: &Weights, windows: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let parts = in_batches(windows, nets.sizes.window, self.threads, |batch| {
            let (mut encoder, mut generator) = (EncoderTape::default(), GeneratorTape::default());
            nets.encoder.forward(&weights.encoder, batch, &mut encoder);
            nets.generator
                .forward(&weights.generator, &encoder.out, None, &mut generator);
            (encoder.out, generator.out)
        });
        let (latents, rebuilt): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        (latents.concat(), rebuilt.concat())
    }
}

/// Error of what nets said of `windows`.
fn error(nets: &Nets, said: &[f32], windows: &[f32]) -> f64 {
    let window = nets.sizes.window;
    match nets.sizes.model() {
        ModelKind::Tadgan => mean_squared_error(said, windows),
        ModelKind::Aer => AerLoss::of(said, windows, window, windows.len() / window, &mut Vec::new()).total(),
    }
}

/// Calls `work` on batches of rows, in as many threads as given, and returns the results in order. The batches are the
/// same on any number of threads.
fn in_batches<T: Send>(
    rows: &[f32],
    len: usize,
    threads: usize,
    work: impl Fn(&[f32]) -> T + Sync,
) -> Vec<T> {
    let batches: Vec<&[f32]> = rows.chunks(BATCH * len).collect();
    let per_thread = batches.len().div_ceil(threads.max(1)).max(1);
    let mut results: Vec<Option<T>> = batches.iter().map(|_| None).collect();
    std::thread::scope(|scope| {
        for (batches, results) in batches.chunks(per_thread).zip(results.chunks_mut(per_thread)) {
            let work = &work;
            scope.spawn(move || {
                for (batch, result) in batches.iter().zip(results) {
                    *result = Some(work(batch));
                }
            });
        }
    });
    results.into_iter().flatten().collect()
}

/// What is divided by; not a number where it is zero but for rounding.
fn or_nothing(value: f64) -> f64 {
    if value > NOTHING { value } else { f64::NAN }
}

/// Mean squared deviation from the median.
fn constant_error(values: &[f32]) -> f64 {
    let values: Vec<f64> = values.iter().map(|v| f64::from(*v)).collect();
    let median = scorer::normalise::median(&values);
    values.iter().map(|v| (v - median).powi(2)).sum::<f64>() / values.len() as f64
}

fn variance(values: &[f32]) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
    values.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / n
}

fn mean_square(values: &[f32]) -> f64 {
    values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / values.len() as f64
}

fn mean_squared_error(a: &[f32], b: &[f32]) -> f64 {
    let errors = a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2));
    errors.sum::<f64>() / a.len() as f64
}

/// Mean over pairs of rows of their root mean square difference; 0 for fewer than two rows.
fn mean_distance(rows: &[f32], len: usize) -> f64 {
    let rows: Vec<&[f32]> = rows.chunks_exact(len).collect();
    let pairs = rows.len() * rows.len().saturating_sub(1) / 2;
    let distances = rows
        .iter()
        .enumerate()
        .flat_map(|(k, a)| rows[..k].iter().map(|b| mean_squared_error(a, b).sqrt()));
    distances.sum::<f64>() / (pairs.max(1)) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nets::Sizes;

    #[test]
    fn distances_are_means_over_pairs() {
        // Rows 0, 3 and 7 of two equal values each: distances 3, 7 and 4.
        let rows = [0.0, 0.0, 3.0, 3.0, 7.0, 7.0];
        assert!((mean_distance(&rows, 2) - 14.0 / 3.0).abs() < 1e-12);
        assert_eq!(mean_distance(&rows[..2], 2), 0.0);
    }

    #[test]
    fn the_constant_is_the_median() {
        assert_eq!(constant_error(&[1.0, 2.0, 6.0]), 17.0 / 3.0);
        assert_eq!(constant_error(&[4.0, 4.0]), 0.0);
    }

    #[test]
    fn batches_come_back_in_order_on_any_number_of_threads() {
        let rows: Vec<f32> = (0..5 * BATCH + 3).map(|k| k as f32).collect();
        for threads in [1, 2, 3, 16] {
            let back = in_batches(&rows, 1, threads, <[f32]>::to_vec);
            assert_eq!(back.len(), 6);
            assert_eq!(back.concat(), rows, "{threads}");
        }
    }

    #[test]
    fn a_generator_that_draws_one_thing_has_collapsed() {
        let nets = Nets::new(Sizes::small());
        let windows: Vec<f32> = (0..40 * 100).map(|k| (k as f32 * 0.37).sin()).collect();
        let judge = Judge::new(&nets, 1, 2, windows.clone(), windows);
        let mut weights = nets.init(Streams::new(3));
        let fresh = judge.look(&nets, &weights);
        assert!(fresh.diversity > 0.0 && fresh.spread > 0.0, "{fresh:?}");
        weights.generator.fill(0.0);
        let collapsed = judge.look(&nets, &weights);
        assert_eq!((collapsed.diversity, collapsed.spread), (0.0, 0.0));
        // It draws zero, about the mean and the median of a wave.
        assert!((collapsed.held_out_error / judge.held_out_constant - 1.0).abs() < 1e-2);
    }
}
