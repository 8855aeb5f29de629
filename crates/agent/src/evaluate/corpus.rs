//! The labelled files under a folder.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use ingest::file::{FileOptions, ReadItem};
use ingest::labels::Labels;

use crate::failure::Failure;

/// A labelled file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LabelledFile {
    pub(super) path: PathBuf,
    /// Path below the folder, its parts joined by `/`.
    pub(super) name: String,
    /// First folder below the folder; `.` for a file that lies in it directly.
    pub(super) family: String,
    /// Its number among the labelled files by name, from 1 on, is odd.
    pub(super) odd: bool,
}

/// What was found.
#[derive(Debug)]
pub(super) struct Found {
    /// By name.
    pub(super) files: Vec<LabelledFile>,
    /// Keys of the labels that name nothing here.
    pub(super) unused_keys: Vec<String>,
}

/// Finds every file under `dir` that `labels`, read from `labels_path`, cover, or of which they cover a series. Names that begin
/// with a dot are passed over.
///
/// # Errors
/// A folder that cannot be read, holds no file, or no labelled one.
pub(super) fn find(
    dir: &Path,
    labels: &Labels,
    labels_path: &Path,
    read: &FileOptions,
) -> Result<Found, Failure> {
    let mut all = Vec::new();
    walk(dir, "", &mut all)?;
    let own = labels_path.canonicalize().ok();
    all.retain(|file| own.is_none() || file.path.canonicalize().ok() != own);
    if all.is_empty() {
        return Err(Failure::data(format_args!("{} holds no file", dir.display())));
    }
    let seen = all.len();
    let mut unused: BTreeSet<&str> = labels.keys().collect();
    all.retain(|file| {
        let keys = keys_of(file, labels, read);
        keys.iter().for_each(|key| {
            unused.remove(key);
        });
        !keys.is_empty()
    });
    if all.is_empty() {
        return Err(Failure::data(format_args!(
            "{}: no key names any of the {seen} files under {}",
            labels_path.display(),
            dir.display()
        )));
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    for (at, file) in all.iter_mut().enumerate() {
        file.odd = at.is_multiple_of(2);
    }
    let unused_keys = unused.into_iter().map(str::to_owned).collect();
    Ok(Found {
        files: all,
        unused_keys,
    })
}

/// Keys that name the file; where none does, those that name a series in it, for which it has to be read.
fn keys_of<'a>(file: &LabelledFile, labels: &'a Labels, read: &FileOptions) -> Vec<&'a str> {
    let keys = labels.keys_of_file(&file.path);
    if !keys.is_empty() {
        return keys;
    }
    // What cannot be read holds no labelled series.
    let Ok(reader) = ingest::file::open(&file.path, read) else {
        return Vec::new();
    };
    let series: BTreeSet<_> = reader
        .map_while(Result::ok)
        .filter_map(|item| match item {
            ReadItem::Sample(sample) => Some(sample.series),
            ReadItem::Rejected(_) | ReadItem::Truth { .. } => None,
        })
        .collect();
    series.iter().flat_map(|s| labels.keys_of_series(s)).collect()
}

fn walk(dir: &Path, below: &str, found: &mut Vec<LabelledFile>) -> Result<(), Failure> {
    let unreadable = |error: std::io::Error| {
        let message = format!("{} cannot be read as a folder: {error}", dir.display());
        match error.kind() {
            std::io::ErrorKind::NotFound => Failure::no_input(message),
            std::io::ErrorKind::NotADirectory => Failure::data(message),
            _ => Failure::io(message),
        }
    };
    let mut entries = fs::read_dir(dir)
        .map_err(unreadable)?
        .collect::<Result<Vec<_>, _>>()
        .map_err(unreadable)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        let path = entry.path();
        let name = if below.is_empty() {
            name
        } else {
            format!("{below}/{name}")
        };
        // A link to a folder is not followed: it could lead back here.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&path, &name, found)?;
        } else if path.is_file() {
            let family = name.split_once('/').map_or(".", |(first, _)| first).to_owned();
            found.push(LabelledFile {
                path,
                name,
                family,
                odd: false,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_by_path_and_by_series() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        for folder in ["b/deep", "a"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        for (file, text) in [
            ("b/deep/x.csv", "timestamp,value\n1,1\n"),
            ("a/wide.csv", "timestamp,cpu,mem\n1,1,2\n"),
            ("top.csv", "timestamp,value\n1,1\n"),
            ("LICENSE.txt", "words\n"),
            (".hidden.csv", "timestamp,value\n1,1\n"),
        ] {
            fs::write(root.join(file), text).unwrap();
        }
        let text = r#"{"deep/x.csv": [], "wide.mem": [[1, 2]], "top": [], "gone": [], ".hidden": []}"#;
        let labels_path = root.join("labels.json");
        fs::write(&labels_path, text).unwrap();
        let labels = Labels::load(&labels_path).unwrap();
        let found = find(root, &labels, &labels_path, &FileOptions::default()).unwrap();
        let names: Vec<_> = found
            .files
            .iter()
            .map(|f| (f.name.as_str(), f.family.as_str(), f.odd))
            .collect();
        assert_eq!(
            names,
            [
                ("a/wide.csv", "a", true),
                ("b/deep/x.csv", "b", false),
                ("top.csv", ".", true)
            ]
        );
        assert_eq!(found.unused_keys, [".hidden", "gone"]);

        let none = Labels::from_json(r#"{"other": []}"#).unwrap();
        let error = find(root, &none, &labels_path, &FileOptions::default()).unwrap_err();
        assert!(
            error.message.contains("no key names any of the 4 files under"),
            "{error}"
        );
    }
}
