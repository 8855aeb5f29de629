//! CSV: the header decides the layout, each row gives samples, rejects and ground truth.

use std::borrow::Cow;
use std::collections::{BTreeSet, VecDeque};

use csv::ByteRecord;
use types::{RejectReason, Rejected, Sample, SeriesKey, Timestamp};

use super::lines::Lines;
use super::{FileOptions, OpenError, ReadItem, at_line};
use crate::decode::{self, at, excerpt, reject, series_key, timestamp};

/// How many rows decide whether a column `label` is ground truth.
pub const TRUTH_ROWS: usize = 256;

/// Separators by preference.
const SEPARATORS: [u8; 3] = [b',', b';', b'\t'];

pub(super) struct Table {
    separator: u8,
    columns: usize,
    time: usize,
    truth: Option<usize>,
    layout: Layout,
    record: ByteRecord,
}

enum Layout {
    /// Bare and wide: each of these columns is a series.
    Columns(Vec<(usize, SeriesKey)>),
    /// One series a row.
    Long {
        name: usize,
        value: usize,
        labels: Vec<(usize, String)>,
    },
}

impl Table {
    /// Reads the header and looks at the first rows.
    pub(super) fn open(lines: &mut Lines, stem: &str) -> Result<Self, OpenError> {
        let header = loop {
            if !lines.advance()? {
                return Err(OpenError::Empty);
            }
            let line = lines
                .text()
                .map_err(|rejected| OpenError::Header(rejected.detail))?;
            if !line.trim_ascii().is_empty() {
                break line.to_vec();
            }
        };
        let (separator, time, header) = split_header(&header)?;
        let truth = match header.find("label") {
            Some(column) if is_truth(lines, separator, column) => Some(column),
            Some(_) | None => None,
        };
        Ok(Self {
            separator,
            columns: header.0.len(),
            time,
            truth,
            layout: header.layout(time, truth, stem)?,
            record: ByteRecord::new(),
        })
    }

    pub(super) fn has_truth(&self) -> bool {
        self.truth.is_some()
    }

    /// Reads one row; `number` is its line.
    pub(super) fn row(
        &mut self,
        line: &[u8],
        number: u64,
        options: &FileOptions,
        queue: &mut VecDeque<ReadItem>,
    ) {
        split(line, self.separator, &mut self.record);
        if let Err(rejected) = self.fields(number, options, queue) {
            queue.push_back(ReadItem::Rejected(at_line(number, rejected)));
        }
    }

    /// An error stands for the whole row; rejects of single values go to the queue.
    fn fields(
        &self,
        number: u64,
        options: &FileOptions,
        queue: &mut VecDeque<ReadItem>,
    ) -> Result<(), Rejected> {
        self.check_width()?;
        let time = match self.field(self.time).as_ref() {
            "" => return Err(reject(RejectReason::MissingField, "the timestamp is empty")),
            text => timestamp(text, options.zone.as_ref())?,
        };
        let row_series = match &self.layout {
            Layout::Columns(series) => {
                for (column, series) in series {
                    self.value(*column, series, time, number, queue);
                }
                None
            }
            Layout::Long { name, value, labels } => {
                let name = self.field(*name);
                if name.is_empty() {
                    return Err(reject(RejectReason::MissingField, "the series name is empty"));
                }
                let labels = labels.iter().map(|(column, label)| (label, self.field(*column)));
                let series = series_key(&name, labels, &options.labels)?;
                self.value(*value, &series, time, number, queue);
                Some(series)
            }
        };
        let Some(truth) = self.truth.map(|column| self.field(column)) else {
            return Ok(());
        };
        if !truth.is_empty() {
            queue.push_back(ReadItem::Truth {
                series: row_series,
                time,
                anomalous: zero_or_one(&truth).ok_or_else(|| {
                    let detail = format!("`label` is `{}`, but was 0 or 1 before", excerpt(&truth));
                    reject(RejectReason::Malformed, detail)
                })?,
            });
        }
        Ok(())
    }

    fn value(
        &self,
        column: usize,
        series: &SeriesKey,
        time: Timestamp,
        number: u64,
        queue: &mut VecDeque<ReadItem>,
    ) {
        let text = self.field(column);
        if text.is_empty() {
            return;
        }
        queue.push_back(match decode::number(&text) {
            Ok(value) => ReadItem::Sample(Sample {
                series: series.clone(),
                time,
                value,
            }),
            Err(rejected) => {
                let series = excerpt(series.as_str());
                ReadItem::Rejected(at_line(number, at(&format!("{series}: "), rejected)))
            }
        });
    }

