//! `agent replay`: the task code of the daemon at full speed over a file.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};
use ingest::file::{FileOptions, FileType, ReadItem};
use ingest::inputlog::Entry;
use ingest::labels::{Labels, LabelsError};
use pipeline::{Host, Input, Output, Task, TaskId, TaskSettings};
use types::{Payload, Record, RejectReason, Rejected, Sample, SeriesKey, Timestamp};

use crate::failure::Failure;
use crate::model::{self, ServingOptions};
use crate::sinks::Sinks;
use crate::summary::Summary;

/// Windows gathered before the nets run: enough to fill every backend several times.
const WINDOWS_A_ROUND: usize = 512;

/// What `agent replay` was asked for.
#[derive(Clone, Debug, Default)]
pub struct ReplayOptions {
    /// The file to replay.
    pub file: PathBuf,
    /// Bundle, device and threads.
    pub serving: ServingOptions,
    /// Configuration file.
    pub config: Option<PathBuf>,
    /// `section.key=value` over it.
    pub overrides: Vec<(String, String)>,
    /// Ground truth.
    pub labels: Option<PathBuf>,
    /// Where alerts go, one JSON line a state.
    pub alerts: Option<PathBuf>,
    /// Where rows go; CSV, or JSON lines when it ends in `.jsonl`.
    pub scores: Option<PathBuf>,
    /// Where forecasts go; CSV, or JSON lines when it ends in `.jsonl`.
    pub forecasts: Option<PathBuf>,
    /// Where the HTML report goes.
    pub report: Option<PathBuf>,
    /// Score at the end what live would not have scored yet.
    pub flush: bool,
}

/// Replays the file and prints a summary.
///
/// # Errors
/// Wrong options, an unusable file, bundle or runtime, or outputs that cannot be written.
pub fn run(options: &ReplayOptions) -> Result<(), Failure> {
    let describe = |e| Failure::open(&options.file, &e);
    let file_type = ingest::file::sniff(&options.file).map_err(describe)?;
    let recorded = match file_type {
        FileType::InputLog => Some(
            ingest::file::open_log(&options.file)
                .map_err(describe)?
                .header()
                .clone(),
        ),
        FileType::Csv | FileType::JsonLines => None,
    };
    let settings = crate::settings::load(
        options.config.as_deref(),
        recorded.as_ref().map(|header| header.config.as_str()),
        &options.overrides,
    )?;
    let zone = settings.zone();
    let labels = match &options.labels {
        Some(path) => Some(read_labels(path, zone.as_ref())?),
        None => None,
    };
    check_outputs(options)?;
    let serving = model::load(&settings.serving(&options.serving))?;
    settings.check_model(&serving.model())?;
    if let Some(header) = recorded.filter(|h| h.bundle != serving.bundle.label()) {
        eprintln!(
            "note: recorded with bundle {}, replayed with {}: scores will differ",
            header.bundle,
            serving.bundle.label()
        );
    }
    let mut sinks = Sinks::create(
        options.alerts.as_deref(),
        options.scores.as_deref(),
        options.forecasts.as_deref(),
        options.report.as_deref(),
    )?;
    let model = serving.model();
    let bundle = serving.bundle.label();
    if options.forecasts.is_some() && !model.kind.predicts() {
        eprintln!("note: bundle {bundle} does not predict: no forecasts");
    }
    let device = format!("{}, ONNX Runtime {}", serving.device, serving.runtime_version);
    let mut host = Host::new(serving.backends);
    let mut replay = Replay::new(&options.file, options.flush, &mut host, &mut sinks);
    match file_type {
        FileType::InputLog => replay.log(|topic| settings.task(topic, model.clone()))?,
        FileType::Csv | FileType::JsonLines => {
            let read = FileOptions {
                zone,
                labels: settings.labels(),
            };
            let bar = progress_bar();
            replay.plain(&settings.task("", model), &read, &bar)?;
        }
    }
    let facts = Facts {
        file: options.file.clone(),
        bundle,
        device,
        counts: replay.counts(),
    };
    sinks.finish()?;
    let summary = Summary::new(facts, &sinks, labels.as_ref(), &options.file);
    summary.print();
    if options.report.is_some() {
        let html = summary.report(&sinks, labels.as_ref());
        sinks.write_report(&html)?;
    }
    Ok(())
}

