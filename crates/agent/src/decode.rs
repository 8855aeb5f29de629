//! `agent decode`: what a file holds, without scoring it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use ingest::file::{FileOptions, FileType, ReadItem};
use ingest::inputlog::Entry;
use types::{Payload, Rejected, Sample, SeriesKey, Timestamp};

use crate::failure::Failure;

/// Series listed by name.
const SERIES_SHOWN: usize = 50;

#[derive(Default)]
struct Seen {
    series: BTreeMap<SeriesKey, (u64, Timestamp, Timestamp)>,
    rejected: BTreeMap<&'static str, (u64, String)>,
}

/// Prints series, rates and rejects of a file.
///
/// # Errors
/// An unknown format or a file that cannot be used.
pub fn run(file: &Path, format: &str) -> Result<(), Failure> {
    let format = format.parse().map_err(Failure::usage)?;
    let fail = |e: &dyn std::fmt::Display| Failure::data(format!("{}: {e}", file.display()));
    let mut seen = Seen::default();
    match ingest::file::sniff(file).map_err(|e| Failure::open(file, &e))? {
        FileType::InputLog => {
            for entry in ingest::file::open_log(file).map_err(|e| Failure::open(file, &e))? {
                let Entry::Record { record, .. } = entry.map_err(|e| fail(&e))? else {
                    continue;
                };
                match record.payload {
                    Payload::Samples(samples) => samples.into_iter().for_each(|s| seen.sample(s)),
                    Payload::Bytes(bytes) => {
                        let labels = ingest::decode::LabelRules::default();
                        let decoded = ingest::decode::decode(&bytes, format, record.time, &labels);
                        decoded.samples.into_iter().for_each(|s| seen.sample(s));
                        decoded.rejected.into_iter().for_each(|r| seen.reject(r));
                    }
                }
            }
        }
        FileType::Csv | FileType::JsonLines => {
            for item in
                ingest::file::open(file, &FileOptions::default()).map_err(|e| Failure::open(file, &e))?
            {
                match item.map_err(|e| fail(&e))? {
                    ReadItem::Sample(sample) => seen.sample(sample),
                    ReadItem::Rejected(rejected) => seen.reject(rejected),
                    ReadItem::Truth { .. } => {}
                }
            }
        }
    }
    seen.print(file);
    if seen.series.is_empty() {
        Err(fail(&"no readable sample"))
    } else {
        Ok(())
    }
}

impl Seen {
    fn sample(&mut self, sample: Sample) {
        let entry = self
            .series
            .entry(sample.series)
            .or_insert((0, sample.time, sample.time));
        entry.0 += 1;
        entry.1 = entry.1.min(sample.time);
        entry.2 = entry.2.max(sample.time);
    }

    fn reject(&mut self, rejected: Rejected) {
        self.rejected
            .entry(rejected.reason.name())
            .or_insert((0, rejected.detail))
            .0 += 1;
    }

    fn print(&self, file: &Path) {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let samples: u64 = self.series.values().map(|(n, ..)| n).sum();
        let _ = writeln!(
            out,
            "{}: {} series, {samples} samples",
            file.display(),
            self.series.len()
        );
        for (series, (n, first, last)) in self.series.iter().take(SERIES_SHOWN) {
            let every = (*last - *first) as f64 / 1000.0 / (*n - 1).max(1) as f64;
            let _ = writeln!(
                out,
                "  {series}: {n} samples, {first} to {last}, one every {every:.1} s on average"
            );
        }
        if self.series.len() > SERIES_SHOWN {
            let _ = writeln!(out, "  … and {} more", self.series.len() - SERIES_SHOWN);
        }
        for (reason, (n, example)) in &self.rejected {
            let _ = writeln!(out, "  {n} rejected, {reason}: {example}");
        }
        crate::logging::say(&out);
    }
}
