//! The distribution that is learned, two normal peaks of the same height, and how much of it a GAN has found.

use rand::Rng;

use crate::rng;

/// Where the peaks stand, and how wide they are.
pub(super) const CENTRES: [f64; 2] = [-PEAK, PEAK];
const PEAK: f64 = 3.0;
pub(super) const SD: f64 = 0.3;

/// Share of the samples that each peak must have for both to be covered, and that they must have together. The data has
/// half at each. Samples spread evenly over the axis have a sixth at each, and spread as well as they can be, from the
/// far side of one peak to that of the other, 46 % at both.
pub(super) const COVERED: f64 = 0.25;
pub(super) const TOGETHER: f64 = 0.75;

/// Samples belong to a peak up to so many standard deviations away.
const REACH: f64 = 3.0;

/// What is drawn of the axis, and in how many bins.
pub(super) const AXIS: [f64; 2] = [-6.0, 6.0];
pub(super) const BINS: usize = 80;

/// Fills `out` with samples of the data.
pub(super) fn draw(rng: &mut impl Rng, out: &mut [f32]) {
    rng::normals(rng, out);
    for value in out {
        let centre = CENTRES[rng::below(rng, 2)];
        *value = (centre + SD * f64::from(*value)) as f32;
    }
}

/// The density of the data.
pub(super) fn density(x: f64) -> f64 {
    let peaks = CENTRES
        .iter()
        .map(|centre| libm::exp(-0.5 * ((x - centre) / SD).powi(2)));
    peaks.sum::<f64>() / (2.0 * SD * std::f64::consts::TAU.sqrt())
}

/// What a look at samples finds.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    /// Share of the samples at each peak.
    pub(super) shares: [f64; 2],
    /// Wasserstein distance to as many samples of the data.
    pub(super) distance: f64,
    /// Samples in each bin.
    pub(super) bins: Vec<u32>,
}

impl Found {
    /// Looks at samples beside `real`, as many of the data, sorted.
    pub(super) fn of(mut samples: Vec<f32>, real: &[f32]) -> Self {
        samples.sort_by(f32::total_cmp);
        let count = samples.len() as f64;
        let shares = CENTRES.map(|centre| {
            let near = |value: &&f32| (f64::from(**value) - centre).abs() <= REACH * SD;
            samples.iter().filter(near).count() as f64 / count
        });
        // In one dimension the cheapest way to move one heap onto another keeps the order.
        let gaps = samples.iter().zip(real).map(|(a, b)| f64::from((a - b).abs()));
        let mut bins = vec![0; BINS];
        let width = (AXIS[1] - AXIS[0]) / BINS as f64;
        for value in &samples {
            let bin = (f64::from(*value) - AXIS[0]) / width;
            if (0.0..BINS as f64).contains(&bin) {
                bins[bin as usize] += 1;
            }
        }
        Self {
            shares,
            distance: gaps.sum::<f64>() / count,
            bins,
        }
    }

    /// The collapse measure: the share of the lesser peak; 0: collapsed onto one peak or neither, 0.5: as the data.
    pub(super) fn lesser(&self) -> f64 {
        self.shares[0].min(self.shares[1])
    }

    /// Share of the samples at one peak or the other.
    pub(super) fn together(&self) -> f64 {
        self.shares[0] + self.shares[1]
    }

    /// Whether both peaks are there, and little else.
    pub(super) fn covers_both(&self) -> bool {
        self.lesser() >= COVERED && self.together() >= TOGETHER
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, Streams};

    fn data(stream: usize) -> Vec<f32> {
        let mut values = vec![0.0; 4_000];
        draw(
            &mut Streams::new(1).stream(Purpose::Batches, stream, 0),
            &mut values,
        );
        values.sort_by(f32::total_cmp);
        values
    }

    #[test]
    fn the_data_covers_both_peaks_and_one_peak_does_not() {
        let real = data(0);
        let found = Found::of(data(1), &real);
        assert!(found.lesser() > 0.45 && found.distance < 0.4, "{found:?}");
        assert!(found.covers_both());
        let one: Vec<f32> = real.iter().map(|x| x.abs()).collect();
        let found = Found::of(one, &real);
        assert!(!found.covers_both() && found.shares[1] > 0.99);
        // Half of all has to go 2 · 3.
        assert!((found.distance - 3.0).abs() < 0.2, "{}", found.distance);
        assert_eq!(found.bins.iter().sum::<u32>(), 4_000);
    }

    #[test]
    fn samples_that_lie_everywhere_cover_nothing() {
        let far = PEAK + REACH * SD;
        for half in [AXIS[1], far, PEAK] {
            let flat = (0..4_000).map(|k| (half * (f64::from(k) / 2_000.0 - 1.0)) as f32);
            let found = Found::of(flat.collect(), &data(0));
            assert!(
                found.together() < 0.5 && !found.covers_both(),
                "{half}: {found:?}"
            );
        }
    }

    #[test]
    fn what_is_no_number_is_nowhere() {
        let found = Found::of(vec![f32::NAN; 3], &[0.0; 3]);
        assert_eq!((found.lesser(), found.bins.iter().sum::<u32>()), (0.0, 0));
    }

    #[test]
    fn the_density_is_one() {
        let sum: f64 = (0..1_600)
            .map(|k| density(-8.0 + 0.01 * f64::from(k)) * 0.01)
            .sum();
        assert!((sum - 1.0).abs() < 1e-6, "{sum}");
    }
}
