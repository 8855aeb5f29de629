//! What a replay says at its end, on the terminal and in the report's head.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use alerting::reason::reason;
use ingest::labels::Labels;
use types::{AlertState, SeriesKey, Severity, Timestamp};

use crate::replay::Facts;
use crate::report::{Report, SeriesReport};
use crate::sinks::Sinks;

/// Alerts listed on the terminal.
const ALERTS_SHOWN: usize = 20;

/// The numbers of one replay.
pub struct Summary {
    facts: Facts,
    lines: Vec<(String, String)>,
    alert_lines: Vec<String>,
    alerts_left_out: usize,
}

/// How alerts met the labelled windows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LabelTally {
    /// Labelled windows.
    pub windows: u64,
    /// Labelled windows in which an alert became available.
    pub hit: u64,
    /// Alerts that became available outside every labelled window.
    pub outside: u64,
    /// Time outside labelled windows (milliseconds).
    pub calm_ms: i64,
    /// Time in alert outside labelled windows (milliseconds).
    pub calm_in_alert_ms: i64,
}

impl Summary {
    /// Sums a finished replay up.
    #[must_use]
    pub fn new(facts: Facts, sinks: &Sinks, labels: Option<&Labels>, file: &Path) -> Self {
        let count = |kind: &str, state, severity| {
            let alerts = sinks.alerts.iter().filter(|a| a.kind() == kind);
            alerts
                .filter(|a| a.state == state && a.severity == severity)
                .count()
        };
        let firing = |severity| count("anomaly", AlertState::Firing, severity);
        let escalated = count("anomaly", AlertState::Escalated, Severity::Critical);
        let (rows, scored) = sinks
            .series
            .values()
            .fold((0, 0), |(rows, scored), s| (rows + s.rows, scored + s.scored));
        let mut lines = vec![
            (
                "bundle".to_owned(),
                format!("{} on {}", facts.bundle, facts.device),
            ),
            ("samples".to_owned(), facts.counts.samples.to_string()),
            ("series".to_owned(), sinks.series.len().to_string()),
            ("buckets".to_owned(), format!("{rows}, {scored} scored")),
            (
                "alerts".to_owned(),
                format!(
                    "{} warning, {} critical, {escalated} escalated",
                    firing(Severity::Warning),
                    firing(Severity::Critical)
                ),
            ),
        ];
        let announced = count("limit", AlertState::Firing, Severity::Warning);
        let unannounced = count("limit", AlertState::Firing, Severity::Critical);
        if announced + unannounced > 0 {
            let came = count("limit", AlertState::Escalated, Severity::Critical);
            let text =
                format!("{announced} crossings forecast, {came} of them came; {unannounced} came unforecast");
            lines.push(("limits".to_owned(), text));
        }
        let silent = count("silence", AlertState::Firing, Severity::Warning);
        if silent > 0 {
            let is_back = |a: &&types::Alert| a.silence.is_some_and(|s| s.returned.is_some());
            let back = sinks.alerts.iter().filter(is_back).count();
            lines.push((
                "silence".to_owned(),
                format!("{silent} fell silent, {back} came back"),
            ));
        }
        if !sinks.rejected.is_empty() {
            let reasons: Vec<String> = sinks
                .rejected
                .iter()
                .map(|(reason, n)| format!("{n} {}", reason.name()))
                .collect();
            lines.push(("not used".to_owned(), reasons.join(", ")));
        }
        if facts.counts.failed > 0 {
            lines.push(("failed windows".to_owned(), facts.counts.failed.to_string()));
        }
        if let Some(tally) = label_tally(sinks, labels, file) {
            lines.push((
                "labels".to_owned(),
                format!(
                    "{} of {} windows alerted, {} alerts outside, {:.2} % of the time outside in alert",
                    tally.hit,
                    tally.windows,
                    tally.outside,
                    100.0 * tally.calm_in_alert_ms as f64 / tally.calm_ms.max(1) as f64
                ),
            ));
        } else if labels.is_some() {
            lines.push(("labels".to_owned(), "none for this file".to_owned()));
        }
        let firing: Vec<_> = sinks
            .alerts
            .iter()
            .filter(|a| a.state == AlertState::Firing)
            .collect();
        let alert_lines = firing
            .iter()
            .take(ALERTS_SHOWN)
            .map(|a| {
                let score = if a.is_anomaly() {
                    format!("score {:<5.2}  ", a.score)
                } else {
                    String::new()
                };
                format!(
                    "{}  {:<8}  {score}{}",
                    a.available_at,
                    a.severity.name(),
                    reason(a)
                )
            })
            .collect();
        Self {
            facts,
            lines,
            alert_lines,
            alerts_left_out: firing.len().saturating_sub(ALERTS_SHOWN),
        }
    }

