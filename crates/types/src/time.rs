//! Event time: milliseconds since the Unix epoch, UTC.

use std::fmt;
use std::ops::{Add, Sub};

use serde::{Deserialize, Serialize};

/// A span of time in milliseconds.
pub type DurationMs = i64;

/// A point in event time: milliseconds since the Unix epoch, UTC. May be negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The earliest time that RFC 3339 can name: year 0001 (milliseconds).
    pub const MIN: Self = Self(-62_135_596_800_000);
    /// The latest time that RFC 3339 can name: end of year 9999 (milliseconds).
    pub const MAX: Self = Self(253_402_300_799_999);

    /// From milliseconds since the Unix epoch; values outside [`Self::MIN`], [`Self::MAX`] are clamped.
    #[must_use]
    pub fn from_millis(ms: i64) -> Self {
        Self(ms.clamp(Self::MIN.0, Self::MAX.0))
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub fn millis(self) -> i64 {
        self.0
    }

    /// Start of the bucket of length `interval` that holds this time, on the epoch grid.
    ///
    /// Uses the Euclidean remainder, so that times before 1970 fall into `[k·interval, (k+1)·interval)` too.
    #[must_use]
    pub fn floor_to(self, interval: DurationMs) -> Self {
        Self(self.0 - self.0.rem_euclid(interval.max(1)))
    }

    /// Parses RFC 3339, `YYYY-MM-DD HH:MM:SS[.fff]` (naive: read in `zone`, UTC when `None`),
    /// or a number of unix seconds (with decimals).
    ///
    /// # Errors
    /// When the text is none of these, or names a time outside the years 0001 to 9999.
    pub fn parse(text: &str, zone: Option<&jiff::tz::TimeZone>) -> Result<Self, ParseTimestampError> {
        let text = text.trim();
        let err = || ParseTimestampError {
            text: text.chars().take(40).collect(),
        };
        if text.is_empty() {
            return Err(err());
        }
        if let Ok(seconds) = text.parse::<f64>() {
            let ms = (seconds * 1000.0).round();
            if !(ms >= Self::MIN.0 as f64 && ms <= Self::MAX.0 as f64) {
                return Err(err());
            }
            return Ok(Self(ms as i64));
        }
        if let Ok(t) = text.parse::<jiff::Timestamp>() {
            return Ok(Self::from_millis(t.as_millisecond()));
        }
        let naive: jiff::civil::DateTime = text.parse().map_err(|_| err())?;
        let zone = zone.cloned().unwrap_or(jiff::tz::TimeZone::UTC);
        let zoned = zone
            .to_ambiguous_zoned_datetime(naive)
            .compatible()
            .map_err(|_| err())?;
        Ok(Self::from_millis(zoned.timestamp().as_millisecond()))
    }
}

/// RFC 3339 in UTC: seconds, and milliseconds only where there are some (`2026-01-01T00:00:00Z`).
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let t = jiff::Timestamp::from_millisecond(self.0).map_err(|_| fmt::Error)?;
        if self.0.rem_euclid(1000) == 0 {
            write!(f, "{t:.0}")
        } else {
            write!(f, "{t:.3}")
        }
    }
}

impl Add<DurationMs> for Timestamp {
    type Output = Self;
    fn add(self, ms: DurationMs) -> Self {
        Self::from_millis(self.0.saturating_add(ms))
    }
}

impl Sub for Timestamp {
    type Output = DurationMs;
    fn sub(self, other: Self) -> DurationMs {
        self.0.saturating_sub(other.0)
    }
}

/// A text that is no timestamp.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is neither RFC 3339, `YYYY-MM-DD HH:MM:SS` nor unix seconds")]
pub struct ParseTimestampError {
    text: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn floors_negative_times_downwards() {
        assert_eq!(Timestamp::from_millis(-1).floor_to(60_000).millis(), -60_000);
        assert_eq!(Timestamp::from_millis(-60_000).floor_to(60_000).millis(), -60_000);
        assert_eq!(Timestamp::from_millis(59_999).floor_to(60_000).millis(), 0);
    }

    #[test]
    fn parses_the_three_spellings() {
        let want = Timestamp::from_millis(1_396_396_800_000);
        for text in [
            "2014-04-02T00:00:00Z",
            "2014-04-02 00:00:00",
            "1396396800",
            "1396396800.0",
            "2014-04-02T02:00:00+02:00",
        ] {
            assert_eq!(Timestamp::parse(text, None).as_ref(), Ok(&want), "{text}");
        }
        let seoul = jiff::tz::TimeZone::get("Asia/Seoul").unwrap();
        assert_eq!(Timestamp::parse("2014-04-02 09:00:00", Some(&seoul)), Ok(want));
        for text in ["", "NaN", "inf", "yesterday", "1e300", "2014-13-01 00:00:00"] {
            assert!(Timestamp::parse(text, None).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_parses_back(ms in Timestamp::MIN.0..=Timestamp::MAX.0) {
            let t = Timestamp::from_millis(ms);
            prop_assert_eq!(Timestamp::parse(&t.to_string(), None), Ok(t));
        }
    }
}
