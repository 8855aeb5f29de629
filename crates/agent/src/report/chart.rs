//! One chart: value and expected above, score below, events and labels as bands over both.
//!
//! Lines are inline SVG stretched to the width of the page; everything with text in it or a pattern on it is
//! HTML placed in percent, so that nothing is distorted or too small on a phone. The picture is complete without
//! its script, which adds the readout and the zoom from the points that go along.

use std::fmt::Write as _;

use types::{DurationMs, Timestamp};

use super::lines::{band_path, dots, line};
use super::points::Point;
use super::spans::{Span, limits};
use super::{axis, html};

/// Drawing units across and down; the script uses the same.
pub(super) const WIDTH: f64 = 2000.0;
const HEIGHT: f64 = 1000.0;

/// What a chart shows, and where its edges are.
pub(super) struct Frame {
    pub(super) from: i64,
    pub(super) to: i64,
    low: f64,
    high: f64,
    /// Upper edge of the score panel; the lower is 0.
    score: f64,
    /// The last point is a forecast.
    ahead: bool,
}

impl Frame {
    /// The frame that holds all `points`, each `interval` long. Expected values that run away are cut off at half
    /// a range outside the values, lest they flatten the metric.
    pub(super) fn around(points: &[Point], interval: DurationMs, ahead: bool) -> Self {
        let from = points.first().map_or(0, |p| p.at);
        let to = points.last().map_or(from, |p| p.at) + interval.max(1);
        let (mut low, mut high) =
            range(points.iter().filter_map(|p| p.value)).unwrap_or((f64::MAX, f64::MIN));
        if let Some((l, h)) = range(points.iter().filter_map(|p| p.expected)) {
            let slack = if low <= high { (high - low) / 2.0 } else { f64::MAX };
            (low, high) = (low.min(l.max(low - slack)), high.max(h.min(high + slack)));
        }
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        // Halves, because the difference of two huge values need not be finite.
        let pad = (high / 2.0 - low / 2.0) * 0.1;
        let pad = if pad > 0.0 {
            pad
        } else {
            (low.abs() * 0.05).max(0.5)
        };
        let score = range(points.iter().filter_map(|p| p.score)).map_or(0.0, |r| r.1);
        Self {
            from,
            to,
            low: low - pad,
            high: high + pad,
            score: (score * 1.05).max(2.5),
            ahead,
        }
    }

    pub(super) fn x(&self, at: i64) -> f64 {
        WIDTH * (at - self.from) as f64 / (self.to - self.from) as f64
    }

    pub(super) fn y(&self, value: f64) -> f64 {
        let share = (value / 2.0 - self.low / 2.0) / (self.high / 2.0 - self.low / 2.0);
        (HEIGHT * (1.0 - share)).clamp(-HEIGHT, 2.0 * HEIGHT)
    }

    fn y_score(&self, score: f64) -> f64 {
        (HEIGHT * (1.0 - score / self.score)).clamp(-HEIGHT, 2.0 * HEIGHT)
    }
}

fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |range, v| {
        let (low, high) = range.unwrap_or((v, v));
        Some((v.min(low), v.max(high)))
    })
}

