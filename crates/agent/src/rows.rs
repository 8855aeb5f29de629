//! `--scores` and `--forecasts` rows as CSV or JSON lines, and as their topics carry them.

use serde_json::{Map, Value};
use types::{Forecast, RowStatus, ScoreRow};

/// The columns, in order: a contract with other programs.
pub const COLUMNS: [&str; 11] = [
    "timestamp",
    "series",
    "value",
    "expected",
    "score",
    "peak",
    "threshold",
    "confidence",
    "status",
    "available_at",
    "alert",
];

/// The fields of a row in the order of [`COLUMNS`]; absent ones are empty. Numbers have the fewest digits that read back
/// exactly.
#[must_use]
pub fn fields(row: &ScoreRow) -> [String; 11] {
    let number = |v: Option<f64>| v.map_or_else(String::new, |v| v.to_string());
    [
        row.timestamp.to_string(),
        row.series.to_string(),
        number(row.value),
        number(row.expected),
        number(row.score),
        number(row.peak),
        number(row.threshold),
        row.confidence.to_string(),
        match row.status {
            RowStatus::Final => "final",
            RowStatus::Pending => "pending",
        }
        .to_owned(),
        row.available_at.map_or_else(String::new, |t| t.to_string()),
        row.alert.clone().unwrap_or_default(),
    ]
}

/// A row as one line of JSON, without the line feed; absent fields are left out.
#[must_use]
pub fn to_json(row: &ScoreRow) -> String {
    let mut object = Map::new();
    let numbers = [
        None,
        None,
        row.value,
        row.expected,
        row.score,
        row.peak,
        row.threshold,
        Some(row.confidence),
    ];
    for (i, (column, text)) in COLUMNS.iter().zip(fields(row)).enumerate() {
        let value = match numbers.get(i).copied().flatten() {
            Some(number) => Value::from(number),
            None => Value::from(text),
        };
        if value != "" {
            object.insert((*column).to_owned(), value);
        }
    }
    Value::Object(object).to_string()
}

/// The columns of `--forecasts`, in order: a contract with other programs.
pub const FORECAST_COLUMNS: [&str; 7] = [
    "timestamp",
    "series",
    "value",
    "low",
    "high",
    "confidence",
    "available_at",
];

/// The fields of a forecast in the order of [`FORECAST_COLUMNS`]; absent ones are empty.
#[must_use]
pub fn forecast_fields(forecast: &Forecast) -> [String; 7] {
    let [low, high] = match forecast.band {
        Some(band) => band.map(|edge| edge.to_string()),
        None => [String::new(), String::new()],
    };
    [
        forecast.timestamp.to_string(),
        forecast.series.to_string(),
        forecast.value.to_string(),
        low,
        high,
        forecast.confidence.to_string(),
        forecast.available_at.to_string(),
    ]
}

/// A forecast as one line of JSON, without the line feed; absent fields are left out.
#[must_use]
pub fn forecast_to_json(forecast: &Forecast) -> String {
    let mut object = Map::new();
    let [low, high] = forecast.band.map_or([None, None], |band| band.map(Some));
    let texts = forecast_fields(forecast);
    let numbers = [
        None,
        None,
        Some(forecast.value),
        low,
        high,
        Some(forecast.confidence),
    ];
    for (i, (column, text)) in FORECAST_COLUMNS.iter().zip(texts).enumerate() {
        let value = match numbers.get(i).copied().flatten() {
            Some(number) => Value::from(number),
            None => Value::from(text),
        };
        if value != "" {
            object.insert((*column).to_owned(), value);
        }
    }
    Value::Object(object).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::{SeriesKey, Timestamp};

    #[test]
    fn absent_is_empty_or_left_out() {
        let row = ScoreRow {
            timestamp: Timestamp::from_millis(0),
            series: SeriesKey::from_name("cpu").unwrap(),
            value: Some(1.5),
            expected: None,
            score: None,
            peak: None,
            threshold: None,
            confidence: 0.0,
            status: RowStatus::Pending,
            available_at: None,
            alert: None,
        };
        assert_eq!(
            fields(&row).join(","),
            "1970-01-01T00:00:00Z,cpu,1.5,,,,,0,pending,,"
        );
        let json: Value = serde_json::from_str(&to_json(&row)).unwrap();
        assert_eq!(json["value"], 1.5);
        assert!(json.get("expected").is_none() && json.get("alert").is_none());
    }

    #[test]
    fn a_forecast_without_a_band_leaves_it_out() {
        let mut forecast = Forecast {
            series: SeriesKey::from_name("cpu").unwrap(),
            timestamp: Timestamp::from_millis(60_000),
            value: 2.5,
            band: None,
            confidence: 0.25,
            available_at: Timestamp::from_millis(60_500),
        };
        assert_eq!(
            forecast_fields(&forecast).join(","),
            "1970-01-01T00:01:00Z,cpu,2.5,,,0.25,1970-01-01T00:01:00.500Z"
        );
        assert!(!forecast_to_json(&forecast).contains("low"));
        forecast.band = Some([1.0, 4.0]);
        let json: Value = serde_json::from_str(&forecast_to_json(&forecast)).unwrap();
        assert_eq!(
            (&json["low"], &json["high"], &json["value"]),
            (&1.0.into(), &4.0.into(), &2.5.into())
        );
    }
}
