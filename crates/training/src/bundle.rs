//! Writing a bundle: nets, manifest, fingerprint, and a README that says how to make it again.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use scorer::bundle::{FINGERPRINT_FILE, MANIFEST_FILE, sha256_hex};
use scorer::manifest::{
    FORMAT_VERSION, Fingerprint, IntervalSpec, LagCalibration, Manifest, ModelKind, NET_FILES, TrainingRecord,
};
use scorer::normalise::Scaler;

use crate::calibrate::infer;
use crate::export;
use crate::nets::{Nets, Weights};

/// Windows in a fingerprint.
pub const FINGERPRINT_WINDOWS: usize = 8;

/// Everything that goes into a bundle.
#[derive(Debug)]
pub struct Contents<'a> {
    /// Name, as alerts show it.
    pub name: &'a str,
    /// The nets.
    pub nets: &'a Nets,
    /// Their weights.
    pub weights: &'a Weights,
    /// Name of the architecture.
    pub architecture: &'a str,
    /// Interval it is for.
    pub interval: IntervalSpec,
    /// How windows become input.
    pub scaler: Scaler,
    /// Where it came from.
    pub training: TrainingRecord,
    /// Statistics at each served lag.
    pub calibration: Vec<LagCalibration>,
    /// Input of the fingerprint, windows side by side, the nets' units.
    pub fingerprint: &'a [f32],
}

/// Writes the bundle to `dir`: into a new directory beside it first, which then takes its place, so that there is
/// never half a bundle. A bundle that was there is replaced; anything else is left alone and is an error.
///
/// # Errors
/// When something cannot be written, or `dir` holds something that is no bundle.
pub fn write(dir: &Path, contents: Contents<'_>) -> io::Result<Manifest> {
    check_target(dir)?;
    let (manifest, files) = assemble(contents)?;
    let staging = sibling(dir, "new");
    remove(&staging)?;
    fs::create_dir_all(&staging)?;
    for (name, bytes) in &files {
        let mut file = File::create(staging.join(name))?;
        file.write_all(bytes)?;
        file.sync_all()?;
    }
    File::open(&staging)?.sync_all()?;
    if dir.exists() {
        let old = sibling(dir, "old");
        remove(&old)?;
        fs::rename(dir, &old)?;
        fs::rename(&staging, dir)?;
        remove(&old)?;
    } else {
        fs::rename(&staging, dir)?;
    }
    File::open(parent(dir))?.sync_all()?;
    Ok(manifest)
}

/// Whether a bundle may be written to `dir`: nothing is there, an empty directory, or a bundle.
///
/// # Errors
/// When something else is there.
pub fn check_target(dir: &Path) -> io::Result<()> {
    if !dir.exists() || dir.join(MANIFEST_FILE).is_file() || fs::read_dir(dir)?.next().is_none() {
        return Ok(());
    }
    let message = "it holds something that is no bundle";
    Err(io::Error::new(io::ErrorKind::AlreadyExists, message))
}

fn assemble(contents: Contents<'_>) -> io::Result<(Manifest, BTreeMap<&'static str, Vec<u8>>)> {
    let Contents { nets, weights, .. } = contents;
    let mut files: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
    files.extend(NET_FILES.into_iter().zip(export::all(nets, weights)));
    let fingerprint = fingerprint(nets, weights, contents.fingerprint);
    files.insert(
        FINGERPRINT_FILE,
        serde_json::to_vec(&fingerprint).map_err(io::Error::other)?,
    );
    let hashes = files
        .iter()
        .map(|(name, bytes)| ((*name).to_owned(), sha256_hex(bytes)));
    let manifest = Manifest {
        format_version: FORMAT_VERSION,
        name: contents.name.to_owned(),
        model: ModelKind::Tadgan,
        window: nets.sizes.window,
        channels: 1,
        latent: nets.sizes.latent,
        interval: contents.interval,
        architecture: nets.architecture(contents.architecture),
        scaler: contents.scaler,
        training: contents.training,
        calibration: contents.calibration,
        files: hashes.collect(),
    };
    let text = toml::to_string_pretty(&manifest).map_err(io::Error::other)?;
    files.insert(MANIFEST_FILE, text.into_bytes());
    files.insert("README.md", readme(&manifest).into_bytes());
    Ok((manifest, files))
}

fn fingerprint(nets: &Nets, weights: &Weights, input: &[f32]) -> Fingerprint {
    let outputs = infer(nets, weights, input);
    let rows = |values: &[f32], len| values.chunks_exact(len).map(<[f32]>::to_vec).collect();
    let largest = outputs.latent.iter().fold(1f32, |max, z| max.max(z.abs()));
    Fingerprint {
        input: rows(input, nets.sizes.window),
        latent: rows(&outputs.latent, nets.sizes.latent),
        reconstruction: rows(&outputs.reconstruction, nets.sizes.window),
        critic_x: outputs.critic_x,
        critic_z: outputs.critic_z,
        // Another order of summation moves latents by some 1e-6 of their size.
        tolerance: 1e-4 * largest,
    }
}

fn readme(manifest: &Manifest) -> String {
    let m = manifest;
    let interval = match m.interval {
        IntervalSpec::Ms(ms) => format!("{} s", ms as f64 / 1000.0),
        IntervalSpec::Any(_) => "any".to_owned(),
    };
    let scaler = match m.scaler {
        Scaler::MinMax { min, max } => format!("[{min}, {max}] onto [-1, 1]"),
        Scaler::Window { gain } => format!("each window by its median and {gain} standard deviations"),
    };
    let parameters = m.architecture.parameters.iter();
    let parameters: Vec<String> = parameters.map(|(net, n)| format!("{net} {n}")).collect();
    let mut text = format!(
        "# {}\n\nA TadGAN bundle. Window {}, interval {interval}, latent width {}.\n\n\
         Made by\n\n```\n{}\n```\n\n\
         - architecture `{}`; parameters: {}\n\
         - {} generator steps, seed {}\n- input: {scaler}\n",
        m.name,
        m.window,
        m.latent,
        m.training.command,
        m.architecture.name,
        parameters.join(", "),
        m.training.generator_steps,
        m.training.seed,
    );
    text += "\nOn data that took no gradient step, errors in units of the window's half range:\n\n\
             | lag | median error | 99 % error | critic | its spread |\n|---|---|---|---|---|\n";
    for c in &m.calibration {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "| {} | {:.4} | {:.4} | {:.4} | {:.4} |",
            c.lag, c.error_median, c.error_p99, c.critic_center, c.critic_scale
        );
    }
    text
}

/// `dir` with another last name: `.<name>.<what>`, on the same file system.
fn sibling(dir: &Path, what: &str) -> PathBuf {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    parent(dir).join(format!(".{name}.{what}"))
}

fn parent(dir: &Path) -> &Path {
    match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn remove(dir: &Path) -> io::Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir)
    } else {
        Ok(())
    }
}