/// Reads a label file.
///
/// # Errors
/// When it is not there or is not of the form; the message names it.
pub(crate) fn read_labels(path: &Path, zone: Option<&jiff::tz::TimeZone>) -> Result<Labels, Failure> {
    Labels::load_in(path, zone).map_err(|error| {
        let message = format!("{}: {error}", path.display());
        match error {
            LabelsError::Read(e) if e.kind() == io::ErrorKind::NotFound => Failure::no_input(message),
            LabelsError::Read(e) if e.kind() != io::ErrorKind::InvalidData => Failure::io(message),
            _ => Failure::data(message),
        }
    })
}

/// An output must overwrite neither what is read nor another output.
fn check_outputs(options: &ReplayOptions) -> Result<(), Failure> {
    let inputs = [
        ("--file", Some(&options.file)),
        ("--labels", options.labels.as_ref()),
    ];
    let outputs = [
        ("--alerts", options.alerts.as_ref()),
        ("--scores", options.scores.as_ref()),
        ("--forecasts", options.forecasts.as_ref()),
        ("--report", options.report.as_ref()),
    ];
    let mut taken: Vec<(&str, PathBuf)> = Vec::new();
    for (option, path) in inputs.into_iter().chain(outputs) {
        let Some(path) = path else { continue };
        // What is not there yet has no canonical form and cannot be an input; two outputs may still be one.
        let whole = path.canonicalize().or_else(|_| std::path::absolute(path));
        let whole = whole.unwrap_or_else(|_| path.clone());
        let is_device = whole.starts_with("/dev");
        if let Some((other, _)) = taken.iter().find(|(_, t)| *t == whole && !is_device) {
            let message = format!("{option} and {other} are both {}", path.display());
            return Err(Failure::usage(message));
        }
        taken.push((option, whole));
    }
    Ok(())
}

/// What the summary says of the run beside its outputs.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The file.
    pub file: PathBuf,
    /// Bundle name and hash.
    pub bundle: String,
    /// The device that computed, with the runtime's version.
    pub device: String,
    /// What went through.
    pub counts: Counts,
}

/// How much went through a replay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Samples read.
    pub samples: u64,
    /// Windows that went through the nets.
    pub windows: u64,
    /// Windows that the nets failed on.
    pub failed: u64,
}

/// Takes what a replay puts out.
pub(crate) trait Sink {
    /// Whether a sample goes into the task.
    fn admits(&self, _sample: &Sample) -> bool {
        true
    }

    /// One output of the task.
    fn take(&mut self, output: Output) -> Result<(), Failure>;

    /// A line that the reader could not use.
    fn reject(&mut self, reason: RejectReason);

    /// What a `label` column says of one row.
    fn truth(&mut self, series: Option<SeriesKey>, time: Timestamp, anomalous: bool);
}

/// One file on its way through the task code.
pub(crate) struct Replay<'a, S> {
    file: &'a Path,
    flush: bool,
    host: &'a mut Host,
    sink: &'a mut S,
    outputs: Vec<(TaskId, Output)>,
    first_reject: Option<RejectReason>,
    counts: Counts,
}

