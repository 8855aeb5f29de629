//! A bundle on disk: loaded whole, verified file by file, and named by its numbers.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::manifest::{FORMAT_VERSION, Fingerprint, Manifest, ModelKind, NET_FILES, SERVED_LAGS};
use crate::normalise::Scaler;

/// Name of the manifest inside a bundle directory.
pub const MANIFEST_FILE: &str = "manifest.toml";

/// Name of the fingerprint inside a bundle directory.
pub const FINGERPRINT_FILE: &str = "fingerprint.json";

/// The critic of windows takes 4 samples off a window in each of its four convolutions.
const SHORTEST_TADGAN: usize = 18;

/// A value to predict on either side of two to see.
const SHORTEST_AER: usize = 4;

/// One of the four nets, in the order of [`NET_FILES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Net {
    /// E: window to latent.
    Encoder,
    /// G: latent to window.
    Generator,
    /// Cx: how real a window looks.
    CriticX,
    /// Cz: how much a latent looks like the prior.
    CriticZ,
}

impl Net {
    /// File name inside the bundle.
    #[must_use]
    pub fn file(self) -> &'static str {
        NET_FILES[self as usize]
    }
}

/// A verified bundle: every file was there, hashed as its manifest says, and made sense.
#[derive(Clone, Debug)]
pub struct Bundle {
    manifest: Manifest,
    /// In the order of [`ModelKind::net_files`].
    nets: Vec<Vec<u8>>,
    fingerprint: Fingerprint,
    hash: String,
}

impl Bundle {
    /// Reads and verifies the bundle in `dir`. The nets are not run: see `OnnxBackend::verify_fingerprint`.
    ///
    /// # Errors
    /// Everything that is wrong with the bundle, at once.
    pub fn load(dir: &Path) -> Result<Self, BundleError> {
        let mut problems = Problems::default();
        let bundle = load(dir, &mut problems);
        match bundle {
            Some(bundle) if problems.0.is_empty() => Ok(bundle),
            _ => Err(BundleError {
                dir: dir.to_path_buf(),
                problems: problems.0,
            }),
        }
    }

    /// What the nets are and what they expect.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The fixed input and what the nets made of it where they were trained.
    #[must_use]
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// ONNX bytes of one net; empty for one that such a bundle does not have, see [`ModelKind::net_files`].
    #[must_use]
    pub fn net(&self, net: Net) -> &[u8] {
        self.nets.get(net as usize).map_or(&[], Vec::as_slice)
    }

    /// Hexadecimal SHA-256 over everything that numbers depend on; see [`numeric_hash`].
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// `name@` and the first 12 digits of [`Bundle::hash`]: what alerts carry.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{}@{}", self.manifest.name, &self.hash[..12])
    }
}

/// Hexadecimal SHA-256 over what a bundle's numbers depend on, whatever the manifest's wording or layout.
///
/// The hashed text has one line each, in this order: `model NAME`, unless that is `tadgan`; `window L`;
/// `scaler KIND NUMBERS`; `calibration LAG NUMBERS` for each lag, ascending; `file NAME SHA256` for each of the model's
/// net files and then the fingerprint. Numbers are the 16 hexadecimal digits of their IEEE 754 bits.
#[must_use]
pub fn numeric_hash(manifest: &Manifest) -> String {
    use fmt::Write as _;

    let bits = |numbers: &[f64]| -> String {
        let words: Vec<String> = numbers.iter().map(|n| format!("{:016x}", n.to_bits())).collect();
        words.join(" ")
    };
    let mut text = match manifest.model {
        ModelKind::Tadgan => String::new(),
        ModelKind::Aer => format!("model {}\n", manifest.model.name()),
    };
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(text, "window {}", manifest.window);
    let _ = match manifest.scaler {
        Scaler::MinMax { min, max } => writeln!(text, "scaler min_max {}", bits(&[min, max])),
        Scaler::Window { gain } => writeln!(text, "scaler window {}", bits(&[gain])),
    };
    for c in &manifest.calibration {
        let numbers = bits(&[c.error_median, c.error_p99, c.critic_center, c.critic_scale]);
        let _ = writeln!(text, "calibration {} {numbers}", c.lag);
    }
    for name in manifest.model.net_files().iter().chain(&[FINGERPRINT_FILE]) {
        let hash = manifest.files.get(*name).map_or("", String::as_str);
        let _ = writeln!(text, "file {name} {hash}");
    }
    sha256_hex(text.as_bytes())
}

/// Hexadecimal SHA-256 of `bytes`, as manifests write it.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A bundle that cannot be used, with every reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct BundleError {
    /// The directory that was read.
    pub dir: PathBuf,
    /// One line a problem, each starting with the file it is about. Never empty.
    pub problems: Vec<String>,
}