    /// Prints to standard output.
    pub fn print(&self) {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{}", self.facts.file.display());
        for (name, value) in &self.lines {
            let _ = writeln!(out, "  {name:<15} {value}");
        }
        for line in &self.alert_lines {
            let _ = writeln!(out, "  {line}");
        }
        if self.alerts_left_out > 0 {
            let _ = writeln!(out, "  … and {} more (see --alerts)", self.alerts_left_out);
        }
        crate::logging::say(&out);
    }

    /// The HTML report.
    #[must_use]
    pub fn report(&self, sinks: &Sinks, labels: Option<&Labels>) -> String {
        let file: PathBuf = self.facts.file.clone();
        let series = sinks.rows.iter().map(|(key, rows)| SeriesReport {
            name: key.to_string(),
            rows: rows.clone(),
            alerts: sinks
                .alerts
                .iter()
                .filter(|a| a.series == *key)
                .cloned()
                .collect(),
            labels: windows_of(sinks, labels, &file, key),
            ahead: sinks.ahead.get(key).cloned(),
        });
        crate::report::render(&Report {
            title: ingest::file::stem(&file),
            file: file
                .file_name()
                .map_or_else(String::new, |n| n.to_string_lossy().into_owned()),
            bundle: self.facts.bundle.clone(),
            generated_by: format!("agent {} replay", env!("CARGO_PKG_VERSION")),
            summary: self.lines.clone(),
            series: series.collect(),
            rejected: sinks
                .rejected
                .iter()
                .map(|(r, n)| (r.name().to_owned(), *n))
                .collect(),
        })
    }
}

/// Labelled windows of a series: from the labels file, else from the file's own `label` column.
fn windows_of(
    sinks: &Sinks,
    labels: Option<&Labels>,
    file: &Path,
    series: &SeriesKey,
) -> Vec<(Timestamp, Timestamp)> {
    match labels {
        Some(labels) => labels.windows(file, series),
        None => sinks.truth_windows(series),
    }
}

/// Holds alerts against labelled windows, each at the time it became available; `None` without labels for the file.
#[must_use]
pub fn label_tally(sinks: &Sinks, labels: Option<&Labels>, file: &Path) -> Option<LabelTally> {
    let mut tally = LabelTally::default();
    let mut any = labels.map_or_else(|| sinks.has_truth(), |l| l.covers(file));
    for (key, series) in &sinks.series {
        let windows = windows_of(sinks, labels, file, key);
        any |= !windows.is_empty();
        let within = |t: Timestamp| windows.iter().any(|(a, b)| (*a..=*b).contains(&t));
        let opened: Vec<Timestamp> = sinks
            .alerts
            .iter()
            .filter(|a| a.is_anomaly() && a.series == *key && a.state == AlertState::Firing)
            .map(|a| a.available_at)
            .collect();
        tally.windows += windows.len() as u64;
        tally.hit += windows
            .iter()
            .filter(|(a, b)| opened.iter().any(|t| (*a..=*b).contains(t)))
            .count() as u64;
        tally.outside += opened.iter().filter(|t| !within(**t)).count() as u64;
        let Some((first, last)) = series.span else {
            continue;
        };
        tally.calm_ms += (last - first) - covered(&windows, first, last);
        for (from, to) in &series.in_alert {
            tally.calm_in_alert_ms += (*to - *from) - covered(&windows, *from, *to);
        }
    }
    any.then_some(tally)
}

/// Length of the part of `[from, to]` that `windows` cover, taken as disjoint (milliseconds).
fn covered(windows: &[(Timestamp, Timestamp)], from: Timestamp, to: Timestamp) -> i64 {
    windows
        .iter()
        .map(|(a, b)| ((*b).min(to) - (*a).max(from)).max(0))
        .sum()
}
