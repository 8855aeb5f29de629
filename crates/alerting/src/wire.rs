//! The layout of an alert on topics and in `--alerts` files: one JSON object, keys in the order of `schema/alert.json`.

use serde::Serialize;
use types::{Alert, Timestamp};

/// Type attribute of the CloudEvents that carry anomalies, less the state: `…firing`, `…escalated`, `…resolved`.
pub const EVENT_TYPE_PREFIX: &str = "io.aiops.agent.alert.";

/// The same of limit alerts, so that who wants only one kind can have it.
pub const LIMIT_EVENT_TYPE_PREFIX: &str = "io.aiops.agent.limit.";

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
    value: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    band: Option<[f64; 2]>,
    confidence: f64,
    parts: WireParts,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<WireLimit>,
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
}

#[derive(Serialize)]
struct WireLimit {
    bound: &'static str,
    value: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    forecast: Option<f64>,
}

/// The alert as one line of JSON, without the line feed. Absent numbers are left out, never `null`.
#[must_use]
pub fn to_json(alert: &Alert) -> String {
    let time = |t: Timestamp| t.to_string();
    // JSON has no infinity: a band that no number can hold is absent.
    let band = alert.expected.zip(alert.threshold).map(|(e, t)| [e - t, e + t]);
    let band = band.filter(|edges| edges.iter().all(|edge| edge.is_finite()));
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
        value: alert.value,
        expected: alert.expected,
        band,
        confidence: alert.confidence,
        parts: WireParts {
            reconstruction: alert.parts.reconstruction,
            prediction: alert.parts.prediction,
            critic: alert.parts.critic,
            range: alert.parts.range,
            envelope: alert.parts.envelope,
        },
        limit: alert.limit.map(|limit| WireLimit {
            bound: limit.bound.name(),
            value: limit.value,
            forecast: limit.forecast,
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
    let prefix = match alert.limit {
        None => EVENT_TYPE_PREFIX,
        Some(_) => LIMIT_EVENT_TYPE_PREFIX,
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
    use types::{AlertState, Bound, Limit, Parts, SeriesKey, Severity};

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
            },
            limit: None,
            bundle: "general@abc".into(),
            schema_version: 1,
        }
    }

    #[test]
    fn the_layout_is_pinned() {
        assert_eq!(
            to_json(&alert()),
            r#"{"id":"0123","kind":"anomaly","state":"firing","severity":"warning","scope":"metrics","series":"cpu{host=\"a\\\"b\"}","start":"1970-01-01T00:00:00Z","end":"1970-01-01T00:01:00Z","available_at":"1970-01-01T00:01:00.500Z","score":1.5,"value":9.0,"expected":2.0,"band":[-1.0,5.0],"confidence":0.75,"parts":{"reconstruction":1.5,"critic":0.0,"range":0.0,"envelope":0.25},"bundle":"general@abc","schema_version":1}"#
        );
    }

    #[test]
    fn absent_numbers_are_left_out() {
        let json = to_json(&Alert {
            expected: None,
            threshold: None,
            scope: String::new(),
            ..alert()
        });
        assert!(
            !json.contains("null") && !json.contains("band") && !json.contains("scope"),
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
    fn headers_carry_a_deterministic_id() {
        let headers = cloud_event_headers(&alert(), "/agent");
        assert!(headers.contains(&("ce_id", "0123.firing".to_owned())));
        assert!(headers.iter().all(|(k, _)| *k != "ce_time"));
    }
}
