//! Weights in the reference's layout: a safetensors file with Keras shapes.
//!
//! Tensors are named `<net>.<NN>.<anything>`, `NN` their place in the net; the order and the shapes are ours, since
//! our layers keep Keras' layouts.

use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};

use crate::nets::{NAMES, Nets, Weights};

/// Reading weights failed.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not a safetensors file.
    #[error("{path} is not a safetensors file: {reason}")]
    Format {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The tensors are not those of the nets.
    #[error("{0}")]
    Tensors(String),
}

/// Reads the weights of `nets` from a file in the reference's layout.
///
/// # Errors
/// When the file cannot be read or a tensor is missing, of another shape or not float32.
pub fn reference_weights(nets: &Nets, path: &Path) -> Result<Weights, ImportError> {
    let bytes = std::fs::read(path).map_err(|source| ImportError::Read {
        path: path.to_owned(),
        source,
    })?;
    let file = SafeTensors::deserialize(&bytes).map_err(|error| ImportError::Format {
        path: path.to_owned(),
        reason: error.to_string(),
    })?;
    let mut weights = Weights::default();
    let slots = weights.nets_mut().into_iter().zip(nets.layouts());
    for ((slot, layout), net) in slots.zip(NAMES) {
        for (number, spec) in layout.tensors().iter().enumerate() {
            let prefix = format!("{net}.{number:02}.");
            let Some(name) = file.names().into_iter().find(|name| name.starts_with(&prefix)) else {
                return Err(ImportError::Tensors(format!(
                    "no tensor {prefix}* ({})",
                    spec.name
                )));
            };
            let found = file
                .tensor(name)
                .map_err(|error| ImportError::Tensors(format!("{name}: {error}")))?;
            if found.dtype() != Dtype::F32 || found.shape() != spec.shape {
                return Err(ImportError::Tensors(format!(
                    "{name} is {:?} {:?}, expected F32 {:?}",
                    found.dtype(),
                    found.shape(),
                    spec.shape
                )));
            }
            slot.extend(floats(found.data()));
        }
    }
    Ok(weights)
}

/// Little-endian float32.
pub(crate) fn floats(bytes: &[u8]) -> impl Iterator<Item = f32> + '_ {
    bytes
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}
