//! Encoded records to samples. Total: any bytes in, samples and rejects out, never a panic.
//!
//! A payload is one JSON object, an array of objects, or several lines of either. Two shapes are known:
//!
//! - **native**: `{"name": "cpu", "labels": {"host": "a"}, "timestamp": "2026-01-01T00:00:00Z", "value": 1.5}`.
//!   The timestamp is RFC 3339, `YYYY-MM-DD HH:MM:SS` or a number of unix seconds; without one the record's own
//!   time counts. The value is a number.
//! - **prometheus-kafka-adapter**: the same four fields, all of them strings, and the name once more as the label
//!   `__name__`, which is dropped.
//!
//! In both, `null` is the same as an absent field, fields of other names are ignored, and a field given twice makes
//! the object malformed. Label values may be strings, numbers or booleans. `NaN`, `Infinity` and `-Infinity`
//! without quotes are no JSON but common; they cost only their own point. An array that is cut off or broken
//! otherwise is malformed as a whole: what its end said is not known.

mod json;
mod refusals;

use std::collections::BTreeSet;
use std::str::FromStr;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use types::{RejectReason, Rejected, Sample, SeriesKey, Timestamp};

use json::{Fields, LabelPairs, is_string, quote_non_finite, string, text, values};
pub use refusals::{MAX_REFUSED, Refusals};

/// Longest canonical text of a series (bytes): keys are held in memory and written with every score and alert.
pub const MAX_SERIES_BYTES: usize = 8192;

/// How the payload of a record is encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Decided object by object: prometheus-kafka-adapter where the value is a string or there is a `__name__`
    /// label, else native.
    #[default]
    Auto,
    /// `{"name", "labels", "timestamp", "value"}` with a number as the value.
    NativeJson,
    /// What prometheus-kafka-adapter writes: all strings.
    PrometheusJson,
}

impl Format {
    /// Its name in configuration and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::NativeJson => "native_json",
            Self::PrometheusJson => "prometheus_json",
        }
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        [Self::Auto, Self::NativeJson, Self::PrometheusJson]
            .into_iter()
            .find(|format| format.name() == text)
            .ok_or_else(|| UnknownFormat(excerpt(text)))
    }
}

/// A name that is no [`Format`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown format `{0}`, expected auto, native_json or prometheus_json")]
pub struct UnknownFormat(String);

/// Which labels make up a series. By default all do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LabelRules {
    /// Only these are kept; `None` keeps all.
    pub keep: Option<BTreeSet<String>>,
    /// These are left out, even where `keep` names them.
    pub drop: BTreeSet<String>,
}

impl LabelRules {
    fn keeps(&self, label: &str) -> bool {
        !self.drop.contains(label) && self.keep.as_ref().is_none_or(|keep| keep.contains(label))
    }
}

/// What one payload held.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decoded {
    /// Usable points, in the order of the payload.
    pub samples: Vec<Sample>,
    /// One for each point that could not be used; one for the whole payload when nothing in it is JSON. Of more than
    /// [`MAX_REFUSED`] one for each reason, with their number.
    pub rejected: Vec<Rejected>,
    refusals: Refusals,
}

impl Decoded {
    fn refuse(&mut self, rejected: Rejected) {
        self.rejected.extend(self.refusals.take(rejected));
    }
}

/// Decodes the payload of one record.
///
/// `record_time` stands in for a missing timestamp. Naive timestamps are UTC. An empty payload (a tombstone) is
/// malformed. Good points of a record with bad ones are kept.
#[must_use]
pub fn decode(bytes: &[u8], format: Format, record_time: Option<Timestamp>, labels: &LabelRules) -> Decoded {
    let mut decoded = Decoded::default();
    let decoder = Decoder {
        format,
        record_time,
        labels,
        zone: None,
    };
    decoder.payload(bytes, &mut decoded);
    decoded
}

/// [`decode`] with everything it depends on named, and with a zone for naive timestamps.
pub(crate) struct Decoder<'a> {
    pub(crate) format: Format,
    pub(crate) record_time: Option<Timestamp>,
    pub(crate) labels: &'a LabelRules,
    pub(crate) zone: Option<&'a TimeZone>,
}

