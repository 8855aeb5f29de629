//! The HTML report of a replay: one self-contained file with the picture people know from TadGAN — the metric in
//! blue, what the nets expected in yellow, the score in red, alerts and labels shaded.
//!
//! Everything is inline and the page may load nothing: its content security policy forbids it. Without its script
//! it lacks only the readout and the zoom. Size is bounded: at most [`CHARTS_MAX`] charts, drawn from rows thinned
//! so that every extreme stays.

mod axis;
mod chart;
mod html;
mod lines;
mod points;
mod spans;
mod tables;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use types::{Alert, Forecast, ScoreRow, Severity, Timestamp};

use self::html::{escape, number};
use self::spans::{Span, hits, spans};

/// At most so many series get a chart, those with alerts and high scores first; the rest are listed in a table.
pub const CHARTS_MAX: usize = 24;
/// Longer names are cut in the page, characters.
const NAME_MAX: usize = 200;

/// What one chart may hold, so that the page stays below 2 MB whatever comes.
struct Budget {
    /// Rows that go along for zoom and readout.
    points: usize,
    /// Columns of the picture.
    columns: usize,
    /// Alerts in the table, and bands of each kind: those with the highest scores.
    alerts: usize,
}

impl Budget {
    fn shared_by(charts: usize) -> Self {
        Self {
            points: 30_000 / charts,
            columns: (12_000 / charts).min(1_000),
            alerts: (600 / charts).min(200),
        }
    }
}

/// What a report shows.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Heading of the page.
    pub title: String,
    /// The input file.
    pub file: String,
    /// Bundle name and hash.
    pub bundle: String,
    /// Program and version that wrote it.
    pub generated_by: String,
    /// Facts for the header, as name and text. The page works out `buckets`, `time`, `interval`, `alerts`, `labels`
    /// and `not used` itself; a fact of such a name takes its place.
    pub summary: Vec<(String, String)>,
    /// The series, in any order.
    pub series: Vec<SeriesReport>,
    /// Input that could not be used: reason and count.
    pub rejected: Vec<(String, u64)>,
}

/// One series of a report.
#[derive(Clone, Debug, Default)]
pub struct SeriesReport {
    /// Canonical series text.
    pub name: String,
    /// All of its rows, in order of time.
    pub rows: Vec<ScoreRow>,
    /// All states of its alerts.
    pub alerts: Vec<Alert>,
    /// Known anomalies, start and end; empty where there are no labels.
    pub labels: Vec<(Timestamp, Timestamp)>,
    /// What is expected of the bucket after the last that closed, where the nets predict.
    pub ahead: Option<Forecast>,
}

/// A series with what is worked out from it.
struct Examined<'a> {
    series: &'a SeriesReport,
    spans: Vec<Span<'a>>,
    peak: f64,
    /// Labels with an alert that starts inside, and alerts that start inside no label.
    hit: usize,
    outside: usize,
}

/// The report as one HTML document.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut examined: Vec<Examined<'_>> = report.series.iter().map(examine).collect();
    examined.sort_by(|a, b| {
        rank(b)
            .cmp(&rank(a))
            .then(b.peak.total_cmp(&a.peak))
            .then(a.series.name.cmp(&b.series.name))
    });
    let mut out = String::with_capacity(1 << 20);
    // Writing to a string cannot fail, here and below.
    let _ = write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:\">\n\
         <link rel=\"icon\" href=\"data:,\">\n<title>{}</title>\n<style>\n{}</style>\n</head>\n<body>\n",
        escape(&report.title),
        include_str!("style.css")
    );
    header(&mut out, report, &examined);
    out.push_str("<main>\n");
    let (charted, listed) = examined.split_at(examined.len().min(CHARTS_MAX));
    let budget = Budget::shared_by(charted.len().max(1));
    for (i, series) in charted.iter().enumerate() {
        section(&mut out, i, series, &budget);
    }
    if charted.is_empty() {
        out.push_str("<p class=\"none\">No series.</p>\n");
    }
    tables::rest(&mut out, listed);
    let _ = write!(
        out,
        "</main>\n<footer>{}. Times are UTC. A score of 1 is the boundary of a warning, 2 of a critical alert.</footer>\n\
         <script>\n{}</script>\n</body>\n</html>\n",
        escape(&report.generated_by),
        include_str!("script.js")
    );
    out
}

