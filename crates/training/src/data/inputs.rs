//! Which files are read, and what they are called.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::error::DataError;

/// A file to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputFile {
    /// Where it lies.
    pub path: PathBuf,
    /// What a bundle calls it: not where it lay, so that moving the data changes no bundle. Unique.
    pub name: String,
}

/// Files to read, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inputs {
    /// The files.
    pub files: Vec<InputFile>,
    /// Whether a file that holds nothing usable is passed over as long as others do.
    pub pass_over: bool,
}

impl Inputs {
    /// Named files, each of which must be usable; called by their last part.
    #[must_use]
    pub fn files(paths: &[PathBuf]) -> Self {
        let mut inputs = Gathered::default();
        for path in paths {
            inputs.add(path.clone(), Path::new(path.file_name().unwrap_or_default()));
        }
        Self {
            files: inputs.files,
            pass_over: false,
        }
    }

    /// Files that are searched for; a file that is found twice is read once. Each argument is one of
    /// - a directory: all metric files in it and below, by their extension (`.csv`, `.jsonl`, `.ndjson`, and with `.gz`
    ///   or `.zst`), called by their path within it;
    /// - a file;
    /// - a pattern such as `metrics/**/*.csv`: `*` and `?` within a name, `**` any directories, `[ab]` one of some
    ///   characters. Files are called by their path below the directories that the pattern spells out.
    ///
    /// They come in the order of the arguments, sorted by path within each.
    ///
    /// # Errors
    /// When an argument names no file, or a directory cannot be read.
    pub fn search(arguments: &[PathBuf]) -> Result<Self, DataError> {
        let mut inputs = Gathered::default();
        for argument in arguments {
            let before = inputs.found;
            let reason = if argument.is_dir() {
                for path in files_under(argument)? {
                    let name = path.strip_prefix(argument).unwrap_or(&path).to_owned();
                    inputs.add(path, &name);
                }
                "no .csv, .jsonl or .ndjson in it"
            } else if argument.is_file() {
                inputs.add(
                    argument.clone(),
                    Path::new(argument.file_name().unwrap_or_default()),
                );
                ""
            } else {
                inputs.pattern(argument)?;
                "no such file or directory, and as a pattern it matches nothing"
            };
            if inputs.found == before {
                return Err(no_file(argument, reason));
            }
        }
        Ok(Self {
            files: inputs.files,
            pass_over: true,
        })
    }
}

fn no_file(argument: &Path, reason: impl Into<String>) -> DataError {
    DataError::NoFile {
        argument: argument.display().to_string(),
        reason: reason.into(),
    }
}

#[derive(Default)]
struct Gathered {
    files: Vec<InputFile>,
    names: BTreeSet<String>,
    seen: BTreeSet<PathBuf>,
    /// Files found, those found before included.
    found: usize,
}

impl Gathered {
    fn add(&mut self, path: PathBuf, name: &Path) {
        self.found += 1;
        // What cannot be resolved cannot be opened either, which is said then.
        if !self
            .seen
            .insert(path.canonicalize().unwrap_or_else(|_| path.clone()))
        {
            return;
        }
        let name = name.to_string_lossy().into_owned();
        let others = (2..).map(|number| format!("{name}#{number}"));
        let free = std::iter::once(name.clone())
            .chain(others)
            .find(|name| !self.names.contains(name));
        let name = free.unwrap_or(name);
        self.names.insert(name.clone());
        self.files.push(InputFile { path, name });
    }

    fn pattern(&mut self, argument: &Path) -> Result<(), DataError> {
        let pattern = argument.to_string_lossy();
        let paths = glob::glob(&pattern).map_err(|error| no_file(argument, error.msg))?;
        let mut files = Vec::new();
        for path in paths {
            let path = path.map_err(|error| DataError::Read {
                path: error.path().to_owned(),
                source: error.into(),
            })?;
            if path.is_file() {
                files.push(path);
            }
        }
        files.sort();
        let is_spelt = |part: &&std::ffi::OsStr| !part.to_string_lossy().contains(['*', '?', '[']);
        let base: PathBuf = argument.iter().take_while(is_spelt).collect();
        for path in files {
            let name = path.strip_prefix(&base).unwrap_or(&path).to_owned();
            self.add(path, &name);
        }
        Ok(())
    }
}

fn files_under(dir: &Path) -> Result<Vec<PathBuf>, DataError> {
    let failed = |source| DataError::Read {
        path: dir.to_owned(),
        source,
    };
    let mut entries = fs::read_dir(dir)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(failed)?;
    entries.sort_by_key(fs::DirEntry::path);
    let mut files = Vec::new();
    for entry in entries {
        let (path, kind) = (entry.path(), entry.file_type().map_err(failed)?);
        if kind.is_dir() {
            files.extend(files_under(&path)?);
        } else if is_metric_file(&path) {
            files.push(path);
        }
    }
    Ok(files)
}

fn is_metric_file(path: &Path) -> bool {
    let name = path.to_string_lossy().to_lowercase();
    let plain = name.trim_end_matches(".gz").trim_end_matches(".zst");
    [".csv", ".jsonl", ".ndjson"]
        .iter()
        .any(|end| plain.ends_with(end))
}
