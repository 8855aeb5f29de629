//! The tables of a report: what happened in a series, and the series without a chart.

use std::fmt::Write as _;

use types::{Alert, Part};

use super::html::{self, escape, number, number_or_dash};
use super::spans::Span;
use super::{Examined, alert_count, count, name};

/// At most so many series are listed without a chart.
const LISTED_MAX: usize = 1000;

/// The table of one series' alerts: at most `max`, those with the highest scores, in order of time.
pub(super) fn alerts(out: &mut String, spans: &[Span<'_>], max: usize) {
    if spans.is_empty() {
        return;
    }
    let mut shown: Vec<&Span<'_>> = spans.iter().collect();
    shown.sort_by(|a, b| b.worst.score.total_cmp(&a.worst.score));
    shown.truncate(max);
    shown.sort_by_key(|s| s.start);
    out.push_str(
        "<table class=\"alerts\">\n<thead><tr><th scope=\"col\">Start</th><th scope=\"col\">End</th><th scope=\"col\">Known at</th>\
         <th scope=\"col\">Severity</th><th scope=\"col\">Highest score</th><th scope=\"col\">Value</th><th scope=\"col\">Expected</th>\
         <th scope=\"col\">Confidence</th><th scope=\"col\">Why</th></tr></thead>\n<tbody>\n",
    );
    for span in shown {
        alert_row(out, span);
    }
    out.push_str("</tbody>\n</table>\n");
    if spans.len() > max {
        let _ = writeln!(
            out,
            "<p class=\"none\">The {max} highest of {} alerts.</p>",
            spans.len()
        );
    }
}

fn alert_row(out: &mut String, span: &Span<'_>) {
    let telling = span.telling();
    let end = if span.open {
        "open".to_owned()
    } else {
        format!(
            "<span>{} <small>({})</small></span>",
            html::instant(span.end),
            html::duration(span.end - span.start)
        )
    };
    let known = span.known.map_or_else(|| "–".to_owned(), html::instant);
    let band = telling
        .band()
        .map_or_else(String::new, |band| format!(" <small>({})</small>", between(band)));
    let severity = span.severity.name();
    let score = if span.is_anomaly() {
        format!("{:.2}", span.worst.score)
    } else {
        "–".to_owned()
    };
    let cells = [
        ("End", end),
        ("Known at", known),
        (
            "Severity",
            format!("<span class=\"severity {severity}\">{severity}</span>"),
        ),
        ("Highest score", score),
        (
            "Value",
            format!("<span>{}{}</span>", number(telling.value), deviation(telling)),
        ),
        (
            "Expected",
            format!("<span>{}{band}</span>", number_or_dash(telling.expected)),
        ),
        ("Confidence", format!("{:.2}", telling.confidence)),
        ("Why", why(telling)),
    ];
    let _ = write!(
        out,
        "<tr id=\"a-{}\"><th scope=\"row\" data-from=\"{}\" data-to=\"{}\">{}</th>",
        escape(&telling.id),
        span.start.millis(),
        span.end.millis(),
        html::instant(span.start)
    );
    for (name, cell) in cells {
        let _ = write!(out, "<td data-name=\"{name}\">{cell}</td>");
    }
    out.push_str("</tr>\n");
}

/// ` (+25, +50 %)`: how far from what was expected; nothing where nothing was.
fn deviation(alert: &Alert) -> String {
    let signed = |value: f64| format!("{}{}", if value < 0.0 { "" } else { "+" }, number(value));
    let Some(deviation) = alert.deviation() else {
        return String::new();
    };
    let share = alert.relative_deviation().map_or_else(String::new, |share| {
        format!(", {} %", signed((share * 1000.0).round() / 10.0))
    });
    format!(" <small>({}{share})</small>", signed(deviation))
}

/// What led to an alert: the shares of its score, what these are held against, and all parts; or its limit or silence.
fn why(alert: &Alert) -> String {
    let mut lines: Vec<String> = Vec::new();
    if let Some(limit) = &alert.limit {
        let forecast = limit.forecast.map(|f| format!(", forecast {}", number(f)));
        lines.push(format!(
            "{} the limit of {}{}",
            limit.bound.name(),
            number(limit.value),
            forecast.unwrap_or_default()
        ));
    }
    if let Some(silence) = &alert.silence {
        let back = silence.returned.map(|t| format!(", back at {}", html::time(t)));
        lines.push(format!(
            "silent since {}{}",
            html::time(silence.last),
            back.unwrap_or_default()
        ));
    }
    let named = |parts: &types::Parts, text: fn(f64) -> String| {
        let mut named = Part::ALL.map(|part| (part, parts.get(part)));
        // The largest first; the order of equals is that of the schema.
        named.sort_by(|a, b| b.1.total_cmp(&a.1));
        // What rounds to nothing is not worth a word.
        let shown = named.into_iter().filter(|(_, value)| *value >= 0.005);
        let words: Vec<String> = shown
            .map(|(part, v)| format!("{} {}", part.name(), text(v)))
            .collect();
        words.join(", ")
    };
    if let Some(grounds) = &alert.grounds {
        lines.push(format!(
            "<b>{}</b>",
            named(&grounds.shares, |share| format!("{:.0} %", 100.0 * share))
        ));
        if alert.parts.envelope > 0.0 {
            lines.extend(
                grounds
                    .time_of_day
                    .map(|b| format!("this time of day: {}", between(b))),
            );
        }
        if alert.parts.drift >= 1.0 {
            lines.extend(
                grounds
                    .drift
                    .map(|by| format!("of late {} outside its times of day", number(by))),
            );
        }
        if alert.parts.range > 0.0 {
            lines.extend(grounds.seen.map(|b| format!("seen before: {}", between(b))));
        }
    }
    let parts = named(&alert.parts, |part| format!("{part:.2}"));
    if !parts.is_empty() {
        lines.push(format!("<small>alone: {parts}</small>"));
    }
    lines.retain(|line| line != "<b></b>");
    if lines.is_empty() {
        "–".to_owned()
    } else {
        format!("<span>{}</span>", lines.join("<br>"))
    }
}

fn between([low, high]: [f64; 2]) -> String {
    format!("{} to {}", number(low), number(high))
}

/// The series that get no chart.
pub(super) fn rest(out: &mut String, listed: &[Examined<'_>]) {
    if listed.is_empty() {
        return;
    }
    let _ = writeln!(
        out,
        "<section aria-labelledby=\"rest\">\n<h2 id=\"rest\">{} without a chart</h2>\n<table>\n<thead><tr>\
         <th scope=\"col\">Series</th><th scope=\"col\">Rows</th><th scope=\"col\">Alerts</th>\
         <th scope=\"col\">Highest peak</th></tr></thead>\n<tbody>",
        count(listed.len(), "series", "series")
    );
    for one in listed.iter().take(LISTED_MAX) {
        let _ = writeln!(
            out,
            "<tr><th scope=\"row\"><bdi>{}</bdi></th><td data-name=\"Rows\">{}</td><td data-name=\"Alerts\">{}</td>\
             <td data-name=\"Highest peak\">{}</td></tr>",
            name(&one.series.name),
            one.series.rows.len(),
            alert_count(one.spans.iter()),
            number(one.peak)
        );
    }
    out.push_str("</tbody>\n</table>\n");
    if listed.len() > LISTED_MAX {
        let _ = writeln!(
            out,
            "<p class=\"none\">And {} more.</p>",
            listed.len() - LISTED_MAX
        );
    }
    out.push_str("</section>\n");
}
