//! How far the nets here are from where their bundle was made.

use std::fmt;

use crate::manifest::Fingerprint;

/// Largest differences between the nets here and where the bundle was made.
#[derive(Clone, Debug, PartialEq)]
pub struct FingerprintReport {
    /// Windows compared.
    pub windows: usize,
    /// Largest difference allowed.
    pub tolerance: f32,
    /// Of `E(x)`, absolute.
    pub latent: Difference,
    /// Of `G(E(x))`, absolute.
    pub reconstruction: Difference,
    /// Of `Cx(x)`, relative to `max(1, |value|)`; `None` where there are no critics.
    pub critic_x: Option<Difference>,
    /// Of `Cz(E(x))`, relative to `max(1, |value|)`; `None` where there are no critics.
    pub critic_z: Option<Difference>,
}

impl FingerprintReport {
    pub(crate) fn new(expected: &Fingerprint) -> Self {
        Self {
            windows: expected.input.len(),
            tolerance: expected.tolerance,
            latent: Difference::default(),
            reconstruction: Difference::default(),
            critic_x: None,
            critic_z: None,
        }
    }

    /// Whether no difference exceeds the tolerance.
    #[must_use]
    pub fn is_within_tolerance(&self) -> bool {
        [
            Some(self.latent),
            Some(self.reconstruction),
            self.critic_x,
            self.critic_z,
        ]
        .iter()
        .flatten()
        .all(|d| d.0 <= self.tolerance)
    }
}

impl fmt::Display for FingerprintReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "largest difference over {} windows: latent {:.1e}, reconstruction {:.1e}",
            self.windows, self.latent.0, self.reconstruction.0,
        )?;
        for (name, critic) in [("critic_x", self.critic_x), ("critic_z", self.critic_z)] {
            if let Some(critic) = critic {
                write!(f, ", {name} {:.1e}", critic.0)?;
            }
        }
        write!(f, " (tolerance {:.1e})", self.tolerance)
    }
}

/// A largest difference; NaN counts as infinite.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Difference(pub f32);

impl Difference {
    fn widen(&mut self, difference: f32) {
        self.0 = self.0.max(if difference.is_nan() {
            f32::INFINITY
        } else {
            difference
        });
    }

    pub(crate) fn compare<'a>(&mut self, found: impl Iterator<Item = &'a f32>, expected: &[f32]) {
        for (found, expected) in found.zip(expected) {
            self.widen((found - expected).abs());
        }
    }

    pub(crate) fn compare_relative(&mut self, found: f32, expected: f32) {
        self.widen((found - expected).abs() / expected.abs().max(1.0));
    }
}
