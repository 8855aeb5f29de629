//! Finding and loading ONNX Runtime, once a process.

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::ffi::{CStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use ort::environment::Environment;
use serde::{Deserialize, Serialize};

/// Environment variable that names the library.
pub const LIBRARY_VARIABLE: &str = "ORT_DYLIB_PATH";

/// Where the nets are wanted to run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Device {
    /// CUDA when it really works here, else the CPU.
    Auto,
    /// The CPU.
    #[default]
    Cpu,
    /// The first CUDA device; an error when it does not work, never a silent fallback.
    Cuda,
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
        })
    }
}

impl FromStr for Device {
    type Err = ParseDeviceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda),
            _ => Err(ParseDeviceError(text.to_owned())),
        }
    }
}

/// Not a [`Device`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown device `{0}`, expected cpu, cuda or auto")]
pub struct ParseDeviceError(String);

/// Where to look for the library, taken from the process or from a test.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// From the command line or the configuration. When given, nothing else is tried.
    pub explicit: Option<PathBuf>,
    /// Value of [`LIBRARY_VARIABLE`]. When set and not empty, nothing after it is tried.
    pub variable: Option<OsString>,
    /// Directory of the executable.
    pub executable_dir: Option<PathBuf>,
    /// `.deps/` is looked for here and in every ancestor, nearest first.
    pub current_dir: Option<PathBuf>,
}

impl Search {
    /// The places of this process.
    #[must_use]
    pub fn of_process(explicit: Option<PathBuf>) -> Self {
        Self {
            explicit,
            variable: std::env::var_os(LIBRARY_VARIABLE).filter(|value| !value.is_empty()),
            executable_dir: std::env::current_exe()
                .ok()
                .and_then(|path| path.parent().map(Path::to_path_buf)),
            current_dir: std::env::current_dir().ok(),
        }
    }

    /// What to try, in order. A place that was asked for by name is the only one; of the others, only files that
    /// exist are worth a try, and the loader's own search comes last.
    fn candidates(&self) -> Vec<Candidate> {
        if let Some(path) = &self.explicit {
            return vec![Candidate::file("as configured", path)];
        }
        if let Some(value) = &self.variable {
            return vec![Candidate::file("from ORT_DYLIB_PATH", Path::new(value))];
        }
        let name = format!("{DLL_PREFIX}onnxruntime{DLL_SUFFIX}");
        let mut found = Vec::new();
        if let Some(dir) = &self.executable_dir {
            found.push(Candidate::file("beside the executable", &dir.join(&name)));
        }
        if let Some(dir) = &self.current_dir {
            let nearest = dir
                .ancestors()
                .find(|dir| dir.join(".deps").join(&name).is_file());
            let deps = nearest.unwrap_or(dir).join(".deps").join(&name);
            found.push(Candidate::file("in .deps here or above", &deps));
        }
        // Distributions ship the bare name with their development package only.
        for name in [name.clone(), format!("{name}.1")] {
            found.push(Candidate {
                place: "in the system",
                path: name.into(),
                by_loader: true,
            });
        }
        found
    }
}

#[derive(Clone, Debug)]
struct Candidate {
    place: &'static str,
    path: PathBuf,
    /// A bare name for the system's loader, not a file.
    by_loader: bool,
}

impl Candidate {
    fn file(place: &'static str, path: &Path) -> Self {
        Self {
            place,
            path: path.to_path_buf(),
            by_loader: false,
        }
    }

    fn load(&self) -> Result<Runtime, String> {
        if self.by_loader {
            return load(&self.path);
        }
        if !self.path.is_file() {
            return Err("no such file".to_owned());
        }
        // The loader takes a name without a directory as one to search for.
        let path = std::path::absolute(&self.path).map_err(|error| error.to_string())?;
        load(&path)
    }
}

/// ONNX Runtime, loaded. Cheap to clone; there is one a process.
#[derive(Clone, Debug)]
pub struct Runtime(Arc<Loaded>);

#[derive(Debug)]
struct Loaded {
    path: PathBuf,
    version: String,
    environment: Environment,
}

/// A process can load ONNX Runtime once and never let go of it.
static LOADED: Mutex<Option<Runtime>> = Mutex::new(None);

impl Runtime {
    /// Finds and loads the library: `explicit`, `ORT_DYLIB_PATH`, beside the executable, `.deps/` under the nearest
    /// ancestor of the current directory, the system. The first two, when given, are the only places tried.
    /// When the process has loaded a library before, that one is handed out.
    ///
    /// # Errors
    /// Every place looked at and what was wrong there.
    pub fn find(explicit: Option<&Path>) -> Result<Self, RuntimeError> {
        Self::load(&Search::of_process(explicit.map(Path::to_path_buf)))
    }