impl<'a, S: Sink> Replay<'a, S> {
    pub(crate) fn new(file: &'a Path, flush: bool, host: &'a mut Host, sink: &'a mut S) -> Self {
        Self {
            file,
            flush,
            host,
            sink,
            outputs: Vec::new(),
            first_reject: None,
            counts: Counts::default(),
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// A metric file: one task, every sample a record.
    pub(crate) fn plain(
        &mut self,
        settings: &TaskSettings,
        read: &FileOptions,
        bar: &ProgressBar,
    ) -> Result<(), Failure> {
        let path = self.file;
        let fail = |e: &dyn std::fmt::Display| Failure::data(format!("{}: {e}", path.display()));
        let mut reader = ingest::file::open(path, read).map_err(|e| Failure::open(path, &e))?;
        let id = TaskId {
            topic: ingest::file::stem(path).into(),
            partition: 0,
        };
        self.host
            .assign(id.clone(), Task::new(Arc::new(settings.clone()), false));
        bar.set_length(reader.bytes_total());
        let mut offset = 0;
        while let Some(item) = reader.next() {
            match item.map_err(|e| fail(&e))? {
                ReadItem::Sample(sample) => {
                    self.sample(&id, offset, sample)?;
                    offset += 1;
                }
                ReadItem::Rejected(Rejected { reason, .. }) => {
                    self.first_reject.get_or_insert(reason);
                    self.sink.reject(reason);
                }
                ReadItem::Truth {
                    series,
                    time,
                    anomalous,
                } => self.sink.truth(series, time, anomalous),
            }
            if offset % 1024 == 0 {
                bar.set_position(reader.bytes_read());
            }
        }
        bar.finish_and_clear();
        if self.counts.samples == 0 {
            return Err(fail(&format_args!(
                "no readable sample{}",
                self.first_reject
                    .map_or_else(String::new, |r| format!(" ({})", r.name()))
            )));
        }
        self.end(&id)
    }

    fn sample(&mut self, id: &TaskId, offset: i64, sample: Sample) -> Result<(), Failure> {
        if !self.sink.admits(&sample) {
            return Ok(());
        }
        self.counts.samples += 1;
        let record = Record {
            offset,
            time: None,
            payload: Payload::Samples(vec![sample]),
        };
        self.host.feed(id, Input::Record(&record), &mut self.outputs);
        if self.host.due() >= WINDOWS_A_ROUND {
            self.round()
        } else {
            Ok(())
        }
    }

    /// A recorded run: one pass a partition, so that memory does not grow with the log and outputs come partition by
    /// partition whatever the order in which the records came in.
    fn log(&mut self, settings: impl Fn(&str) -> TaskSettings) -> Result<(), Failure> {
        let path = self.file;
        let open = || ingest::file::open_log(path).map_err(|e| Failure::open(path, &e));
        let fail = |e: &dyn std::fmt::Display| Failure::data(format!("{}: {e}", path.display()));
        let mut ids = std::collections::BTreeSet::new();
        for entry in open()? {
            if let Some(id) = task_of(&entry.map_err(|e| fail(&e))?) {
                ids.insert(id);
            }
        }
        for id in ids {
            let task = Task::new(Arc::new(settings(&id.topic)), false);
            self.host.assign(id.clone(), task);
            for entry in open()? {
                let entry = entry.map_err(|e| fail(&e))?;
                if task_of(&entry).as_ref() != Some(&id) {
                    continue;
                }
                match &entry {
                    Entry::Record { record, .. } => {
                        self.counts.samples += 1;
                        self.host.feed(&id, Input::Record(record), &mut self.outputs);
                    }
                    Entry::Control { control, .. } => {
                        // A new start forgets what the nets still owe the old one: it must be paid first.
                        self.round()?;
                        self.host.feed(&id, Input::Control(control), &mut self.outputs);
                    }
                    Entry::Header(_) | Entry::End => {}
                }
                if self.host.due() >= WINDOWS_A_ROUND {
                    self.round()?;
                }
            }
            self.end(&id)?;
        }
        Ok(())
    }

    /// The end of the input of one task.
    fn end(&mut self, id: &TaskId) -> Result<(), Failure> {
        self.round()?;
        self.host
            .feed(id, Input::EndOfInput { flush: self.flush }, &mut self.outputs);
        self.round()?;
        if let Some(task) = self.host.revoke(id) {
            for row in task.pending_rows() {
                self.sink.take(Output::Row(row))?;
            }
        }
        Ok(())
    }

    fn round(&mut self) -> Result<(), Failure> {
        let inference = self.host.infer(&mut self.outputs);
        self.counts.windows += inference.windows as u64;
        self.counts.failed += inference.failed as u64;
        for error in inference.errors {
            eprintln!("warning: {error}");
        }
        for (_, output) in self.outputs.drain(..) {
            self.sink.take(output)?;
        }
        Ok(())
    }
}

fn task_of(entry: &Entry) -> Option<TaskId> {
    match entry {
        Entry::Record { topic, partition, .. } | Entry::Control { topic, partition, .. } => Some(TaskId {
            topic: topic.as_str().into(),
            partition: *partition,
        }),
        Entry::Header(_) | Entry::End => None,
    }
}

fn progress_bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {elapsed} left {eta}") {
        bar.set_style(style);
    }
    bar
}

/// Whether `path` names JSON lines.
pub(crate) fn is_json_lines(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("jsonl"))
}
