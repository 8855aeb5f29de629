//! `agent evaluate`: what the daemon would have said of many labelled files, measured.
//!
//! Every file goes through the same task code as in `agent replay`. What is judged is `peak`, `score` and the alerts, each at the time at
//! which it was known; the arithmetic stands apart ([`nab`], [`vus`], [`intervals`], [`measures`]). A detector is what gives
//! [`Detections`] for a [`Series`]: the product's own run is one, silence another. Labels are of a [`subject::Subject`], a series or
//! a whole file.

mod ablation;
mod baselines;
pub mod choice;
mod corpus;
pub mod intervals;
pub mod measures;
pub mod nab;
pub mod spread;
mod stream;
pub mod subject;
mod table;
pub mod tally;
pub mod vus;
mod workers;

use std::collections::BTreeMap;
use std::path::PathBuf;

use ingest::file::FileOptions;
use serde::Serialize;

use crate::failure::Failure;
use crate::model::{self, Serving, ServingOptions};
use crate::replay::read_labels;
use crate::settings::AgentSettings;
use choice::{Choice, Cut, Half};
use corpus::Found;
use measures::{Halves, Judged, Measures};
use spread::Spread;
pub use stream::{ClosedBucket, Detections, Series};
use workers::{Measured, Workers};

/// Label keys that are listed when they name nothing.
const KEYS_SHOWN: usize = 5;

/// What `agent evaluate` was asked for.
#[derive(Clone, Debug, Default)]
pub struct EvaluateOptions {
    /// The folder.
    pub data: PathBuf,
    /// Ground truth.
    pub labels: PathBuf,
    /// Bundles; when empty the one that `serving` or the configuration names.
    pub models: Vec<PathBuf>,
    /// Device and threads.
    pub serving: ServingOptions,
    /// Configuration file.
    pub config: Option<PathBuf>,
    /// `section.key=value` over it.
    pub overrides: Vec<(String, String)>,
    /// Only what comes after this share of each file's time span is judged; in [0, 1).
    pub train_fraction: f64,
    /// Where each file's own cut stands, instead: see [`choice::read_cuts`].
    pub test_start: Option<PathBuf>,
    /// A list of the series that are looked at: see [`choice::read_series`].
    pub series: Option<PathBuf>,
    /// Only this half of the files.
    pub half: Option<Half>,
    /// Nothing to hold the product against but silence.
    pub only_agent: bool,
    /// One JSON document instead of the table.
    pub json: bool,
    /// A file that takes the JSON document, whatever is printed.
    pub out: Option<PathBuf>,
}

/// Everything that was measured: the document of `--json` and `--out`.
#[derive(Clone, Debug, Serialize)]
pub struct Evaluation {
    /// Version of this layout.
    pub format: u32,
    /// Names and hashes of the bundles.
    pub bundles: Vec<String>,
    /// The device that computed.
    pub device: String,
    /// The folder.
    pub data: PathBuf,
    /// The label file.
    pub labels: PathBuf,
    /// See [`EvaluateOptions::train_fraction`].
    pub train_fraction: f64,
    /// See [`EvaluateOptions::test_start`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_start: Option<PathBuf>,
    /// See [`EvaluateOptions::series`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub series: Option<PathBuf>,
    /// See [`EvaluateOptions::half`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub half: Option<Half>,
    /// The product first, once a bundle.
    pub detectors: Vec<DetectorReport>,
    /// The bundles held against each other, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spread: Option<SpreadReport>,
}

/// What was measured of one detector.
#[derive(Clone, Debug, Serialize)]
pub struct DetectorReport {
    /// `agent` is the product, of several bundles each is one by its name and hash; `constant` is never heard.
    pub name: String,
    /// All files.
    pub total: Measures,
    /// By first folder; `.` holds files that lie in the folder directly.
    pub families: BTreeMap<String, Measures>,
    /// By path below the folder.
    pub files: BTreeMap<String, Measures>,
    /// NAB scores by profile, chosen on one half of the files and measured on the other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub halves: Option<BTreeMap<&'static str, Halves>>,
}

