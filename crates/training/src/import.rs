//! `train import`: a bundle of weights in the reference's layout, a safetensors file with Keras shapes.
//!
//! Tensors are named `<net>.<NN>.<anything>`, `NN` their place in the net; the order and the shapes are ours, since
//! our layers keep Keras' layouts.

use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};
use scorer::bundle::sha256_hex;
use scorer::manifest::{IntervalSpec, Manifest, TrainingRecord};
use scorer::normalise::Scaler;
use types::DurationMs;

use crate::bundle::{self, Contents, FINGERPRINT_WINDOWS};
use crate::calibrate::calibrate;
use crate::data::{DataError, DataOptions, Dataset, Inputs};
use crate::files::WriteError;
use crate::nets::{NAMES, Nets, Sizes, Weights};
use crate::train::sample;

/// Reading weights failed.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
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
    /// The series to calibrate on cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The bundle cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// A bundle from weights in the reference's layout.
#[derive(Clone, Debug)]
pub struct ImportJob {
    /// Name of the bundle.
    pub name: String,
    /// Bundle directory.
    pub out: PathBuf,
    /// The command line, for the record.
    pub command: String,
    /// The weights.
    pub weights: PathBuf,
    /// Smallest and largest training value, data units.
    pub range: (f64, f64),
    /// Interval the nets were trained at.
    pub interval: DurationMs,
    /// Sizes of the nets.
    pub sizes: Sizes,
    /// Series to calibrate on; its last tenth is used.
    pub calibrate_on: Option<PathBuf>,
}

/// Makes a bundle of imported weights. Without a series to calibrate on, the calibration is that of a sine over the
/// training range, which is good for parity tests only.
///
/// # Errors
/// When weights or series cannot be used, or the bundle cannot be written.
pub fn run(job: &ImportJob) -> Result<Manifest, ImportError> {
    let nets = Nets::new(job.sizes.clone());
    let bytes = read(&job.weights)?;
    let weights = weights(&nets, &job.weights, &bytes)?;
    let (min, max) = job.range;
    let scaler = Scaler::MinMax { min, max };
    let options = DataOptions {
        interval: Some(job.interval),
        ..DataOptions::new(job.sizes.window)
    };
    let data = match &job.calibrate_on {
        Some(path) => Dataset::from_files(&Inputs::files(std::slice::from_ref(path)), &options, |_| {})?,
        None => Dataset::sine(min, max, &options)?,
    };
    let mut hashes = data.hashes.clone();
    hashes.insert("weights".to_owned(), sha256_hex(&bytes));
    let contents = Contents {
        name: &job.name,
        nets: &nets,
        weights: &weights,
        architecture: "paper",
        interval: IntervalSpec::Ms(job.interval),
        scaler,
        training: TrainingRecord {
            command: job.command.clone(),
            seed: 0,
            generator_steps: 0,
            held_out_error: None,
            diversity: None,
            warm_start: None,
            data: hashes,
        },
        calibration: calibrate(&nets, &weights, &data, &scaler)?,
        fingerprint: &sample(
            &data,
            data.train_windows(),
            FINGERPRINT_WINDOWS,
            &scaler,
            &job.sizes,
        )?,
    };
    Ok(bundle::write(&job.out, contents)?)
}

/// Reads the weights of `nets` from a file in the reference's layout.
///
/// # Errors
/// When the file cannot be read or a tensor is missing, of another shape or not float32.
pub fn reference_weights(nets: &Nets, path: &Path) -> Result<Weights, ImportError> {
    weights(nets, path, &read(path)?)
}

fn read(path: &Path) -> Result<Vec<u8>, ImportError> {
    std::fs::read(path).map_err(|source| ImportError::Read {
        path: path.to_owned(),
        source,
    })
}

fn weights(nets: &Nets, path: &Path, bytes: &[u8]) -> Result<Weights, ImportError> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| ImportError::Format {
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
