//! An alert in one sentence, for the person who is woken by it.

use types::{Alert, AlertState, Bound, Grounds, Limit, Part, Silence};

/// Longer names of series are cut in the sentence, characters. The whole name stands beside it.
const NAME_MAX: usize = 200;
/// Significant digits of a number.
const DIGITS: i32 = 5;

/// What happened, what was expected, and what led to the alert: one sentence without a full stop, made of the alert alone
/// and so the same in every run.
#[must_use]
pub fn reason(alert: &Alert) -> String {
    let series = match alert.series.as_str().char_indices().nth(NAME_MAX) {
        Some((end, _)) => format!("{}…", &alert.series.as_str()[..end]),
        None => alert.series.to_string(),
    };
    if let Some(silence) = &alert.silence {
        return silent(&series, silence, alert.state);
    }
    let sentence = match &alert.limit {
        Some(limit) => beyond(&series, limit, alert.value),
        None => unusual(&series, alert),
    };
    match alert.state {
        AlertState::Firing | AlertState::Escalated => sentence,
        AlertState::Resolved => format!("over; at its worst, {sentence}"),
    }
}

fn unusual(series: &str, alert: &Alert) -> String {
    let grounds = alert.grounds.unwrap_or_default();
    let lead = grounds.shares.largest();
    let mut sentence = format!("{series} was {}", number(alert.value));
    if let Some(at) = alert.at {
        sentence += &format!(" at {at}");
    }
    let evidence = |part: Part| evidence(part, alert.value, &grounds);
    // Where the nets did not lead, what they expected is not the reason.
    if let Some(found) = lead.and_then(evidence) {
        sentence += &format!(", {found}");
    }
    if let Some(expected) = alert.expected {
        sentence += &format!(", expected {}", number(expected));
    }
    if let Some([low, high]) = alert.band() {
        sentence += &format!(" (band {} to {})", number(low), number(high));
    }
    if let Some(lead) = lead {
        sentence += &format!("; led by {}", lead.name());
    }
    for part in Part::ALL {
        // A new range adds to the others; each of these speaks for itself from 1 on.
        let least = if part == Part::Range {
            f64::MIN_POSITIVE
        } else {
            1.0
        };
        let counts = Some(part) != lead && alert.parts.get(part) >= least;
        if let Some(found) = evidence(part).filter(|_| counts) {
            sentence += &format!("; also {found}");
        }
    }
    sentence
}

/// What a part that is not about `expected` found; `None` for those that are, and where its bounds are not known.
fn evidence(part: Part, value: f64, grounds: &Grounds) -> Option<String> {
    let side = |above: bool| if above { "above" } else { "below" };
    let (bounds, what) = match part {
        Part::Reconstruction | Part::Prediction => return None,
        Part::Critic => return Some("in a shape that the critic finds unusual".to_owned()),
        Part::Coarse => return Some("in a stretch that is unusual as a whole".to_owned()),
        Part::Drift => {
            let by = grounds.drift?;
            return Some(format!(
                "of late {} {} what its times of day have shown",
                number(by.abs()),
                side(by > 0.0)
            ));
        }
        Part::Range => (grounds.seen?, "everything seen before"),
        Part::Envelope => (grounds.time_of_day?, "what this time of day has shown"),
    };
    let [low, high] = bounds;
    let side = match value {
        v if v > high => side(true),
        v if v < low => side(false),
        _ => "within",
    };
    Some(format!("{side} {what} ({} to {})", number(low), number(high)))
}

fn beyond(series: &str, limit: &Limit, value: f64) -> String {
    let (side, crossed) = match limit.bound {
        Bound::Above => ("above", value > limit.value),
        Bound::Below => ("below", value < limit.value),
    };
    let (value, bound) = (number(value), number(limit.value));
    match limit.forecast.map(number) {
        Some(forecast) if crossed => {
            format!("{series} was {value}, {side} the limit of {bound}; the forecast went to {forecast}")
        }
        None if crossed => format!("{series} was {value}, {side} the limit of {bound}"),
        Some(forecast) => {
            format!("{series} is about to go {side} the limit of {bound}: forecast {forecast}, still {value}")
        }
        None => format!("{series} is about to go {side} the limit of {bound}: still {value}"),
    }
}

fn silent(series: &str, silence: &Silence, state: AlertState) -> String {
    let last = silence.last;
    match (state, silence.returned) {
        (AlertState::Resolved, Some(returned)) => {
            format!("{series} is back at {returned}; before, nothing came after {last}")
        }
        (AlertState::Resolved, None) => {
            format!("{series} is no longer waited for; nothing came after {last}")
        }
        _ => format!("{series} is silent: nothing came after {last}"),
    }
}

