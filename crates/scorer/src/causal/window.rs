//! What the nets see of a series, and what they make of it.

use crate::manifest::ModelKind;
use crate::normalise::Affine;

/// What the nets said about the window that ends with a bucket.
#[derive(Clone, Copy, Debug)]
pub struct WindowResult<'a> {
    /// What the nets are, and so what their numbers mean.
    pub model: ModelKind,
    /// The map the window was scaled with.
    pub affine: Affine,
    /// The nets' answer in their units, oldest first, length L.
    pub reconstruction: &'a [f32],
    /// The critic's value of the real window; `None` where there is no critic.
    pub critic: Option<f64>,
    /// Share of filled-in buckets in the window, in [0, 1].
    pub filled_share: f64,
    /// Whether it reaches back before the first bucket of the series.
    pub is_young: bool,
}

impl WindowResult<'_> {
    /// What the nets make of the newest bucket they have seen, and what they say of the next one: data units.
    pub(crate) fn newest(&self) -> (Option<f64>, Option<f64>) {
        let mut newest = self.reconstruction.iter().rev();
        let mut value = || newest.next().map(|y| self.affine.unscale(f64::from(*y)));
        let next = match self.model {
            ModelKind::Tadgan => None,
            ModelKind::Aer => value().filter(|forecast| forecast.is_finite()),
        };
        (value(), next)
    }
}
