//! Whole runs on tiny nets: the same seed gives the same weights, bundles are whole, bad data is one clear error.

use std::fs;
use std::path::Path;

use scorer::bundle::Bundle;
use scorer::manifest::{IntervalSpec, SERVED_LAGS};
use scorer::onnx::OnnxBackend;
use scorer::runtime::{Device, Runtime};
use training::data::{DataError, DataOptions, Dataset, Inputs};
use training::denoise::Denoise;
use training::nets::{Nets, Sizes};
use training::recipe::Recipe;
use training::run_dir::{self, ResumeError};
use training::train::{self, Job, Length, ScalerChoice, TrainError};
use training::trainer::{Settings, State, Trainer};

fn sizes() -> Sizes {
    Sizes {
        window: 100,
        latent: 4,
        body: training::nets::Body::Recurrent {
            encoder_units: 5,
            generator_units: 3,
        },
        critic_filters: 4,
        critic_z_units: 6,
    }
}

fn job(dir: &Path, steps: usize) -> Job {
    Job {
        run: dir.join("run"),
        command: "train tadgan".into(),
        settings: Settings {
            seed: 7,
            average: 0.9,
            ..Settings::default()
        },
        length: Length::Steps(steps),
        checkpoint_every: 2,
        accept_poor: true,
        ..Job::new("test", &dir.join("bundle"), "tiny", sizes(), &Recipe::PAPER)
    }
}

/// A CSV of `values`, one every five minutes.
fn csv(dir: &Path, values: impl Iterator<Item = String>) -> std::path::PathBuf {
    let path = dir.join("metric.csv");
    let rows = values
        .enumerate()
        .map(|(k, value)| format!("{},{value}\n", 1_700_000_100 + 300 * k));
    let text: String = std::iter::once("timestamp,value\n".to_owned())
        .chain(rows)
        .collect();
    fs::write(&path, text).expect("writable");
    path
}

fn wave(k: usize) -> String {
    format!("{:.3}", 50.0 + 20.0 * (k as f64 * 0.2).sin())
}

fn load(path: &Path) -> Result<Dataset, DataError> {
    Dataset::from_files(&Inputs::files(&[path.to_owned()]), &DataOptions::new(100), |_| {})
}

fn trained(threads: usize, steps: usize) -> State {
    trained_so(threads, steps, None)
}

fn trained_so(threads: usize, steps: usize, denoise: Option<Denoise>) -> State {
    let settings = Settings {
        denoise,
        ..Settings::default()
    };
    trained_by(threads, steps, settings)
}

fn trained_by(threads: usize, steps: usize, settings: Settings) -> State {
    let settings = Settings {
        seed: 11,
        threads,
        average: 0.9,
        ..settings
    };
    let mut trainer = Trainer::new(Nets::new(sizes()), settings);
    advance(&mut trainer, steps);
    trainer.state
}

#[test]
fn a_warm_up_leaves_the_critics_alone() {
    let settings = Settings {
        warm_up: 3,
        ..Settings::default()
    };
    let mut trainer = Trainer::new(Nets::new(sizes()), settings);
    let before = trainer.state.weights.clone();
    advance(&mut trainer, 3);
    assert_eq!(trainer.state.weights.critic_x, before.critic_x);
    assert_eq!(trainer.state.weights.critic_z, before.critic_z);
    assert_ne!(trainer.state.weights.encoder, before.encoder);
    assert_ne!(trainer.state.weights.generator, before.generator);
    advance(&mut trainer, 4);
    // Adam's first step moves by its rate, whatever the gradient.
    let moved = trainer.state.weights.critic_z.iter().zip(&before.critic_z);
    let largest = moved.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!((1e-4..3e-3).contains(&largest), "{largest}");
}

fn advance(trainer: &mut Trainer, steps: usize) {
    while trainer.state.step < steps {
        let step = trainer.state.step;
        let losses = trainer.step(|inner, x| {
            for (k, slot) in x.iter_mut().enumerate() {
                *slot = ((k + 13 * inner + 57 * step) as f32 * 0.2).sin();
            }
        });
        assert!(losses.is_finite());
    }
}

