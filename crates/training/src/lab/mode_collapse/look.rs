//! Rows of `looks.csv`.

use super::Loss;
use super::gan::Losses;
use super::peaks::Found;

/// What was seen of a GAN at one moment.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Look {
    pub(super) seed: u64,
    pub(super) loss: Loss,
    /// Generator steps of this GAN.
    pub(super) step: usize,
    pub(super) losses: Losses,
    pub(super) found: Found,
}

/// First line; `total_step` counts on from GAN to GAN.
pub(super) const HEADER: &str =
    "total_step,seed,gan,step,discriminator_loss,generator_loss,left,right,distance,bins";

impl Look {
    /// A line for people.
    pub(super) fn line(&self) -> String {
        let [left, right] = self.found.shares.map(|share| 100.0 * share);
        format!(
            "seed {}, {}: {left:.0} % left, {right:.0} % right, distance {:.2}",
            self.seed,
            self.loss.name(),
            self.found.distance
        )
    }
}

/// A row.
pub(super) fn row(total: usize, look: &Look) -> String {
    let Found {
        shares: [left, right],
        distance,
        bins,
    } = &look.found;
    let bins: Vec<String> = bins.iter().map(u32::to_string).collect();
    format!(
        "{total},{},{},{},{},{},{left},{right},{distance},{}",
        look.seed,
        look.loss.name(),
        look.step,
        look.losses.discriminator,
        look.losses.generator,
        bins.join(" ")
    )
}

/// Reads a row; `None` for anything else.
pub(super) fn read(row: &str) -> Option<Look> {
    let columns: Vec<&str> = row.split(',').collect();
    let [
        _,
        seed,
        gan,
        step,
        discriminator,
        generator,
        left,
        right,
        distance,
        bins,
    ] = columns.as_slice()
    else {
        return None;
    };
    Some(Look {
        seed: seed.parse().ok()?,
        loss: Loss::ALL.into_iter().find(|loss| loss.name() == *gan)?,
        step: step.parse().ok()?,
        losses: Losses {
            discriminator: discriminator.parse().ok()?,
            generator: generator.parse().ok()?,
        },
        found: Found {
            shares: [left.parse().ok()?, right.parse().ok()?],
            distance: distance.parse().ok()?,
            bins: bins
                .split(' ')
                .map(|bin| bin.parse().ok())
                .collect::<Option<_>>()?,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let look = Look {
            seed: 3,
            loss: Loss::Wasserstein,
            step: 40,
            losses: Losses {
                discriminator: 1.0 / 3.0,
                generator: -0.1,
            },
            found: Found {
                shares: [0.25, 1e-300],
                distance: 0.1 + 0.2,
                bins: vec![0, 7, 12],
            },
        };
        let row = row(140, &look);
        assert_eq!(row.split(',').count(), HEADER.split(',').count());
        assert_eq!(read(&row), Some(look));
        assert_eq!(read(HEADER), None);
    }
}
