//! `agent evaluate`: what the daemon would have said of many labelled files, measured.
//!
//! Every file goes through the same task code as in `agent replay`. What is judged is `peak` and the alerts, each at the time at
//! which it was known; the arithmetic stands apart ([`nab`], [`intervals`], [`measures`]). A detector is what gives
//! [`Detections`] for a [`Series`]: the product's own run is one, silence another.

mod ablation;
mod baselines;
mod corpus;
pub mod intervals;
pub mod measures;
pub mod nab;
mod stream;
mod table;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use indicatif::{ProgressBar, ProgressStyle};
use ingest::file::FileOptions;
use ingest::labels::Labels;
use pipeline::{Host, TaskSettings};
use scorer::Backend;
use serde::Serialize;

use crate::failure::Failure;
use crate::model::{self, Serving, ServingOptions};
use crate::replay::{Counts, read_labels};
use crate::settings::AgentSettings;
use ablation::Variant;
use corpus::LabelledFile;
use measures::{Judged, Measures};
pub use stream::{ClosedBucket, Detections, Series};

/// Label keys that are listed when they name nothing.
const KEYS_SHOWN: usize = 5;

/// What `agent evaluate` was asked for.
#[derive(Clone, Debug, Default)]
pub struct EvaluateOptions {
    /// The folder.
    pub data: PathBuf,
    /// Ground truth.
    pub labels: PathBuf,
    /// Bundle, device and threads.
    pub serving: ServingOptions,
    /// Configuration file.
    pub config: Option<PathBuf>,
    /// `section.key=value` over it.
    pub overrides: Vec<(String, String)>,
    /// Only what comes after this share of each file's time span is judged; in [0, 1).
    pub train_fraction: f64,
    /// Nothing to hold the product against but silence.
    pub only_agent: bool,
    /// One JSON document instead of the table.
    pub json: bool,
}

/// Everything that was measured: the document that `--json` prints.
#[derive(Clone, Debug, Serialize)]
pub struct Evaluation {
    /// Version of this layout.
    pub format: u32,
    /// Bundle name and hash.
    pub bundle: String,
    /// The device that computed.
    pub device: String,
    /// The folder.
    pub data: PathBuf,
    /// The label file.
    pub labels: PathBuf,
    /// See [`EvaluateOptions::train_fraction`].
    pub train_fraction: f64,
    /// The product first.
    pub detectors: Vec<DetectorReport>,
}

/// What was measured of one detector.
#[derive(Clone, Debug, Serialize)]
pub struct DetectorReport {
    /// `agent` is the product, `constant` a detector that is never heard.
    pub name: &'static str,
    /// All files.
    pub total: Measures,
    /// By first folder; `.` holds files that lie in the folder directly.
    pub families: BTreeMap<String, Measures>,
    /// By path below the folder.
    pub files: BTreeMap<String, Measures>,
}

/// Replays every labelled file and prints the measures.
///
/// # Errors
/// Wrong options, labels that name nothing, an unusable file, bundle or runtime.
pub fn run(options: &EvaluateOptions) -> Result<(), Failure> {
    let settings = crate::settings::load(options.config.as_deref(), None, &options.overrides)?;
    let labels = read_labels(&options.labels, settings.zone().as_ref())?;
    let read = FileOptions {
        zone: settings.zone(),
        labels: settings.labels(),
    };
    let found = corpus::find(&options.data, &labels, &options.labels, &read)?;
    if !found.unused_keys.is_empty() {
        let shown = found.unused_keys.iter().take(KEYS_SHOWN).cloned();
        eprintln!(
            "note: {} of the labels' keys name nothing under {}: {}{}",
            found.unused_keys.len(),
            options.data.display(),
            shown.collect::<Vec<_>>().join(", "),
            if found.unused_keys.len() > KEYS_SHOWN {
                ", …"
            } else {
                ""
            }
        );
    }
    let serving = model::load(&settings.serving(&options.serving))?;
    settings.check_model(&serving.model())?;
    let (bundle, device) = (
        serving.bundle.label(),
        format!("{}, ONNX Runtime {}", serving.device, serving.runtime_version),
    );
    let streams = Streams {
        files: &found.files,
        labels: &labels,
        settings: &settings,
        train_fraction: options.train_fraction,
        only_agent: options.only_agent,
    };
    let (series, said) = streams.replay(serving)?;
    let silence = vec![Detections::default(); series.len()];
    let mut detectors: Vec<DetectorReport> = said
        .iter()
        .map(|(name, said)| report(name, &series, said))
        .collect();
    detectors.push(report("constant", &series, &silence));
    let evaluation = Evaluation {
        format: 1,
        bundle,
        device,
        data: options.data.clone(),
        labels: options.labels.clone(),
        train_fraction: options.train_fraction,
        detectors,
    };
    crate::logging::say(&if options.json {
        let mut text = serde_json::to_string_pretty(&evaluation).map_err(Failure::internal)?;
        text.push('\n');
        text
    } else {
        table::render(&evaluation)
    });
    Ok(())
}