#[test]
fn one_seed_gives_the_same_weights_on_any_number_of_threads() {
    let once = trained(1, 4);
    assert_eq!(once, trained(1, 4));
    assert_eq!(once, trained(2, 4));
    assert_ne!(once.weights, once.average);
}

#[test]
fn who_denoises_learns_otherwise_but_not_the_critics_and_the_same_on_any_number_of_threads() {
    let denoise = |share| {
        Some(Denoise {
            share,
            by_window: true,
        })
    };
    let once = trained_so(1, 2, denoise(0.5));
    assert_eq!(once, trained_so(2, 2, denoise(0.5)));
    assert_eq!(trained(1, 2), trained_so(1, 2, denoise(0.0)));
    let plain = trained(1, 2);
    assert_ne!(once.weights.encoder, plain.weights.encoder);
    assert_ne!(once.weights.generator, plain.weights.generator);
    // Of the first step critics see nothing of it: their updates come before the generator's.
    let [once, plain] = [denoise(0.5), None].map(|denoise| trained_so(1, 1, denoise));
    assert_eq!(once.weights.critic_x, plain.weights.critic_x);
    assert_eq!(once.weights.critic_z, plain.weights.critic_z);
}

#[test]
fn a_bent_loss_moves_the_nets_otherwise_where_it_bends() {
    let bent = |huber| {
        let settings = Settings {
            huber,
            ..Settings::default()
        };
        trained_by(1, 2, settings).weights
    };
    let plain = trained(1, 2).weights;
    assert_ne!(bent(0.1).encoder, plain.encoder);
    assert_ne!(bent(0.1).generator, plain.generator);
    assert_eq!(bent(1e9), plain);
    assert_eq!(bent(0.0), plain);
}

#[test]
fn a_checkpoint_goes_on_where_it_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let path = csv(dir.path(), (0..200).map(wave));
    let data = load(&path).unwrap();
    train::run(&job(dir.path(), 5), &data, |_| {}).unwrap();
    // Written at 2, 4 and 5, the last two kept.
    let run = dir.path().join("run");
    let checkpoints = run_dir::checkpoints(&run).unwrap();
    assert_eq!(
        checkpoints,
        [4, 5].map(|step| run_dir::checkpoint_path(&run, step))
    );
    let rows = |file: &str| fs::read_to_string(run.join(file)).unwrap().lines().count() - 1;
    assert_eq!((rows("losses.csv"), rows("epochs.csv")), (5, 1));
    let state = run_dir::read_checkpoint(&Nets::new(sizes()), &checkpoints[1]).unwrap();
    assert_eq!(state.step, 5);

    // Five steps and four more are nine; losses, weights and bundle.
    let more = Job {
        resume: true,
        ..job(dir.path(), 9)
    };
    train::run(&more, &data, |_| {}).unwrap();
    let other = tempfile::tempdir().unwrap();
    train::run(&job(other.path(), 9), &data, |_| {}).unwrap();
    for file in ["bundle/encoder.onnx", "bundle/critic_z.onnx", "run/losses.csv"] {
        let [resumed, whole] = [&dir, &other].map(|dir| fs::read(dir.path().join(file)).unwrap());
        assert!(resumed == whole, "{file}");
    }
    let mut changed = more;
    changed.settings.batch = 32;
    let error = train::run(&changed, &data, |_| {}).unwrap_err();
    assert!(error.to_string().ends_with("batch was 64, not 32"), "{error}");
    assert!(matches!(error, TrainError::Resume(ResumeError::Other { .. })));
}