    fn check_width(&self) -> Result<(), Rejected> {
        let more = self.record.iter().skip(self.columns);
        let excess = more.filter(|field| !field.trim_ascii().is_empty()).count();
        if self.record.len() < self.columns || excess > 0 {
            let (fields, columns) = (self.record.len(), self.columns);
            let detail = format!("{fields} fields where the header has {columns}");
            return Err(reject(RejectReason::Malformed, detail));
        }
        Ok(())
    }

    fn field(&self, column: usize) -> Cow<'_, str> {
        text_of(&self.record, column)
    }
}

/// The names of the columns as written.
struct Header(Vec<String>);

impl Header {
    /// The column of a name in any case.
    fn find(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|column| column.eq_ignore_ascii_case(name))
    }

    /// Columns that have a name and are none of `taken`.
    fn others<const N: usize>(&self, taken: [Option<usize>; N]) -> impl Iterator<Item = (usize, &String)> {
        let all = self.0.iter().enumerate();
        all.filter(move |(column, name)| !name.is_empty() && !taken.contains(&Some(*column)))
    }

    fn layout(&self, time: usize, truth: Option<usize>, stem: &str) -> Result<Layout, OpenError> {
        let value = self.find("value");
        if let Some(name) = self.find("series").or_else(|| self.find("name")) {
            let value = value.ok_or_else(|| {
                let detail = format!("there is a `{}` column but no `value` column", self.0[name]);
                OpenError::Header(detail)
            })?;
            let labels = self.others([Some(time), truth, Some(name), Some(value)]);
            return Ok(Layout::Long {
                name,
                value,
                labels: labels.map(|(column, label)| (column, label.clone())).collect(),
            });
        }
        let metrics: Vec<(usize, &String)> = self.others([Some(time), truth]).collect();
        let bare = matches!(metrics[..], [(column, _)] if Some(column) == value);
        let series = metrics.into_iter().map(|(column, name)| {
            let name = if bare {
                stem.to_owned()
            } else {
                format!("{stem}.{name}")
            };
            let key = series_key::<&str, &str>(&name, [], &Default::default());
            let key = key.map_err(|rejected| OpenError::Header(rejected.detail))?;
            Ok((column, key))
        });
        let series: Vec<_> = series.collect::<Result<_, OpenError>>()?;
        if series.is_empty() {
            let detail = "there is no column of values beside `timestamp`".to_owned();
            return Err(OpenError::Header(detail));
        }
        Ok(Layout::Columns(series))
    }
}

/// Finds the separator with which the header makes sense, and the column of the time.
fn split_header(line: &[u8]) -> Result<(u8, usize, Header), OpenError> {
    for separator in SEPARATORS {
        let mut record = ByteRecord::new();
        split(line, separator, &mut record);
        let names = (0..record.len()).map(|column| text_of(&record, column).into_owned());
        let header = Header(names.collect());
        let Some(time) = header.find("timestamp").filter(|_| header.0.len() > 1) else {
            continue;
        };
        let mut seen = BTreeSet::new();
        let named = header.0.iter().filter(|name| !name.is_empty());
        if let Some(twice) = named.into_iter().find(|name| !seen.insert(name.as_str())) {
            let detail = format!("the column `{}` is there twice", excerpt(twice));
            return Err(OpenError::Header(detail));
        }
        return Ok((separator, time, header));
    }
    let line = String::from_utf8_lossy(line);
    let detail = format!("there is no `timestamp` column in `{}`", excerpt(line.trim()));
    Err(OpenError::Header(detail))
}

fn is_truth(lines: &mut Lines, separator: u8, column: usize) -> bool {
    let mut record = ByteRecord::new();
    lines.look_ahead(TRUTH_ROWS).all(|line| {
        split(line, separator, &mut record);
        let text = text_of(&record, column);
        text.is_empty() || zero_or_one(&text).is_some()
    })
}

fn zero_or_one(text: &str) -> Option<bool> {
    match text {
        "0" | "0.0" => Some(false),
        "1" | "1.0" => Some(true),
        _ => None,
    }
}

/// A field without the blanks around it; empty where there is none.
fn text_of(record: &ByteRecord, column: usize) -> Cow<'_, str> {
    String::from_utf8_lossy(record.get(column).unwrap_or_default().trim_ascii())
}

/// Splits one line. Quotes are left to the CSV parser; nearly no metric file has any.
fn split(line: &[u8], separator: u8, record: &mut ByteRecord) {
    record.clear();
    if !line.contains(&b'"') {
        for field in line.split(|&byte| byte == separator) {
            record.push_field(field);
        }
        return;
    }
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(separator)
        .from_reader(line);
    // Reading from memory with any number of fields allowed cannot fail; a record left empty would be rejected.
    if reader.read_byte_record(record).is_err() {
        record.clear();
    }
}
