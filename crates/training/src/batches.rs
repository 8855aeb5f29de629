//! Which windows a generator step sees.

use crate::rng::{Purpose, Streams, below, permutation};
use crate::trainer::CRITIC_UPDATES;

/// Draws batches of window numbers. With enough windows for one generator step an epoch, each epoch is a new order of
/// all windows, as in Orion (what is left over at its end is dropped); with fewer, each batch is drawn with
/// replacement, as in the paper's code, so that anything longer than a window trains.
#[derive(Clone, Debug)]
pub struct Batches {
    streams: Streams,
    windows: usize,
    batch: usize,
    epoch: Option<(usize, Vec<u32>)>,
}

impl Batches {
    /// Batches of `batch` out of `windows` windows (at least one).
    #[must_use]
    pub fn new(seed: u64, windows: usize, batch: usize) -> Self {
        Self {
            streams: Streams::new(seed),
            windows,
            batch,
            epoch: None,
        }
    }

    /// Generator steps an epoch; 1 where batches are drawn with replacement.
    #[must_use]
    pub fn steps_per_epoch(&self) -> usize {
        (self.windows / (self.batch * CRITIC_UPDATES)).max(1)
    }

    /// Whether epochs are shuffled rather than drawn with replacement.
    #[must_use]
    pub fn shuffled_epochs(&self) -> bool {
        self.windows >= self.batch * CRITIC_UPDATES
    }

    /// Window numbers of one generator step: a batch for each critic update, one after the other.
    pub fn step(&mut self, step: usize) -> Vec<u32> {
        let len = self.batch * CRITIC_UPDATES;
        if !self.shuffled_epochs() {
            let mut rng = self.streams.stream(Purpose::Batches, step, 0);
            return (0..len).map(|_| below(&mut rng, self.windows) as u32).collect();
        }
        let (epoch, group) = (step / self.steps_per_epoch(), step % self.steps_per_epoch());
        if self.epoch.as_ref().is_none_or(|(number, _)| *number != epoch) {
            let mut rng = self.streams.stream(Purpose::Batches, epoch, 0);
            self.epoch = Some((epoch, permutation(&mut rng, self.windows)));
        }
        let order = self.epoch.as_ref().map_or(&[][..], |(_, order)| order);
        order[group * len..(group + 1) * len].to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_sees_each_window_at_most_once() {
        let mut batches = Batches::new(3, 700, 64);
        assert_eq!(batches.steps_per_epoch(), 2);
        let mut seen: Vec<u32> = (0..2).flat_map(|step| batches.step(step)).collect();
        assert_ne!(
            seen,
            (2..4).flat_map(|step| batches.step(step)).collect::<Vec<_>>()
        );
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 640);
        // Any step can be asked for first: going on from a checkpoint sees what the whole run would have.
        assert_eq!(Batches::new(3, 700, 64).step(3), batches.step(3));
    }

    #[test]
    fn few_windows_are_drawn_with_replacement() {
        let mut batches = Batches::new(3, 2, 64);
        let drawn = batches.step(0);
        assert_eq!(drawn.len(), 320);
        assert!(drawn.contains(&0) && drawn.contains(&1) && drawn.iter().all(|w| *w < 2));
    }
}
