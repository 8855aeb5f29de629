//! Which windows a step sees.

use rand::Rng as _;

use crate::rng::{Purpose, Streams, below};

/// Draws batches of window numbers, every window of every series alike: a series counts as much as it is long. (What
/// is balanced by series would go over the short ones again and again before the long ones were seen once; where a
/// family needs it, give it the data in the proportions wanted.)
///
/// With enough windows for one step an epoch, each epoch is a new order of all windows, as in Orion (what is left over
/// at its end is dropped); with fewer, each batch is drawn with replacement, as in the paper's code, so that anything
/// longer than a window trains. The order is computed and not stored: any step can be asked for at any time, and
/// memory does not grow with the windows.
#[derive(Clone, Copy, Debug)]
pub struct Batches {
    streams: Streams,
    windows: usize,
    a_step: usize,
}

impl Batches {
    /// Steps of `a_step` windows out of `windows` (both at least one).
    #[must_use]
    pub fn new(seed: u64, windows: usize, a_step: usize) -> Self {
        Self {
            streams: Streams::new(seed),
            windows,
            a_step,
        }
    }

    /// Steps an epoch; 1 where batches are drawn with replacement.
    #[must_use]
    pub fn steps_per_epoch(&self) -> usize {
        (self.windows / self.a_step).max(1)
    }

    /// Whether epochs are shuffled rather than drawn with replacement.
    #[must_use]
    pub fn shuffled_epochs(&self) -> bool {
        self.windows >= self.a_step
    }

    /// Window numbers of one step: its batches, one after the other.
    #[must_use]
    pub fn step(&self, step: usize) -> Vec<usize> {
        if !self.shuffled_epochs() {
            let mut rng = self.streams.stream(Purpose::Batches, step, 0);
            return (0..self.a_step).map(|_| below(&mut rng, self.windows)).collect();
        }
        let (epoch, group) = (step / self.steps_per_epoch(), step % self.steps_per_epoch());
        let order = Permutation::new(self.streams, epoch, self.windows);
        (group * self.a_step..(group + 1) * self.a_step)
            .map(|number| order.of(number))
            .collect()
    }
}

/// A pseudo-random order of `0..len`, computed for one number at a time: a Feistel network over the smallest even
/// number of bits that holds `len`, applied again to what falls outside (cycle walking; under four times on average).
#[derive(Clone, Copy, Debug)]
struct Permutation {
    keys: [u64; ROUNDS],
    half_bits: u32,
    len: u64,
}

/// Four make a network indistinguishable from random where the halves are long; ours may have one bit.
const ROUNDS: usize = 12;

impl Permutation {
    fn new(streams: Streams, epoch: usize, len: usize) -> Self {
        let mut rng = streams.stream(Purpose::Batches, epoch, 0);
        let bits = u64::BITS - (len as u64).saturating_sub(1).leading_zeros();
        Self {
            keys: std::array::from_fn(|_| rng.next_u64()),
            half_bits: bits.div_ceil(2).max(1),
            len: len as u64,
        }
    }

    /// Where `number`, which is below `len`, goes.
    fn of(&self, number: usize) -> usize {
        let mut number = number as u64;
        loop {
            number = self.cipher(number);
            if number < self.len {
                return number as usize;
            }
        }
    }

    fn cipher(&self, number: u64) -> u64 {
        let mask = (1 << self.half_bits) - 1;
        let (mut left, mut right) = (number >> self.half_bits, number & mask);
        for key in self.keys {
            (left, right) = (right, left ^ (mix(right ^ key) & mask));
        }
        left << self.half_bits | right
    }
}

/// Scatters all bits over all bits (the finaliser of `SplitMix64`: Steele, Lea and Flood 2014).
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(seed: u64, epoch: usize, len: usize) -> Vec<usize> {
        let order = Permutation::new(Streams::new(seed), epoch, len);
        (0..len).map(|number| order.of(number)).collect()
    }

    #[test]
    fn an_epoch_sees_each_window_at_most_once() {
        let batches = Batches::new(3, 700, 320);
        assert_eq!(batches.steps_per_epoch(), 2);
        let mut seen: Vec<usize> = (0..2).flat_map(|step| batches.step(step)).collect();
        assert_ne!(
            seen,
            (2..4).flat_map(|step| batches.step(step)).collect::<Vec<_>>()
        );
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 640);
        // Any step can be asked for first: going on from a checkpoint sees what the whole run would have.
        assert_eq!(Batches::new(3, 700, 320).step(3), batches.step(3));
    }

    #[test]
    fn few_windows_are_drawn_with_replacement() {
        let batches = Batches::new(3, 2, 320);
        let drawn = batches.step(0);
        assert_eq!(drawn.len(), 320);
        assert!(drawn.contains(&0) && drawn.contains(&1) && drawn.iter().all(|w| *w < 2));
    }

    #[test]
    fn an_order_has_every_number_once() {
        let lengths = (1..200).chain([255, 256, 257, 1023, 1024, 1025, 5000]);
        for len in lengths {
            for epoch in 0..3 {
                let mut order = order(9, epoch, len);
                order.sort_unstable();
                assert!(order.into_iter().eq(0..len), "{len}");
            }
        }
        // Far beyond what memory would hold.
        let vast = Permutation::new(Streams::new(9), 0, usize::MAX);
        assert_ne!(vast.of(usize::MAX - 1), vast.of(0));
    }

    #[test]
    fn orders_depend_on_seed_and_epoch_alone() {
        assert_eq!(order(1, 4, 1000), order(1, 4, 1000));
        assert_ne!(order(1, 4, 1000), order(1, 5, 1000));
        assert_ne!(order(1, 4, 1000), order(2, 4, 1000));
    }

    #[test]
    fn orders_look_random() {
        // Where each of 10 numbers goes in 20 000 epochs: chi-square of the 10 × 10 table, 81 degrees of freedom.
        const LEN: usize = 10;
        const EPOCHS: usize = 20_000;
        let mut counts = [[0u32; LEN]; LEN];
        for epoch in 0..EPOCHS {
            for (number, place) in order(5, epoch, LEN).into_iter().enumerate() {
                counts[number][place] += 1;
            }
        }
        let expected = (EPOCHS / LEN) as f64;
        let square = |count: &u32| (f64::from(*count) - expected).powi(2) / expected;
        let chi: f64 = counts.iter().flatten().map(square).sum();
        assert!((40.0..140.0).contains(&chi), "{chi}");
        // Neighbours land as far apart as strangers do: a third of the length on average.
        let long = order(5, 0, 10_000);
        let apart: usize = long.windows(2).map(|pair| pair[0].abs_diff(pair[1])).sum();
        let mean = apart as f64 / 9_999.0 / 10_000.0;
        assert!((mean - 1.0 / 3.0).abs() < 0.01, "{mean}");
    }
}
