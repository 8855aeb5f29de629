use proptest::prelude::*;
use types::RejectReason as Why;

use super::*;

const T: i64 = 1_767_225_600_000; // 2026-01-01T00:00:00Z

fn all(text: &str) -> Decoded {
    decode(text.as_bytes(), Format::Auto, None, &LabelRules::default())
}

fn one(text: &str) -> Sample {
    let decoded = all(text);
    assert_eq!(decoded.rejected, [], "{text}");
    assert_eq!(decoded.samples.len(), 1, "{text}");
    decoded.samples[0].clone()
}

fn why(text: &str) -> Why {
    let decoded = all(text);
    assert_eq!(decoded.samples, [], "{text}");
    assert_eq!(decoded.rejected.len(), 1, "{text}: {:?}", decoded.rejected);
    let detail = &decoded.rejected[0].detail;
    assert!(!detail.contains('\n') && detail.len() < 400, "{detail}");
    decoded.rejected[0].reason
}

#[test]
fn native_object() {
    let sample =
        one(r#"{"name":"cpu","labels":{"host":"a"},"timestamp":"2026-01-01T00:00:00Z","value":1.5}"#);
    assert_eq!(sample.series.as_str(), r#"cpu{host="a"}"#);
    assert_eq!(sample.time.millis(), T);
    assert_eq!(sample.value, 1.5);
}

#[test]
fn timestamps_in_all_spellings() {
    for time in [
        r#""2026-01-01T00:00:00Z""#,
        r#""2026-01-01T01:00:00+01:00""#,
        r#""2026-01-01 00:00:00""#,
        "1767225600",
        "1767225600.0",
        r#""1767225600""#,
    ] {
        let sample = one(&format!(r#"{{"name":"m","timestamp":{time},"value":1}}"#));
        assert_eq!(sample.time.millis(), T, "{time}");
    }
    for time in [
        "true",
        "{}",
        "[1]",
        r#""""#,
        r#""soon""#,
        "1e300",
        "1767225600000",
    ] {
        let text = format!(r#"{{"name":"m","timestamp":{time},"value":1}}"#);
        assert_eq!(why(&text), Why::BadTimestamp, "{time}");
    }
}

#[test]
fn the_record_time_stands_in() {
    let payload = br#"{"name":"m","timestamp":null,"value":1}"#;
    let time = Timestamp::from_millis(7);
    let decoded = decode(payload, Format::NativeJson, Some(time), &LabelRules::default());
    assert_eq!(decoded.samples[0].time, time);
    assert_eq!(why(r#"{"name":"m","value":1}"#), Why::MissingField);
}

#[test]
fn values() {
    let with = |value: &str| format!(r#"{{"name":"m","timestamp":0,"value":{value}}}"#);
    assert_eq!(one(&with("-1.5e3")).value, -1500.0);
    // Correctly rounded: the shortest spelling of a double reads back as that double.
    assert_eq!(
        one(&with("0.1234567890123456789")).value,
        0.123_456_789_012_345_68
    );
    assert_eq!(
        one(&with("123456789012345678901234567890")).value,
        1.234_567_890_123_456_8e29
    );
    for (text, reason) in [
        ("null", Why::MissingField),
        ("true", Why::NotANumber),
        ("{}", Why::NotANumber),
        (r#""x""#, Why::NotANumber),
        (r#""""#, Why::NotANumber),
        ("1e400", Why::NotFinite),
        ("NaN", Why::NotFinite),
        ("-Infinity", Why::NotFinite),
        ("Infinity", Why::NotFinite),
        (r#""+Inf""#, Why::NotFinite),
    ] {
        assert_eq!(why(&with(text)), reason, "{text}");
    }
    assert_eq!(why(r#"{"name":"m","timestamp":0}"#), Why::MissingField);
}

#[test]
fn prometheus_kafka_adapter() {
    let text = r#"{"timestamp":"1970-01-01T00:00:00Z","value":"9876543210","name":"up","labels":{"__name__":"up","job":"x"}}"#;
    let sample = one(text);
    assert_eq!(sample.series.as_str(), r#"up{job="x"}"#);
    assert_eq!(sample.value, 9_876_543_210.0);
    for value in ["NaN", "+Inf", "-Inf"] {
        assert_eq!(why(&text.replace("9876543210", value)), Why::NotFinite);
    }
    let nameless = text.replace(r#""name":"up","#, "");
    assert_eq!(one(&nameless).series.as_str(), r#"up{job="x"}"#);
}

#[test]
fn formats_are_kept_apart_when_named() {
    let prometheus = br#"{"timestamp":"0","value":"1","name":"up","labels":{"__name__":"up"}}"#;
    let native = br#"{"timestamp":0,"value":1,"name":"up","labels":{"__name__":"up"}}"#;
    let rules = LabelRules::default();
    let strict = decode(prometheus, Format::NativeJson, None, &rules);
    assert_eq!(strict.rejected[0].reason, Why::NotANumber);
    let kept = decode(native, Format::NativeJson, None, &rules);
    assert_eq!(kept.samples[0].series.as_str(), r#"up{__name__="up"}"#);
    let dropped = decode(native, Format::PrometheusJson, None, &rules);
    assert_eq!(dropped.samples[0].series.as_str(), "up");
    for format in [Format::Auto, Format::NativeJson, Format::PrometheusJson] {
        assert_eq!(format.name().parse(), Ok(format));
    }
    assert!("json".parse::<Format>().is_err());
}

#[test]
fn labels() {
    let with = |labels: &str| format!(r#"{{"name":"m","labels":{labels},"timestamp":0,"value":1}}"#);
    for (labels, series) in [
        ("null", "m"),
        ("{}", "m"),
        (r#"{"b":"2","a":"1"}"#, r#"m{a="1",b="2"}"#),
        (r#"{"a":"","b":null}"#, "m"),
        (r#"{"a":1.50,"b":true}"#, r#"m{a="1.50",b="true"}"#),
        (r#"{"a":"1","a":"1"}"#, r#"m{a="1"}"#),
    ] {
        assert_eq!(one(&with(labels)).series.as_str(), series);
    }
    for labels in [
        r#"{"a":"1","a":"2"}"#,
        r#"{"":"1"}"#,
        r#"{"a":{}}"#,
        "[]",
        "1",
        r#"{"a":"\ud800"}"#,
    ] {
        assert_eq!(why(&with(labels)), Why::BadSeries, "{labels}");
    }
}

#[test]
fn label_rules() {
    let text = br#"{"name":"m","labels":{"a":"1","b":"2","c":"3"},"timestamp":0,"value":1}"#;
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let rules = LabelRules {
        keep: Some(set(&["a", "b"])),
        drop: set(&["b"]),
    };
    assert_eq!(
        decode(text, Format::Auto, None, &rules).samples[0]
            .series
            .as_str(),
        r#"m{a="1"}"#
    );
}

#[test]
fn names() {
    for (name, reason) in [
        (r#""""#, Why::BadSeries),
        ("1", Why::BadSeries),
        ("null", Why::MissingField),
        (
            &format!(r#""{}""#, "x".repeat(MAX_SERIES_BYTES + 1)),
            Why::BadSeries,
        ),
    ] {
        assert_eq!(
            why(&format!(r#"{{"name":{name},"timestamp":0,"value":1}}"#)),
            reason
        );
    }
}

#[test]
fn good_points_of_a_bad_record_are_kept() {
    let good = r#"{"name":"m","timestamp":0,"value":1}"#;
    let bad = r#"{"name":"m","timestamp":0,"value":NaN}"#;
    for text in [
        format!("[{good},{bad},{good},7]"),
        format!("{good}\n{bad}\r\n\n{good}\n7\n"),
        format!("{good}\n[{bad},{good}]\n{{\"name\""),
    ] {
        let decoded = all(&text);
        assert_eq!(decoded.samples.len(), 2, "{text}");
        let mut reasons: Vec<_> = decoded.rejected.iter().map(|r| r.reason).collect();
        reasons.sort_unstable();
        assert_eq!(reasons, [Why::NotFinite, Why::Malformed], "{text}");
    }
    let decoded = all(&format!("[{good},{bad}]"));
    assert_eq!(
        decoded.rejected[0].detail,
        "point 2: the value `NaN` is not finite"
    );
}

/// A record of nothing but bad points must not become as many rejects, each larger than the point.
#[test]
fn of_many_bad_points_most_are_only_counted() {
    let good = r#"{"name":"m","timestamp":0,"value":1}"#;
    let bad = "1,".repeat(70_000) + &r#"{"name":"m"},"#.repeat(30_000);
    let lines = "x\n".repeat(50_000);
    for (text, malformed, missing) in [
        (format!("[{bad}{good}]"), 69_900, 30_000),
        (format!("{lines}{good}"), 49_900, 0),
    ] {
        let decoded = all(&text);
        assert_eq!(decoded.samples.len(), 1);
        let (said, rest) = decoded.rejected.split_at(MAX_REFUSED);
        assert!(said.iter().all(|r| r.reason == Why::Malformed));
        let rest: Vec<_> = rest.iter().map(|r| (r.reason, r.detail.as_str())).collect();
        let more = [
            (
                Why::MissingField,
                format!("{missing} more points of this record: missing_field"),
            ),
            (
                Why::Malformed,
                format!("{malformed} more points of this record: malformed"),
            ),
        ];
        let mut more: Vec<_> = more.iter().map(|(why, detail)| (*why, detail.as_str())).collect();
        more.retain(|(why, _)| missing > 0 || *why == Why::Malformed);
        more.sort_unstable();
        assert_eq!(rest, more);
    }
}

#[test]
fn words_inside_strings_are_left_alone() {
    let sample = one(r#"[{"name":"a \" NaN","timestamp":0,"value":1}]"#);
    assert_eq!(sample.series.as_str(), r#"a " NaN"#);
    let decoded = all(r#"[{"name":"\\","value":NaN},{"name":"a \" NaN","timestamp":0,"value":1}]"#);
    assert_eq!(decoded.samples, [sample]);
}

#[test]
fn malformed() {
    let bomb = "[".repeat(1 << 20);
    let lines = "[\n".repeat(1 << 19);
    let labels = format!(
        r#"{{"name":"m","labels":{},"value":1}}"#,
        "{\"a\":".repeat(1 << 18)
    );
    for text in [
        "",
        " \n",
        "hello",
        "7",
        "{",
        "{}{}",
        r#"{"name":"m","name":"m","timestamp":0,"value":1}"#,
        &bomb,
        &lines,
        &labels,
    ] {
        assert_eq!(why(text), Why::Malformed);
    }
    let rules = LabelRules::default();
    let decoded = decode(
        b"{\"name\":\"\xff\",\"timestamp\":0,\"value\":1}",
        Format::Auto,
        None,
        &rules,
    );
    assert_eq!(decoded.rejected[0].reason, Why::Malformed);
    assert_eq!(all("[]"), Decoded::default());
}

#[test]
fn deep_but_closed_nesting_costs_no_stack() {
    let deep = format!("{}{}", "[".repeat(1 << 19), "]".repeat(1 << 19));
    let text = format!(r#"{{"name":"m","extra":{deep},"timestamp":0,"value":1}}"#);
    assert_eq!(one(&text).value, 1.0);
    assert_eq!(
        why(&format!(r#"{{"name":"m","timestamp":0,"value":{deep}}}"#)),
        Why::NotANumber
    );
}

proptest! {
    #[test]
    fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let decoded = decode(&bytes, Format::Auto, None, &LabelRules::default());
        prop_assert!(decoded.samples.iter().all(|sample| sample.value.is_finite()));
    }

    #[test]
    fn never_panics_near_json(
        edits in proptest::collection::vec((0usize..400, any::<u8>()), 0..6),
        cut in 0usize..400,
        prometheus in any::<bool>(),
    ) {
        let mut text = br#"[{"name":"cpu","labels":{"host":"a","n":1},"timestamp":"2026-01-01T00:00:00Z","value":1.5},
            {"name":"up","labels":{"__name__":"up"},"timestamp":1767225600,"value":"NaN"},{"value":NaN}]
            {"name":"mem","value":-1e5,"timestamp":"2026-01-01 00:00:00"}"#.to_vec();
        for (at, byte) in edits {
            let at = at % text.len();
            text[at] = byte;
        }
        text.truncate(cut.max(1));
        let format = if prometheus { Format::PrometheusJson } else { Format::Auto };
        let decoded = decode(&text, format, None, &LabelRules::default());
        // Whatever it is, it is accounted for.
        prop_assert!(!decoded.samples.is_empty() || !decoded.rejected.is_empty());
    }

    #[test]
    fn finite_values_survive_exactly(value in any::<f64>().prop_filter("finite", |v| v.is_finite())) {
        let text = format!(r#"{{"name":"m","timestamp":0,"value":{value:e}}}"#);
        prop_assert_eq!(one(&text).value.to_bits(), value.to_bits());
    }
}
