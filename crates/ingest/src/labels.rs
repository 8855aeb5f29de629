//! Known anomalies: windows of time by file or by series.
//!
//! JSON `{key: [[start, end], …]}`. A key that is a suffix of a file's path, whole directories only and with or
//! without the file's extensions, covers every series of the file; a key that is a series' canonical text, or its
//! name, covers that series. Times are RFC 3339, `YYYY-MM-DD HH:MM:SS` or unix seconds, as text or as numbers.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::path::{Component, Path};

use jiff::tz::TimeZone;
use serde_json::Value;
use types::{SeriesKey, Timestamp};

use crate::decode::excerpt;
use crate::file::{stem, without_compression};

/// The windows of a label file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    windows: BTreeMap<String, Vec<(Timestamp, Timestamp)>>,
}

/// Why a label file cannot be used. One line, without the path.
#[derive(Debug, thiserror::Error)]
pub enum LabelsError {
    /// What lies under a key is no list of windows.
    #[error("under `{key}`: {detail}")]
    Entry {
        /// The key.
        key: String,
        /// What is wrong there.
        detail: String,
    },
    /// It is no JSON object.
    #[error("it is no JSON object of windows: {0}")]
    Json(#[from] serde_json::Error),
    /// Reading it failed.
    #[error("it cannot be read: {0}")]
    Read(#[from] io::Error),
}

impl Labels {
    /// Reads labels; naive times are UTC.
    ///
    /// # Errors
    /// When the text is not of the form above; the message names the key.
    pub fn from_json(text: &str) -> Result<Self, LabelsError> {
        Self::from_json_in(text, None)
    }

    /// Reads labels; naive times are of `zone`, UTC when `None`.
    ///
    /// # Errors
    /// When the text is not of the form above; the message names the key.
    pub fn from_json_in(text: &str, zone: Option<&TimeZone>) -> Result<Self, LabelsError> {
        let text = text.trim_start_matches('\u{FEFF}');
        let entries: BTreeMap<String, Value> = serde_json::from_str(text)?;
        let mut windows = BTreeMap::new();
        for (key, value) in entries {
            match read_windows(&value, zone) {
                Ok(list) => windows.insert(key, list),
                Err(detail) => return Err(LabelsError::Entry { key, detail }),
            };
        }
        Ok(Self { windows })
    }

    /// Reads a label file; naive times are UTC.
    ///
    /// # Errors
    /// When the file cannot be read or is not of the form above.
    pub fn load(path: &Path) -> Result<Self, LabelsError> {
        Self::load_in(path, None)
    }

    /// Reads a label file; naive times are of `zone`, UTC when `None`.
    ///
    /// # Errors
    /// When the file cannot be read or is not of the form above.
    pub fn load_in(path: &Path, zone: Option<&TimeZone>) -> Result<Self, LabelsError> {
        Self::from_json_in(&std::fs::read_to_string(path)?, zone)
    }

    /// The windows of one series of one file, both ends included, by start; each once.
    ///
    /// The file need not exist; a relative path counts from the current directory.
    #[must_use]
    pub fn windows(&self, file: &Path, series: &SeriesKey) -> Vec<(Timestamp, Timestamp)> {
        let absolute = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        let mut found: Vec<_> = self
            .windows
            .iter()
            .filter(|(key, _)| {
                *key == series.as_str() || *key == series.name() || is_suffix(Path::new(key), &absolute)
            })
            .flat_map(|(_, windows)| windows.iter().copied())
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Every key, in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.windows.keys().map(String::as_str)
    }

    /// The keys that cover every series of the file.
    #[must_use]
    pub fn keys_of_file(&self, file: &Path) -> Vec<&str> {
        let absolute = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        let naming = self.keys().filter(|key| is_suffix(Path::new(key), &absolute));
        naming.collect()
    }

    /// The keys that are this series, by its text or its name.
    #[must_use]
    pub fn keys_of_series(&self, series: &SeriesKey) -> Vec<&str> {
        let naming = self
            .keys()
            .filter(|key| *key == series.as_str() || *key == series.name());
        naming.collect()
    }

    /// Whether any key covers every series of the file, be it with no windows: the file is labelled.
    #[must_use]
    pub fn covers(&self, file: &Path) -> bool {
        let absolute = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        self.windows
            .keys()
            .any(|key| is_suffix(Path::new(key), &absolute))
    }
}

/// Compares whole components from the end, the last one with the file's extensions optional.
fn is_suffix(key: &Path, file: &Path) -> bool {
    let mut key = components(key);
    let mut path = components(file);
    let (Some(last), Some(name)) = (key.next(), path.next()) else {
        return false;
    };
    let named = last == name
        || name
            .to_str()
            .is_some_and(|name| last == without_compression(name))
        || last == stem(file).as_str();
    named && key.all(|component| path.next() == Some(component))
}

/// Names of a path from the last to the first.
fn components(path: &Path) -> impl Iterator<Item = &OsStr> {
    path.components().rev().filter_map(|component| match component {
        Component::Normal(name) => Some(name),
        Component::CurDir | Component::ParentDir | Component::Prefix(_) | Component::RootDir => None,
    })
}

fn read_windows(value: &Value, zone: Option<&TimeZone>) -> Result<Vec<(Timestamp, Timestamp)>, String> {
    let list = value.as_array().ok_or("expected a list of [start, end] pairs")?;
    let pairs = list.iter().enumerate().map(|(n, pair)| {
        let place = |detail: String| format!("window {}: {detail}", n + 1);
        let Some([start, end]) = pair.as_array().map(Vec::as_slice) else {
            return Err(place("expected a pair [start, end]".to_owned()));
        };
        let start = read_time(start, zone).map_err(place)?;
        let end = read_time(end, zone).map_err(place)?;
        if end < start {
            return Err(place(format!("it ends at {end}, before its start at {start}")));
        }
        Ok((start, end))
    });
    pairs.collect()
}

fn read_time(value: &Value, zone: Option<&TimeZone>) -> Result<Timestamp, String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Array(_) | Value::Bool(_) | Value::Null | Value::Object(_) => {
            return Err(format!("`{}` is no time", excerpt(&value.to_string())));
        }
    };
    Timestamp::parse(&text, zone).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> Labels {
        Labels::from_json(text).unwrap()
    }

