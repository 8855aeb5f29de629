//! Leaf by leaf from a merged tree to values, noting every mistake on the way instead of stopping at the first.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use config::{Value, ValueKind};
use types::DurationMs;

use super::ConfigError;

/// Where all sections note their mistakes.
pub(super) type Notes = RefCell<Vec<ConfigError>>;

/// One table of the tree. Every key that is asked for is known; [`Section::finish`] complains about the others.
pub(super) struct Section<'n> {
    path: String,
    left: BTreeMap<String, Value>,
    known: Vec<&'static str>,
    notes: &'n Notes,
}

impl<'n> Section<'n> {
    /// The table at `path`; an empty one, with a note, where there is something else.
    pub(super) fn new(path: &str, value: Value, notes: &'n Notes) -> Self {
        let left = match value.kind {
            ValueKind::Table(table) => table.into_iter().collect(),
            ref kind => {
                note(notes, path, format!("expected a table, found {}", shown(kind)));
                BTreeMap::new()
            }
        };
        Self {
            path: path.to_owned(),
            left,
            known: Vec::new(),
            notes,
        }
    }

    /// The sub-table `key`; empty where there is none.
    pub(super) fn section(&mut self, key: &'static str) -> Self {
        let empty = || Value::new(None, ValueKind::Table(config::Map::new()));
        let value = self.take(key).unwrap_or_else(empty);
        Self::new(&self.key(key), value, self.notes)
    }

    /// The list of tables `key`; empty where there is none.
    pub(super) fn sections(&mut self, key: &'static str) -> Vec<Self> {
        let at = self.key(key);
        match self.take(key).map(|v| v.kind) {
            None => Vec::new(),
            Some(ValueKind::Array(items)) => items
                .into_iter()
                .enumerate()
                .map(|(i, item)| Self::new(&format!("{at}[{i}]"), item, self.notes))
                .collect(),
            Some(kind) => {
                self.note(key, format!("expected a list of tables, found {}", shown(&kind)));
                Vec::new()
            }
        }
    }

    /// Every leaf of this table as text, whatever its key; keys of tables within are joined by dots.
    pub(super) fn all_texts(&mut self) -> BTreeMap<String, String> {
        let mut texts = BTreeMap::new();
        for (key, value) in std::mem::take(&mut self.left) {
            self.flatten(key, value, &mut texts);
        }
        texts
    }

    fn flatten(&self, key: String, value: Value, texts: &mut BTreeMap<String, String>) {
        match value.kind {
            ValueKind::Table(table) => {
                for (inner, value) in table {
                    self.flatten(format!("{key}.{inner}"), value, texts);
                }
            }
            ValueKind::Array(_) | ValueKind::Nil => {
                let found = shown(&value.kind);
                self.note(
                    &key,
                    format!("expected text, a number or a boolean, found {found}"),
                );
            }
            kind => {
                texts.insert(key, kind.to_string());
            }
        }
    }

    /// The value of `key` as `convert` makes it. `None` where there is none, and, with a note, where it is wrong.
    pub(super) fn get<T>(
        &mut self,
        key: &'static str,
        convert: impl FnOnce(&ValueKind) -> Result<T, String>,
    ) -> Option<T> {
        let value = self.take(key)?;
        match convert(&value.kind) {
            Ok(converted) => Some(converted),
            Err(message) => {
                self.note(key, message);
                None
            }
        }
    }

    /// Like [`Self::get`]; `fallback` where there is no value, or a wrong one.
    pub(super) fn get_or<T>(
        &mut self,
        key: &'static str,
        fallback: T,
        convert: impl FnOnce(&ValueKind) -> Result<T, String>,
    ) -> T {
        self.get(key, convert).unwrap_or(fallback)
    }

    /// Notes a mistake at `key`.
    pub(super) fn note(&self, key: &str, message: impl Into<String>) {
        note(self.notes, &self.key(key), message.into());
    }

    /// Whether anything in this table has not been asked for yet.
    pub(super) fn has_more(&self) -> bool {
        !self.left.is_empty()
    }

    /// Whether anything in this table was noted so far.
    pub(super) fn has_mistakes(&self) -> bool {
        let within = format!("{}.", self.path);
        self.notes
            .borrow()
            .iter()
            .any(|note| note.key.starts_with(&within))
    }

    /// Notes what nobody asked for.
    pub(super) fn finish(self) {
        for key in self.left.keys() {
            let message = match nearest(key, &self.known) {
                Some(meant) => format!("unknown key; did you mean `{meant}`?"),
                None => "unknown key".to_owned(),
            };
            self.note(key, message);
        }
    }

    fn take(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        self.left.remove(key)
    }

    fn key(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }
}

fn note(notes: &Notes, key: &str, message: String) {
    let key = key.to_owned();
    notes.borrow_mut().push(ConfigError { key, message });
}

/// Text that is not empty.
pub(super) fn text(value: &ValueKind) -> Result<String, String> {
    match value {
        ValueKind::String(text) if text.trim().is_empty() => Err("is empty".to_owned()),
        ValueKind::String(text) => Ok(text.clone()),
        other => Err(format!("expected text, found {}", shown(other))),
    }
}

/// `true` or `false`.
pub(super) fn boolean(value: &ValueKind) -> Result<bool, String> {
    match value {
        ValueKind::Boolean(b) => Ok(*b),
        other => Err(format!("expected true or false, found {}", shown(other))),
    }
}

/// A whole number in `range`.
pub(super) fn whole<T>(range: RangeInclusive<i64>) -> impl FnOnce(&ValueKind) -> Result<T, String>
where
    T: TryFrom<i64>,
{
    move |value| match value {
        ValueKind::I64(n) if range.contains(n) => T::try_from(*n).map_err(|_| format!("{n} is too large")),
        ValueKind::I64(n) => Err(format!("{n} is outside {} to {}", range.start(), range.end())),
        other => Err(format!("expected a whole number, found {}", shown(other))),
    }
}