/// Appends the chart of `points` (thinned already): at most `columns` distinct positions across, and at most
/// `bands` bands of a kind.
pub(super) fn draw(
    out: &mut String,
    points: &[Point],
    frame: &Frame,
    spans: &[Span<'_>],
    labels: &[(Timestamp, Timestamp)],
    (columns, bands): (usize, usize),
) {
    out.push_str("<div class=\"plots\" tabindex=\"0\" role=\"group\" aria-label=\"Chart: drag to zoom, arrow keys to read values\">\n<div class=\"bands\">");
    for (from, to) in labels.iter().take(bands) {
        band(
            out,
            frame,
            *from,
            *to,
            "label",
            &format!("labelled {} to {}", html::time(*from), html::time(*to)),
        );
    }
    let mut worst: Vec<&Span<'_>> = spans.iter().collect();
    worst.sort_by(|a, b| b.worst.score.total_cmp(&a.worst.score));
    for span in worst.into_iter().take(bands) {
        let end = if span.open {
            Timestamp::from_millis(frame.to)
        } else {
            span.end
        };
        let about = match (span.worst.limit, span.worst.silence) {
            (Some(limit), _) => format!(
                ", {} the limit of {},",
                limit.bound.name(),
                html::number(limit.value)
            ),
            (None, Some(_)) => ", silent,".to_owned(),
            (None, None) => String::new(),
        };
        let title = format!(
            "{}{about} {} to {}",
            span.severity.name(),
            html::time(span.start),
            html::time(end)
        );
        band(out, frame, span.start, end, span.severity.name(), &title);
    }
    out.push_str("</div>\n<div class=\"panel value\">");
    for tick in axis::ticks(frame.low, frame.high, 4) {
        y_label(out, frame.y(tick), &html::number(tick));
    }
    let step = WIDTH / columns as f64;
    open_svg(out);
    path(out, "band", &band_path(points, frame, step));
    run_and_lone(
        out,
        "metric",
        line(points, frame, step, |p| p.value.map(|v| frame.y(v))),
    );
    run_and_lone(
        out,
        "expected",
        line(points, frame, step, |p| p.expected.map(|v| frame.y(v))),
    );
    let limits = limits(spans).into_iter();
    let across: String = limits
        .map(|v| format!("M0 {:.0}h{WIDTH:.0}", frame.y(v)))
        .collect();
    path(out, "bound", &across);
    let next = frame.ahead.then(|| points.last()).flatten();
    let dot = next.and_then(|p| Some(format!("M{:.0} {:.0}h0", frame.x(p.at), frame.y(p.expected?))));
    path(out, "ahead", &dot.unwrap_or_default());
    out.push_str("</svg></div>\n<div class=\"panel score\">");
    for (limit, name) in [(0.0, "0"), (1.0, "1"), (2.0, "2")] {
        y_label(out, frame.y_score(limit), name);
    }
    open_svg(out);
    for (limit, class) in [(1.0, "limit warning"), (2.0, "limit critical")] {
        path(out, class, &format!("M0 {:.0}h{WIDTH:.0}", frame.y_score(limit)));
    }
    run_and_lone(
        out,
        "anomaly",
        line(points, frame, step, |p| p.score.map(|v| frame.y_score(v))),
    );
    let peaks = |p: &Point| p.peak.filter(|v| *v >= 1.0).map(|v| frame.y_score(v));
    path(out, "peak", &dots(points, frame, step, peaks));
    out.push_str(
        "</svg></div>\n<div class=\"cursor\" hidden></div><div class=\"selection\" hidden></div>\n</div>\n",
    );
    axis::time(out, frame);
}

fn open_svg(out: &mut String) {
    // Writing to a string cannot fail, here and below.
    let _ = write!(
        out,
        "<svg viewBox=\"0 0 {WIDTH:.0} {HEIGHT:.0}\" preserveAspectRatio=\"none\" aria-hidden=\"true\">"
    );
}

fn path(out: &mut String, class: &str, d: &str) {
    let _ = write!(out, "<path class=\"{class}\" d=\"{d}\"/>");
}

fn run_and_lone(out: &mut String, class: &str, (runs, lone): (String, String)) {
    path(out, class, &runs);
    path(out, &format!("{class} lone"), &lone);
}

fn y_label(out: &mut String, y: f64, text: &str) {
    if (0.0..=HEIGHT).contains(&y) {
        let _ = write!(
            out,
            "<span class=\"y\" style=\"top:{:.2}%\">{text}</span>",
            y / HEIGHT * 100.0
        );
    }
}

fn band(out: &mut String, frame: &Frame, from: Timestamp, to: Timestamp, class: &str, title: &str) {
    let percent = |at: Timestamp| (frame.x(at.millis()) / WIDTH * 100.0).clamp(0.0, 100.0);
    let (left, right) = (percent(from), percent(to));
    if to.millis() < frame.from || from.millis() > frame.to {
        return;
    }
    let _ = write!(
        out,
        "<div class=\"{class}\" data-from=\"{}\" data-to=\"{}\" title=\"{title}\" style=\"left:{left:.3}%;width:{:.3}%\"></div>",
        from.millis(),
        to.millis(),
        right - left
    );
}

type Get = fn(&Point) -> Option<f64>;

/// Appends what the script needs: the points in compact columns, numbers only.
pub(super) fn data(out: &mut String, points: &[Point], spans: &[Span<'_>], frame: &Frame) {
    let unit = points.windows(2).fold(0, |g, w| gcd(g, w[1].at - w[0].at)).max(1);
    let _ = write!(
        out,
        "<script type=\"application/json\">{{\"from\":{},\"to\":{},\"unit\":{unit},\"ahead\":{},\"limits\":[",
        frame.from, frame.to, frame.ahead
    );
    for (i, limit) in limits(spans).into_iter().enumerate() {
        out.push_str(if i > 0 { "," } else { "" });
        html::json(out, Some(limit), 7);
    }
    out.push_str("],\"steps\":[");
    let mut last = frame.from;
    for (i, point) in points.iter().enumerate() {
        let comma = if i > 0 { "," } else { "" };
        let _ = write!(out, "{comma}{}", (point.at - last) / unit);
        last = point.at;
    }
    let columns: [(&str, usize, Get); 5] = [
        ("value", 7, |p| p.value),
        ("expected", 5, |p| p.expected),
        ("threshold", 4, |p| p.threshold),
        ("score", 4, |p| p.score),
        ("peak", 4, |p| p.peak.filter(|v| *v >= 1.0)),
    ];
    for (name, digits, get) in columns {
        let _ = write!(out, "],\"{name}\":[");
        for (i, point) in points.iter().enumerate() {
            if i > 0 {
                out.push(',');
            }
            match get(point) {
                // The commonest absence, in one character.
                None if name == "peak" => out.push('0'),
                value => html::json(out, value, digits),
            }
        }
    }
    out.push_str("]}</script>\n");
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(i: i64, value: Option<f64>) -> Point {
        Point {
            at: i * 60_000,
            value,
            ..Point::default()
        }
    }

    #[test]
    fn frames_hold_odd_values() {
        for values in [
            vec![],
            vec![None],
            vec![Some(5.0)],
            vec![Some(-1e308), Some(1e308)],
            vec![Some(0.0); 3],
        ] {
            let points: Vec<Point> = values.iter().enumerate().map(|(i, v)| at(i as i64, *v)).collect();
            let frame = Frame::around(&points, 60_000, false);
            let mut out = String::new();
            draw(&mut out, &points, &frame, &[], &[], (100, 10));
            assert!(!out.contains("NaN") && !out.contains("inf"), "{values:?}: {out}");
        }
    }

    #[test]
    fn an_expected_value_that_runs_away_does_not_flatten_the_metric() {
        let mut points: Vec<Point> = (0..10).map(|i| at(i, Some(i as f64))).collect();
        points[5].expected = Some(1e9);
        let frame = Frame::around(&points, 60_000, false);
        assert!(frame.high < 20.0);
    }
}
