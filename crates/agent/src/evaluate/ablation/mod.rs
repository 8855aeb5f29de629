//! The product with something else in place of its nets: what the nets add.

use pipeline::{Model, TaskSettings};
use scorer::Backend;
use scorer::bundle::Bundle;

use crate::failure::Failure;

/// The product with one change.
pub(super) struct Variant {
    /// Name of its row.
    pub(super) name: &'static str,
    /// What takes the place of the bundle.
    pub(super) model: Model,
    /// What takes the place of the nets.
    pub(super) backend: Box<dyn Backend>,
    /// Changes the settings of its tasks.
    pub(super) adapt: fn(&mut TaskSettings),
}

/// All of them for one bundle, for one thread: the same names in the same order whenever it is asked.
///
/// # Errors
/// A bundle for which one cannot be made.
pub(super) fn all(_bundle: &Bundle) -> Result<Vec<Variant>, Failure> {
    Ok(Vec::new())
}
