//! Where the outputs of a replay go: files, counts, and what the report needs.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use pipeline::Output;
use types::{Alert, Forecast, Occurrence, RejectReason, RowStatus, ScoreRow, SeriesKey, Timestamp};

use crate::failure::Failure;
use crate::replay::{Sink, is_json_lines};
use crate::rows;

/// Files and tallies of one replay.
#[derive(Default)]
pub struct Sinks {
    alerts_file: Option<(PathBuf, BufWriter<File>)>,
    scores: Option<Table>,
    report: Option<(PathBuf, File)>,
    /// Rows by series, kept for the report only.
    pub rows: BTreeMap<SeriesKey, Vec<ScoreRow>>,
    forecasts: Option<Table>,
    /// The last forecast of each series.
    pub ahead: BTreeMap<SeriesKey, Forecast>,
    /// Every alert state, in order.
    pub alerts: Vec<Alert>,
    /// Occurrences by kind.
    pub occurred: BTreeMap<Occurrence, u64>,
    /// Samples and lines that were not used, by reason.
    pub rejected: BTreeMap<RejectReason, u64>,
    /// By series: rows, rows with a score, first and last bucket, time in alert.
    pub series: BTreeMap<SeriesKey, SeriesTally>,
    truth: BTreeMap<Option<SeriesKey>, Vec<(Timestamp, Timestamp, bool)>>,
}

/// What is counted of one series.
#[derive(Clone, Debug, Default)]
pub struct SeriesTally {
    /// Buckets.
    pub rows: u64,
    /// Buckets with a score.
    pub scored: u64,
    /// Starts of the first and the last bucket.
    pub span: Option<(Timestamp, Timestamp)>,
    /// Intervals `available_at` of opening to `available_at` of ending during which an alert was open.
    pub in_alert: Vec<(Timestamp, Timestamp)>,
}

/// A file of rows: CSV with a header, or JSON lines.
struct Table {
    path: PathBuf,
    writer: TableWriter,
}

enum TableWriter {
    Csv(Box<csv::Writer<File>>),
    JsonLines(BufWriter<File>),
}

impl Table {
    /// JSON lines when the name says so.
    fn create(path: &Path, columns: &[&str]) -> Result<Self, Failure> {
        let file = File::create(path).map_err(|e| unwritable(path, &e))?;
        let writer = if is_json_lines(path) {
            TableWriter::JsonLines(BufWriter::new(file))
        } else {
            let mut writer = csv::Writer::from_writer(file);
            writer.write_record(columns).map_err(|e| unwritable(path, &e))?;
            TableWriter::Csv(Box::new(writer))
        };
        let path = path.to_owned();
        Ok(Self { path, writer })
    }

    fn row(
        &mut self,
        fields: impl FnOnce() -> Vec<String>,
        json: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        match &mut self.writer {
            TableWriter::Csv(writer) => writer.write_record(fields()).map_err(io::Error::from),
            TableWriter::JsonLines(writer) => writeln!(writer, "{}", json()),
        }
        .map_err(|e| unwritable(&self.path, &e))
    }

    fn flush(&mut self) -> Result<(), Failure> {
        match &mut self.writer {
            TableWriter::Csv(writer) => writer.flush(),
            TableWriter::JsonLines(writer) => writer.flush(),
        }
        .map_err(|e| unwritable(&self.path, &e))
    }
}

impl Sinks {
    /// Opens the output files; they exist from here on, even if nothing is written.
    ///
    /// # Errors
    /// When one cannot be created.
    pub fn create(
        alerts: Option<&Path>,
        scores: Option<&Path>,
        forecasts: Option<&Path>,
        report: Option<&Path>,
    ) -> Result<Self, Failure> {
        let create = |path: &Path| File::create(path).map_err(|e| unwritable(path, &e));
        let alerts_file = match alerts {
            Some(path) => Some((path.to_owned(), BufWriter::new(create(path)?))),
            None => None,
        };
        let scores = scores
            .map(|path| Table::create(path, &rows::COLUMNS))
            .transpose()?;
        let forecasts = forecasts
            .map(|path| Table::create(path, &rows::FORECAST_COLUMNS))
            .transpose()?;
        let report = match report {
            Some(path) => Some((path.to_owned(), create(path)?)),
            None => None,
        };
        Ok(Self {
            alerts_file,
            scores,
            forecasts,
            report,
            ..Self::default()
        })
    }

