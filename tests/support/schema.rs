//! The part of JSON Schema 2020-12 that this repository's schemas use. A schema with any other keyword fails, so that
//! nothing in it goes unchecked. (A whole validator would bring thirty packages.)

use serde_json::Value;
use types::Timestamp;

/// What does not fit, one line each; with `strict`, properties that the schema does not declare too.
pub(crate) fn problems(schema: &Value, value: &Value, strict: bool) -> Vec<String> {
    let mut found = Vec::new();
    check(schema, value, strict, "$", &mut found);
    found
}

fn check(schema: &Value, value: &Value, strict: bool, at: &str, found: &mut Vec<String>) {
    for (keyword, rule) in schema.as_object().expect("a schema is an object") {
        let fits = match keyword.as_str() {
            "$schema" | "$id" | "title" | "description" => true,
            "type" => is_type(value, rule.as_str().unwrap()),
            "enum" => rule.as_array().unwrap().contains(value),
            "const" => value == rule,
            "minimum" => value.as_f64().is_none_or(|v| v >= rule.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|v| v <= rule.as_f64().unwrap()),
            "minLength" => value
                .as_str()
                .is_none_or(|s| s.chars().count() as u64 >= rule.as_u64().unwrap()),
            "minItems" => value
                .as_array()
                .is_none_or(|a| a.len() as u64 >= rule.as_u64().unwrap()),
            "maxItems" => value
                .as_array()
                .is_none_or(|a| a.len() as u64 <= rule.as_u64().unwrap()),
            "pattern" => value.as_str().is_none_or(|s| matches(s, rule.as_str().unwrap())),
            "format" => value
                .as_str()
                .is_none_or(|s| is_date_time(s, rule.as_str().unwrap())),
            "required" => {
                let missing: Vec<_> = rule
                    .as_array()
                    .unwrap()
                    .iter()
                    .filter(|k| value.get(k.as_str().unwrap()).is_none())
                    .collect();
                missing.is_empty()
            }
            "additionalProperties" => {
                assert_eq!(
                    rule,
                    &Value::Bool(true),
                    "{at}: changes are additive, so readers let other keys pass"
                );
                true
            }
            "items" => {
                for (i, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(rule, item, strict, &format!("{at}[{i}]"), found);
                }
                true
            }
            "properties" => {
                for (key, value) in value.as_object().into_iter().flatten() {
                    match rule.get(key) {
                        Some(rule) => check(rule, value, strict, &format!("{at}.{key}"), found),
                        None if strict => found.push(format!("{at}.{key} is not declared")),
                        None => {}
                    }
                }
                true
            }
            other => panic!("{at}: keyword {other} is not checked here: teach the checker first"),
        };
        if !fits {
            found.push(format!("{at}: {value} breaks {keyword} {rule}"));
        }
    }
}

fn is_type(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        other => panic!("type {other} is not checked here"),
    }
}

/// One pattern is known: so many lower-case hexadecimal digits.
fn matches(text: &str, pattern: &str) -> bool {
    let count = pattern
        .strip_prefix("^[0-9a-f]{")
        .and_then(|rest| rest.strip_suffix("}$"));
    let count: usize = count
        .and_then(|n| n.parse().ok())
        .unwrap_or_else(|| panic!("pattern {pattern} is not checked here"));
    text.len() == count && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// RFC 3339 with its `T`, in UTC as we write it.
fn is_date_time(text: &str, format: &str) -> bool {
    assert_eq!(format, "date-time", "format {format} is not checked here");
    text.contains('T') && text.ends_with('Z') && Timestamp::parse(text, None).is_ok()
}
