//! The layout of an alert on topics and in `--alerts` files: one JSON object, keys in the order of `schema/alert.json`.

use serde::Serialize;
use types::{Alert, Part, Parts, Timestamp};

use crate::reason::reason;

/// Type attribute of the CloudEvents that carry anomalies, less the state: `…firing`, `…escalated`, `…resolved`.
pub const EVENT_TYPE_PREFIX: &str = "io.aiops.agent.alert.";

/// The same of limit alerts, so that who wants only one kind can have it.
pub const LIMIT_EVENT_TYPE_PREFIX: &str = "io.aiops.agent.limit.";

/// The same of silence alerts.
pub const SILENCE_EVENT_TYPE_PREFIX: &str = "io.aiops.agent.silence.";

#[derive(Serialize)]
struct Wire<'a> {
    id: &'a str,
    kind: &'a str,
    state: &'a str,
    severity: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    scope: &'a str,
    series: &'a str,
    start: String,
    end: String,
    available_at: String,
    score: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
    value: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    band: Option<[f64; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deviation: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    relative_deviation: Option<f64>,
    confidence: f64,
    parts: WireParts,
    #[serde(skip_serializing_if = "Option::is_none")]
    shares: Option<WireParts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    led_by: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seen: Option<[f64; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_of_day: Option<[f32; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    drift_mean: Option<f64>,
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<WireLimit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    silence: Option<WireSilence>,
    bundle: &'a str,
    schema_version: u32,
}

#[derive(Serialize)]
struct WireParts {
    reconstruction: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    prediction: Option<f64>,
    critic: f64,
    range: f64,
    envelope: f64,
    drift: f64,
    coarse: f64,
}

impl From<&Parts> for WireParts {
    fn from(parts: &Parts) -> Self {
        Self {
            reconstruction: parts.reconstruction,
            prediction: parts.prediction,
            critic: parts.critic,
            range: parts.range,
            envelope: parts.envelope,
            drift: parts.drift,
            coarse: parts.coarse,
        }
    }
}

#[derive(Serialize)]
struct WireLimit {
    bound: &'static str,
    value: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    forecast: Option<f64>,
}

#[derive(Serialize)]
struct WireSilence {
    last: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    returned: Option<String>,
}

/// The alert as one line of JSON, without the line feed. Absent numbers are left out, never `null`.
#[must_use]
pub fn to_json(alert: &Alert) -> String {
    let time = |t: Timestamp| t.to_string();
    let grounds = alert.grounds.as_ref();
    // Kept with the precision of 32 bits, and JSON has no infinity.
    let time_of_day = grounds
        .and_then(|grounds| grounds.time_of_day)
        .map(|bounds| bounds.map(|bound| bound as f32))
        .filter(|bounds| bounds.iter().all(|bound| bound.is_finite()));
    let wire = Wire {
        id: &alert.id,
        kind: alert.kind(),
        state: alert.state.name(),
        severity: alert.severity.name(),
        scope: &alert.scope,
        series: alert.series.as_str(),
        start: time(alert.start),
        end: time(alert.end),
        available_at: time(alert.available_at),
        score: alert.score,
        at: alert.at.map(time),
        value: alert.value,
        expected: alert.expected,
        band: alert.band(),
        deviation: alert.deviation(),
        relative_deviation: alert.relative_deviation(),
        confidence: alert.confidence,
        parts: WireParts::from(&alert.parts),
        shares: grounds.map(|grounds| WireParts::from(&grounds.shares)),
        led_by: grounds
            .and_then(|grounds| grounds.shares.largest())
            .map(Part::name),
        seen: grounds.and_then(|grounds| grounds.seen),
        time_of_day,
        drift_mean: grounds.and_then(|grounds| grounds.drift),
        reason: reason(alert),
        limit: alert.limit.map(|limit| WireLimit {
            bound: limit.bound.name(),
            value: limit.value,
            forecast: limit.forecast,
        }),
        silence: alert.silence.map(|silence| WireSilence {
            last: time(silence.last),
            returned: silence.returned.map(time),
        }),
        bundle: &alert.bundle,
        schema_version: alert.schema_version,
    };
    serde_json::to_string(&wire).expect("a struct of strings and finite numbers always serialises")
}

/// CloudEvents 1.0 attributes of an alert in binary mode: header names and values, in a fixed order.
/// `source` is the configured event source; no time attribute, so that a re-run is byte-equal.
#[must_use]
pub fn cloud_event_headers(alert: &Alert, source: &str) -> Vec<(&'static str, String)> {
    let prefix = match (alert.limit, alert.silence) {
        (Some(_), _) => LIMIT_EVENT_TYPE_PREFIX,
        (None, Some(_)) => SILENCE_EVENT_TYPE_PREFIX,
        (None, None) => EVENT_TYPE_PREFIX,
    };
    vec![
        ("ce_specversion", "1.0".to_owned()),
        ("ce_id", alert.event_id()),
        ("ce_source", source.to_owned()),
        ("ce_type", format!("{prefix}{}", alert.state.name())),
        ("ce_subject", alert.series.as_str().to_owned()),
        ("content-type", "application/json".to_owned()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::{AlertState, Bound, Grounds, Limit, Parts, SeriesKey, Severity, Silence};

    fn alert() -> Alert {
        Alert {
            id: "0123".into(),
            state: AlertState::Firing,
            severity: Severity::Warning,
            scope: "metrics".into(),
            series: SeriesKey::new("cpu", [("host", "a\"b")]).unwrap(),
            start: Timestamp::from_millis(0),
            end: Timestamp::from_millis(60_000),
            available_at: Timestamp::from_millis(60_500),
            score: 1.5,
            value: 9.0,
            expected: Some(2.0),
            threshold: Some(3.0),
            confidence: 0.75,
            parts: Parts {
                reconstruction: 1.5,
                critic: 0.0,
                range: 0.0,
                envelope: 0.25,
                prediction: None,
                drift: 0.5,
                coarse: 0.0,
            },
            at: Some(Timestamp::from_millis(0)),
            grounds: Some(Grounds {
                shares: Parts {
                    reconstruction: 1.0,
                    ..Parts::default()
                },
                seen: Some([0.5, 8.0]),
                time_of_day: Some([1.2_f32, 7.5].map(f64::from)),
                drift: Some(-0.25),
            }),
            limit: None,
            silence: None,
            bundle: "general@abc".into(),
            schema_version: 1,
        }
    }

    #[test]
    fn the_layout_is_pinned() {
        assert_eq!(
            to_json(&alert()),
            r#"{"id":"0123","kind":"anomaly","state":"firing","severity":"warning","scope":"metrics","series":"cpu{host=\"a\\\"b\"}","start":"1970-01-01T00:00:00Z","end":"1970-01-01T00:01:00Z","available_at":"1970-01-01T00:01:00.500Z","score":1.5,"at":"1970-01-01T00:00:00Z","value":9.0,"expected":2.0,"band":[-1.0,5.0],"deviation":7.0,"relative_deviation":3.5,"confidence":0.75,"parts":{"reconstruction":1.5,"critic":0.0,"range":0.0,"envelope":0.25,"drift":0.5,"coarse":0.0},"shares":{"reconstruction":1.0,"critic":0.0,"range":0.0,"envelope":0.0,"drift":0.0,"coarse":0.0},"led_by":"reconstruction","seen":[0.5,8.0],"time_of_day":[1.2,7.5],"drift_mean":-0.25,"reason":"cpu{host=\"a\\\"b\"} was 9 at 1970-01-01T00:00:00Z, expected 2 (band -1 to 5); led by reconstruction","bundle":"general@abc","schema_version":1}"#
        );
    }

    #[test]
    fn absent_numbers_are_left_out() {
        let json = to_json(&Alert {
            expected: None,
            threshold: None,
            at: None,
            grounds: None,
            scope: String::new(),
            ..alert()
        });
        for absent in ["null", "band", "scope", "deviation", "shares", "led_by", "seen"] {
            assert!(!json.contains(absent), "{absent} in {json}");
        }
        // Nothing is relative to 0.
        let json = to_json(&Alert {
            expected: Some(0.0),
            ..alert()
        });
        assert!(
            json.contains("\"deviation\":9.0") && !json.contains("relative"),
            "{json}"
        );
    }

    #[test]
    fn a_limit_alert_says_its_limit() {
        let alert = Alert {
            limit: Some(Limit {
                bound: Bound::Above,
                value: 90.0,
                forecast: Some(91.5),
            }),
            parts: Parts {
                prediction: Some(0.5),
                ..Parts::default()
            },
            ..alert()
        };
        let json = to_json(&alert);
        for part in [
            r#""kind":"limit""#,
            r#""parts":{"reconstruction":0.0,"prediction":0.5,"critic":0.0"#,
            r#""limit":{"bound":"above","value":90.0,"forecast":91.5}"#,
        ] {
            assert!(json.contains(part), "{part} in {json}");
        }
        let headers = cloud_event_headers(&alert, "/agent");
        assert!(headers.contains(&("ce_type", "io.aiops.agent.limit.firing".to_owned())));
    }

    #[test]
    fn a_silence_alert_says_since_when() {
        let mut alert = Alert {
            silence: Some(Silence {
                last: Timestamp::from_millis(59_000),
                returned: None,
            }),
            ..alert()
        };
        let json = to_json(&alert);
        assert!(json.contains(r#""kind":"silence""#), "{json}");
        assert!(
            json.contains(r#""silence":{"last":"1970-01-01T00:00:59Z"}"#),
            "{json}"
        );
        alert.silence = alert.silence.map(|silence| Silence {
            returned: Some(alert.end),
            ..silence
        });
        assert!(to_json(&alert).contains(r#""returned":"1970-01-01T00:01:00Z"}"#));
        let headers = cloud_event_headers(&alert, "/agent");
        assert!(headers.contains(&("ce_type", "io.aiops.agent.silence.firing".to_owned())));
    }

    #[test]
    fn headers_carry_a_deterministic_id() {
        let headers = cloud_event_headers(&alert(), "/agent");
        assert!(headers.contains(&("ce_id", "0123.firing".to_owned())));
        assert!(headers.iter().all(|(k, _)| *k != "ce_time"));
    }
}