#[test]
fn a_bundle_is_whole_and_describes_itself() {
    let dir = tempfile::tempdir().unwrap();
    let path = csv(dir.path(), (0..400).map(wave));
    let data = load(&path).unwrap();
    let job = job(dir.path(), 3);
    train::run(&job, &data, |_| {}).unwrap();
    let bundle = Bundle::load(&job.out).unwrap();
    let manifest = bundle.manifest();
    assert_eq!(manifest.interval, IntervalSpec::Ms(300_000));
    assert_eq!(
        manifest.calibration.iter().map(|c| c.lag).collect::<Vec<_>>(),
        SERVED_LAGS
    );
    assert_eq!(manifest.training.data.len(), 1);
    assert_eq!(bundle.fingerprint().input.len(), 8);
    let first = fs::read(job.out.join("manifest.toml")).unwrap();
    // Again, over what is there: the same bytes, and nothing left beside it.
    train::run(&job, &data, |_| {}).unwrap();
    assert_eq!(fs::read(job.out.join("manifest.toml")).unwrap(), first);
    let mut names: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["bundle", "metric.csv", "run"]);
}

#[test]
fn what_is_no_bundle_is_not_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = csv(dir.path(), (0..200).map(wave));
    let job = job(dir.path(), 1);
    fs::create_dir(&job.out).unwrap();
    fs::write(job.out.join("thesis.txt"), "draft").unwrap();
    let error = train::run(&job, &load(&path).unwrap(), |_| {}).unwrap_err();
    assert!(error.to_string().contains("no bundle"), "{error}");
    assert!(job.out.join("thesis.txt").exists());
}

#[test]
fn a_constant_series_trains() {
    let dir = tempfile::tempdir().unwrap();
    let path = csv(dir.path(), (0..150).map(|_| "3.5".to_owned()));
    for scaler in [ScalerChoice::MinMax, ScalerChoice::Window] {
        let job = Job {
            scaler,
            ..job(dir.path(), 2)
        };
        train::run(&job, &load(&path).unwrap(), |_| {}).unwrap();
        Bundle::load(&job.out).unwrap();
    }
}

#[test]
fn a_series_of_one_window_trains() {
    let dir = tempfile::tempdir().unwrap();
    let path = csv(dir.path(), (0..100).map(wave));
    let data = load(&path).unwrap();
    assert_eq!(
        [
            data.train_windows().len(),
            data.validation_windows().len(),
            data.calibration_windows().len()
        ],
        [1, 0, 0]
    );
    let job = job(dir.path(), 2);
    train::run(&job, &data, |_| {}).unwrap();
    Bundle::load(&job.out).unwrap();
}

#[test]
fn bad_data_is_one_clear_error() {
    let dir = tempfile::tempdir().unwrap();
    let short = load(&csv(dir.path(), (0..99).map(wave))).unwrap_err();
    assert!(
        matches!(
            short,
            DataError::TooShort {
                longest: 99,
                late: 0,
                window: 100,
                interval: Some(300_000)
            }
        ),
        "{short}"
    );
    let nothing = load(&csv(dir.path(), (0..300).map(|_| "NaN".to_owned()))).unwrap_err();
    assert!(
        matches!(nothing, DataError::NoSamples { rejected: 300, .. }),
        "{nothing}"
    );
    assert!(!nothing.to_string().contains('\n'));
    let missing = load(&dir.path().join("nowhere.csv")).unwrap_err();
    assert!(matches!(missing, DataError::Open { .. }), "{missing}");
}

#[test]
fn onnx_runtime_computes_what_the_trainer_computes() {
    let runtime = match Runtime::find(None) {
        Ok(runtime) => runtime,
        Err(error) => {
            assert!(
                std::env::var_os("CI").is_none(),
                "ONNX Runtime is needed: {error}"
            );
            println!("SKIPPED: ONNX Runtime is needed, `make deps` fetches it: {error}");
            return;
        }
    };
    let dir = tempfile::tempdir().unwrap();
    let path = csv(dir.path(), (0..400).map(wave));
    let job = job(dir.path(), 20);
    train::run(&job, &load(&path).unwrap(), |_| {}).unwrap();
    let bundle = Bundle::load(&job.out).unwrap();
    for batch in [1, 3, 8] {
        let mut backend = OnnxBackend::new(&bundle, &runtime, Device::Cpu, batch).unwrap();
        let report = backend.verify_fingerprint(&bundle).unwrap();
        for difference in [
            report.latent,
            report.reconstruction,
            report.critic_x.unwrap(),
            report.critic_z.unwrap(),
        ] {
            assert!(difference.0 <= 1e-5, "{report}");
        }
    }
}
