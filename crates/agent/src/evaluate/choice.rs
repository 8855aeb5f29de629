//! Which files and series are looked at, and from when on they are judged.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use types::{SeriesKey, Timestamp};

use crate::failure::Failure;

/// Every other labelled file, in alphabetical order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Half {
    /// The first, the third, …
    Odd,
    /// The second, the fourth, …
    Even,
}

/// Where a file's judged part begins.
#[derive(Clone, Debug, PartialEq)]
pub enum Cut {
    /// After this share of its time span; in [0, 1).
    Fraction(f64),
    /// At a time of its own. A file that is not named is judged whole.
    Starts(Vec<(PathBuf, Timestamp)>),
}

/// What of the labelled files is looked at and judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// The series looked at; all when `None`.
    pub series: Option<BTreeSet<String>>,
    /// What is judged of them.
    pub cut: Cut,
}

impl Choice {
    /// Whether a series is looked at.
    #[must_use]
    pub fn takes(&self, series: &SeriesKey) -> bool {
        let listed = |list: &BTreeSet<String>| list.contains(series.as_str()) || list.contains(series.name());
        self.series.as_ref().is_none_or(listed)
    }

    /// When the judged part of a file begins that holds samples from `first` to `last`.
    #[must_use]
    pub fn from(&self, file: &Path, first: Timestamp, last: Timestamp) -> Timestamp {
        match &self.cut {
            Cut::Fraction(fraction) => first + ((last - first) as f64 * fraction).round() as i64,
            Cut::Starts(starts) => {
                let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
                let own = starts.iter().find(|(name, _)| file.ends_with(name));
                own.map_or(first, |(_, start)| *start)
            }
        }
    }
}

/// Reads a list of series: one name or canonical text a line; what follows a `#` is a comment.
///
/// # Errors
/// A file that cannot be read, or lists nothing.
pub fn read_series(path: &Path) -> Result<BTreeSet<String>, Failure> {
    let text = read(path)?;
    let lines = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or("").trim());
    let list: BTreeSet<String> = lines.filter(|line| !line.is_empty()).map(str::to_owned).collect();
    if list.is_empty() {
        return Err(Failure::data(format_args!(
            "{}: it lists no series",
            path.display()
        )));
    }
    Ok(list)
}

/// Reads where files are cut: JSON `{"signals": [{"file": …, "test_start": unix seconds}, …]}`, as collections of labelled series
/// come with. `file` is a suffix of a path, whole directories only; a signal without a `test_start` has no cut.
///
/// # Errors
/// A file that cannot be read, is not of the form, or cuts nothing.
pub fn read_cuts(path: &Path) -> Result<Cut, Failure> {
    #[derive(Deserialize)]
    struct Manifest {
        signals: Vec<Signal>,
    }
    #[derive(Deserialize)]
    struct Signal {
        file: PathBuf,
        test_start: Option<i64>,
    }
    let wrong = |why: String| Failure::data(format_args!("{}: {why}", path.display()));
    let manifest: Manifest = serde_json::from_str(&read(path)?).map_err(|e| wrong(e.to_string()))?;
    let cut = |signal: Signal| {
        let start = signal.test_start?.checked_mul(1000)?;
        Some((signal.file, Timestamp::from_millis(start)))
    };
    let starts: Vec<_> = manifest.signals.into_iter().filter_map(cut).collect();
    if starts.is_empty() {
        return Err(wrong("no signal has a test_start".to_owned()));
    }
    Ok(Cut::Starts(starts))
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| {
        let message = format!("{}: it cannot be read: {error}", path.display());
        match error.kind() {
            io::ErrorKind::NotFound => Failure::no_input(message),
            io::ErrorKind::InvalidData => Failure::data(message),
            _ => Failure::io(message),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn written(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn a_list_names_series() {
        let list = written("# of two machines\na.cpu\n\n  b{host=\"x\"} # by its whole text\n");
        let choice = Choice {
            series: Some(read_series(list.path()).unwrap()),
            cut: Cut::Fraction(0.0),
        };
        let takes = |name: &str, host: &str| choice.takes(&SeriesKey::new(name, [("host", host)]).unwrap());
        assert!(takes("a.cpu", "") && takes("a.cpu", "y") && takes("b", "x"));
        assert!(!takes("b", "y") && !takes("a", ""));
        let error = read_series(written("# nothing\n").path()).unwrap_err();
        assert!(error.message.ends_with("it lists no series"), "{error}");
    }

    #[test]
    fn a_manifest_cuts_files() {
        let text = r#"{"sets": {}, "signals": [{"file": "x/a.csv", "test_start": 50, "rows": 9}, {"file": "x/b.csv"}]}"#;
        let choice = Choice {
            series: None,
            cut: read_cuts(written(text).path()).unwrap(),
        };
        let from = |file: &str| choice.from(Path::new(file), at(10), at(90));
        assert_eq!(
            (from("data/x/a.csv"), from("x/b.csv"), from("xx/a.csv")),
            (at(50), at(10), at(10))
        );
        for (text, message) in [
            (
                r#"{"signals": [{"file": "a.csv"}]}"#,
                "no signal has a test_start",
            ),
            (r#"{"signals": 1}"#, "invalid type"),
        ] {
            let error = read_cuts(written(text).path()).unwrap_err();
            assert!(error.message.contains(message), "{error}");
        }
    }

    #[test]
    fn a_fraction_is_of_the_time_span() {
        let choice = Choice {
            series: None,
            cut: Cut::Fraction(0.25),
        };
        assert_eq!(choice.from(Path::new("a.csv"), at(100), at(500)), at(200));
    }
}
