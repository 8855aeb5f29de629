//! The tables of a report: what happened in a series, and the series without a chart.

use std::fmt::Write as _;

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
         <th scope=\"col\">Severity</th><th scope=\"col\">Score</th><th scope=\"col\">Value</th><th scope=\"col\">Expected</th>\
         <th scope=\"col\">Confidence</th><th scope=\"col\">Parts</th></tr></thead>\n<tbody>\n",
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
    let worst = span.worst;
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
    let band = worst
        .threshold
        .map_or_else(String::new, |t| format!(" ± {}", number(t)));
    let mut parts = vec![
        ("prediction", worst.parts.prediction.unwrap_or_default()),
        ("reconstruction", worst.parts.reconstruction),
        ("critic", worst.parts.critic),
        ("range", worst.parts.range),
        ("envelope", worst.parts.envelope),
    ];
    parts.retain(|(_, v)| *v != 0.0);
    let mut parts: Vec<String> = parts.iter().map(|(name, v)| format!("{name} {v:.2}")).collect();
    if let Some(limit) = &worst.limit {
        parts.push(format!(
            "{} the limit of {}",
            limit.bound.name(),
            number(limit.value)
        ));
        parts.extend(limit.forecast.map(|f| format!("forecast {}", number(f))));
    }
    let severity = span.severity.name();
    let score = if span.is_anomaly() {
        format!("{:.2}", worst.score)
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
        ("Score", score),
        ("Value", number(worst.value)),
        ("Expected", number_or_dash(worst.expected) + &band),
        ("Confidence", format!("{:.2}", worst.confidence)),
        (
            "Parts",
            if parts.is_empty() {
                "–".to_owned()
            } else {
                parts.join(", ")
            },
        ),
    ];
    let _ = write!(
        out,
        "<tr id=\"a-{}\"><th scope=\"row\" data-from=\"{}\" data-to=\"{}\">{}</th>",
        escape(&worst.id),
        span.start.millis(),
        span.end.millis(),
        html::instant(span.start)
    );
    for (name, cell) in cells {
        let _ = write!(out, "<td data-name=\"{name}\">{cell}</td>");
    }
    out.push_str("</tr>\n");
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