    fn seconds(labels: &Labels, file: &str, series: &str) -> Vec<i64> {
        let series = SeriesKey::from_name(series).unwrap();
        let windows = labels.windows(Path::new(file), &series);
        windows
            .into_iter()
            .map(|(start, _)| start.millis() / 1000)
            .collect()
    }

    #[test]
    fn times_in_all_spellings() {
        let labels = labels(
            r#"{"a": [["1970-01-01T00:00:01Z", "1970-01-01T01:00:09+01:00"], ["1970-01-01 00:00:02.000000", 9],
                [3, 9.5], ["4", "9"]]}"#,
        );
        assert_eq!(seconds(&labels, "a.csv", "a"), [1, 2, 3, 4]);
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        let labels = Labels::from_json_in(r#"{"a": [["1970-01-01 01:00:05", 9]]}"#, Some(&zone)).unwrap();
        assert_eq!(seconds(&labels, "a.csv", "a"), [5]);
    }

    #[test]
    fn a_key_is_a_suffix_of_the_path() {
        let labels =
            labels(r#"{"fam/a.csv": [[1, 2]], "fam/a": [[2, 3]], "a": [[3, 4]], "m/a.csv": [[4, 5]]}"#);
        assert_eq!(seconds(&labels, "/data/fam/a.csv", "x"), [1, 2, 3]);
        assert_eq!(seconds(&labels, "/data/fam/a.csv.gz", "x"), [1, 2, 3]);
        assert_eq!(seconds(&labels, "/data/fam/a.jsonl", "x"), [2, 3]);
        assert_eq!(seconds(&labels, "data/./fam/a.csv.ZST", "x"), [1, 2, 3]);
        assert_eq!(seconds(&labels, "/data/other/a.csv", "x"), [3]);
        assert_eq!(seconds(&labels, "/data/fam/ba.csv", "x"), [] as [i64; 0]);
        assert!(labels.covers(Path::new("a.csv")) && !labels.covers(Path::new("ba.csv")));
    }

    #[test]
    fn a_relative_path_counts_from_the_current_directory() {
        let here = std::env::current_dir().unwrap();
        let key = Path::new(here.file_name().unwrap()).join("a.csv");
        let text = serde_json::json!({ key.to_str().unwrap(): [[1, 2]] }).to_string();
        assert_eq!(seconds(&labels(&text), "a.csv", "x"), [1]);
    }

    #[test]
    fn a_key_is_a_series() {
        let labels = labels(r#"{"m-1.cpu": [[5, 6], [1, 2]], "m-1": [[1, 2]], "cpu{host=\"a\"}": [[7, 8]]}"#);
        assert_eq!(seconds(&labels, "m-1.csv", "m-1.cpu"), [1, 5]);
        assert_eq!(seconds(&labels, "m-1.csv", "m-1.mem"), [1]);
        let series = SeriesKey::new("cpu", [("host", "a")]).unwrap();
        assert_eq!(labels.windows(Path::new("x.csv"), &series).len(), 1);
        assert_eq!(seconds(&labels, "x.csv", "cpu"), [] as [i64; 0]);
    }

    #[test]
    fn mistakes_are_named() {
        for (text, message) in [
            (r#"{"a": 1}"#, "under `a`: expected a list of [start, end] pairs"),
            (
                r#"{"a": [[1, 2], [1]]}"#,
                "under `a`: window 2: expected a pair [start, end]",
            ),
            (r#"{"a": [[1, true]]}"#, "under `a`: window 1: `true` is no time"),
            (
                r#"{"a": [[2, 1]]}"#,
                "under `a`: window 1: it ends at 1970-01-01T00:00:01Z, before its start at 1970-01-01T00:00:02Z",
            ),
        ] {
            assert_eq!(Labels::from_json(text).unwrap_err().to_string(), message);
        }
        for text in ["", "[]", "{"] {
            assert!(matches!(Labels::from_json(text), Err(LabelsError::Json(_))));
        }
    }
}
