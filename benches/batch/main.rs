//! The published batch method with trained nets: a bundle a signal, trained on the signal, then its scores and thresholds over
//! the whole of it, on the Numenta benchmark and on NASA's telemetry; beside it the product on the same signals.
//!
//! ```text
//! cargo bench -p aiops-benches --bench batch -- --nab DIR --nasa DIR --manifest FILE --cache DIR [--seed 1]
//!     [--methods conv,aer,both,linear] [--tadgan-steps 300+150] [--aer-steps 400] [--general models/general] [--rows FILE]
//! ```
//!
//! As the reference is benchmarked: buckets of 600 s (3600 s for `realAdExchange`), nets trained and tested on the same series;
//! of NASA's, whose files were made by joining a part to train on and a part to test on, trained on the one (`train_rows` of the
//! manifest) and tested on the other. Bundles in `--cache` are used as they are; the first run trains them, about 10 CPU
//! seconds each. `--general` names a bundle for the product to serve beside each signal's own, or alone with `--methods linear`;
//! `--rows` takes the counts of every signal.

mod causal;
mod judge;
mod nets;
mod report;
mod signals;
mod variants;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ingest::labels::Labels;
use nets::{Method, Training};
use report::Report;
use signals::{Signal, numenta_interval};

fn main() {
    signals::check();
    nets::check();
    judge::check();
    let options = Options::read();
    let mut signals = options.nab.as_deref().map(numenta).unwrap_or_default();
    if let (Some(dir), Some(manifest)) = (&options.nasa, &options.manifest) {
        signals.extend(nasa(dir, manifest));
    }
    if signals.is_empty() {
        println!("batch: give --nab DIR, or --nasa DIR and --manifest FILE, behind `--`");
        return;
    }
    let mut report = Report::new(&signals);
    for method in &options.methods {
        let detector = report.detector(name_of(method));
        for signal in &signals {
            let seen = match method {
                Method::Both(architecture) => nets::see_both(signal, &options.training, architecture),
                _ => nets::see(signal, options.training.bundle(method, signal).as_deref()),
            };
            for (score, values) in variants::scores(method, &seen) {
                detector.add(&score, signal, &variants::found(&values, &signal.judged));
            }
        }
    }
    agent_with(&mut report, &options, &signals);
    report.print();
    if let Some(path) = &options.rows {
        std::fs::write(path, report.rows()).expect("a writable file");
    }
}

/// The product, served by each signal's own bundle where TadGAN is among the methods, and by one bundle for all on the buckets that the
/// nets were trained on, and by the latter on the samples as they came.
fn agent_with(report: &mut Report, options: &Options, signals: &[Signal]) {
    let gridded = |signal: &Signal| {
        let grid = signals::Grid::of(&signal.samples, signal.interval);
        grid.index.into_iter().zip(grid.values).collect::<Vec<_>>()
    };
    if let Some(own) = options.methods.iter().find(|m| matches!(m, Method::Tadgan(_))) {
        let detector = report.detector("agent, own bundle".to_owned());
        for signal in signals {
            let bundle = options.training.bundle(own, signal).expect("a method with nets");
            detector.add("alerts", signal, &causal::alerts(&bundle, &gridded(signal)));
        }
    }
    let Some(general) = &options.general else { return };
    let detector = report.detector("agent, general bundle".to_owned());
    for signal in signals {
        detector.add("alerts", signal, &causal::alerts(general, &gridded(signal)));
        let raw = causal::alerts(general, &signal.samples);
        detector.add("alerts, samples as they came", signal, &raw);
    }
}

fn name_of(method: &Method) -> String {
    match method {
        Method::Tadgan(architecture) => format!("TadGAN, {architecture}"),
        Method::Aer => "AER".to_owned(),
        Method::Both(_) => "both".to_owned(),
        Method::Linear => "20 components".to_owned(),
    }
}

/// `labels.json` and the files it names under a folder.
fn numenta(dir: &Path) -> Vec<Signal> {
    let labels = Labels::load(&dir.join("labels.json")).expect("labels.json");
    let read = |key: &str| {
        let family = key.split('/').next().unwrap_or_default();
        let interval = numenta_interval(family);
        Signal::read(&dir.join(key), family, &labels, interval, None)
    };
    labels.keys().map(read).collect()
}

/// `labels.json` of the unpacked folder and, of the manifest, where each file was cut.
fn nasa(dir: &Path, manifest: &Path) -> Vec<Signal> {
    let labels = Labels::load(&dir.join("labels.json")).expect("labels.json");
    let text = std::fs::read_to_string(manifest).expect("a readable manifest");
    let manifest: serde_json::Value = serde_json::from_str(&text).expect("a manifest");
    let records = manifest["signals"].as_array().expect("a list of signals");
    let cuts: BTreeMap<&str, i64> = records
        .iter()
        .filter(|record| record["set"] == "nasa")
        .filter_map(|record| Some((record["signal"].as_str()?, record["test_start"].as_i64()?)))
        .collect();
    let read = |key: &str| {
        let family = key.split('/').next().unwrap_or_default();
        Signal::read(
            &dir.join(format!("{key}.csv")),
            family,
            &labels,
            21_600,
            cuts.get(key).copied(),
        )
    };
    labels.keys().map(read).collect()
}

/// What the command line says.
struct Options {
    nab: Option<PathBuf>,
    nasa: Option<PathBuf>,
    manifest: Option<PathBuf>,
    methods: Vec<Method>,
    training: Training,
    general: Option<PathBuf>,
    rows: Option<PathBuf>,
}

impl Options {
    fn read() -> Self {
        let mut options = Self {
            nab: None,
            nasa: None,
            manifest: None,
            methods: methods("conv,aer,both,linear"),
            training: Training {
                cache: PathBuf::from("target/batch"),
                seed: 1,
                tadgan: (300, 150),
                aer: 400,
            },
            general: None,
            rows: None,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let mut value = || arguments.next().expect("a value");
            match name.as_str() {
                "--nab" => options.nab = Some(value().into()),
                "--nasa" => options.nasa = Some(value().into()),
                "--manifest" => options.manifest = Some(value().into()),
                "--methods" => options.methods = methods(&value()),
                "--cache" => options.training.cache = value().into(),
                "--seed" => options.training.seed = value().parse().expect("a seed"),
                "--tadgan-steps" => {
                    let value = value();
                    let (warm_up, steps) = value.split_once('+').expect("WARM_UP+STEPS");
                    let number = |text: &str| text.parse().expect("a number of steps");
                    options.training.tadgan = (number(warm_up), number(steps));
                }
                "--aer-steps" => options.training.aer = value().parse().expect("a number of steps"),
                "--general" => options.general = Some(value().into()),
                "--rows" => options.rows = Some(value().into()),
                // What cargo adds.
                _ => {}
            }
        }
        options
    }
}

fn methods(names: &str) -> Vec<Method> {
    let method = |name: &str| match name {
        "aer" => Method::Aer,
        "both" => Method::Both("conv".to_owned()),
        "linear" => Method::Linear,
        architecture => Method::Tadgan(architecture.to_owned()),
    };
    names
        .split(',')
        .filter(|name| !name.is_empty())
        .map(method)
        .collect()
}
