//! Rows of `looks.csv`: what is known at a step. A value that is not, or that is no number, is empty.

use super::mnist::KINDS;

/// Columns after the step, and before one a digit.
const NAMED: [&str; 6] = [
    "classifier_loss",
    "discriminator_loss",
    "generator_loss",
    "judged_digits",
    "judged_drawings",
    "frechet",
];

/// What was seen at a step.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Look {
    /// Of classifier and GAN, one after the other.
    pub(super) step: usize,
    pub(super) kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// Mean loss of the classifier since the look before.
    Classifier(f64),
    /// Likewise: of the discriminator, of the generator; probabilities given to digits, to drawings.
    Gan([f64; 4]),
    /// What the classifier says of drawings.
    Judged(Judged),
}

/// What the classifier says of drawings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged {
    /// Share that it recognises as each digit, surely.
    pub recognised: [f64; KINDS],
    /// Fréchet distance of their features to those of the test digits.
    pub frechet: f64,
}

impl Judged {
    /// Share that is recognised as any digit.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.recognised.iter().sum()
    }

    /// Digits that as many as `share` are recognised as.
    #[must_use]
    pub fn present(&self, share: f64) -> usize {
        self.recognised.iter().filter(|own| **own >= share).count()
    }

    /// A line for people.
    #[must_use]
    pub fn line(&self) -> String {
        format!(
            "{:.1} % recognised, {} of {KINDS} digits by 3 % or more, Fréchet distance {:.1}",
            100.0 * self.total(),
            self.present(0.03),
            self.frechet
        )
    }
}

/// First line of the file.
pub(super) fn header() -> String {
    let digits = (0..KINDS).map(|digit| format!(",digit_{digit}"));
    format!("total_step,{}{}", NAMED.join(","), digits.collect::<String>())
}

/// A row.
pub(super) fn row(look: &Look) -> String {
    let mut values = [f64::NAN; NAMED.len() + KINDS];
    match &look.kind {
        Kind::Classifier(loss) => values[0] = *loss,
        Kind::Gan(losses) => values[1..5].copy_from_slice(losses),
        Kind::Judged(judged) => {
            values[5] = judged.frechet;
            values[6..].copy_from_slice(&judged.recognised);
        }
    }
    let values = values.iter().map(|value| {
        if value.is_nan() {
            ",".to_owned()
        } else {
            format!(",{value}")
        }
    });
    format!("{}{}", look.step, values.collect::<String>())
}

/// Reads a row; `None` for anything else.
pub(super) fn read(row: &str) -> Option<Look> {
    let (step, rest) = row.split_once(',')?;
    let values = rest.split(',').map(|value| match value {
        "" => Some(f64::NAN),
        value => value.parse().ok(),
    });
    let values: Vec<f64> = values.collect::<Option<_>>()?;
    let [classifier, losses @ .., frechet] = values.get(..NAMED.len())? else {
        return None;
    };
    let kind = if !frechet.is_nan() {
        Kind::Judged(Judged {
            recognised: values[NAMED.len()..].try_into().ok()?,
            frechet: *frechet,
        })
    } else if classifier.is_nan() {
        Kind::Gan(losses.try_into().ok()?)
    } else {
        Kind::Classifier(*classifier)
    };
    Some(Look {
        step: step.parse().ok()?,
        kind,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let kinds = [
            Kind::Classifier(1.0 / 3.0),
            Kind::Gan([0.1 + 0.2, 1e-300, 0.5, 0.25]),
            Kind::Judged(Judged {
                recognised: [0.1; KINDS],
                frechet: 7.25,
            }),
        ];
        for kind in kinds {
            let look = Look { step: 12, kind };
            let row = row(&look);
            assert_eq!(row.split(',').count(), header().split(',').count());
            assert_eq!(read(&row), Some(look));
        }
        assert_eq!(read(&header()), None);
        assert_eq!(read("7,1"), None);
    }
}
