//! Alerts as they are written against `schema/alert.json`.

use alerting::wire::to_json;
use alerting::{
    AlertMachine, AlertSpec, LimitMachine, LimitSpec, Missed, Observation, Origin, Outlook, Reading,
    SilenceMachine,
};
use proptest::prelude::*;
use serde_json::Value;
use types::{Alert, Grounds, Parts, SeriesKey, Timestamp};

use crate::support::{read, schema};

fn alert_schema() -> Value {
    serde_json::from_str(&read("schema/alert.json")).unwrap()
}

fn series() -> SeriesKey {
    SeriesKey::new("http requests", [("path", "/a\"b\\c\n"), ("zone", "ü")]).unwrap()
}

/// The alerts of a machine that sees these buckets.
fn alerts(scope: &str, seen: &[Observation]) -> Vec<Alert> {
    let series = series();
    let origin = Origin {
        scope,
        series: &series,
        bundle: "general@0123456789ab",
    };
    let (spec, mut machine, mut out) = (AlertSpec::default(), AlertMachine::default(), Vec::new());
    for observation in seen {
        machine.observe(&spec, &origin, observation, &mut out);
    }
    out
}

/// The limit alerts of these values, each with a forecast of the next one: what a bucket was expected to be stands in for it.
fn limit_alerts(scope: &str, spec: &LimitSpec, seen: &[Observation]) -> Vec<Alert> {
    let series = series();
    let origin = Origin {
        scope,
        series: &series,
        bundle: "aer@0123456789ab",
    };
    let (mut machine, mut out) = (LimitMachine::default(), Vec::new());
    for (i, o) in seen.iter().enumerate() {
        let reading = Reading {
            start: o.start,
            interval: o.interval,
            available_at: o.available_at,
            value: Some(o.value),
            next: (i % 5 != 4).then_some(Outlook {
                value: o.expected,
                margin: o.threshold,
                confidence: o.confidence,
            }),
        };
        machine.observe(spec, &AlertSpec::default(), &origin, &reading, &mut out);
    }
    out
}

/// Each bucket is missed, and every other silence ended by a sample.
fn silence_alerts(scope: &str, seen: &[Observation]) -> Vec<Alert> {
    let series = series();
    let origin = Origin {
        scope,
        series: &series,
        bundle: "general@0123456789ab",
    };
    let (mut machine, mut out) = (SilenceMachine::default(), Vec::new());
    for (i, o) in seen.iter().enumerate() {
        let missed = Missed {
            last: o.start,
            interval: o.interval,
            value: o.value,
            regularity: o.confidence,
        };
        machine.begin(&origin, missed, o.available_at, &mut out);
        machine.end(
            &origin,
            o.available_at,
            (i % 2 == 0).then_some(o.available_at),
            &mut out,
        );
    }
    out
}

fn observations() -> impl Strategy<Value = Vec<Observation>> {
    let numbers = || prop_oneof![-1e3..1e3, proptest::num::f64::NORMAL.prop_map(|v| v / 4.0)];
    let scores = || prop_oneof![0.0..1.0, 1.0..2.0, 2.0..10.0];
    let bucket = (
        numbers(),
        numbers(),
        scores(),
        proptest::option::of(0.0..1e300f64),
        0.0..=1.0,
    );
    let start = Timestamp::MIN.millis()..Timestamp::MAX.millis() / 2;
    (start, proptest::collection::vec(bucket, 1..60)).prop_map(|(start, buckets)| {
        let observe = |(i, (value, expected, score, threshold, confidence))| Observation {
            start: Timestamp::from_millis(start + 1_500 * i as i64),
            interval: 1_500,
            available_at: Timestamp::from_millis(start + 1_500 * (i as i64 + 1)),
            value,
            expected,
            score,
            peak: score,
            threshold,
            confidence,
            parts: Parts {
                reconstruction: score,
                critic: score / 2.0,
                range: 0.0,
                envelope: score,
                drift: score / 4.0,
                prediction: (i % 2 == 0).then_some(score),
                coarse: score / 3.0,
            },
            grounds: grounds([value.min(expected), value.max(expected)]),
        };
        buckets.into_iter().enumerate().map(observe).collect()
    })
}

/// A prediction that left both of its bounds, with some help of the range.
fn grounds(bounds: [f64; 2]) -> Grounds {
    Grounds {
        shares: Parts {
            prediction: Some(0.75),
            range: 0.25,
            ..Parts::default()
        },
        seen: Some(bounds),
        time_of_day: Some(bounds),
        drift: Some(bounds[1] - bounds[0]),
    }
}

proptest! {
    /// Whatever a machine can say fits the schema, and the schema declares all that is said.
    #[test]
    fn alerts_fit_their_schema(seen in observations(), scope in "[a-z]{0,5}") {
        let schema = alert_schema();
        let spec = LimitSpec { above: Some(100.0), below: Some(-100.0) };
        let limits = limit_alerts(&scope, &spec, &seen);
        let silences = silence_alerts(&scope, &seen);
        for alert in alerts(&scope, &seen).into_iter().chain(limits).chain(silences) {
            let text = to_json(&alert);
            let value: Value = serde_json::from_str(&text).unwrap();
            let problems = schema::problems(&schema, &value, true);
            prop_assert!(problems.is_empty(), "{text}\n{problems:?}");
        }
    }
}

