//! Writing a bundle: nets, manifest, fingerprint, and a README that says how to make it again.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use scorer::bundle::{FINGERPRINT_FILE, MANIFEST_FILE, sha256_hex};
use scorer::manifest::{
    FORMAT_VERSION, Fingerprint, IntervalSpec, LagCalibration, Manifest, ModelKind, TrainingRecord,
};
use scorer::normalise::Scaler;

use crate::calibrate::infer;
use crate::export;
use crate::files::{WriteError, write_synced, writing};
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
/// never half a bundle and never none where one was. A bundle that was there is replaced; anything else is left alone
/// and is an error.
///
/// # Errors
/// When something cannot be written, or `dir` holds something that is no bundle.
pub fn write(dir: &Path, contents: Contents<'_>) -> Result<Manifest, WriteError> {
    check_target(dir)?;
    let (manifest, files) = assemble(contents).map_err(writing(dir))?;
    let staging = sibling(dir, "new");
    let written = fill(&staging, &files).and_then(|()| {
        put_in_place(&staging, dir).map_err(writing(dir))?;
        let parent = parent(dir);
        File::open(parent)
            .and_then(|dir| dir.sync_all())
            .map_err(writing(parent))
    });
    // The bundle that was replaced, or half of one that could not be written.
    let removed = remove(&staging).map_err(writing(&staging));
    written.and(removed)?;
    Ok(manifest)
}

fn fill(staging: &Path, files: &BTreeMap<&str, Vec<u8>>) -> Result<(), WriteError> {
    remove(staging).map_err(writing(staging))?;
    fs::create_dir_all(staging).map_err(writing(staging))?;
    for (name, bytes) in files {
        let path = staging.join(name);
        write_synced(&path, bytes).map_err(writing(&path))?;
    }
    File::open(staging)
        .and_then(|dir| dir.sync_all())
        .map_err(writing(staging))
}

/// Lets `staging` become `dir`; what was `dir` becomes `staging`.
fn put_in_place(staging: &Path, dir: &Path) -> io::Result<()> {
    if !dir.exists() {
        return fs::rename(staging, dir);
    }
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        use rustix::io::Errno;
        match renameat_with(CWD, staging, CWD, dir, RenameFlags::EXCHANGE) {
            // A file system that cannot exchange.
            Err(Errno::INVAL | Errno::NOSYS) => {}
            result => return Ok(result?),
        }
    }
    // Between the two steps there is no bundle, the old one being `.<name>.old`.
    let old = sibling(dir, "old");
    remove(&old)?;
    fs::rename(dir, &old)?;
    fs::rename(staging, dir)?;
    fs::rename(&old, staging)
}

/// Whether a bundle may be written to `dir`: nothing is there, an empty directory, or a bundle.
///
/// # Errors
/// When something else is there.
pub fn check_target(dir: &Path) -> Result<(), WriteError> {
    let is_empty = || Ok(fs::read_dir(dir)?.next().is_none());
    if !dir.exists() || dir.join(MANIFEST_FILE).is_file() || is_empty().map_err(writing(dir))? {
        return Ok(());
    }
    let message = "it holds something that is no bundle";
    Err(writing(dir)(io::Error::new(
        io::ErrorKind::AlreadyExists,
        message,
    )))
}

fn assemble(contents: Contents<'_>) -> io::Result<(Manifest, BTreeMap<&'static str, Vec<u8>>)> {
    let Contents { nets, weights, .. } = contents;
    let mut files: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
    let model = nets.sizes.model();
    files.extend(model.net_files().iter().copied().zip(export::all(nets, weights)));
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
        model,
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
    let (what, steps, critic, line) = match m.model {
        ModelKind::Tadgan => (
            "A TadGAN",
            "generator steps",
            " critic | its spread |",
            "---|---|",
        ),
        ModelKind::Aer => ("An AER", "steps", "", ""),
    };
    let parameters = m.architecture.parameters.iter();
    let parameters: Vec<String> = parameters.map(|(net, n)| format!("{net} {n}")).collect();
    let mut text = format!(
        "# {}\n\n{what} bundle. Window {}, interval {interval}, latent width {}.\n\n\
         Made by\n\n```\n{}\n```\n\n\
         - architecture `{}`; parameters: {}\n\
         - {} {steps}, seed {}\n- input: {scaler}\n",
        m.name,
        m.window,
        m.latent,
        m.training.command,
        m.architecture.name,
        parameters.join(", "),
        m.training.generator_steps,
        m.training.seed,
    );
    let quality = [
        ("held-out error", m.training.held_out_error),
        (
            "diversity of G(z), that of the data being 1",
            m.training.diversity,
        ),
    ];
    for (what, value) in quality {
        if let Some(value) = value {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "- {what}: {value:.4}");
        }
    }
    let _ = write!(
        text,
        "\nOn data that took no gradient step, errors in units of the window's half range:\n\n\
         | lag | median error | 99 % error |{critic}\n|---|---|---|{line}\n"
    );
    for c in &m.calibration {
        let _ = write!(text, "| {} | {:.4} | {:.4} |", c.lag, c.error_median, c.error_p99);
        if m.model == ModelKind::Tadgan {
            let _ = write!(text, " {:.4} | {:.4} |", c.critic_center, c.critic_scale);
        }
        text.push('\n');
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
