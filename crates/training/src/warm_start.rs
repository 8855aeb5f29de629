//! `--warm-start`: nets of a bundle as the start of a run on other data.

use std::path::Path;

use scorer::bundle::{Bundle, BundleError, Net};
use scorer::manifest::{Manifest, ModelKind};
use scorer::normalise::Scaler;

use crate::export;
use crate::nets::{Body, Nets, Sizes, Weights};
use crate::train::ScalerChoice;

/// Weights to start from.
#[derive(Clone, Debug, PartialEq)]
pub struct WarmStart {
    /// Hash of the bundle they are from, as alerts carry it.
    pub hash: String,
    /// The weights.
    pub weights: Weights,
}

/// A bundle to start from: its weights, and what a run takes over with them.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The weights.
    pub start: WarmStart,
    /// Name of the architecture.
    pub architecture: String,
    /// Sizes of the nets.
    pub sizes: Sizes,
    /// How windows became input.
    pub scaler: ScalerChoice,
}

/// A bundle cannot be started from.
#[derive(Debug, thiserror::Error)]
pub enum WarmStartError {
    /// It is not whole, or not there.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// Its nets are not ours.
    #[error("cannot start from bundle {dir}: {reason}")]
    Nets {
        /// The bundle's directory.
        dir: std::path::PathBuf,
        /// Why.
        reason: String,
    },
}

/// Verifies a bundle by its hashes and reads its nets.
///
/// # Errors
/// When it is damaged, or its nets are not what this version writes for their architecture.
pub fn load(dir: &Path) -> Result<Origin, WarmStartError> {
    let bundle = Bundle::load(dir)?;
    let manifest = bundle.manifest();
    let failed = |reason| WarmStartError::Nets {
        dir: dir.to_owned(),
        reason,
    };
    let sizes = sizes(manifest)
        .ok_or_else(|| failed("its manifest has no sizes that this version knows".to_owned()))?;
    let nets = Nets::new(sizes.clone());
    let files = [Net::Encoder, Net::Generator, Net::CriticX, Net::CriticZ].map(|net| bundle.net(net));
    let weights = export::read(&nets, &files).map_err(failed)?;
    Ok(Origin {
        start: WarmStart {
            hash: bundle.hash().to_owned(),
            weights,
        },
        architecture: manifest.architecture.name.clone(),
        sizes,
        scaler: match manifest.scaler {
            Scaler::MinMax { .. } => ScalerChoice::MinMax,
            Scaler::Window { .. } => ScalerChoice::Window,
        },
    })
}

/// The sizes that a manifest speaks of.
fn sizes(manifest: &Manifest) -> Option<Sizes> {
    let size = |name: &str| manifest.architecture.sizes.get(name).copied();
    let body = match manifest.model {
        ModelKind::Aer => Body::Aer {
            units: size("units")?,
        },
        ModelKind::Tadgan => match size("encoder_units") {
            Some(encoder_units) => Body::Recurrent {
                encoder_units,
                generator_units: size("generator_units")?,
            },
            None => Body::Conv {
                encoder_filters: size("encoder_filters")?,
                generator_filters: size("generator_filters")?,
            },
        },
    };
    Some(Sizes {
        window: manifest.window,
        latent: manifest.latent,
        body,
        critic_filters: size("critic_filters").unwrap_or(0),
        critic_z_units: size("critic_z_units").unwrap_or(0),
    })
}
