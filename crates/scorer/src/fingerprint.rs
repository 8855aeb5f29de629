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
    /// Of `Cx(x)`, relative to `max(1, |value|)`.
    pub critic_x: Difference,
    /// Of `Cz(E(x))`, relative to `max(1, |value|)`.
    pub critic_z: Difference,
}

impl FingerprintReport {
    pub(crate) fn new(expected: &Fingerprint) -> Self {
        Self {
            windows: expected.input.len(),
            tolerance: expected.tolerance,
            latent: Difference::default(),
            reconstruction: Difference::default(),
            critic_x: Difference::default(),
            critic_z: Difference::default(),
        }
    }

    /// Whether no difference exceeds the tolerance.
    #[must_use]
    pub fn is_within_tolerance(&self) -> bool {
        [self.latent, self.reconstruction, self.critic_x, self.critic_z]
            .iter()
            .all(|d| d.0 <= self.tolerance)
    }
}

impl fmt::Display for FingerprintReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "largest difference over {} windows: latent {:.1e}, reconstruction {:.1e}, critic_x {:.1e}, \
             critic_z {:.1e} (tolerance {:.1e})",
            self.windows,
            self.latent.0,
            self.reconstruction.0,
            self.critic_x.0,
            self.critic_z.0,
            self.tolerance
        )
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