/// Few digits, the same on every machine: the formatting of floats is exact, a logarithm would not be.
fn number(value: f64) -> String {
    let scientific = format!("{value:.*e}", DIGITS as usize - 1);
    let Some((digits, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    let trimmed = |text: &str| {
        if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            text.to_owned()
        }
    };
    match exponent.parse::<i32>() {
        Ok(exponent) if (-4..15).contains(&exponent) => {
            trimmed(&format!("{value:.*}", (DIGITS - 1 - exponent).max(0) as usize))
        }
        _ => format!("{}e{exponent}", trimmed(digits)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::{Parts, SeriesKey, Severity, Timestamp};

    fn alert() -> Alert {
        Alert {
            id: "0123".into(),
            state: AlertState::Firing,
            severity: Severity::Warning,
            scope: String::new(),
            series: SeriesKey::new("cpu", [("host", "a")]).unwrap(),
            start: Timestamp::from_millis(0),
            end: Timestamp::from_millis(60_000),
            available_at: Timestamp::from_millis(60_000),
            score: 1.5,
            value: 93.1,
            expected: Some(41.25),
            threshold: Some(10.75),
            confidence: 0.75,
            parts: Parts {
                reconstruction: 1.25,
                range: 0.33,
                ..Parts::default()
            },
            at: Some(Timestamp::from_millis(0)),
            grounds: Some(Grounds {
                shares: Parts {
                    reconstruction: 0.8,
                    range: 0.2,
                    ..Parts::default()
                },
                seen: Some([12.0, 71.5]),
                time_of_day: Some([20.0, 45.0]),
                drift: Some(-1.25),
            }),
            limit: None,
            silence: None,
            bundle: "general@abc".into(),
            schema_version: 1,
        }
    }

    #[test]
    fn nets_that_led_are_held_against_what_they_expected() {
        assert_eq!(
            reason(&alert()),
            "cpu{host=\"a\"} was 93.1 at 1970-01-01T00:00:00Z, expected 41.25 (band 30.5 to 52); led by reconstruction; \
             also above everything seen before (12 to 71.5)"
        );
        let resolved = Alert {
            state: AlertState::Resolved,
            threshold: None,
            parts: Parts::default(),
            ..alert()
        };
        assert_eq!(
            reason(&resolved),
            "over; at its worst, cpu{host=\"a\"} was 93.1 at 1970-01-01T00:00:00Z, expected 41.25; led by reconstruction"
        );
    }

    #[test]
    fn what_else_led_names_its_own_bounds_first() {
        let mut alert = alert();
        alert.value = 15.0;
        alert.parts = Parts {
            envelope: 1.3,
            critic: 1.1,
            ..Parts::default()
        };
        alert.grounds.as_mut().unwrap().shares = Parts {
            envelope: 1.0,
            ..Parts::default()
        };
        assert_eq!(
            reason(&alert),
            "cpu{host=\"a\"} was 15 at 1970-01-01T00:00:00Z, below what this time of day has shown (20 to 45), expected 41.25 \
             (band 30.5 to 52); led by envelope; also in a shape that the critic finds unusual"
        );
        alert.grounds.as_mut().unwrap().shares = Parts {
            drift: 1.0,
            ..Parts::default()
        };
        alert.parts = Parts {
            drift: 1.3,
            ..Parts::default()
        };
        assert_eq!(
            reason(&alert),
            "cpu{host=\"a\"} was 15 at 1970-01-01T00:00:00Z, of late 1.25 below what its times of day have shown, expected 41.25 \
             (band 30.5 to 52); led by drift"
        );
    }

    #[test]
    fn limits_and_silence_have_words_of_their_own() {
        let limit = |value, forecast| Alert {
            value,
            expected: None,
            threshold: None,
            grounds: None,
            limit: Some(Limit {
                bound: Bound::Above,
                value: 90.0,
                forecast,
            }),
            ..alert()
        };
        for (alert, want) in [
            (
                limit(80.0, Some(91.5)),
                "is about to go above the limit of 90: forecast 91.5, still 80",
            ),
            (limit(95.0, None), "was 95, above the limit of 90"),
        ] {
            assert_eq!(reason(&alert), format!("cpu{{host=\"a\"}} {want}"));
        }
        let silent = Alert {
            silence: Some(Silence {
                last: Timestamp::from_millis(59_000),
                returned: None,
            }),
            ..alert()
        };
        assert_eq!(
            reason(&silent),
            "cpu{host=\"a\"} is silent: nothing came after 1970-01-01T00:00:59Z"
        );
    }

    #[test]
    fn numbers_are_short_and_sentences_bounded() {
        for (value, want) in [
            (0.0, "0"),
            (-0.25, "-0.25"),
            (1_234_567.8, "1234568"),
            (99_999.96, "100000"),
            (41.200_000_762_939_45, "41.2"),
            (1e-9, "1e-9"),
            (-6.543_21e21, "-6.5432e21"),
            (1000.0, "1000"),
        ] {
            assert_eq!(number(value), want);
        }
        let wide = Alert {
            series: SeriesKey::from_name(&"ä".repeat(10_000)).unwrap(),
            value: f64::MIN,
            ..alert()
        };
        assert!(reason(&wide).chars().count() < 600);
    }
}
