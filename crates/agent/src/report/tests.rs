use types::{Alert, AlertState, Grounds, Parts, RowStatus, ScoreRow, SeriesKey, Severity, Timestamp};

use super::*;

const MINUTE: i64 = 60_000;
const START: i64 = 1_396_396_800_000;

fn at(i: usize) -> Timestamp {
    Timestamp::from_millis(START + i as i64 * 5 * MINUTE)
}

/// A daily wave with one bump of rows 600 to 620, a gap, and scores to match.
fn rows(n: usize) -> Vec<ScoreRow> {
    let series = SeriesKey::from_name("cpu").unwrap();
    (0..n)
        .map(|i| {
            let expected = 50.0 + 20.0 * (i as f64 / 288.0 * std::f64::consts::TAU).sin();
            let bump = (600..620).contains(&i);
            let score = if bump { 2.4 } else { 0.3 };
            ScoreRow {
                timestamp: at(i),
                series: series.clone(),
                value: (i % 500 != 7)
                    .then_some(expected + (i as f64 * 1.7).sin() + if bump { 25.0 } else { 0.0 }),
                expected: (i >= 99).then_some(expected),
                score: (i >= 99).then_some(score),
                peak: (i >= 99).then_some(if i == 600 { 2.4 } else { 0.0 }),
                threshold: Some(6.0),
                confidence: 0.9,
                status: RowStatus::Final,
                available_at: Some(at(i + 1)),
                alert: None,
            }
        })
        .collect()
}

fn alert(id: &str, state: AlertState, start: usize, end: usize, score: f64) -> Alert {
    Alert {
        id: id.to_owned(),
        state,
        severity: if score >= 2.0 {
            Severity::Critical
        } else {
            Severity::Warning
        },
        scope: String::new(),
        series: SeriesKey::from_name("cpu").unwrap(),
        start: at(start),
        end: at(end),
        available_at: at(end + 1),
        score,
        value: 75.0,
        expected: Some(50.0),
        threshold: Some(6.0),
        confidence: 0.9,
        parts: Parts {
            reconstruction: score,
            ..Parts::default()
        },
        at: Some(at(start)),
        grounds: Some(Grounds {
            shares: Parts {
                reconstruction: 0.75,
                range: 0.25,
                ..Parts::default()
            },
            seen: Some([28.0, 72.0]),
            time_of_day: Some([48.0, 53.5]),
            drift: None,
        }),
        limit: None,
        silence: None,
        bundle: "general@0123456789ab".to_owned(),
        schema_version: Alert::SCHEMA_VERSION,
    }
}

fn series(name: &str, n: usize) -> SeriesReport {
    SeriesReport {
        name: name.to_owned(),
        rows: rows(n),
        alerts: vec![
            alert("a", AlertState::Firing, 600, 602, 1.4),
            alert("a", AlertState::Escalated, 600, 604, 2.4),
            alert("a", AlertState::Resolved, 600, 620, 2.4),
            alert("b", AlertState::Firing, 900, 903, 1.2),
        ],
        labels: vec![(at(590), at(630)), (at(100), at(110))],
        ahead: None,
    }
}

fn report(series: Vec<SeriesReport>) -> Report {
    Report {
        title: "Replay of cpu.csv".to_owned(),
        file: "cpu.csv".to_owned(),
        bundle: "general@0123456789ab".to_owned(),
        generated_by: "agent 0.1.0".to_owned(),
        summary: vec![("Lag".to_owned(), "0".to_owned())],
        series,
        rejected: vec![("not_a_number".to_owned(), 3), ("late".to_owned(), 2)],
    }
}

#[test]
fn the_header_says_what_was_found() {
    let page = render(&report(vec![series("cpu", 2000)]));
    for text in [
        "<dt>Buckets</dt><dd><bdi>2000, 1901 scored</bdi>",
        "<dt>Interval</dt><dd><bdi>5 min</bdi>",
        "<dt>Alerts</dt><dd><bdi>2 (1 critical)</bdi>",
        "<dt>Labels</dt><dd><bdi>1 hit, 1 missed; 1 alert outside</bdi>",
        "<dt>Not used</dt><dd><bdi>5: 3 not_a_number, 2 late</bdi>",
        "<dt>Lag</dt><dd><bdi>0</bdi>",
        "2014-04-02 00:00 to 2014-04-08 22:35 UTC",
    ] {
        assert!(page.contains(text), "{text}");
    }
    let mut told = report(vec![series("cpu", 2000)]);
    told.summary = vec![("alerts".to_owned(), "as the terminal says".to_owned())];
    let page = render(&told);
    assert!(page.contains("<dt>alerts</dt><dd><bdi>as the terminal says</bdi>"));
    assert!(!page.contains("<dt>Alerts</dt>"), "said once");
}

