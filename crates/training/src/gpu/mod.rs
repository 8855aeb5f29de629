//! Training on a GPU: the passes of [`crate::nets`] once more, as compute kernels, over Vulkan by way of `wgpu`.
//!
//! Why our own kernels: `burn`, the framework that was tried, brings 676 packages into the lock file (three times what
//! is there, among them those that `deny.toml` bans) where `wgpu` brings about 50, differentiates only once, which the
//! penalty does not do with, and runs an LSTM as a hundred small steps. Here a sequence is one dispatch, a layer is one
//! product, dropout is drawn on the device, and the passes are those that the processor's tests already prove.
//!
//! What it shares with the processor: batches, latents, interpolation weights and dropout factors are the same draws
//! of the same streams, and the [state](crate::trainer::State) goes back and forth, so that checkpoints, resuming and bundles know nothing of
//! devices. Sums are added up in another order and `exp` rounds as the device likes: after a short run, weights differ
//! by less than [`TOLERANCE`]; runs are not equal bit for bit from one device to another.
//!
//! It was run on a software Vulkan (Mesa's llvmpipe) only: no real GPU has seen it.

#[cfg(not(feature = "gpu"))]
mod absent;
#[cfg(feature = "gpu")]
mod device;
#[cfg(feature = "gpu")]
mod layers;
#[cfg(feature = "gpu")]
mod nets;
#[cfg(feature = "gpu")]
mod steps;
#[cfg(feature = "gpu")]
mod updates;

#[cfg(not(feature = "gpu"))]
pub use absent::Gpu;
#[cfg(feature = "gpu")]
pub use updates::Gpu;

use crate::nets::{Body, Sizes};

/// Largest difference of a weight from that of the processor after three generator steps from the same start.
pub const TOLERANCE: f32 = 1e-5;

/// Training on a GPU is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum GpuError {
    /// The program was built without it.
    #[error(
        "this `train` was built without the GPU; build it with `cargo build --release -p training --features gpu`"
    )]
    NotBuilt,
    /// No driver, or no device that it knows.
    #[error("no GPU that speaks Vulkan was found ({0}); use --device cpu")]
    Absent(String),
    /// A device that cannot run the kernels.
    #[error("{name} cannot train: {reason}")]
    Unfit {
        /// The device.
        name: String,
        /// What is missing.
        reason: String,
    },
    /// Nets that no kernel was written for.
    #[error("{0}; use --device cpu")]
    Nets(&'static str),
}

/// What the driver calls the device that would train nets of these sizes.
///
/// # Errors
/// When there is none.
pub fn find(sizes: &Sizes) -> Result<String, GpuError> {
    match sizes.body {
        Body::Aer { .. } => Err(GpuError::Nets(NO_AER)),
        Body::Recurrent { .. } | Body::Conv { .. } => Gpu::find(),
    }
}

const NO_AER: &str = "AER is not trained on a GPU";
