//! Training on a GPU: the passes of [`crate::nets`] once more, as compute kernels, over Vulkan by way of `wgpu`.
//!
//! Built with the feature `gpu` only; `make gpu-test` builds and tests it. From bottom to top: `device` (memory,
//! kernels, and work in order), `product`, `layers` and `lstm`, `nets`, `steps`, `updates` (what the trainer calls);
//! the kernels are the `.wgsl` files beside them.
//!
//! Why kernels of our own: `burn`, the framework that was tried, brings 250 crates to build and 676 to the lock file,
//! with two that `deny.toml` bans, where `wgpu` brings 38 more than are there; it differentiates only once, so that the
//! penalty is written by hand all the same; and its LSTM is hundreds of small steps. Here a sequence is one dispatch, a
//! layer one product, dropout is drawn on the device, and the passes are those that the processor's tests prove. CUDA
//! would want its compiler and libraries on the machine; Vulkan comes with the driver.
//!
//! What it shares with the processor: batches, latents, interpolation weights and dropout are the same draws of the
//! same streams, and the [state](crate::trainer::State) goes back and forth, so that checkpoints, resuming and bundles
//! know nothing of devices. Sums are added up in another order, and `exp` rounds as the device likes: after a few
//! generator steps weights differ by less than [`TOLERANCE`]. Convolutional nets that start at principal components are
//! apart earlier, in the second digit of a loss: there the encoder's gradient is zero but for rounding, of which Adam
//! makes whole steps. Runs are equal bit for bit on one device, not from one to another.
//!
//! It was run on a software Vulkan (Mesa's llvmpipe) only: **no real GPU has run it yet.**

#[cfg(not(feature = "gpu"))]
mod absent;
#[cfg(feature = "gpu")]
mod device;
#[cfg(feature = "gpu")]
mod layers;
#[cfg(feature = "gpu")]
mod lstm;
#[cfg(feature = "gpu")]
mod nets;
#[cfg(feature = "gpu")]
mod product;
#[cfg(feature = "gpu")]
mod steps;
#[cfg(feature = "gpu")]
mod updates;

#[cfg(not(feature = "gpu"))]
pub use absent::Gpu;
#[cfg(feature = "gpu")]
pub use updates::Gpu;

use crate::nets::{Body, Sizes};

/// Largest difference of a weight from that of the processor after four generator steps from the same start; 2e-7 was
/// seen.
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
