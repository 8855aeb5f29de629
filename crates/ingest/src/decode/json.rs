//! JSON pulled apart no further than needed: values keep their text, so that numbers are not rounded or refused
//! before their field is known, a broken field costs its own point only, and nesting costs no stack.

use std::borrow::Cow;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::excerpt;

/// The fields of a point, undecoded: a number keeps its text until its field is known.
#[derive(Deserialize)]
pub(super) struct Fields<'a> {
    #[serde(borrow)]
    pub(super) name: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) labels: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) timestamp: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) value: Option<&'a RawValue>,
}

/// Labels as given, repeated names included: the series key says whether they clash.
pub(super) struct LabelPairs<'a>(pub(super) Vec<(String, Cow<'a, str>)>);

impl<'de> Deserialize<'de> for LabelPairs<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = LabelPairs<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of labels")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<LabelPairs<'de>, M::Error> {
                let mut pairs = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                    let plain = match value.get().as_bytes().first() {
                        Some(b'n') => continue, // null: absent
                        Some(b'{' | b'[') => None,
                        Some(b'"') => string(value),
                        _ => Some(Cow::Borrowed(value.get())),
                    };
                    let Some(plain) = plain else {
                        let message = format!("label `{}` is no plain value", excerpt(&name));
                        return Err(serde::de::Error::custom(message));
                    };
                    pairs.push((name, plain));
                }
                Ok(LabelPairs(pairs))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

/// The elements of an array, or the one value there is.
pub(super) fn values(text: &[u8]) -> Result<Vec<&RawValue>, serde_json::Error> {
    if text.first() == Some(&b'[') {
        serde_json::from_slice(text)
    } else {
        Ok(vec![serde_json::from_slice(text)?])
    }
}

/// Puts quotes around bare `NaN`, `Infinity` and `-Infinity`, which Python writes among others.
pub(super) fn quote_non_finite(text: &[u8]) -> Option<Vec<u8>> {
    const WORDS: [&[u8]; 3] = [b"NaN", b"Infinity", b"-Infinity"];
    let mut out = Vec::with_capacity(text.len() + 16);
    let mut in_string = false;
    let mut found = false;
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        let word = WORDS.into_iter().find(|word| rest.starts_with(word));
        if let (false, Some(word)) = (in_string, word) {
            out.push(b'"');
            out.extend_from_slice(word);
            out.push(b'"');
            found = true;
            rest = &rest[word.len()..];
            continue;
        }
        // Inside a string a backslash takes the next byte with it, so that `\"` does not end it.
        let taken = if in_string && byte == b'\\' {
            rest.len().min(2)
        } else {
            1
        };
        in_string ^= byte == b'"';
        out.extend_from_slice(&rest[..taken]);
        rest = &tail[taken - 1..];
    }
    found.then_some(out)
}

pub(super) fn is_string(raw: &RawValue) -> bool {
    raw.get().starts_with('"')
}

pub(super) fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    // Times and values are mostly numbers, and making an error of each costs more than reading the point.
    if !is_string(raw) {
        return None;
    }
    serde_json::from_str::<Text<'_>>(raw.get())
        .ok()
        .map(|text| text.0)
}

/// The content of a string, the JSON text of anything else.
pub(super) fn text(raw: &RawValue) -> Cow<'_, str> {
    string(raw).unwrap_or(Cow::Borrowed(raw.get()))
}