#[test]
fn events_span_from_firing_to_resolved_and_open_ones_stay_open() {
    let one = series("cpu", 2000);
    let found = spans(&one.alerts);
    assert_eq!(found.len(), 2);
    assert_eq!(
        (found[0].start, found[0].end, found[0].open),
        (at(600), at(620), false)
    );
    assert_eq!(
        (found[0].severity, found[0].known),
        (Severity::Critical, Some(at(603)))
    );
    assert!(found[1].open);
    assert_eq!(hits(&found, &one.labels), (1, 1));
    assert_eq!(
        hits(&found, &[(at(605), at(630))]),
        (0, 2),
        "an alert that began before the label is no hit"
    );
}

#[test]
fn forecasts_and_limits_are_drawn_and_said() {
    let mut one = series("cpu", 2000);
    let next = |i: usize| Forecast {
        series: SeriesKey::from_name("cpu").unwrap(),
        timestamp: at(i),
        value: 61.5,
        band: Some([58.0, 65.0]),
        confidence: 0.8,
        available_at: at(i),
    };
    one.ahead = Some(next(2000));
    let mut limit = alert("c", AlertState::Firing, 1000, 1001, 1.0);
    limit.limit = Some(types::Limit {
        bound: types::Bound::Above,
        value: 70.0,
        forecast: Some(72.5),
    });
    one.alerts.push(limit);
    let page = render(&report(vec![one.clone()]));
    for text in [
        "forecast for 2014-04-08 22:40: 61.5 (58 to 65)",
        "expected (forecast)",
        "forecast of the next bucket</li>",
        "above the limit of 70, forecast 72.5",
        "title=\"warning, above the limit of 70, 2014-04-05",
        "\"ahead\":true,\"limits\":[70]",
        "labels: 1 of 2 hit · 1 alert outside labels",
    ] {
        assert!(page.contains(text), "{text}");
    }
    assert!(page.contains("class=\"ahead\" d=\"M2") || page.contains("class=\"ahead\" d=\"M1"));
    // The bucket under way when the input ended is the one that was forecast.
    let last = one.rows.last_mut().unwrap();
    (last.status, last.score, last.expected) = (RowStatus::Pending, None, None);
    one.ahead = Some(next(1999));
    let mut points = points::points(&one.rows, 5 * MINUTE);
    assert!(points::look_ahead(&mut points, one.ahead.as_ref()));
    assert_eq!(points.len(), 2000);
    assert_eq!(
        (points[1999].expected, points[1999].threshold),
        (Some(61.5), Some(3.5))
    );
    assert!(points[1999].value.is_some());
    // A forecast of the past has no place.
    assert!(!points::look_ahead(&mut points, Some(&next(1500))));
    let plain = render(&report(vec![series("cpu", 2000)]));
    assert!(plain.contains("expected (reconstruction)") && plain.contains("\"ahead\":false,\"limits\":[]"));
}

#[test]
fn an_alert_says_why() {
    let mut one = series("cpu", 2000);
    one.alerts[0].parts.range = 0.33;
    // The highest is on the way back; what happened is what was found at first.
    one.alerts[2].value = 31.25;
    one.alerts[3].expected = Some(0.0);
    let page = render(&report(vec![one.clone()]));
    for text in [
        "<span>75 <small>(+25, +50 %)</small></span>",
        "<span>50 <small>(44 to 56)</small></span>",
        "<b>reconstruction 75 %, range 25 %</b><br>seen before: 28 to 72<br><small>alone: reconstruction 1.40, range 0.33</small>",
        "<td data-name=\"Highest score\">2.40</td>",
        // Nothing is relative to 0, and a range that was not left is no reason.
        "<span>75 <small>(+75)</small></span>",
        "<b>reconstruction 75 %, range 25 %</b><br><small>alone: reconstruction 1.20</small>",
    ] {
        assert!(page.contains(text), "{text}");
    }
    assert!(!page.contains("<span>31.25"));
    one.alerts[0].parts = Parts {
        envelope: 1.8,
        critic: 0.001,
        ..Parts::default()
    };
    one.alerts[0].grounds.as_mut().unwrap().shares = Parts {
        envelope: 1.0,
        ..Parts::default()
    };
    let page = render(&report(vec![one]));
    let why = "<b>envelope 100 %</b><br>this time of day: 48 to 53.5<br><small>alone: envelope 1.80</small>";
    assert!(page.contains(why));
}

