//! The measures for a person: tables of at most 100 columns.

use std::fmt::Write as _;

use super::choice::Half;
use super::measures::{EventScore, Halves, Measures};
use super::nab::PROFILES;
use super::{DetectorReport, Evaluation, SpreadReport};

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
        evaluation.bundles.join(", "),
        evaluation.device,
        total.files,
        total.series,
        total.windows,
        total.days,
        judged_part(evaluation),
    );
    let rows = rows(evaluation);
    nab(&mut out, product, &rows);
    alerts(&mut out, &rows);
    events(&mut out, &rows);
    halves(&mut out, &evaluation.detectors);
    if let Some(spread) = &evaluation.spread {
        bundles(&mut out, spread, evaluation.bundles.len());
    }
    out
}

fn judged_part(evaluation: &Evaluation) -> String {
    let mut parts = String::new();
    if evaluation.test_start.is_some() {
        parts += ", after each file's own cut";
    } else if evaluation.train_fraction > 0.0 {
        let _ = write!(
            parts,
            ", after the first {} of each file",
            evaluation.train_fraction
        );
    }
    match evaluation.half {
        Some(Half::Odd) => parts += ", first, third, … file",
        Some(Half::Even) => parts += ", second, fourth, … file",
        None => {}
    }
    parts
}

/// Families of the product, where it has one bundle, and the totals of every detector.
fn rows(evaluation: &Evaluation) -> Vec<(String, &Measures)> {
    let mut rows = Vec::new();
    for (at, detector) in evaluation.detectors.iter().enumerate() {
        // A single family is the total.
        if at == 0 && evaluation.bundles.len() == 1 && detector.families.len() > 1 {
            rows.extend(detector.families.iter().map(|(name, m)| (format!("  {name}"), m)));
        }
        rows.push((detector.name.clone(), &detector.total));
    }
    rows
}