impl fmt::Display for BundleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot use bundle {}: ", self.dir.display())?;
        if let [only] = self.problems.as_slice() {
            return f.write_str(only);
        }
        write!(f, "{} problems", self.problems.len())?;
        for problem in &self.problems {
            write!(f, "\n  {problem}")?;
        }
        Ok(())
    }
}

#[derive(Default)]
struct Problems(Vec<String>);

impl Problems {
    fn add(&mut self, file: &str, problem: impl fmt::Display) {
        self.0.push(format!("{file}: {problem}"));
    }

    fn require(&mut self, holds: bool, file: &str, problem: impl fmt::Display) {
        if !holds {
            self.add(file, problem);
        }
    }
}

fn load(dir: &Path, problems: &mut Problems) -> Option<Bundle> {
    let manifest = read_manifest(dir, problems)?;
    check_manifest(&manifest, problems);
    let files = manifest.model.net_files().iter();
    let nets: Vec<Option<Vec<u8>>> = files
        .map(|name| read_verified(dir, name, &manifest, problems))
        .collect();
    let fingerprint = read_verified(dir, FINGERPRINT_FILE, &manifest, problems)
        .and_then(|bytes| read_fingerprint(&bytes, &manifest, problems));
    let hash = numeric_hash(&manifest);
    Some(Bundle {
        nets: nets.into_iter().collect::<Option<_>>()?,
        fingerprint: fingerprint?,
        manifest,
        hash,
    })
}

/// Key by key rather than in one go, so that one wrong key does not hide the next.
fn read_manifest(dir: &Path, problems: &mut Problems) -> Option<Manifest> {
    let text = match fs::read_to_string(dir.join(MANIFEST_FILE)) {
        Ok(text) => text,
        Err(error) => {
            problems.add(MANIFEST_FILE, error);
            return None;
        }
    };
    let mut table: toml::Table = match text.parse() {
        Ok(table) => table,
        Err(error) => {
            problems.add(MANIFEST_FILE, one_line(&error));
            return None;
        }
    };
    let version: u32 = take(&mut table, "format_version", problems)?;
    if version != FORMAT_VERSION {
        // Whatever else is wrong would be judged by the wrong rules.
        problems.add(
            MANIFEST_FILE,
            format_args!("format_version is {version}, this program reads {FORMAT_VERSION}"),
        );
        return None;
    }
    let name = take(&mut table, "name", problems);
    // A bundle from before there was a choice does not say.
    let model = match table.contains_key("model") {
        true => take(&mut table, "model", problems),
        false => Some(ModelKind::default()),
    };
    let window = take(&mut table, "window", problems);
    let channels = take(&mut table, "channels", problems);
    let latent = take(&mut table, "latent", problems);
    let interval = take(&mut table, "interval", problems);
    let architecture = take(&mut table, "architecture", problems);
    let scaler = take(&mut table, "scaler", problems);
    let training = take(&mut table, "training", problems);
    let calibration = take(&mut table, "calibration", problems);
    let files = take(&mut table, "files", problems);
    for key in table.keys() {
        problems.add(MANIFEST_FILE, format_args!("unknown key `{key}`"));
    }
    Some(Manifest {
        format_version: version,
        name: name?,
        model: model?,
        window: window?,
        channels: channels?,
        latent: latent?,
        interval: interval?,
        architecture: architecture?,
        scaler: scaler?,
        training: training?,
        calibration: calibration?,
        files: files?,
    })
}

fn take<T: DeserializeOwned>(table: &mut toml::Table, key: &str, problems: &mut Problems) -> Option<T> {
    let Some(value) = table.remove(key) else {
        problems.add(MANIFEST_FILE, format_args!("key `{key}` is missing"));
        return None;
    };
    match value.try_into() {
        Ok(value) => Some(value),
        Err(error) => {
            problems.add(MANIFEST_FILE, format_args!("key `{key}`: {}", one_line(&error)));
            None
        }
    }
}

/// Parsers of TOML explain themselves over several lines; a problem is one.
fn one_line(error: &impl fmt::Display) -> String {
    let text = error.to_string();
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    lines.join("; ")
}