impl Decoder<'_> {
    pub(crate) fn payload(&self, bytes: &[u8], out: &mut Decoded) {
        self.documents(bytes, out);
        let refusals = std::mem::take(&mut out.refusals);
        out.rejected.extend(refusals.rest());
    }

    fn documents(&self, bytes: &[u8], out: &mut Decoded) {
        let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes).trim_ascii();
        if text.is_empty() {
            out.rejected
                .push(reject(RejectReason::Malformed, "the payload is empty"));
            return;
        }
        let Err(error) = self.document(text, "", out) else {
            return;
        };
        let mut broken = Decoded::default();
        let mut any = false;
        // Each line by itself, so that the work stays linear however the payload is broken.
        for (n, line) in text.split(|&b| b == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() {
                continue;
            }
            let place = format!("line {}: ", n + 1);
            match self.document(line, &place, out) {
                Ok(()) => any = true,
                Err(e) => broken.refuse(reject(RejectReason::Malformed, format!("{place}no JSON: {e}"))),
            }
        }
        if any {
            out.rejected.append(&mut broken.rejected);
            out.rejected.extend(broken.refusals.rest());
        } else {
            out.rejected
                .push(reject(RejectReason::Malformed, format!("no JSON: {error}")));
        }
    }

    /// One JSON value: an object, or an array of objects. An error means that `text` is no JSON, and that nothing
    /// was added to `out`.
    fn document(&self, text: &[u8], place: &str, out: &mut Decoded) -> Result<(), serde_json::Error> {
        let quoted;
        let values = match values(text) {
            Ok(values) => values,
            Err(error) => {
                quoted = quote_non_finite(text);
                match quoted.as_deref().map(values) {
                    Some(Ok(values)) => values,
                    Some(Err(_)) | None => return Err(error),
                }
            }
        };
        let several = values.len() > 1;
        for (n, value) in values.into_iter().enumerate() {
            match self.point(value) {
                Ok(sample) => out.samples.push(sample),
                Err(rejected) if several => {
                    let place = format!("{place}point {}: ", n + 1);
                    out.refuse(at(&place, rejected));
                }
                Err(rejected) => out.refuse(at(place, rejected)),
            }
        }
        Ok(())
    }

    fn point(&self, object: &RawValue) -> Result<Sample, Rejected> {
        if !object.get().starts_with('{') {
            let detail = format!("`{}` is no object", excerpt(object.get()));
            return Err(reject(RejectReason::Malformed, detail));
        }
        let fields: Fields<'_> =
            serde_json::from_str(object.get()).map_err(|e| reject(RejectReason::Malformed, e.to_string()))?;
        let labels = match fields.labels {
            Some(raw) => serde_json::from_str::<LabelPairs<'_>>(raw.get()).map_err(|e| {
                let detail = format!("`labels` cannot be read: {e}");
                reject(RejectReason::BadSeries, detail)
            })?,
            None => LabelPairs(Vec::new()),
        };
        let prometheus = match self.format {
            Format::Auto => {
                fields.value.is_some_and(is_string) || labels.0.iter().any(|(name, _)| name == "__name__")
            }
            Format::NativeJson => false,
            Format::PrometheusJson => true,
        };
        Ok(Sample {
            series: self.series(fields.name, labels, prometheus)?,
            time: self.time(fields.timestamp)?,
            value: value(fields.value, prometheus)?,
        })
    }

    fn series(
        &self,
        name: Option<&RawValue>,
        labels: LabelPairs<'_>,
        prometheus: bool,
    ) -> Result<SeriesKey, Rejected> {
        let mut labels = labels.0;
        let mut name = match name {
            Some(raw) => Some(string(raw).ok_or_else(|| {
                let detail = format!("`name` is `{}`, no string", excerpt(raw.get()));
                reject(RejectReason::BadSeries, detail)
            })?),
            None => None,
        };
        if prometheus {
            let label = labels.iter().position(|(label, _)| label == "__name__");
            let label = label.map(|i| labels.swap_remove(i).1);
            name = name.or(label);
        }
        let name = name.ok_or_else(|| reject(RejectReason::MissingField, "`name` is missing"))?;
        series_key(&name, labels, self.labels)
    }

    fn time(&self, raw: Option<&RawValue>) -> Result<Timestamp, Rejected> {
        let Some(raw) = raw else {
            return self.record_time.ok_or_else(|| {
                let detail = "`timestamp` is missing and the record has no time of its own";
                reject(RejectReason::MissingField, detail)
            });
        };
        timestamp(&text(raw), self.zone)
    }
}

fn value(raw: Option<&RawValue>, strings: bool) -> Result<f64, Rejected> {
    let raw = raw.ok_or_else(|| reject(RejectReason::MissingField, "`value` is missing"))?;
    let number = number(&text(raw))?;
    if is_string(raw) && !strings {
        let detail = format!("`value` is the string {}, no number", excerpt(raw.get()));
        return Err(reject(RejectReason::NotANumber, detail));
    }
    Ok(number)
}

/// A finite number in decimal spelling.
pub(crate) fn number(text: &str) -> Result<f64, Rejected> {
    let value: f64 = text.trim().parse().map_err(|_| {
        let detail = format!("the value `{}` is no number", excerpt(text));
        reject(RejectReason::NotANumber, detail)
    })?;
    if !value.is_finite() {
        let detail = format!("the value `{}` is not finite", excerpt(text));
        return Err(reject(RejectReason::NotFinite, detail));
    }
    Ok(value)
}

/// A time in any of the spellings of [`Timestamp::parse`].
pub(crate) fn timestamp(text: &str, zone: Option<&TimeZone>) -> Result<Timestamp, Rejected> {
    Timestamp::parse(text, zone).map_err(|_| {
        let detail = format!("the timestamp `{}` cannot be read", excerpt(text));
        reject(RejectReason::BadTimestamp, detail)
    })
}

/// The series of a name and labels, after the rules.
pub(crate) fn series_key<N: AsRef<str>, V: AsRef<str>>(
    name: &str,
    labels: impl IntoIterator<Item = (N, V)>,
    rules: &LabelRules,
) -> Result<SeriesKey, Rejected> {
    let kept = labels
        .into_iter()
        .filter(|(label, _)| rules.keeps(label.as_ref()));
    let key =
        SeriesKey::new(name, kept).map_err(|error| reject(RejectReason::BadSeries, error.to_string()))?;
    if key.as_str().len() > MAX_SERIES_BYTES {
        let detail = format!(
            "the series `{}` is longer than {MAX_SERIES_BYTES} bytes",
            excerpt(name)
        );
        return Err(reject(RejectReason::BadSeries, detail));
    }
    Ok(key)
}

pub(crate) fn reject(reason: RejectReason, detail: impl Into<String>) -> Rejected {
    Rejected {
        reason,
        detail: detail.into(),
    }
}

/// The same with its place put before the detail.
pub(crate) fn at(place: &str, rejected: Rejected) -> Rejected {
    Rejected {
        detail: format!("{place}{}", rejected.detail),
        ..rejected
    }
}

/// The start of a text on one line, for messages.
pub(crate) fn excerpt(text: &str) -> String {
    const CHARS: usize = 40;
    let mut shown: String = text.chars().take(CHARS).flat_map(char::escape_debug).collect();
    if text.chars().nth(CHARS).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests;