/// A finite number in `range`.
pub(super) fn number(range: RangeInclusive<f64>) -> impl FnOnce(&ValueKind) -> Result<f64, String> {
    move |value| {
        let x = match value {
            ValueKind::Float(x) => *x,
            ValueKind::I64(n) => *n as f64,
            other => return Err(format!("expected a number, found {}", shown(other))),
        };
        if !x.is_finite() {
            Err(format!("{x} is not a finite number"))
        } else if !range.contains(&x) {
            let (low, high) = (range.start(), range.end());
            Err(if high.is_finite() {
                format!("{x} is outside {low} to {high}")
            } else {
                format!("{x} is less than {low}")
            })
        } else {
            Ok(x)
        }
    }
}

/// A duration in `range` (milliseconds), written as a whole number and a unit.
pub(super) fn duration(
    range: RangeInclusive<DurationMs>,
) -> impl FnOnce(&ValueKind) -> Result<DurationMs, String> {
    move |value| {
        let ValueKind::String(text) = value else {
            return Err(format!(
                "expected a duration such as \"60s\", found {}",
                shown(value)
            ));
        };
        let ms = parse_duration(text)?;
        if range.contains(&ms) {
            Ok(ms)
        } else {
            Err(format!(
                "{text} is outside {} to {}",
                show_duration(*range.start()),
                show_duration(*range.end())
            ))
        }
    }
}

const UNITS: [(&str, DurationMs); 5] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

pub(crate) fn parse_duration(text: &str) -> Result<DurationMs, String> {
    let bad = || format!("`{text}` is no duration: write a whole number and ms, s, m, h or d, as in \"60s\"");
    let text = text.trim();
    let at = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
    let count: DurationMs = text[..at].parse().map_err(|_| bad())?;
    let unit = text[at..].trim_start();
    let (_, unit_ms) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(bad)?;
    count
        .checked_mul(*unit_ms)
        .ok_or_else(|| format!("{text} is too long"))
}

/// In the largest unit that leaves a whole number.
pub(crate) fn show_duration(ms: DurationMs) -> String {
    let fits = |unit_ms: &DurationMs| ms % unit_ms == 0 && (ms != 0 || *unit_ms == 1_000);
    let (unit, unit_ms) = UNITS
        .iter()
        .rev()
        .find(|(_, unit_ms)| fits(unit_ms))
        .unwrap_or(&UNITS[0]);
    format!("{}{unit}", ms / unit_ms)
}

/// `None` for the word `auto`, else what `convert` makes of it.
pub(super) fn auto<T>(
    convert: impl FnOnce(&ValueKind) -> Result<T, String>,
) -> impl FnOnce(&ValueKind) -> Result<Option<T>, String> {
    |value| match value {
        ValueKind::String(text) if text == "auto" => Ok(None),
        // From the environment or the command line a number comes as text here: the default is a word.
        ValueKind::String(text) => match text.trim().parse() {
            Ok(n) => convert(&ValueKind::I64(n)).map(Some),
            Err(_) => convert(value).map(Some),
        },
        other => convert(other).map(Some),
    }
}

/// One of these words.
pub(super) fn choice<T: Copy>(words: &[(&'static str, T)]) -> impl FnOnce(&ValueKind) -> Result<T, String> {
    move |value| {
        let word = text(value)?;
        if let Some((_, chosen)) = words.iter().find(|(name, _)| *name == word) {
            return Ok(*chosen);
        }
        let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
        Err(format!("`{word}` is none of {}", names.join(", ")))
    }
}

/// A list of texts that are not empty.
pub(super) fn texts(value: &ValueKind) -> Result<Vec<String>, String> {
    let ValueKind::Array(items) = value else {
        return Err(format!("expected a list of texts, found {}", shown(value)));
    };
    items.iter().map(|item| text(&item.kind)).collect()
}

fn shown(kind: &ValueKind) -> String {
    match kind {
        ValueKind::Nil => "nothing".to_owned(),
        ValueKind::Boolean(b) => format!("{b}"),
        ValueKind::Float(x) => format!("the number {x}"),
        ValueKind::String(text) => format!("the text \"{text}\""),
        ValueKind::Table(_) => "a table".to_owned(),
        ValueKind::Array(_) => "a list".to_owned(),
        integer => format!("the number {integer}"),
    }
}

/// The known key that `key` was most likely meant to be.
fn nearest<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    known
        .iter()
        .map(|candidate| (distance(key, candidate), *candidate))
        .filter(|(d, candidate)| *d <= 1 + candidate.len() / 4)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance over characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, ms) in [
            ("0s", 0),
            ("250ms", 250),
            ("60s", 60_000),
            ("5m", 300_000),
            ("7d", 604_800_000),
            ("2 h", 7_200_000),
        ] {
            assert_eq!(parse_duration(text), Ok(ms), "{text}");
        }
        for text in [
            "",
            "60",
            "s",
            "1.5h",
            "-1s",
            "1w",
            "1h30m",
            "99999999999999999d",
            "9999999999999999d",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        for text in ["0s", "250ms", "90s", "5m", "26h", "7d"] {
            assert_eq!(show_duration(parse_duration(text).unwrap()), text);
        }
    }

    #[test]
    fn distances() {
        for (a, b, d) in [
            ("", "abc", 3),
            ("lag", "lag", 0),
            ("brokres", "brokers", 2),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(a, b), d, "{a} {b}");
        }
        assert_eq!(nearest("topcis", &["brokers", "topics"]), Some("topics"));
        assert_eq!(nearest("zzz", &["brokers", "topics"]), None);
    }
}