/// A firing, an escalated and a resolved alert.
fn an_event() -> Vec<Value> {
    let seen: Vec<Observation> = [1.5, 2.5, 0.1, 0.1, 0.1]
        .into_iter()
        .enumerate()
        .map(|(i, score)| Observation {
            start: Timestamp::from_millis(i as i64 * 300_000),
            interval: 300_000,
            available_at: Timestamp::from_millis((i as i64 + 1) * 300_000),
            value: 9.0,
            expected: 1.0,
            score,
            peak: score,
            threshold: Some(2.0),
            confidence: 0.9,
            parts: Parts {
                prediction: Some(score),
                ..Parts::default()
            },
            grounds: grounds([0.5, 2.5]),
        })
        .collect();
    alerts("metrics", &seen)
        .iter()
        .map(|alert| serde_json::from_str(&to_json(alert)).unwrap())
        .collect()
}

#[test]
fn every_declared_key_is_written() {
    let event = an_event();
    assert_eq!(event.len(), 3);
    let schema = alert_schema();
    let limit = a_limit();
    let mut whole = event[0].clone();
    whole["limit"] = limit["limit"].clone();
    let silence: Value = serde_json::from_str(&to_json(&silence_alerts("", &[observation()])[1])).unwrap();
    whole["silence"] = silence["silence"].clone();
    for (declared, written) in [
        ("", &whole),
        ("/properties/parts", &whole["parts"]),
        ("/properties/shares", &whole["shares"]),
        ("/properties/limit", &whole["limit"]),
        ("/properties/silence", &whole["silence"]),
    ] {
        for key in schema
            .pointer(&format!("{declared}/properties"))
            .unwrap()
            .as_object()
            .unwrap()
            .keys()
        {
            assert!(written.get(key).is_some(), "{key} is declared but not written");
        }
    }
}

/// The warning of a value that is forecast to cross.
fn a_limit() -> Value {
    let seen = Observation {
        value: 80.0,
        expected: 95.0,
        ..observation()
    };
    let spec = LimitSpec {
        above: Some(90.0),
        below: None,
    };
    let alerts = limit_alerts("metrics", &spec, &[seen]);
    serde_json::from_str(&to_json(&alerts[0])).unwrap()
}

#[test]
fn a_limit_alert_has_no_expected_value_and_says_its_limit() {
    let limit = a_limit();
    assert_eq!(
        (&limit["kind"], &limit["severity"]),
        (&"limit".into(), &"warning".into())
    );
    assert_eq!(
        limit["limit"],
        serde_json::json!({"bound": "above", "value": 90.0, "forecast": 95.0})
    );
    assert!(limit.get("expected").is_none() && limit.get("band").is_none());
    assert_eq!(an_event()[0]["kind"], "anomaly");
}

#[test]
fn keys_stand_in_the_order_of_the_schema() {
    let text = read("schema/alert.json");
    let properties = &text[text.find("\"properties\"").unwrap()..];
    let written = alerts("metrics", &[]);
    assert!(written.is_empty());
    let line = to_json(&Alert {
        scope: "metrics".to_owned(),
        expected: Some(1.0),
        threshold: Some(2.0),
        limit: Some(types::Limit {
            bound: types::Bound::Above,
            value: 90.0,
            forecast: None,
        }),
        silence: Some(types::Silence {
            last: Timestamp::from_millis(0),
            returned: None,
        }),
        ..sample()
    });
    let keys = [
        "id",
        "kind",
        "state",
        "severity",
        "scope",
        "series",
        "start",
        "end",
        "available_at",
        "score",
        "at",
        "value",
        "expected",
        "band",
        "deviation",
        "relative_deviation",
        "confidence",
        "parts",
        "shares",
        "led_by",
        "seen",
        "time_of_day",
        "drift_mean",
        "reason",
        "limit",
        "silence",
        "bundle",
        "schema_version",
    ];
    for text in [properties, line.as_str()] {
        let places: Vec<_> = keys
            .iter()
            .map(|key| text.find(&format!("\"{key}\":")).unwrap())
            .collect();
        assert!(places.is_sorted(), "{places:?} in {text}");
    }
}

fn sample() -> Alert {
    alerts("metrics", &[observation()]).remove(0)
}

fn observation() -> Observation {
    Observation {
        start: Timestamp::from_millis(0),
        interval: 60_000,
        available_at: Timestamp::from_millis(60_000),
        value: 9.0,
        expected: 1.0,
        score: 1.5,
        peak: 1.5,
        threshold: Some(2.0),
        confidence: 0.9,
        parts: Parts::default(),
        grounds: grounds([1.0, 9.0]),
    }
}

/// The checker says no where it should: each mutation of a good alert breaks one rule.
#[test]
fn what_does_not_fit_is_found() {
    let (schema, good) = (alert_schema(), an_event().remove(0));
    assert_eq!(schema::problems(&schema, &good, true), Vec::<String>::new());
    let wrong: [(&str, Value); 10] = [
        ("id", "0123".into()),
        ("state", "open".into()),
        ("series", "".into()),
        ("start", "1970-01-01 00:00:00".into()),
        ("score", (-1.0).into()),
        ("confidence", 1.5.into()),
        ("band", vec![1.0].into()),
        ("expected", Value::Null),
        ("parts", serde_json::json!({"reconstruction": 1.0})),
        ("schema_version", 2.into()),
    ];
    for (key, value) in wrong {
        let mut bad = good.clone();
        bad[key] = value;
        assert!(
            !schema::problems(&schema, &bad, false).is_empty(),
            "{key} = {} passes",
            bad[key]
        );
    }
    let mut later = good;
    later["new_key"] = 1.into();
    assert!(
        schema::problems(&schema, &later, false).is_empty(),
        "a later, additive version must pass"
    );
    assert!(!schema::problems(&schema, &later, true).is_empty());
}
