//! Which series a sample belongs to.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Name and sorted labels of one series in canonical text: `name` or `name{a="x",b="y"}`.
///
/// `\`, `"` and line feeds in label values are written `\\`, `\"`, `\n`; in names `{` and `\` are escaped by `\`.
/// A label with an empty value is absent. Two keys are equal exactly when their texts are, and order is the texts'.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SeriesKey(Arc<str>);

impl SeriesKey {
    /// Builds the canonical key from a name and labels in any order.
    ///
    /// # Errors
    /// When the name is empty, a label has an empty name, or two labels share a name with different values.
    pub fn new<N, V>(name: &str, labels: impl IntoIterator<Item = (N, V)>) -> Result<Self, SeriesKeyError>
    where
        N: AsRef<str>,
        V: AsRef<str>,
    {
        if name.is_empty() {
            return Err(SeriesKeyError::EmptyName);
        }
        let labels: Vec<(N, V)> = labels
            .into_iter()
            .filter(|(_, v)| !v.as_ref().is_empty())
            .collect();
        let mut sorted: Vec<(&str, &str)> = labels.iter().map(|(k, v)| (k.as_ref(), v.as_ref())).collect();
        sorted.sort_unstable();
        sorted.dedup();
        let mut text = String::with_capacity(name.len() + 16 * sorted.len());
        escape(name, &['\\', '{'], &mut text);
        let mut last = None;
        for (k, v) in sorted {
            if k.is_empty() {
                return Err(SeriesKeyError::EmptyLabel);
            }
            if last == Some(k) {
                return Err(SeriesKeyError::RepeatedLabel(k.to_owned()));
            }
            text.push(if last.is_none() { '{' } else { ',' });
            escape(k, &['\\', '=', ','], &mut text);
            text.push_str("=\"");
            escape(v, &['\\', '"'], &mut text);
            text.push('"');
            last = Some(k);
        }
        if last.is_some() {
            text.push('}');
        }
        Ok(Self(text.into()))
    }

    /// A key without labels.
    ///
    /// # Errors
    /// When the name is empty.
    pub fn from_name(name: &str) -> Result<Self, SeriesKeyError> {
        Self::new::<&str, &str>(name, [])
    }

    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The labels, sorted by name, escapes undone.
    #[must_use]
    pub fn labels(&self) -> Vec<(String, String)> {
        let mut labels = Vec::new();
        let mut rest = self.0[self.name().len()..].chars();
        // After `{` or `,` comes a label name, after `="` its value.
        while matches!(rest.next(), Some('{' | ',')) {
            let name = unescape(&mut rest, '=');
            rest.next();
            let value = unescape(&mut rest, '"');
            labels.push((name, value));
        }
        labels
    }

    /// The name part of the canonical text (escapes kept).
    #[must_use]
    pub fn name(&self) -> &str {
        let mut escaped = false;
        for (i, c) in self.0.char_indices() {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '{' => return &self.0[..i],
                _ => {}
            }
        }
        &self.0
    }
}

fn escape(text: &str, special: &[char], out: &mut String) {
    for c in text.chars() {
        if c == '\n' {
            out.push_str("\\n");
        } else {
            if special.contains(&c) {
                out.push('\\');
            }
            out.push(c);
        }
    }
}

/// Reads up to and over the first unescaped `end`.
fn unescape(chars: &mut std::str::Chars<'_>, end: char) -> String {
    let mut out = String::new();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some(other) => out.push(other),
                None => {}
            },
            c if c == end => break,
            c => out.push(c),
        }
    }
    out
}

impl fmt::Display for SeriesKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SeriesKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A name and labels that make no series key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SeriesKeyError {
    /// A label has an empty name.
    #[error("a label has an empty name")]
    EmptyLabel,
    /// The series has no name.
    #[error("the series name is empty")]
    EmptyName,
    /// One label is given twice with different values.
    #[error("label `{0}` is given twice with different values")]
    RepeatedLabel(String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn canonical_text() {
        let key = SeriesKey::new("cpu", [("host", "b"), ("az", "1"), ("empty", "")]).unwrap();
        assert_eq!(key.as_str(), r#"cpu{az="1",host="b"}"#);
        assert_eq!(key.name(), "cpu");
        assert_eq!(SeriesKey::from_name("cpu").unwrap().as_str(), "cpu");
        assert_eq!(SeriesKey::from_name(""), Err(SeriesKeyError::EmptyName));
        assert_eq!(
            SeriesKey::new("a", [("k", "1"), ("k", "2")]),
            Err(SeriesKeyError::RepeatedLabel("k".into()))
        );
    }

    proptest! {
        #[test]
        fn different_labels_have_different_texts(
            a in proptest::collection::btree_map("[a-c=,\\\\\"]{1,3}", "[a-c=,\\\\\"{}\n]{1,3}", 0..3),
            b in proptest::collection::btree_map("[a-c=,\\\\\"]{1,3}", "[a-c=,\\\\\"{}\n]{1,3}", 0..3),
            n in "[a-b{\\\\]{1,3}", m in "[a-b{\\\\]{1,3}",
        ) {
            let x = SeriesKey::new(&n, &a).unwrap();
            let y = SeriesKey::new(&m, &b).unwrap();
            prop_assert_eq!(x == y, n == m && a == b);
            prop_assert_eq!(x.labels(), a.into_iter().collect::<Vec<_>>());
        }
    }
}