#[test]
fn hostile_text_stays_text() {
    let evil = "</title></script><script>alert(1)</script><b onmouseover='x()' style=\"\">";
    let mut one = series(evil, 1200);
    one.alerts[0].id = evil.to_owned();
    let mut hostile = report(vec![one, series(evil, 0)]);
    hostile.title = evil.to_owned();
    hostile.file = evil.to_owned();
    hostile.bundle = evil.to_owned();
    hostile.generated_by = evil.to_owned();
    hostile.summary = vec![(evil.to_owned(), evil.to_owned())];
    hostile.rejected = vec![(evil.to_owned(), 1)];
    let page = render(&hostile);
    assert!(!page.contains("<script>alert"));
    assert!(!page.contains("<b onmouseover"));
    let scripts = page.matches("<script").count();
    assert_eq!(scripts, page.matches("</script>").count());
    assert_eq!(scripts, 2, "one chart's data and the page's own");
}

#[test]
fn the_page_loads_nothing() {
    let page = render(&report(vec![series("cpu", 1200)]));
    for word in [
        "http:",
        "https:",
        "src=",
        "@import",
        "url(",
        "fetch(",
        "XMLHttpRequest",
        "import(",
    ] {
        assert!(!page.contains(word), "{word}");
    }
    assert!(page.contains("default-src 'none'"));
    assert_eq!(page.matches("href=").count(), 1, "the empty icon");
}

#[test]
fn chart_data_is_json_with_one_entry_a_point() {
    let page = render(&report(vec![series("cpu", 1200)]));
    let json = page.split("<script type=\"application/json\">").nth(1).unwrap();
    let data: serde_json::Value = serde_json::from_str(json.split("</script>").next().unwrap()).unwrap();
    assert_eq!(data["unit"], 5 * MINUTE);
    for column in ["steps", "value", "expected", "threshold", "score", "peak"] {
        assert_eq!(data[column].as_array().unwrap().len(), 1200, "{column}");
    }
    assert!(data["value"][7].is_null() && data["score"][0].is_null());
    assert_eq!(data["peak"][600], 2.4);
}

#[test]
fn size_is_bounded_and_the_rest_is_listed() {
    let one = render(&report(vec![series("cpu", 20_000)]));
    assert!(one.len() < 2_000_000, "{}", one.len());
    let mut all: Vec<SeriesReport> = (0..40).map(|i| series(&format!("cpu-{i:02}"), 3_000)).collect();
    for quiet in &mut all[..10] {
        quiet.alerts.clear();
    }
    let many = render(&report(all));
    assert!(many.len() < 2_000_000, "{}", many.len());
    assert_eq!(many.matches("<figure>").count(), CHARTS_MAX);
    assert!(many.contains("16 series without a chart"));
    assert!(
        many.contains("<th scope=\"row\"><bdi>cpu-03</bdi></th>"),
        "silent series come last"
    );
}

#[test]
fn size_is_bounded_when_everything_is_in_alert() {
    let mut all: Vec<SeriesReport> = (0..CHARTS_MAX)
        .map(|_| series(&"\u{1f525}".repeat(5_000), 5_000))
        .collect();
    for one in &mut all {
        for row in &mut one.rows {
            row.value = row.value.map(|v| v * 1.234_567_89e-7);
            row.expected = row.expected.map(|v| v * 1.234_567_89e-7);
            row.threshold = Some(1.234_567_89e-7);
            row.score = Some(1.234_567_89);
            row.peak = Some(1.234_567_89);
        }
        one.alerts = (0..2_000)
            .map(|i| {
                alert(
                    &format!("{i:032x}"),
                    AlertState::Firing,
                    i,
                    i + 1,
                    1.0 + i as f64 / 1e3,
                )
            })
            .collect();
        one.labels = (0..2_000).map(|i| (at(i), at(i + 1))).collect();
    }
    let page = render(&report(all));
    assert!(page.len() < 2_000_000, "{}", page.len());
    assert!(page.contains("The 25 highest of 2000 alerts."));
}

#[test]
fn empty_inputs_make_a_page() {
    let nothing = render(&Report::default());
    assert!(nothing.contains("No series.") && nothing.ends_with("</html>\n"));
    let mut empty = series("cpu", 0);
    empty.alerts.clear();
    assert!(render(&report(vec![empty])).contains("No rows."));
    let numbers_hold = |one: SeriesReport| {
        let page = render(&report(vec![one]));
        let drawn = page.split("\"use strict\"").next().unwrap();
        assert!(!drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
    };
    numbers_hold(series("cpu", 1));
    let mut absent = series("cpu", 50);
    for row in &mut absent.rows {
        row.value = None;
        row.expected = Some(f64::NAN);
        row.score = None;
    }
    numbers_hold(absent);
}

#[test]
fn the_same_report_gives_the_same_bytes() {
    let make = || {
        render(&report(
            (0..5).map(|i| series(&format!("cpu-{i}"), 700)).collect(),
        ))
    };
    assert_eq!(make(), make());
}
