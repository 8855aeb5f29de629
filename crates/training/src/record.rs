//! Rows of `losses.csv`, one a generator step, and of `epochs.csv`, one an epoch. Numbers are written so that reading
//! them gives the same bits: a run that goes on goes on from these files.

use crate::course::Epoch;
use crate::judge::Measures;
use crate::steps::{CriticLoss, GeneratorLoss};
use crate::trainer::StepLosses;

/// Columns of losses in both files.
const LOSSES: &str = "cx_loss,cx_real,cx_fake,cx_penalty,cz_loss,cz_real,cz_fake,cz_penalty,\
                      eg_loss,eg_cx,eg_cz,eg_mse,wasserstein_x,wasserstein_z,\
                      gradient_encoder,gradient_generator,gradient_critic_x,gradient_critic_z";

const LOSS_COLUMNS: usize = 18;

/// First line of `losses.csv`.
#[must_use]
pub fn losses_header() -> String {
    format!("step,{LOSSES}\n")
}

/// First line of `epochs.csv`.
#[must_use]
pub fn epochs_header() -> String {
    format!("epoch,step,phase,training_error,held_out_error,diversity,spread,latent,{LOSSES},seconds\n")
}

/// A line of `losses.csv`.
#[must_use]
pub fn losses_line(step: usize, losses: &StepLosses) -> String {
    format!("{step},{}\n", joined(&loss_values(losses)))
}

/// A line of `epochs.csv`; epochs count from 1.
#[must_use]
pub fn epoch_line(number: usize, epoch: &Epoch) -> String {
    let m = &epoch.measures;
    let phase = if epoch.warm_up { "warm_up" } else { "adversarial" };
    let measures = joined(&[
        m.training_error,
        m.held_out_error,
        m.diversity,
        m.spread,
        m.latent,
    ]);
    let losses = joined(&loss_values(&epoch.losses));
    format!(
        "{number},{},{phase},{measures},{losses},{:.3}\n",
        epoch.step, epoch.seconds
    )
}

/// Step and losses of a line of `losses.csv`; `None` for anything else, the first line included.
#[must_use]
pub fn read_losses(line: &str) -> Option<(usize, StepLosses)> {
    let (step, rest) = line.trim_end().split_once(',')?;
    Some((step.parse().ok()?, losses(&numbers(rest)?)?))
}

/// A line of `epochs.csv`; `None` for anything else, the first line included.
#[must_use]
pub fn read_epoch(line: &str) -> Option<Epoch> {
    let mut parts = line.trim_end().splitn(4, ',').skip(1);
    let step = parts.next()?.parse().ok()?;
    let warm_up = parts.next()? == "warm_up";
    let numbers = numbers(parts.next()?)?;
    let [
        training_error,
        held_out_error,
        diversity,
        spread,
        latent,
        rest @ ..,
        seconds,
    ] = numbers.as_slice()
    else {
        return None;
    };
    Some(Epoch {
        step,
        warm_up,
        losses: losses(rest)?,
        measures: Measures {
            training_error: *training_error,
            held_out_error: *held_out_error,
            diversity: *diversity,
            spread: *spread,
            latent: *latent,
        },
        seconds: *seconds,
    })
}

fn loss_values(losses: &StepLosses) -> [f64; LOSS_COLUMNS] {
    let StepLosses {
        critic_x: x,
        critic_z: z,
        generator: g,
        gradients: [encoder, generator, critic_x, critic_z],
    } = *losses;
    [
        x.total(),
        x.real,
        x.fake,
        x.penalty,
        z.total(),
        z.real,
        z.fake,
        z.penalty,
        g.total,
        g.critic_x,
        g.critic_z,
        g.reconstruction,
        x.wasserstein(),
        z.wasserstein(),
        encoder,
        generator,
        critic_x,
        critic_z,
    ]
}

fn losses(values: &[f64]) -> Option<StepLosses> {
    let values: &[f64; LOSS_COLUMNS] = values.try_into().ok()?;
    let critic = |at: usize| CriticLoss {
        real: values[at],
        fake: values[at + 1],
        penalty: values[at + 2],
    };
    Some(StepLosses {
        critic_x: critic(1),
        critic_z: critic(5),
        generator: GeneratorLoss {
            total: values[8],
            critic_x: values[9],
            critic_z: values[10],
            reconstruction: values[11],
        },
        gradients: [values[14], values[15], values[16], values[17]],
    })
}

fn joined(values: &[f64]) -> String {
    let texts: Vec<String> = values.iter().map(f64::to_string).collect();
    texts.join(",")
}

fn numbers(text: &str) -> Option<Vec<f64>> {
    text.split(',').map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_bit_for_bit() {
        let third = 1.0 / 3.0;
        let losses = StepLosses {
            critic_x: CriticLoss {
                real: -third,
                fake: 1e-300,
                penalty: 0.1 + 0.2,
            },
            gradients: [third, 5e-324, 1e22, 0.0],
            ..StepLosses::default()
        };
        assert_eq!(read_losses(&losses_line(7, &losses)), Some((7, losses)));
        let epoch = Epoch {
            step: 50,
            warm_up: true,
            losses,
            measures: Measures {
                training_error: third,
                held_out_error: 2.0 * third,
                diversity: third / 7.0,
                spread: 0.0,
                latent: 1.0,
            },
            seconds: 1.25,
        };
        assert_eq!(read_epoch(&epoch_line(1, &epoch)), Some(epoch));
        assert_eq!(losses_header().split(',').count(), 1 + LOSS_COLUMNS);
        let columns = epochs_header().split(',').count();
        assert_eq!(epoch_line(1, &epoch).split(',').count(), columns);
    }

    #[test]
    fn a_line_cut_short_is_none() {
        for line in [
            losses_header(),
            epochs_header(),
            "12,0.5".to_owned(),
            String::new(),
        ] {
            assert_eq!(read_losses(&line), None);
            assert_eq!(read_epoch(&line), None);
        }
    }
}