    /// [`Runtime::find`] with the places named.
    ///
    /// # Errors
    /// Every place looked at and what was wrong there.
    pub fn load(search: &Search) -> Result<Self, RuntimeError> {
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = &*loaded {
            return Ok(runtime.clone());
        }
        let mut tried = Vec::new();
        for candidate in search.candidates() {
            match candidate.load() {
                Ok(runtime) => return Ok(loaded.insert(runtime).clone()),
                Err(reason) => tried.push(format!(
                    "{} ({}): {reason}",
                    candidate.path.display(),
                    candidate.place
                )),
            }
        }
        Err(RuntimeError { tried })
    }

    /// The file, or the bare name that the system's loader resolved.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Version of the library, e.g. `1.31.1`: part of the numeric identity of scores.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.0.version
    }

    pub(crate) fn environment(&self) -> &Environment {
        &self.0.environment
    }
}

fn load(path: &Path) -> Result<Runtime, String> {
    let version = library_version(path)?;
    let environment = ort::init_from(path)
        .map_err(|error| error.to_string())?
        .with_name("aiops")
        .with_telemetry(false)
        .build()
        .map_err(|error| error.to_string())?;
    Ok(Runtime(Arc::new(Loaded {
        path: path.to_path_buf(),
        version,
        environment,
    })))
}

/// Asks the library itself, before `ort` does: `ort` checks the version but does not hand it out.
#[expect(
    unsafe_code,
    reason = "loading a shared library and calling into it cannot be safe code"
)]
fn library_version(path: &Path) -> Result<String, String> {
    // SAFETY: ONNX Runtime's initialisers have no preconditions; `ort` is about to load the same file.
    let library = unsafe { libloading::Library::new(path) }.map_err(with_source)?;
    // SAFETY: the symbol's type is the one in ONNX Runtime's C API, unchanged since its first release.
    let base =
        unsafe { library.get::<unsafe extern "C" fn() -> *const ort::sys::OrtApiBase>(b"OrtGetApiBase") }
            .map_err(|_| "not ONNX Runtime: it does not export OrtGetApiBase".to_owned())?;
    // SAFETY: the function takes nothing and returns null or a pointer to a static table.
    let base = unsafe { base().as_ref() }.ok_or("not ONNX Runtime: it has no API")?;
    // SAFETY: the table's function returns a static NUL-terminated string.
    let version = unsafe { CStr::from_ptr((base.GetVersionString)()) };
    Ok(version.to_string_lossy().into_owned())
}

/// The loader says what failed, its source why.
fn with_source(error: libloading::Error) -> String {
    match std::error::Error::source(&error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// ONNX Runtime was not found, with every place looked at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct RuntimeError {
    /// One line a place, with what was wrong there.
    pub tried: Vec<String>,
}

impl fmt::Display for RuntimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot load ONNX Runtime; looked at:")?;
        for line in &self.tried {
            write!(f, "\n  {line}")?;
        }
        write!(
            f,
            "\nrun `make deps`, or set {LIBRARY_VARIABLE} to libonnxruntime.so"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(search: &Search) -> Vec<(&'static str, PathBuf)> {
        search
            .candidates()
            .into_iter()
            .map(|c| (c.place, c.path))
            .collect()
    }

    #[test]
    fn a_named_library_is_the_only_one_tried() {
        let search = Search {
            explicit: Some("given.so".into()),
            variable: Some("variable.so".into()),
            executable_dir: Some("bin".into()),
            current_dir: Some("here".into()),
        };
        assert_eq!(places(&search), [("as configured", "given.so".into())]);
        let search = Search {
            explicit: None,
            ..search
        };
        assert_eq!(places(&search), [("from ORT_DYLIB_PATH", "variable.so".into())]);
    }

    #[test]
    fn the_nearest_deps_directory_wins() {
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("a/b");
        for dir in [
            root.path().join(".deps"),
            root.path().join("a/.deps"),
            inner.clone(),
        ] {
            std::fs::create_dir_all(&dir).unwrap();
        }
        let library = root.path().join(".deps/libonnxruntime.so");
        std::fs::write(&library, "").unwrap();
        let search = Search {
            current_dir: Some(inner.clone()),
            ..Search::default()
        };
        // The nearer `.deps` holds no library.
        assert_eq!(places(&search)[0].1, library);
        std::fs::write(inner.join("../.deps/libonnxruntime.so"), "").unwrap();
        assert_eq!(
            places(&search)[0].1,
            root.path().join("a/.deps/libonnxruntime.so")
        );
    }

    #[test]
    fn a_file_that_is_no_library_is_named_with_the_reason() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("libonnxruntime.so");
        std::fs::write(&path, "not a library").unwrap();
        assert!(library_version(&path).is_err());
        let error = RuntimeError {
            tried: vec!["x.so (as configured): no such file".to_owned()],
        };
        let text = error.to_string();
        assert!(
            text.contains("x.so (as configured): no such file") && text.contains("make deps"),
            "{text}"
        );
    }

    #[test]
    fn devices_parse_as_they_print() {
        for device in [Device::Auto, Device::Cpu, Device::Cuda] {
            assert_eq!(device.to_string().parse(), Ok(device));
        }
        assert_eq!("gpu".parse::<Device>(), Err(ParseDeviceError("gpu".to_owned())));
    }
}