fn check_manifest(manifest: &Manifest, problems: &mut Problems) {
    let m = manifest;
    let mut require = |holds, problem: String| problems.require(holds, MANIFEST_FILE, problem);
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    require(
        !m.name.is_empty() && m.name.chars().all(plain),
        format!(
            "name `{}` is not made of letters, digits, `-`, `_` and `.`",
            m.name
        ),
    );
    let (fits, wanted) = match m.model {
        ModelKind::Tadgan => (
            m.window >= SHORTEST_TADGAN && m.window.is_multiple_of(2),
            format!("even and at least {SHORTEST_TADGAN}"),
        ),
        ModelKind::Aer => (m.window >= SHORTEST_AER, format!("at least {SHORTEST_AER}")),
    };
    require(fits, format!("window is {}, must be {wanted}", m.window));
    require(
        m.channels == 1,
        format!("channels is {}, this program serves 1", m.channels),
    );
    require(m.latent > 0, "latent is 0".to_owned());
    if let crate::manifest::IntervalSpec::Ms(ms) = m.interval {
        require(ms > 0, format!("interval is {ms} ms, must be positive"));
    }
    require(
        match m.scaler {
            Scaler::MinMax { min, max } => min.is_finite() && max.is_finite() && min <= max,
            Scaler::Window { gain } => gain.is_finite() && gain > 0.0,
        },
        "scaler: numbers must be finite, min at most max, gain positive".to_owned(),
    );
    check_calibration(m, problems);
    for name in m.files.keys() {
        let known = m.model.net_files().contains(&name.as_str()) || name == FINGERPRINT_FILE;
        problems.require(known, MANIFEST_FILE, format_args!("files: unknown file `{name}`"));
    }
}

fn check_calibration(manifest: &Manifest, problems: &mut Problems) {
    let calibration = &manifest.calibration;
    problems.require(
        calibration.windows(2).all(|pair| pair[0].lag < pair[1].lag),
        MANIFEST_FILE,
        "calibration: lags must ascend",
    );
    // A bucket has left the window after L - 1 further ones.
    for lag in SERVED_LAGS.into_iter().filter(|lag| *lag < manifest.window) {
        problems.require(
            calibration.iter().any(|c| c.lag == lag),
            MANIFEST_FILE,
            format_args!("calibration: lag {lag} is missing"),
        );
    }
    for c in calibration {
        let finite = [c.error_median, c.error_p99, c.critic_center, c.critic_scale]
            .iter()
            .all(|n| n.is_finite());
        let ordered = 0.0 <= c.error_median && c.error_median <= c.error_p99 && c.critic_scale > 0.0;
        problems.require(
            finite && ordered,
            MANIFEST_FILE,
            format_args!(
                "calibration: lag {}: wants 0 <= error_median <= error_p99, critic_scale > 0, all finite",
                c.lag
            ),
        );
    }
}

fn read_verified(dir: &Path, name: &str, manifest: &Manifest, problems: &mut Problems) -> Option<Vec<u8>> {
    let Some(expected) = manifest.files.get(name) else {
        problems.add(MANIFEST_FILE, format_args!("files: `{name}` is missing"));
        return None;
    };
    let bytes = match fs::read(dir.join(name)) {
        Ok(bytes) => bytes,
        Err(error) => {
            problems.add(name, error);
            return None;
        }
    };
    let found = sha256_hex(&bytes);
    if !found.eq_ignore_ascii_case(expected) {
        problems.add(
            name,
            format_args!("SHA-256 is {found}, the manifest says {expected}"),
        );
        return None;
    }
    Some(bytes)
}

fn read_fingerprint(bytes: &[u8], manifest: &Manifest, problems: &mut Problems) -> Option<Fingerprint> {
    let fingerprint: Fingerprint = match serde_json::from_slice(bytes) {
        Ok(fingerprint) => fingerprint,
        Err(error) => {
            problems.add(FINGERPRINT_FILE, error);
            return None;
        }
    };
    let f = &fingerprint;
    let rows = f.input.len();
    let is_matrix = |rows_of: &[Vec<f32>], width: usize| {
        rows_of.len() == rows
            && rows_of
                .iter()
                .all(|row| row.len() == width && row.iter().all(|n| n.is_finite()))
    };
    let judged = match manifest.model {
        ModelKind::Tadgan => rows,
        ModelKind::Aer => 0,
    };
    let is_column = |column: &[f32]| column.len() == judged && column.iter().all(|n| n.is_finite());
    let mut require = |holds, problem: String| problems.require(holds, FINGERPRINT_FILE, problem);
    require(rows > 0, "input is empty".to_owned());
    for (name, matrix, width) in [
        ("input", &f.input, manifest.window),
        ("latent", &f.latent, manifest.latent),
        ("reconstruction", &f.reconstruction, manifest.window),
    ] {
        let wanted = format!("{name} is not {rows} rows of {width} finite numbers");
        require(is_matrix(matrix, width), wanted);
    }
    for (name, column) in [("critic_x", &f.critic_x), ("critic_z", &f.critic_z)] {
        require(
            is_column(column),
            format!("{name} is not {judged} finite numbers"),
        );
    }
    require(
        f.tolerance.is_finite() && f.tolerance > 0.0,
        format!("tolerance is {}, must be positive", f.tolerance),
    );
    Some(fingerprint)
}
