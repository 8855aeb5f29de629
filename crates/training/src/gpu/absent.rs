//! What stands for a device where the program was built without one.

use super::GpuError;
use crate::nets::Nets;
use crate::rng::Streams;
use crate::steps::{Batch, CriticLoss, GeneratorLoss};
use crate::trainer::{State, Update};

/// There is none.
#[derive(Debug)]
pub enum Gpu {}

impl Gpu {
    /// Says that there is none.
    pub(super) fn find() -> Result<String, GpuError> {
        Err(GpuError::NotBuilt)
    }

    /// Says that there is none.
    ///
    /// # Errors
    /// Always.
    pub fn new(_: &Nets, _: &State, _: usize) -> Result<Self, GpuError> {
        Err(GpuError::NotBuilt)
    }

    /// What the driver calls the device.
    #[must_use]
    pub fn name(&self) -> &str {
        match *self {}
    }

    pub(crate) fn download(&self, _: &mut State) {
        match *self {}
    }

    pub(crate) fn update(
        &self,
        _: Update,
        _: Batch<'_>,
        _: Option<Streams>,
        _: usize,
        _: f32,
    ) -> (CriticLoss, GeneratorLoss, [f64; 4]) {
        match *self {}
    }

    pub(crate) fn follow(&self, _: [f32; 4]) {
        match *self {}
    }
}
