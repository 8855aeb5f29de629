//! `--record`: every input and control record of a run, in the order in which tasks took them.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use ingest::inputlog::{Entry, Header, LogError, VERSION, Writer};
use pipeline::TaskId;
use types::{Control, Record};

use crate::failure::Failure;

/// An open log.
pub(crate) struct Recorder {
    path: PathBuf,
    writer: Writer<BufWriter<File>>,
}

impl Recorder {
    pub(crate) fn create(path: &Path, config: &str, bundle: &str) -> Result<Self, Failure> {
        let file = File::create(path).map_err(|e| Failure::io(format!("{}: {e}", path.display())))?;
        let header = Header {
            version: VERSION,
            config: config.to_owned(),
            bundle: bundle.to_owned(),
        };
        let writer = Writer::new(BufWriter::new(file), &header).map_err(|e| fail(path, &e))?;
        Ok(Self {
            path: path.to_owned(),
            writer,
        })
    }

    pub(crate) fn record(&mut self, task: &TaskId, record: &Record) -> Result<(), Failure> {
        self.write(&Entry::Record {
            topic: task.topic.to_string(),
            partition: task.partition,
            record: record.clone(),
        })
    }

    pub(crate) fn control(&mut self, task: &TaskId, control: &Control) -> Result<(), Failure> {
        self.write(&Entry::Control {
            topic: task.topic.to_string(),
            partition: task.partition,
            control: control.clone(),
        })
    }

    fn write(&mut self, entry: &Entry) -> Result<(), Failure> {
        self.writer.write(entry).map_err(|e| fail(&self.path, &e))
    }

    /// What was written so far survives the process from here on.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.writer.flush().map_err(|e| fail(&self.path, &e))
    }

    pub(crate) fn finish(self) -> Result<(), Failure> {
        let path = self.path;
        self.writer.finish().map(drop).map_err(|e| fail(&path, &e))
    }
}

fn fail(path: &Path, error: &LogError) -> Failure {
    Failure::io(format!("{}: {error}", path.display()))
}
