//! `agent inspect`: what a bundle is, verified against its fingerprint.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use scorer::bundle::Bundle;
use scorer::manifest::ModelKind;
use scorer::onnx::{DEFAULT_BATCH, OnnxBackend};
use scorer::runtime::{Device, Runtime};

use crate::failure::Failure;
use crate::model::{ServingOptions, locate};

/// Prints the bundle's identity and the verdict on its fingerprint.
///
/// # Errors
/// A bad bundle, no runtime, or outputs that differ from the fingerprint.
pub fn run(options: &ServingOptions) -> Result<(), Failure> {
    let dir = locate(options.model.as_deref())?;
    let bundle = Bundle::load(&dir).map_err(Failure::data)?;
    let m = bundle.manifest();
    let a = &m.architecture;
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{}", bundle.label());
    let _ = writeln!(out, "  directory     {}", dir.display());
    let _ = writeln!(out, "  hash          {}", bundle.hash());
    let _ = writeln!(
        out,
        "  window        {} buckets, {} channel, interval {}",
        m.window, m.channels, m.interval
    );
    let _ = writeln!(
        out,
        "  model         {}{}",
        m.model.name(),
        if m.model.predicts() {
            ", predicts the next bucket"
        } else {
            ""
        }
    );
    let _ = writeln!(out, "  scaler        {}", m.scaler);
    let _ = writeln!(
        out,
        "  architecture  {}: {} parameters",
        a.name,
        a.parameters.values().sum::<usize>()
    );
    let _ = writeln!(out, "                {}", named(&a.parameters));
    let _ = writeln!(
        out,
        "  training      seed {}, {} generator steps",
        m.training.seed, m.training.generator_steps
    );
    let _ = writeln!(out, "                {}", m.training.command);
    for c in &m.calibration {
        let _ = write!(
            out,
            "  lag {:<3}       error median {:.4} p99 {:.4}",
            c.lag, c.error_median, c.error_p99
        );
        let _ = match m.model {
            ModelKind::Tadgan => writeln!(
                out,
                ", critic centre {:.4} scale {:.4}",
                c.critic_center, c.critic_scale
            ),
            ModelKind::Aer => writeln!(out),
        };
    }
    // Said even when the verdict is bad.
    crate::logging::say(&out);
    out.clear();
    let runtime = Runtime::find(options.onnxruntime.as_deref()).map_err(Failure::unavailable)?;
    let device = options.device.unwrap_or(Device::Cpu);
    let mut backend =
        OnnxBackend::new(&bundle, &runtime, device, DEFAULT_BATCH).map_err(|e| Failure::nets(&dir, &e))?;
    let report = backend
        .verify_fingerprint(&bundle)
        .map_err(|e| Failure::nets(&dir, &e))?;
    let _ = writeln!(out, "  fingerprint   {report}");
    let _ = writeln!(
        out,
        "  device        {}, ONNX Runtime {}",
        scorer::Backend::device(&backend),
        runtime.version()
    );
    crate::logging::say(&out);
    Ok(())
}

/// `name number` pairs side by side.
fn named(numbers: &BTreeMap<String, usize>) -> String {
    let pairs: Vec<String> = numbers.iter().map(|(name, n)| format!("{name} {n}")).collect();
    pairs.join(", ")
}