    fn alert(&mut self, alert: Alert) -> Result<(), Failure> {
        if let Some((path, writer)) = &mut self.alerts_file {
            let line = alerting::wire::to_json(&alert);
            writeln!(writer, "{line}").map_err(|e| unwritable(path, &e))?;
        }
        self.alerts.push(alert);
        Ok(())
    }

    fn row(&mut self, row: ScoreRow) -> Result<(), Failure> {
        if let Some(table) = &mut self.scores {
            table.row(|| rows::fields(&row).to_vec(), || rows::to_json(&row))?;
        }
        let tally = self.series.entry(row.series.clone()).or_default();
        tally.rows += 1;
        tally.scored += u64::from(row.status == RowStatus::Final && row.score.is_some());
        let (first, _) = tally.span.unwrap_or((row.timestamp, row.timestamp));
        tally.span = Some((first, row.timestamp));
        if self.report.is_some() {
            self.rows.entry(row.series.clone()).or_default().push(row);
        }
        Ok(())
    }

    fn forecast(&mut self, forecast: Forecast) -> Result<(), Failure> {
        if let Some(table) = &mut self.forecasts {
            table.row(
                || rows::forecast_fields(&forecast).to_vec(),
                || rows::forecast_to_json(&forecast),
            )?;
        }
        self.ahead.insert(forecast.series.clone(), forecast);
        Ok(())
    }

    /// Labelled spans that the file itself gave for `series`.
    #[must_use]
    pub fn truth_windows(&self, series: &SeriesKey) -> Vec<(Timestamp, Timestamp)> {
        let own = self
            .truth
            .get(&Some(series.clone()))
            .or_else(|| self.truth.get(&None));
        own.into_iter()
            .flatten()
            .filter(|(.., kind)| *kind)
            .map(|(a, b, _)| (*a, *b))
            .collect()
    }

    /// Whether the file itself says what is anomalous in it.
    #[must_use]
    pub fn has_truth(&self) -> bool {
        !self.truth.is_empty()
    }

    /// Fills the report's file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_report(&mut self, html: &str) -> Result<(), Failure> {
        match &mut self.report {
            Some((path, file)) => file.write_all(html.as_bytes()).map_err(|e| unwritable(path, &e)),
            None => Ok(()),
        }
    }

    /// Flushes the files and pairs alerts up.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn finish(&mut self) -> Result<(), Failure> {
        if let Some((path, writer)) = &mut self.alerts_file {
            writer.flush().map_err(|e| unwritable(path, &e))?;
        }
        for table in [&mut self.scores, &mut self.forecasts].into_iter().flatten() {
            table.flush()?;
        }
        // Limits and silence say nothing of what is normal: only anomalies count as time in alert.
        let mut open: BTreeMap<&str, &Alert> = BTreeMap::new();
        for alert in self.alerts.iter().filter(|a| a.is_anomaly()) {
            match alert.state {
                types::AlertState::Firing => {
                    open.insert(&alert.id, alert);
                }
                types::AlertState::Escalated => {}
                types::AlertState::Resolved => {
                    if let Some(firing) = open.remove(alert.id.as_str()) {
                        let tally = self.series.entry(alert.series.clone()).or_default();
                        tally.in_alert.push((firing.available_at, alert.available_at));
                    }
                }
            }
        }
        for firing in open.into_values() {
            let tally = self.series.entry(firing.series.clone()).or_default();
            let end = tally.span.map_or(firing.end, |(_, last)| last.max(firing.end));
            tally.in_alert.push((firing.available_at, end));
        }
        Ok(())
    }
}

impl Sink for Sinks {
    fn take(&mut self, output: Output) -> Result<(), Failure> {
        match output {
            Output::Alert(alert) => self.alert(alert),
            Output::Row(row) => self.row(row),
            Output::Occurred(occurrence) => {
                if let Occurrence::Rejected(reason) = occurrence {
                    self.reject(reason);
                }
                *self.occurred.entry(occurrence).or_default() += 1;
                Ok(())
            }
            Output::Forecast(forecast) => self.forecast(forecast),
            Output::Due { .. } | Output::Processed { .. } | Output::Rejected { .. } => Ok(()),
        }
    }

    fn reject(&mut self, reason: RejectReason) {
        *self.rejected.entry(reason).or_default() += 1;
    }

    fn truth(&mut self, series: Option<SeriesKey>, time: Timestamp, anomalous: bool) {
        let runs = self.truth.entry(series).or_default();
        match runs.last_mut() {
            Some((_, end, kind)) if *kind == anomalous => *end = time,
            _ => runs.push((time, time, anomalous)),
        }
    }
}

fn unwritable(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::io(format!("{} cannot be written: {error}", path.display()))
}