fn examine(series: &SeriesReport) -> Examined<'_> {
    let spans = spans(&series.alerts);
    let (hit, outside) = hits(&spans, &series.labels);
    let finite = |v: Option<f64>| v.filter(|v| v.is_finite());
    let peak = series
        .rows
        .iter()
        .filter_map(|r| finite(r.peak).or(finite(r.score)))
        .fold(0.0, f64::max);
    Examined {
        series,
        spans,
        peak,
        hit,
        outside,
    }
}

/// Critical before warning before silent.
fn rank(series: &Examined<'_>) -> Option<Severity> {
    series.spans.iter().map(|s| s.severity).max()
}

/// A series' name, cut where it is very long.
fn name(text: &str) -> String {
    match text.char_indices().nth(NAME_MAX) {
        Some((end, _)) => format!("{}…", escape(&text[..end])),
        None => escape(text).into_owned(),
    }
}

fn count(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// `3 (1 critical)`.
fn alert_count<'a>(spans: impl Iterator<Item = &'a Span<'a>>) -> String {
    let (mut all, mut critical) = (0_usize, 0_usize);
    for span in spans {
        all += 1;
        critical += usize::from(span.severity == Severity::Critical);
    }
    if all == 0 {
        "none".to_owned()
    } else {
        format!("{all} ({critical} critical)")
    }
}

