//! Seeded draws with the same bits on every machine.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A seeded source of draws. The arithmetic on top of the generator is our own and uses `libm`,
/// so that neither a new release of `rand` nor another C library changes what a seed means.
#[derive(Clone, Debug)]
pub(super) struct Random(ChaCha8Rng);

impl Random {
    /// Draws number `stream` of `seed`: streams of one seed are independent of each other.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Self(rng)
    }

    /// 64 random bits.
    pub(super) fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in [0, 1).
    pub(super) fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Uniform in [low, high).
    pub(super) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// Log-uniform in [low, high); both positive.
    pub(super) fn decades(&mut self, low: f64, high: f64) -> f64 {
        libm::exp(self.between(libm::log(low), libm::log(high)))
    }

    /// One of `items`, which is not empty.
    pub(super) fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[(self.uniform() * items.len() as f64) as usize]
    }

    /// True with probability `p`.
    pub(super) fn chance(&mut self, p: f64) -> bool {
        self.uniform() < p
    }

    /// Standard normal (Box and Muller; the second value is not kept, so that state stays the generator's).
    pub(super) fn normal(&mut self) -> f64 {
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - self.uniform()));
        radius * libm::cos(std::f64::consts::TAU * self.uniform())
    }

    /// Exponential of mean 1.
    pub(super) fn exponential(&mut self) -> f64 {
        -libm::log(1.0 - self.uniform())
    }

    /// Pareto of minimum 1 and tail index `alpha`, cut at 20.
    pub(super) fn pareto(&mut self, alpha: f64) -> f64 {
        libm::pow(1.0 - self.uniform(), -1.0 / alpha).min(20.0)
    }

    /// Student's t with `freedom` degrees of freedom: a normal over the root of a mean of squared normals.
    pub(super) fn student_t(&mut self, freedom: u32) -> f64 {
        let normal = self.normal();
        let squares: f64 = (0..freedom.max(1)).map(|_| self.normal().powi(2)).sum();
        normal / libm::sqrt(squares / f64::from(freedom.max(1)))
    }

    /// Poisson count of mean `mean`: Knuth's product below 30, the rounded normal above.
    pub(super) fn poisson(&mut self, mean: f64) -> f64 {
        if mean >= 30.0 {
            return (mean + libm::sqrt(mean) * self.normal()).round().max(0.0);
        }
        let limit = libm::exp(-mean.max(0.0));
        let mut product = self.uniform();
        let mut count = 0.0;
        while product > limit {
            product *= self.uniform();
            count += 1.0;
        }
        count
    }
}
