//! `manifest.toml` of a bundle: what the nets are, how they were made, what they expect.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::normalise::Scaler;

/// Lags for which bundles are calibrated and that may be served.
pub const SERVED_LAGS: [usize; 8] = [0, 1, 2, 4, 9, 19, 49, 99];

/// The net files of a TadGAN bundle, in the order in which the bundle hash reads them; an AER bundle has the first two.
pub const NET_FILES: [&str; 4] = ["encoder.onnx", "generator.onnx", "critic_x.onnx", "critic_z.onnx"];

/// Format version written today.
pub const FORMAT_VERSION: u32 = 1;

/// Contents of `manifest.toml`.
///
/// Net interfaces (float32, dynamic batch `B`): encoder `x [B, L, channels] → z [B, latent, 1]`;
/// generator `z [B, latent, 1] → y [B, L, 1]`; critic_x `y [B, L, 1] → critic [B, 1]`;
/// critic_z `z [B, latent, 1] → critic [B, 1]`. What `y` means is up to the [`ModelKind`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Layout of the bundle directory.
    pub format_version: u32,
    /// Name of the bundle, as alerts show it.
    pub name: String,
    /// What the nets are.
    #[serde(default)]
    pub model: ModelKind,
    /// Window length L in buckets.
    pub window: usize,
    /// Input channels; 1 for now.
    pub channels: usize,
    /// Width of the latent space.
    pub latent: usize,
    /// `any`, or the interval in milliseconds that the nets were trained at.
    pub interval: IntervalSpec,
    /// Architecture name and sizes, for people and for `train --warm-start`.
    pub architecture: Architecture,
    /// How windows become the nets' input.
    pub scaler: Scaler,
    /// Where the nets came from.
    pub training: TrainingRecord,
    /// Statistics of the nets on data that took no gradient step, one entry a served lag, ascending.
    pub calibration: Vec<LagCalibration>,
    /// SHA-256 (hexadecimal) of each net file and of `fingerprint.json`.
    pub files: BTreeMap<String, String>,
}

/// The interval a bundle is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum IntervalSpec {
    /// Milliseconds.
    Ms(i64),
    /// Any interval.
    Any(AnyInterval),
}

impl std::fmt::Display for IntervalSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ms(ms) => write!(f, "{ms} ms"),
            Self::Any(AnyInterval::Any) => f.write_str("any"),
        }
    }
}

/// The word `any`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnyInterval {
    /// Any interval.
    Any,
}

/// What the nets of a bundle are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelKind {
    /// Encoder, generator and two critics: `y` is the reconstruction of the whole window.
    #[default]
    Tadgan,
    /// Encoder and generator alone, of an auto-encoder that predicts: the encoder sees the window without its first and
    /// last value; `y` is a prediction of the first, the reconstruction of those between, and a prediction of the last.
    Aer,
}

impl ModelKind {
    /// The net files of such a bundle, in the order in which the bundle hash reads them.
    #[must_use]
    pub fn net_files(self) -> &'static [&'static str] {
        match self {
            Self::Tadgan => &NET_FILES,
            Self::Aer => &NET_FILES[..2],
        }
    }

    /// Buckets of a window of `window` that are known when the nets run; the rest, at its end, is to be predicted.
    #[must_use]
    pub fn known(self, window: usize) -> usize {
        match self {
            Self::Tadgan => window,
            Self::Aer => window.saturating_sub(1),
        }
    }

    /// Whether the nets say what comes next.
    #[must_use]
    pub fn predicts(self) -> bool {
        self == Self::Aer
    }

    /// Name as manifests write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tadgan => "tadgan",
            Self::Aer => "aer",
        }
    }
}

/// Architecture of the nets, for people and for training on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Architecture {
    /// Name, `paper` for the published sizes.
    pub name: String,
    /// Sizes that shape the nets by name, e.g. `encoder_units`; which ones depends on the architecture.
    pub sizes: BTreeMap<String, usize>,
    /// Trainable parameters of each net by name.
    pub parameters: BTreeMap<String, usize>,
}

/// How the nets were made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingRecord {
    /// The command that makes the bundle again.
    pub command: String,
    /// The one seed.
    pub seed: u64,
    /// Generator updates that the weights had.
    pub generator_steps: usize,
    /// Mean squared reconstruction error on windows that took no gradient step, the nets' units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_out_error: Option<f64>,
    /// Diversity of what the generator draws from the prior, that of the training windows being 1; see
    /// `training::judge`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diversity: Option<f64>,
    /// Hash of the bundle whose nets training started from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm_start: Option<String>,
    /// SHA-256 of each training file by name.
    pub data: BTreeMap<String, String>,
}

/// Error statistics of the nets at one lag, in units of the window's half range.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LagCalibration {
    /// How many later windows a bucket waits for.
    pub lag: usize,
    /// Median absolute reconstruction error.
    pub error_median: f64,
    /// 99th percentile of the absolute reconstruction error.
    pub error_p99: f64,
    /// Median over buckets of the median critic value of the `lag + 1` windows.
    pub critic_center: f64,
    /// Interquartile range / 1.349 of the same, floored at a tiny positive number.
    pub critic_scale: f64,
}

/// `fingerprint.json`: a fixed input and what the nets made of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fingerprint {
    /// Scaled input windows, each of length L.
    pub input: Vec<Vec<f32>>,
    /// `E(input)`, each of length `latent`.
    pub latent: Vec<Vec<f32>>,
    /// `G(E(input))`, each of length L.
    pub reconstruction: Vec<Vec<f32>>,
    /// `Cx(input)`.
    pub critic_x: Vec<f32>,
    /// `Cz(E(input))`.
    pub critic_z: Vec<f32>,
    /// Largest absolute difference allowed; critics relative to `max(1, |value|)`.
    pub tolerance: f32,
}
