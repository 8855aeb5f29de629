//! Finds, verifies and loads the bundle and the runtime that serve.

use std::path::{Path, PathBuf};

use pipeline::Model;
use scorer::Backend;
use scorer::bundle::Bundle;
use scorer::onnx::{DEFAULT_BATCH, OnnxBackend};
use scorer::runtime::{Device, Runtime};

use crate::failure::Failure;

/// The bundle that serves when none is named.
const DEFAULT_BUNDLE: &str = "general";

/// A verified bundle on its device.
pub struct Serving {
    /// The bundle.
    pub bundle: Bundle,
    /// One backend a thread, each proven on the fingerprint.
    pub backends: Vec<Box<dyn Backend>>,
    /// The device that really computes.
    pub device: String,
    /// Version of ONNX Runtime.
    pub runtime_version: String,
    /// Why `auto` ended on the CPU, where CUDA was tried.
    pub fallback_reason: Option<String>,
}

impl Serving {
    /// What tasks need to know of the bundle.
    #[must_use]
    pub fn model(&self) -> Model {
        Model::new(self.bundle.manifest(), self.bundle.label())
    }
}

/// Which bundle on which device.
#[derive(Clone, Debug, Default)]
pub struct ServingOptions {
    /// Bundle directory; the shipped one when `None`.
    pub model: Option<PathBuf>,
    /// Wanted device.
    pub device: Option<Device>,
    /// ONNX Runtime library; searched for when `None`.
    pub onnxruntime: Option<PathBuf>,
    /// Backends, each with a thread of its own; 0 means one a core.
    pub threads: usize,
}

/// Loads what `options` ask for and proves it on the bundle's fingerprint.
///
/// # Errors
/// No bundle or a bad one, no ONNX Runtime, or a device that does not work.
pub fn load(options: &ServingOptions) -> Result<Serving, Failure> {
    let dir = locate(options.model.as_deref())?;
    let bundle = Bundle::load(&dir).map_err(Failure::data)?;
    let runtime = Runtime::find(options.onnxruntime.as_deref()).map_err(Failure::unavailable)?;
    let device = options.device.unwrap_or(Device::Cpu);
    let threads = match options.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        n => n,
    };
    let mut backends: Vec<Box<dyn Backend>> = Vec::new();
    let (mut name, mut fallback_reason) = (String::new(), None);
    for _ in 0..threads {
        let mut backend = OnnxBackend::new(&bundle, &runtime, device, DEFAULT_BATCH)
            .map_err(|e| Failure::nets(&dir, &e))?;
        if backends.is_empty() {
            let report = backend
                .verify_fingerprint(&bundle)
                .map_err(|e| Failure::nets(&dir, &e))?;
            tracing::debug!(bundle = %bundle.label(), %report, "fingerprint verified");
            backend.device().clone_into(&mut name);
            fallback_reason = backend.fallback_reason().map(str::to_owned);
        }
        backends.push(Box::new(backend));
    }
    let runtime_version = runtime.version().to_owned();
    Ok(Serving {
        bundle,
        backends,
        device: name,
        runtime_version,
        fallback_reason,
    })
}

/// The named bundle, or `models/general` beside the executable or under the nearest ancestor of the current directory that
/// holds `models/`.
///
/// # Errors
/// When there is none.
pub fn locate(named: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(dir) = named {
        return if dir.is_dir() {
            Ok(dir.to_owned())
        } else {
            Err(Failure::no_input(format!(
                "no bundle at {}: there is no such directory",
                dir.display()
            )))
        };
    }
    let beside = std::env::current_exe()
        .ok()
        .and_then(|exe| exe.parent().map(Path::to_owned));
    let current = std::env::current_dir().ok();
    let above = current.iter().flat_map(|dir| dir.ancestors());
    let mut places = beside
        .iter()
        .map(PathBuf::as_path)
        .chain(above)
        .map(|dir| dir.join("models"));
    places
        .find(|models| models.is_dir())
        .map(|models| models.join(DEFAULT_BUNDLE))
        .filter(|dir| dir.is_dir())
        .ok_or_else(|| {
            Failure::no_input(
                "no bundle: models/general is neither beside the executable nor under an ancestor of the \
                 current directory; name one with --model",
            )
        })
}
