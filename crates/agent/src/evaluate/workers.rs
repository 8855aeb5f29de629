//! Every labelled file through every detector, on several threads.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use indicatif::{ProgressBar, ProgressStyle};
use ingest::file::FileOptions;
use ingest::labels::Labels;
use pipeline::{Host, TaskSettings};

use super::ablation;
use super::baselines;
use super::choice::Choice;
use super::corpus::LabelledFile;
use super::measures::{self, Judged};
use super::stream::{self, Detections, Series};
use super::subject::{self, Verdict};
use crate::failure::Failure;
use crate::model::Serving;
use crate::settings::AgentSettings;

/// What is measured, and how.
pub(super) struct Workers<'a> {
    pub(super) files: &'a [LabelledFile],
    pub(super) labels: &'a Labels,
    pub(super) settings: &'a AgentSettings,
    pub(super) read: &'a FileOptions,
    pub(super) choice: &'a Choice,
    /// Nothing beside the product but silence.
    pub(super) only_agent: bool,
}

/// What was measured.
#[derive(Default)]
pub(super) struct Measured {
    /// By detector: the products, what they are held against, and last the one that is never heard.
    pub(super) detectors: Vec<(String, Vec<Judged>)>,
    /// The series that were looked at.
    pub(super) series: BTreeSet<String>,
    /// Windows that nets failed on.
    pub(super) failed: u64,
}

/// One product: its row's name, and what replays files through it.
type Product = (String, Host, TaskSettings);

impl Workers<'_> {
    /// Measures every file; the result does not depend on how many threads there are. Each of `servings` is a product by the name
    /// of its row; what they are held against has the first one's settings.
    ///
    /// # Errors
    /// A file that cannot be used, the first by name.
    pub(super) fn run(&self, servings: Vec<(String, Serving)>) -> Result<Measured, Failure> {
        let workers = self.workers(servings);
        let bar = progress_bar(self.files.len());
        let next = AtomicUsize::new(0);
        let outcomes: Mutex<BTreeMap<usize, Result<Measured, Failure>>> = Mutex::default();
        std::thread::scope(|scope| {
            for mut products in workers {
                let (bar, next, outcomes) = (&bar, &next, &outcomes);
                scope.spawn(move || {
                    while let Some((at, file)) = {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        self.files.get(at).map(|file| (at, file))
                    } {
                        let outcome = self.file(file, &mut products);
                        if outcome.is_err() {
                            // Files that nobody has begun are left alone; those before this one are all begun.
                            next.fetch_max(self.files.len(), Ordering::Relaxed);
                        }
                        bar.inc(1);
                        let mut all = outcomes.lock().unwrap_or_else(PoisonError::into_inner);
                        all.insert(at, outcome);
                    }
                });
            }
        });
        bar.finish_and_clear();
        let outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut whole = Measured::default();
        for outcome in outcomes.into_values() {
            whole.add(outcome?);
        }
        Ok(whole)
    }

    /// The products of each thread.
    fn workers(&self, servings: Vec<(String, Serving)>) -> Vec<Vec<Product>> {
        let threads = servings.first().map_or(0, |(_, serving)| serving.backends.len());
        let mut workers: Vec<Vec<Product>> = (0..threads).map(|_| Vec::new()).collect();
        for (name, serving) in servings {
            let task = self.settings.task("", serving.model());
            for (worker, backend) in workers.iter_mut().zip(serving.backends) {
                worker.push((name.clone(), Host::new(vec![backend]), task.clone()));
            }
        }
        workers
    }

    /// One file through everything.
    fn file(&self, file: &LabelledFile, products: &mut [Product]) -> Result<Measured, Failure> {
        let Some(task) = products.first().map(|(_, _, task)| task.clone()) else {
            return Ok(Measured::default());
        };
        let series = stream::read(file, self.labels, self.read, &task, self.choice)?;
        if series.is_empty() && self.choice.series.is_some() {
            return Ok(Measured::default());
        }
        let mut failed = 0;
        let mut said: Vec<(String, Vec<Detections>)> = Vec::new();
        for (name, host, task) in products {
            let (counts, detections) = stream::replay(file, self.read, (host, task), &series)?;
            failed += counts.failed;
            said.push((name.clone(), detections));
        }
        if !self.only_agent {
            said.extend(others(&task, &series));
        }
        said.push(("constant".to_owned(), vec![Detections::default(); series.len()]));
        let subjects = subject::subjects(file, &series);
        let judge = |said: &[Detections]| {
            let judged = subjects.iter().map(|(subject, members)| {
                let verdict = Verdict::new(subject, &said[members.clone()]);
                measures::judge(subject, &verdict)
            });
            judged.collect()
        };
        Ok(Measured {
            detectors: said
                .iter()
                .map(|(name, said)| (name.clone(), judge(said)))
                .collect(),
            series: series.iter().map(|one| one.series.to_string()).collect(),
            failed,
        })
    }
}

/// What the product is held against, on each series: the product without its nets, and other detectors.
fn others(task: &TaskSettings, series: &[Series]) -> Vec<(String, Vec<Detections>)> {
    let mut rows: Vec<(String, Vec<Detections>)> = Vec::new();
    for one in series {
        let said = ablation::all(task, one).into_iter().chain(baselines::all(one));
        for (at, (name, detections)) in said.enumerate() {
            match rows.get_mut(at) {
                Some((_, said)) => said.push(detections),
                None => rows.push((name.to_owned(), vec![detections])),
            }
        }
    }
    rows
}

impl Measured {
    fn add(&mut self, other: Self) {
        self.failed += other.failed;
        self.series.extend(other.series);
        for (at, (name, judged)) in other.detectors.into_iter().enumerate() {
            match self.detectors.get_mut(at) {
                Some((_, all)) => all.extend(judged),
                None => self.detectors.push((name, judged)),
            }
        }
    }
}

fn progress_bar(files: usize) -> ProgressBar {
    let bar = ProgressBar::new(files as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} files {elapsed} left {eta}") {
        bar.set_style(style);
    }
    bar
}
