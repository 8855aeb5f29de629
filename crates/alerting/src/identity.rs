//! Deterministic ids: the same event has the same id in every run.

use sha2::{Digest, Sha256};
use types::{Bound, SeriesKey, Timestamp};

/// Id of the event of `series` (scoped by topic and tenant) whose first exceeding bucket starts at `start`:
/// the first 128 bits of SHA-256 over scope, series text and milliseconds, each prefixed by its length.
#[must_use]
pub fn alert_id(scope: &str, series: &SeriesKey, start: Timestamp) -> String {
    digest(&[
        scope.as_bytes(),
        series.as_str().as_bytes(),
        &start.millis().to_be_bytes(),
    ])
}

/// Id of the event in which `series` crosses a limit, or is forecast to, first in the bucket that starts at `start`: as
/// [`alert_id`], with the name of the bound as one part more.
#[must_use]
pub fn limit_id(scope: &str, series: &SeriesKey, start: Timestamp, bound: Bound) -> String {
    digest(&[
        scope.as_bytes(),
        series.as_str().as_bytes(),
        &start.millis().to_be_bytes(),
        bound.name().as_bytes(),
    ])
}

/// Id of the event in which `series` falls silent, the first missing bucket starting at `start`: as [`alert_id`], with the
/// word `silence` as one part more.
#[must_use]
pub fn silence_id(scope: &str, series: &SeriesKey, start: Timestamp) -> String {
    digest(&[
        scope.as_bytes(),
        series.as_str().as_bytes(),
        &start.millis().to_be_bytes(),
        b"silence",
    ])
}

fn digest(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut id = String::with_capacity(32);
    for byte in hash.finalize().iter().take(16) {
        for digit in [byte >> 4, byte & 15] {
            id.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_depend_on_scope_series_and_start() {
        let key = |n| SeriesKey::from_name(n).unwrap();
        let t = Timestamp::from_millis;
        let id = alert_id("metrics", &key("cpu"), t(60_000));
        assert_eq!(id, alert_id("metrics", &key("cpu"), t(60_000)));
        assert_eq!(id.len(), 32);
        for other in [
            alert_id("metric", &key("scpu"), t(60_000)),
            alert_id("metrics", &key("cpu"), t(60_001)),
            alert_id("", &key("cpu"), t(60_000)),
            limit_id("metrics", &key("cpu"), t(60_000), Bound::Above),
            limit_id("metrics", &key("cpu"), t(60_000), Bound::Below),
            silence_id("metrics", &key("cpu"), t(60_000)),
        ] {
            assert_ne!(id, other);
        }
    }

    /// Consumers keep ids: this one must never change.
    #[test]
    fn ids_are_stable_across_versions() {
        let id = alert_id(
            "metrics",
            &SeriesKey::from_name("cpu").unwrap(),
            Timestamp::from_millis(60_000),
        );
        assert_eq!(id, "30e804600f9ac0b0978df08572ef1ed8");
    }
}
