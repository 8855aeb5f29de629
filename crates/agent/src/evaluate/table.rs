//! The measures for a person: three tables of at most 100 columns.

use std::fmt::Write as _;

use super::measures::{EventScore, Measures};
use super::nab::PROFILES;
use super::{DetectorReport, Evaluation};

/// Width of the first column, in which longer names are cut.
const NAME: usize = 22;

/// Renders an evaluation.
pub(super) fn render(evaluation: &Evaluation) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail, here and below.
    let Some(product) = evaluation.detectors.first() else {
        return out;
    };
    let total = &product.total;
    let _ = writeln!(
        out,
        "{}\n{} on {}\n{} files, {} series, {} labelled windows, {:.1} series-days judged{}\n",
        evaluation.data.display(),
        evaluation.bundle,
        evaluation.device,
        total.files,
        total.series,
        total.windows,
        total.days,
        if evaluation.train_fraction > 0.0 {
            format!(", after the first {} of each file", evaluation.train_fraction)
        } else {
            String::new()
        }
    );
    let rows = rows(evaluation);
    nab(&mut out, product, &rows);
    alerts(&mut out, &rows);
    events(&mut out, &rows);
    out
}

/// Families of the product, its total, and the totals of what it is held against.
fn rows(evaluation: &Evaluation) -> Vec<(String, &Measures)> {
    let mut rows = Vec::new();
    for (at, detector) in evaluation.detectors.iter().enumerate() {
        // A single family is the total.
        if at == 0 && detector.families.len() > 1 {
            rows.extend(detector.families.iter().map(|(name, m)| (name.clone(), m)));
        }
        rows.push((format!("{}, total", detector.name), &detector.total));
    }
    rows
}

fn nab(out: &mut String, product: &DetectorReport, rows: &[(String, &Measures)]) {
    let _ = writeln!(
        out,
        "{:NAME$} {:>7}  {:>15} {:>15} {:>15}",
        "NAB score", "", "standard", "low FP", "low FN"
    );
    let columns = format!("{:>7} {:>7}", "best", "at 1");
    let _ = writeln!(
        out,
        "{:NAME$} {:>7}  {columns} {columns} {columns}",
        "", "windows"
    );
    for (name, measures) in rows {
        let _ = write!(out, "{} {:>7} ", cut(name), measures.windows);
        for profile in PROFILES {
            let score = measures.nab.get(profile.name);
            let _ = write!(
                out,
                " {:>7} {:>7}",
                number(score.and_then(|s| s.best), 2),
                number(score.and_then(|s| s.at_boundary), 2)
            );
        }
        out.push('\n');
    }
    let _ = write!(out, "{:NAME$} {:>7} ", "best threshold", "");
    for profile in PROFILES {
        let threshold = product.total.nab.get(profile.name).and_then(|s| s.threshold);
        let _ = write!(out, " {:>7} {:>7}", number(threshold, 3), "1");
    }
    out.push_str("\n\n");
}

fn alerts(out: &mut String, rows: &[(String, &Measures)]) {
    let _ = writeln!(
        out,
        "{:NAME$} {:>7} {:>5} {:>7} {:>8} {:>7} {:>9} {:>8} {:>8} {:>8}",
        "Alerts", "windows", "hit", "fired", "outside", "a day", "delay", "buckets", "in alert", "calm"
    );
    for (name, measures) in rows {
        let alerts = &measures.alerts;
        let _ = writeln!(
            out,
            "{} {:>7} {:>5} {:>7} {:>8} {:>7} {:>9} {:>8} {:>8} {:>8}",
            cut(name),
            measures.windows,
            alerts.windows_hit,
            alerts.fired,
            alerts.outside,
            number(alerts.a_day, 3),
            alerts.delay_seconds.map_or_else(absent, duration),
            number(alerts.delay_buckets, 1),
            percent(alerts.time_in_alert),
            percent(alerts.calm_time_in_alert)
        );
    }
    out.push('\n');
}