fn header(out: &mut String, report: &Report, examined: &[Examined<'_>]) {
    let mut facts = worked_out(report, examined);
    facts.retain(|(name, _)| {
        !report
            .summary
            .iter()
            .any(|(told, _)| told.eq_ignore_ascii_case(name))
    });
    facts.extend(report.summary.iter().cloned());
    let _ = write!(out, "<header>\n<h1>{}</h1>\n<dl>\n", escape(&report.title));
    for (name, text) in facts.iter().filter(|(_, text)| !text.is_empty()) {
        let _ = writeln!(
            out,
            "<div><dt>{}</dt><dd><bdi>{}</bdi></dd></div>",
            escape(name),
            escape(text)
        );
    }
    out.push_str("</dl>\n</header>\n");
}

/// What the page can say of itself.
fn worked_out(report: &Report, examined: &[Examined<'_>]) -> Vec<(String, String)> {
    let rows = || report.series.iter().flat_map(|s| &s.rows);
    let scored = rows().filter(|r| r.score.is_some()).count();
    let mut facts = vec![
        ("File".to_owned(), report.file.clone()),
        ("Bundle".to_owned(), report.bundle.clone()),
        ("Series".to_owned(), report.series.len().to_string()),
        (
            "Buckets".to_owned(),
            format!("{}, {scored} scored", rows().count()),
        ),
    ];
    let times = || rows().map(|r| r.timestamp);
    if let (Some(first), Some(last)) = (times().min(), times().max()) {
        facts.push((
            "Time".to_owned(),
            format!("{} to {} UTC", html::time(first), html::time(last)),
        ));
    }
    let mut intervals: Vec<i64> = report
        .series
        .iter()
        .filter(|s| s.rows.len() > 1)
        .map(|s| points::interval(&s.rows))
        .collect();
    intervals.sort_unstable();
    if let (Some(first), Some(last)) = (intervals.first(), intervals.last()) {
        let text = html::duration(*first);
        let text = if first == last {
            text
        } else {
            format!("{text} to {}", html::duration(*last))
        };
        facts.push(("Interval".to_owned(), text));
    }
    facts.push((
        "Alerts".to_owned(),
        alert_count(examined.iter().flat_map(|e| &e.spans)),
    ));
    let labels: usize = report.series.iter().map(|s| s.labels.len()).sum();
    if labels > 0 {
        let hit: usize = examined.iter().map(|e| e.hit).sum();
        let outside: usize = examined.iter().map(|e| e.outside).sum();
        let text = format!(
            "{hit} hit, {} missed; {} outside",
            labels - hit,
            count(outside, "alert", "alerts")
        );
        facts.push(("Labels".to_owned(), text));
    }
    let rejected: u64 = report.rejected.iter().map(|(_, n)| n).sum();
    let reasons: Vec<String> = report.rejected.iter().map(|(r, n)| format!("{n} {r}")).collect();
    let text = if rejected == 0 {
        "none".to_owned()
    } else {
        format!("{rejected}: {}", reasons.join(", "))
    };
    facts.push(("Not used".to_owned(), text));
    facts
}

fn section(out: &mut String, index: usize, examined: &Examined<'_>, budget: &Budget) {
    let Examined { series, spans, .. } = examined;
    let _ = writeln!(
        out,
        "<section aria-labelledby=\"s{index}\">\n<div class=\"keep\">\n<h2 id=\"s{index}\"><bdi>{}</bdi></h2>\n<p class=\"facts\">{}</p>",
        name(&series.name),
        facts(examined)
    );
    if series.rows.is_empty() {
        out.push_str("<p class=\"none\">No rows.</p>\n");
    } else {
        let interval = points::interval(&series.rows);
        let all = points::points(&series.rows, interval);
        let mut few = points::thin(&all, budget.points);
        let ahead = points::look_ahead(&mut few, series.ahead.as_ref());
        let frame = chart::Frame::around(&few, interval, ahead);
        out.push_str("<figure>\n");
        legend(out, examined, ahead);
        chart::draw(
            out,
            &few,
            &frame,
            spans,
            &series.labels,
            (budget.columns, budget.alerts),
        );
        out.push_str("<div class=\"tools\"><output></output><button type=\"button\" hidden>Whole range</button></div>\n");
        chart::data(out, &few, spans, &frame);
        let _ = writeln!(
            out,
            "<figcaption>Metric, expected value and score of {} from {} to {}: {}.</figcaption>\n</figure>",
            name(&series.name),
            html::time(series.rows[0].timestamp),
            html::time(series.rows[series.rows.len() - 1].timestamp),
            alert_text(spans.len())
        );
    }
    out.push_str("</div>\n");
    tables::alerts(out, spans, budget.alerts);
    out.push_str("</section>\n");
}

fn alert_text(n: usize) -> String {
    if n == 0 {
        "no alerts".to_owned()
    } else {
        count(n, "alert", "alerts")
    }
}

fn facts(examined: &Examined<'_>) -> String {
    let Examined { series, spans, .. } = examined;
    let rows = &series.rows;
    let mut facts = vec![count(rows.len(), "row", "rows")];
    if rows.len() > 1 {
        facts.push(format!("every {}", html::duration(points::interval(rows))));
    }
    let missing = rows.iter().filter(|r| r.value.is_none()).count();
    if missing > 0 {
        facts.push(format!("{missing} without a value"));
    }
    let unscored = rows.iter().filter(|r| r.score.is_none()).count();
    if unscored > 0 {
        facts.push(format!("{unscored} not scored"));
    }
    facts.push(format!("highest peak {}", number(examined.peak)));
    facts.push(if spans.is_empty() {
        "no alerts".to_owned()
    } else {
        format!("alerts: {}", alert_count(spans.iter()))
    });
    if let Some(next) = &series.ahead {
        let band = next.band.map_or_else(String::new, |[low, high]| {
            format!(" ({} to {})", number(low), number(high))
        });
        facts.push(format!(
            "forecast for {}: {}{band}",
            html::time(next.timestamp),
            number(next.value)
        ));
    }
    if !series.labels.is_empty() {
        let (hit, outside) = (examined.hit, examined.outside);
        facts.push(format!("labels: {hit} of {} hit", series.labels.len()));
        facts.push(format!("{} outside labels", count(outside, "alert", "alerts")));
    }
    facts.join(" · ")
}

fn legend(out: &mut String, examined: &Examined<'_>, ahead: bool) {
    let Examined { series, spans, .. } = examined;
    let expected = if series.ahead.is_some() {
        "expected (forecast)"
    } else {
        "expected (reconstruction)"
    };
    let alerts = !spans.is_empty();
    let items = [
        (true, "metric", "metric"),
        (true, "expected", expected),
        (true, "band", "band"),
        (ahead, "ahead", "forecast of the next bucket"),
        (true, "anomaly", "score"),
        (alerts, "warning", "warning"),
        (alerts, "critical", "critical"),
        (!spans::limits(spans).is_empty(), "bound", "limit"),
        (!series.labels.is_empty(), "label", "label"),
    ];
    out.push_str("<ul class=\"legend\">");
    for (_, class, text) in items.into_iter().filter(|(shown, ..)| *shown) {
        let _ = write!(out, "<li><i class=\"{class}\"></i>{text}</li>");
    }
    out.push_str("</ul>\n");
}