fn nab(out: &mut String, product: &DetectorReport, rows: &[(String, &Measures)]) {
    let _ = writeln!(
        out,
        "{:NAME$} {:>7}  {:>15} {:>15} {:>15} {:>8}",
        "NAB score", "", "standard", "low FP", "low FN", "VUS-PR"
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
        let _ = writeln!(out, " {:>8}", number(measures.vus_pr, 3));
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

/// Scores at thresholds that were chosen on the other half of the files.
fn halves(out: &mut String, detectors: &[DetectorReport]) {
    let with: Vec<_> = detectors
        .iter()
        .filter_map(|d| Some((&d.name, d.halves.as_ref()?)))
        .collect();
    if with.is_empty() {
        return;
    }
    let _ = writeln!(
        out,
        "\n{:NAME$} {:>24} {:>24} {:>24}",
        "NAB score of the half", "standard", "low FP", "low FN"
    );
    let columns = format!("{:>8} {:>7} {:>7}", "even", "odd", "mean");
    let _ = writeln!(
        out,
        "{:NAME$} {columns} {columns} {columns}",
        "that chose nothing"
    );
    for (name, profiles) in with {
        let _ = write!(out, "{}", cut(name));
        for profile in PROFILES {
            let halves = profiles.get(profile.name);
            let _ = write!(
                out,
                " {:>8} {:>7} {:>7}",
                number(halves.and_then(|h| h.odd.other), 2),
                number(halves.and_then(|h| h.even.other), 2),
                number(halves.and_then(Halves::other_mean), 2)
            );
        }
        out.push('\n');
    }
}

/// Mean and standard deviation over the bundles.
fn bundles(out: &mut String, spread: &SpreadReport, bundles: usize) {
    const COLUMNS: [(&str, &str, usize); 6] = [
        ("nab.standard.best", "NAB best", 2),
        ("nab.standard.at_boundary", "NAB at 1", 2),
        ("nab.reward_low_FP_rate.best", "low FP", 2),
        ("vus_pr", "VUS-PR", 3),
        ("overlap.f1", "overlap F1", 3),
        ("weighted.f1", "length F1", 3),
    ];
    let _ = write!(out, "\n{:NAME$}", format!("{bundles} bundles, mean ± sd"));
    for (_, title, _) in COLUMNS {
        let _ = write!(out, " {title:>12}");
    }
    out.push('\n');
    let families = spread
        .families
        .iter()
        .map(|(name, figures)| (format!("  {name}"), figures));
    let families = families.filter(|_| spread.families.len() > 1);
    for (name, figures) in families.chain([("total".to_owned(), &spread.total)]) {
        let _ = write!(out, "{}", cut(&name));
        for (figure, _, decimals) in COLUMNS {
            let text = figures.get(figure).map_or_else(absent, |spread| {
                let sd = spread.sd.unwrap_or_default();
                format!("{:.decimals$} ±{sd:.decimals$}", spread.mean)
            });
            let _ = write!(out, " {text:>12}");
        }
        out.push('\n');
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
    use crate::evaluate::measures::judge;
    use crate::evaluate::subject::{Subject, Verdict};
    use crate::evaluate::{self, Detections};
    use types::Timestamp;

    fn minute(n: i64) -> Timestamp {
        Timestamp::from_millis(n * 60_000)
    }

    fn reports(names: &[&str]) -> Vec<DetectorReport> {
        let subject = |i: usize| Subject {
            file: format!("{i}.csv"),
            family: ["b", "a-family-with-a-very-long-name"][i % 2].to_owned(),
            odd: i.is_multiple_of(2),
            series: 1,
            rows: (0..20_000).map(minute).collect(),
            interval: Some(60_000),
            windows: vec![(minute(9000), minute(12_000))],
            ..Subject::default()
        };
        let said = Detections {
            scores: vec![(minute(9900), 12_345.678), (minute(13_000), 1.0)],
            levels: vec![(minute(9900), 12_345.678)],
            alerts: vec![(minute(9900), Some(minute(10_000))), (minute(13_000), None)],
        };
        let judged = |name: &str, i: usize| {
            let silent = Detections::default();
            let said = if name == "constant" { &silent } else { &said };
            let subject = subject(i);
            judge(&subject, &Verdict::new(&subject, std::slice::from_ref(said)))
        };
        let report = |name: &&str| {
            let judged: Vec<_> = (0..3).map(|i| judged(name, i)).collect();
            evaluate::report(name, &judged)
        };
        names.iter().map(report).collect()
    }

    fn evaluation(bundles: &[&str], detectors: Vec<DetectorReport>) -> Evaluation {
        Evaluation {
            format: 1,
            bundles: bundles.iter().map(|b| (*b).to_owned()).collect(),
            device: "cpu, ONNX Runtime 1.24.0".to_owned(),
            data: "data".into(),
            labels: "labels.json".into(),
            train_fraction: 0.3,
            test_start: None,
            series: None,
            half: None,
            spread: (bundles.len() > 1).then(|| evaluate::spread_of(&detectors[..bundles.len()])),
            detectors,
        }
    }

    #[test]
    fn it_reads_in_a_hundred_columns() {
        let text = render(&evaluation(
            &["general@0123456789ab"],
            reports(&["agent", "constant"]),
        ));
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
        let line = |start: &str| text.lines().filter(|l| l.starts_with(start)).collect::<Vec<_>>();
        assert!(line("agent")[0].contains("97.71   93.96"), "{text}");
        assert!(line("agent")[1].contains("15h 0m"), "{text}");
        assert!(line("agent")[3].contains("97.71   97.71   97.71"), "{text}");
        assert!(line("constant")[0].contains("0.00"), "{text}");
        assert_eq!(line("  a-family-with-a-very").len(), 3, "{text}");
    }

    #[test]
    fn several_bundles_have_a_row_each_and_their_spread() {
        let names = ["one@0123456789ab", "two@0123456789ab"];
        let text = render(&evaluation(
            &names,
            reports(&["one@0123456789ab", "two@0123456789ab", "constant"]),
        ));
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
        let starting = |start: &str| text.lines().filter(|l| l.starts_with(start)).count();
        assert_eq!(
            (starting("two@"), starting("  b"), starting("2 bundles")),
            (4, 1, 1),
            "{text}"
        );
        assert!(text.contains("97.71 ±0.00"), "{text}");
    }

    #[test]
    fn durations_have_two_units() {
        let spelt = [59.4, 60.0, 12_000.0, 187_200.0].map(duration);
        assert_eq!(spelt, ["59s", "1m 0s", "3h 20m", "2d 4h"]);
    }
}