fn events(out: &mut String, rows: &[(String, &Measures)]) {
    let columns = format!("{:>6} {:>6} {:>6}  {:<13}", "P", "R", "F1", "(95 %)");
    let _ = writeln!(
        out,
        "{:NAME$}  {:<36}  {:<36}",
        "Events", "  overlap", "  by length"
    );
    let _ = writeln!(out, "{:NAME$}  {columns}  {}", "", columns.trim_end());
    for (name, measures) in rows {
        let scores = [&measures.overlap, &measures.weighted].map(score);
        let line = format!("{}  {}  {}", cut(name), scores[0], scores[1]);
        let _ = writeln!(out, "{}", line.trim_end());
    }
}

fn score(score: &EventScore) -> String {
    let interval = score
        .f1_interval
        .map_or_else(absent, |(low, high)| format!("{low:.3}-{high:.3}"));
    format!(
        "{:>6} {:>6} {:>6}  {interval:<13}",
        number(score.precision, 3),
        number(score.recall, 3),
        number(score.f1, 3)
    )
}

fn cut(name: &str) -> String {
    let short: String = name.chars().take(NAME).collect();
    format!("{short:NAME$}")
}

fn absent() -> String {
    "-".to_owned()
}

fn number(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(absent, |v| format!("{v:.decimals$}"))
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(absent, |s| format!("{:.2} %", 100.0 * s))
}

/// Two units at most: `45s`, `3h 20m`, `2d 4h`.
fn duration(seconds: f64) -> String {
    let whole = seconds.round() as i64;
    let (days, hours, minutes) = (whole / 86_400, whole / 3600 % 24, whole / 60 % 60);
    if days > 0 {
        format!("{days}d {hours}h")
    } else if hours > 0 {
        format!("{hours}h {minutes}m")
    } else if minutes > 0 {
        format!("{minutes}m {}s", whole % 60)
    } else {
        format!("{whole}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::{Detections, Series, report};
    use types::Timestamp;

    #[test]
    fn it_reads_in_a_hundred_columns() {
        let minute = |n: i64| Timestamp::from_millis(n * 60_000);
        let series: Vec<Series> = (0..3)
            .map(|i| Series {
                file: format!("{i}.csv"),
                family: ["b", "a-family-with-a-very-long-name"][i % 2].to_owned(),
                rows: (0..20_000).map(minute).collect(),
                interval: Some(60_000),
                windows: vec![(minute(9000), minute(12_000))],
                ..Series::default()
            })
            .collect();
        let said = Detections {
            scores: vec![(minute(9900), 12_345.678), (minute(13_000), 1.0)],
            alerts: vec![(minute(9900), Some(minute(10_000))), (minute(13_000), None)],
            ..Detections::default()
        };
        let evaluation = Evaluation {
            format: 1,
            bundle: "general@0123456789ab".to_owned(),
            device: "cpu, ONNX Runtime 1.24.0".to_owned(),
            data: "data".into(),
            labels: "labels.json".into(),
            train_fraction: 0.3,
            detectors: vec![
                report("agent", &series, &vec![said; 3]),
                report("constant", &series, &vec![Detections::default(); 3]),
            ],
        };
        let text = render(&evaluation);
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
        let line = |start: &str| text.lines().filter(|l| l.starts_with(start)).collect::<Vec<_>>();
        assert!(line("agent")[0].contains("97.71   93.96"), "{text}");
        assert!(line("agent")[1].contains("15h 0m"), "{text}");
        assert!(line("constant")[0].contains("0.00"), "{text}");
        assert_eq!(line("a-family-with-a-very-l").len(), 3, "{text}");
    }

    #[test]
    fn durations_have_two_units() {
        let spelt = [59.4, 60.0, 12_000.0, 187_200.0].map(duration);
        assert_eq!(spelt, ["59s", "1m 0s", "3h 20m", "2d 4h"]);
    }
}