/// Measures what a detector said of each of `series`, in total, by family and by file.
#[must_use]
pub fn report(name: &'static str, series: &[Series], said: &[Detections]) -> DetectorReport {
    let judged: Vec<Judged<'_>> = series.iter().zip(said).collect();
    let thresholds = measures::thresholds(&judged);
    let by = |group: fn(&Series) -> &String| {
        let mut groups: BTreeMap<String, Vec<Judged<'_>>> = BTreeMap::new();
        for &(series, said) in &judged {
            let members = groups.entry(group(series).clone()).or_default();
            members.push((series, said));
        }
        groups
            .into_iter()
            .map(|(name, members)| (name, measures::measure(&members, thresholds)))
            .collect()
    };
    DetectorReport {
        name,
        total: measures::measure(&judged, thresholds),
        families: by(|s| &s.family),
        files: by(|s| &s.file),
    }
}

/// The files and how they are replayed.
struct Streams<'a> {
    files: &'a [LabelledFile],
    labels: &'a Labels,
    settings: &'a AgentSettings,
    train_fraction: f64,
    only_agent: bool,
}

/// What each detector said of each series, the product first.
type Said = Vec<(&'static str, Vec<Detections>)>;
type Outcome = Result<(Counts, Vec<Series>, Said), Failure>;

impl Streams<'_> {
    /// Replays all files, each worker with a backend of its own; the result does not depend on how many there are.
    fn replay(&self, serving: Serving) -> Result<(Vec<Series>, Said), Failure> {
        let task = self.settings.task("", serving.model());
        let bar = progress_bar(self.files.len());
        let next = AtomicUsize::new(0);
        let outcomes: Mutex<BTreeMap<usize, Outcome>> = Mutex::default();
        let mut workers = Vec::new();
        for backend in serving.backends {
            let variants = if self.only_agent {
                Vec::new()
            } else {
                ablation::all(&serving.bundle)?
            };
            workers.push(self.nets(&task, backend, variants));
        }
        std::thread::scope(|scope| {
            for nets in workers {
                let (next, outcomes, bar) = (&next, &outcomes, &bar);
                scope.spawn(move || {
                    let mut nets = nets;
                    while let Some((at, file)) = {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        self.files.get(at).map(|file| (at, file))
                    } {
                        let outcome = self.one(file, &mut nets);
                        if outcome.is_err() {
                            // Files that nobody has begun are left alone; those before this one are all begun.
                            next.fetch_max(self.files.len(), Ordering::Relaxed);
                        }
                        bar.inc(1);
                        let mut all = outcomes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                        all.insert(at, outcome);
                    }
                });
            }
        });
        bar.finish_and_clear();
        let outcomes = outcomes
            .into_inner()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let (mut series, mut said, mut failed): (_, Said, _) = (vec![], vec![], 0);
        for outcome in outcomes.into_values() {
            let (counts, judged, detectors) = outcome?;
            failed += counts.failed;
            series.extend(judged);
            for (at, (name, detections)) in detectors.into_iter().enumerate() {
                match said.get_mut(at) {
                    Some((_, all)) => all.extend(detections),
                    None => said.push((name, detections)),
                }
            }
        }
        if failed > 0 {
            eprintln!("warning: the nets failed on {failed} windows, which stay without a score");
        }
        Ok((series, said))
    }

    /// The product and its variants, for one worker.
    fn nets(
        &self,
        task: &TaskSettings,
        backend: Box<dyn Backend>,
        variants: Vec<Variant>,
    ) -> Vec<(&'static str, Host, TaskSettings)> {
        let product = ("agent", Host::new(vec![backend]), task.clone());
        let variants = variants.into_iter().map(|variant| {
            let mut task = self.settings.task("", variant.model);
            (variant.adapt)(&mut task);
            (variant.name, Host::new(vec![variant.backend]), task)
        });
        std::iter::once(product).chain(variants).collect()
    }

    /// One file through everything.
    fn one(&self, file: &LabelledFile, nets: &mut [(&'static str, Host, TaskSettings)]) -> Outcome {
        let mut total = Counts::default();
        let (mut series, mut said): (Vec<Series>, Said) = (vec![], vec![]);
        for (name, host, task) in nets {
            let nets = (host, &*task);
            let (counts, judged) =
                stream::replay(file, self.labels, self.settings, nets, self.train_fraction)?;
            total.failed += counts.failed;
            let (seen, detections) = judged.into_iter().unzip();
            said.push((name, detections));
            series = seen;
        }
        if self.only_agent {
            return Ok((total, series, said));
        }
        for (at, one) in series.iter().enumerate() {
            for (name, detections) in baselines::all(one) {
                if at == 0 {
                    said.push((name, vec![]));
                }
                if let Some((_, all)) = said.iter_mut().find(|(other, _)| *other == name) {
                    all.push(detections);
                }
            }
        }
        Ok((total, series, said))
    }
}

fn progress_bar(files: usize) -> ProgressBar {
    let bar = ProgressBar::new(files as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} files {elapsed} left {eta}") {
        bar.set_style(style);
    }
    bar
}