/// How far the bundles lie apart, by figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SpreadReport {
    /// All files.
    pub total: BTreeMap<&'static str, Spread>,
    /// By first folder.
    pub families: BTreeMap<String, BTreeMap<&'static str, Spread>>,
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
    let choice = Choice {
        series: options.series.as_deref().map(choice::read_series).transpose()?,
        cut: match &options.test_start {
            Some(path) => choice::read_cuts(path)?,
            None => Cut::Fraction(options.train_fraction),
        },
    };
    let mut found = corpus::find(&options.data, &labels, &options.labels, &read)?;
    note_unused(&found, options);
    if let Some(half) = options.half {
        found.files.retain(|file| file.odd == (half == Half::Odd));
    }
    let servings = servings(options, &settings)?;
    let bundles: Vec<String> = servings.iter().map(|(_, s)| s.bundle.label()).collect();
    let device = servings.first().map_or_else(String::new, |(_, serving)| {
        format!("{}, ONNX Runtime {}", serving.device, serving.runtime_version)
    });
    let workers = Workers {
        files: &found.files,
        labels: &labels,
        settings: &settings,
        read: &read,
        choice: &choice,
        only_agent: options.only_agent,
    };
    let measured = workers.run(servings)?;
    note_missing(&measured, options)?;
    let detectors: Vec<DetectorReport> = measured
        .detectors
        .iter()
        .map(|(name, judged)| report(name, judged))
        .collect();
    let evaluation = Evaluation {
        format: 1,
        spread: (bundles.len() > 1).then(|| spread_of(&detectors[..bundles.len()])),
        bundles,
        device,
        data: options.data.clone(),
        labels: options.labels.clone(),
        train_fraction: options.train_fraction,
        test_start: options.test_start.clone(),
        series: options.series.clone(),
        half: options.half,
        detectors,
    };
    let mut document = serde_json::to_string_pretty(&evaluation).map_err(Failure::internal)?;
    document.push('\n');
    if let Some(path) = &options.out {
        let fail = |e| Failure::io(format_args!("{} cannot be written: {e}", path.display()));
        std::fs::write(path, &document).map_err(fail)?;
    }
    crate::logging::say(&if options.json {
        document
    } else {
        table::render(&evaluation)
    });
    Ok(())
}

fn note_unused(found: &Found, options: &EvaluateOptions) {
    let unused = &found.unused_keys;
    if unused.is_empty() {
        return;
    }
    let shown: Vec<_> = unused.iter().take(KEYS_SHOWN).cloned().collect();
    eprintln!(
        "note: {} of the labels' keys name nothing under {}: {}{}",
        unused.len(),
        options.data.display(),
        shown.join(", "),
        if unused.len() > KEYS_SHOWN { ", …" } else { "" }
    );
}

/// Says what was asked for and did not happen.
fn note_missing(measured: &Measured, options: &EvaluateOptions) -> Result<(), Failure> {
    if measured.failed > 0 {
        eprintln!(
            "warning: the nets failed on {} windows, which stay without a score",
            measured.failed
        );
    }
    match &options.series {
        Some(path) if measured.series.is_empty() => {
            let message = format!("{}: no series of it is in a labelled file", path.display());
            Err(Failure::data(message))
        }
        _ => Ok(()),
    }
}

/// The bundles, by the names of their rows.
fn servings(options: &EvaluateOptions, settings: &AgentSettings) -> Result<Vec<(String, Serving)>, Failure> {
    let models: Vec<Option<PathBuf>> = match options.models.as_slice() {
        [] => vec![options.serving.model.clone()],
        several => several.iter().cloned().map(Some).collect(),
    };
    let several = models.len() > 1;
    let mut servings: Vec<(String, Serving)> = Vec::new();
    for model in models {
        let over = ServingOptions {
            model,
            ..options.serving.clone()
        };
        let serving = model::load(&settings.serving(&over))?;
        settings.check_model(&serving.model())?;
        let label = serving.bundle.label();
        if servings.iter().any(|(name, _)| *name == label) {
            return Err(Failure::usage(format_args!("bundle {label} is named twice")));
        }
        servings.push((if several { label } else { "agent".to_owned() }, serving));
    }
    Ok(servings)
}

/// Measures what a detector said, in total, by family and by file.
#[must_use]
pub fn report(name: &str, judged: &[Judged]) -> DetectorReport {
    let all: Vec<&Judged> = judged.iter().collect();
    let thresholds = measures::thresholds(&all);
    let by = |group: fn(&Judged) -> &String| {
        let mut groups: BTreeMap<String, Vec<&Judged>> = BTreeMap::new();
        for one in judged {
            groups.entry(group(one).clone()).or_default().push(one);
        }
        groups
            .into_iter()
            .map(|(name, members)| (name, measures::measure(&members, thresholds)))
            .collect()
    };
    DetectorReport {
        name: name.to_owned(),
        total: measures::measure(&all, thresholds),
        families: by(|one| &one.family),
        files: by(|one| &one.file),
        halves: measures::halves(&all),
    }
}

fn spread_of(bundles: &[DetectorReport]) -> SpreadReport {
    let totals: Vec<&Measures> = bundles.iter().map(|bundle| &bundle.total).collect();
    let families = bundles.iter().flat_map(|bundle| bundle.families.keys());
    let of = |family: &String| {
        let members: Vec<&Measures> = bundles.iter().filter_map(|b| b.families.get(family)).collect();
        (family.clone(), spread::spread(&members))
    };
    SpreadReport {
        total: spread::spread(&totals),
        families: families.map(of).collect(),
    }
}
