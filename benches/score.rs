//! How many samples and windows a second: `cargo bench -p aiops-benches`.
//!
//! Named, seeded shapes. Each figure is the median of five rounds after one that does not count. Under `cargo test` one short
//! round of everything, so that benchmarks cannot rot.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use pipeline::{Host, Input, Model, Task, TaskId, TaskSettings};
use scorer::bundle::Bundle;
use scorer::manifest::ModelKind;
use scorer::normalise::Scaler;
use scorer::onnx::{DEFAULT_BATCH, OnnxBackend};
use scorer::runtime::{Device, Runtime};
use scorer::{Backend, BackendError, WindowOutput};
use types::{Payload, Record, Sample, SeriesKey, Timestamp};

const WINDOW: usize = 100;

/// Costs nothing, so that what remains is the price of everything around the nets.
struct NoNets;

impl Backend for NoNets {
    fn run(&mut self, inputs: &[&[f32]]) -> Result<Vec<WindowOutput>, BackendError> {
        Ok(inputs
            .iter()
            .map(|x| WindowOutput {
                reconstruction: vec![0.0; x.len()],
                critic: Some(0.0),
            })
            .collect())
    }

    fn device(&self) -> &str {
        "none"
    }
}

fn main() {
    let short = !std::env::args().any(|a| a == "--bench");
    let rounds = if short { 1 } else { 5 };
    pipeline_shapes(short, rounds);
    decode_shape(short, rounds);
    nets(short, rounds);
}

/// Series × buckets through a task, without nets: windows, tails, alerts.
fn pipeline_shapes(short: bool, rounds: usize) {
    for (name, series, buckets) in [
        ("one long series", 1, 20_000),
        ("a thousand short ones", 1_000, 150),
    ] {
        let buckets = if short { 110 } else { buckets };
        let records = stream(series, buckets);
        report(&format!("task, {name}"), "samples/s", rounds, || {
            let mut host = Host::new(vec![Box::new(NoNets)]);
            let id = TaskId {
                topic: "bench".into(),
                partition: 0,
            };
            host.assign(id.clone(), Task::new(Arc::new(settings()), false));
            let mut out = Vec::new();
            for record in &records {
                host.feed(&id, Input::Record(record), &mut out);
                if host.due() >= 256 {
                    host.infer(&mut out);
                }
                out.clear();
            }
            records.len()
        });
    }
}

fn decode_shape(short: bool, rounds: usize) {
    let n = if short { 100 } else { 100_000 };
    let record =
        br#"{"name":"cpu","labels":{"host":"web-1","az":"b"},"timestamp":1767225600.5,"value":0.25}"#;
    let labels = ingest::decode::LabelRules::default();
    report("decode, native JSON, two labels", "records/s", rounds, || {
        let decoded = (0..n)
            .map(|_| ingest::decode::decode(record, ingest::decode::Format::Auto, None, &labels))
            .filter(|d| d.samples.len() == 1);
        decoded.count()
    });
}

/// The shipped bundle on one CPU thread, where bundle and runtime are there.
fn nets(short: bool, rounds: usize) {
    let dir = root().join("models/general");
    let (bundle, runtime) = match (Bundle::load(&dir), Runtime::find(None)) {
        (Ok(bundle), Ok(runtime)) => (bundle, runtime),
        (Err(e), _) => return println!("SKIPPED: nets: {e}"),
        (_, Err(e)) => return println!("SKIPPED: nets: {e}; run `make deps`"),
    };
    let window: Vec<f32> = (0..WINDOW).map(|i| (i as f32 * 0.1).sin()).collect();
    let n = if short { 8 } else { 2_000 };
    for batch in [1, DEFAULT_BATCH, 16, 64] {
        let mut backend = match OnnxBackend::new(&bundle, &runtime, Device::Cpu, batch) {
            Ok(backend) => backend,
            Err(e) => return println!("SKIPPED: nets: {e}"),
        };
        let inputs = vec![window.as_slice(); n];
        report(
            &format!("nets, batch {batch}, one thread"),
            "windows/s",
            rounds,
            || backend.run(&inputs).map_or(0, |out| out.len()),
        );
    }
}

/// Runs `work` and prints the median rate of what it says it did.
fn report(name: &str, unit: &str, rounds: usize, mut work: impl FnMut() -> usize) {
    work();
    let mut rates: Vec<f64> = (0..rounds)
        .map(|_| {
            let started = Instant::now();
            let done = work();
            done as f64 / started.elapsed().as_secs_f64()
        })
        .collect();
    rates.sort_by(f64::total_cmp);
    println!("{name:<40} {:>12.0} {unit}", rates[rates.len() / 2]);
}

fn stream(series: usize, buckets: usize) -> Vec<Record> {
    let keys: Vec<SeriesKey> = (0..series)
        .map(|s| SeriesKey::from_name(&format!("series_{s}")).expect("a name that is not empty makes a key"))
        .collect();
    let samples = (0..buckets).flat_map(|b| keys.iter().enumerate().map(move |(s, key)| (b, s, key)));
    samples
        .enumerate()
        .map(|(offset, (bucket, s, key))| {
            let value = ((bucket * 7 + s) as f64 * 0.05).sin() + (offset as f64 * 0.754_877_666).fract();
            let time = Timestamp::from_millis(bucket as i64 * 60_000);
            let sample = Sample {
                series: key.clone(),
                time,
                value,
            };
            Record {
                offset: offset as i64,
                time: None,
                payload: Payload::Samples(vec![sample]),
            }
        })
        .collect()
}

fn settings() -> TaskSettings {
    let model = Model {
        label: "none".to_owned(),
        kind: ModelKind::Tadgan,
        window: WINDOW,
        scaler: Scaler::Window { gain: 3.0 },
        calibration: Vec::new(),
    };
    let mut settings = TaskSettings::new(model);
    settings.defaults.window.interval = Some(60_000);
    settings
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map_or_else(PathBuf::new, Path::to_owned)
}
