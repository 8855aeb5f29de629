//! AER from nets to bundle: it learns, from one seed to the same bits, calibrates its forecast, and the exported graphs
//! compute what the trainer computes.

use std::fs;
use std::path::Path;
use std::process::Command;

use scorer::bundle::Bundle;
use scorer::manifest::{AnyInterval, IntervalSpec, LagCalibration, ModelKind, TrainingRecord};
use scorer::normalise::Scaler;
use scorer::onnx::OnnxBackend;
use scorer::runtime::{Device, Runtime};
use training::bundle::{self, Contents};
use training::data::{DataOptions, Dataset};
use training::nets::{Body, Nets, Sizes};
use training::recipe::Recipe;
use training::rng::{Purpose, Streams, normals};
use training::train::{self, Job, Length, Outcome, ScalerChoice};
use training::trainer::{Settings, State, Trainer};
use training::warm_start::{self, Origin};

fn sizes() -> Sizes {
    Sizes {
        window: 21,
        latent: 8,
        body: Body::Aer { units: 4 },
        ..Sizes::aer()
    }
}

/// A bundle of fresh nets.
fn write(dir: &Path) -> Bundle {
    let nets = Nets::new(sizes());
    let mut input = vec![0.0; 8 * 21];
    normals(&mut Streams::new(2).stream(Purpose::Latents, 0, 0), &mut input);
    let calibration = [0, 1, 2, 4, 9, 19].map(|lag| LagCalibration {
        lag,
        error_median: 0.1,
        error_p99: 0.5,
        critic_center: 0.0,
        critic_scale: 1.0,
    });
    let contents = Contents {
        name: "tiny",
        nets: &nets,
        weights: &nets.init(Streams::new(1)),
        architecture: "aer",
        interval: IntervalSpec::Any(AnyInterval::Any),
        scaler: Scaler::Window { gain: 3.0 },
        training: TrainingRecord {
            command: "none".to_owned(),
            seed: 1,
            generator_steps: 0,
            held_out_error: None,
            diversity: None,
            warm_start: None,
            data: [].into(),
        },
        calibration: calibration.to_vec(),
        fingerprint: &input,
    };
    bundle::write(dir, contents).expect("writable");
    Bundle::load(dir).expect("a bundle")
}

#[test]
fn a_bundle_has_two_nets_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = write(&dir.path().join("bundle"));
    let manifest = bundle.manifest();
    assert_eq!((manifest.model, manifest.latent), (ModelKind::Aer, 8));
    let files: Vec<&str> = manifest.files.keys().map(String::as_str).collect();
    assert_eq!(files, ["encoder.onnx", "fingerprint.json", "generator.onnx"]);
    assert_eq!(manifest.architecture.sizes, [("units".to_owned(), 4)].into());
    let nets: Vec<&str> = manifest
        .architecture
        .parameters
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(nets, ["encoder", "generator"]);
    assert!(bundle.fingerprint().critic_x.is_empty() && bundle.fingerprint().critic_z.is_empty());
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
    let bundle = write(&dir.path().join("bundle"));
    for batch in [1, 3, 8] {
        let mut backend = OnnxBackend::new(&bundle, &runtime, Device::Cpu, batch).unwrap();
        let report = backend.verify_fingerprint(&bundle).unwrap();
        for difference in [report.latent, report.reconstruction] {
            assert!(difference.0 <= 1e-5, "{report}");
        }
        assert_eq!((report.critic_x, report.critic_z), (None, None));
    }
}

fn job(dir: &Path, steps: usize) -> Job {
    Job {
        settings: Settings {
            seed: 7,
            ..Recipe::AER.settings()
        },
        length: Length::Steps(steps),
        epoch_steps: Some(4),
        checkpoint_every: 3,
        accept_poor: true,
        ..Job::new("test", &dir.join("bundle"), "aer", sizes(), &Recipe::AER)
    }
}

/// Ten windows of a sine, 36 buckets a period.
fn sine() -> Dataset {
    Dataset::sine(40.0, 60.0, &DataOptions::new(21)).expect("room for a spool")
}

fn run(job: &Job) -> Outcome {
    train::run(job, &sine(), |_| {}).expect("a run")
}

#[test]
fn it_learns_to_predict() {
    let dir = tempfile::tempdir().unwrap();
    for scaler in [ScalerChoice::MinMax, ScalerChoice::Window] {
        let mut job = job(dir.path(), 450);
        job.scaler = scaler;
        job.epoch_steps = Some(50);
        job.settings.learning_rate = 0.01;
        let outcome = run(&job);
        let error = outcome.best.measures.held_out_error;
        assert!(
            error < 0.02 * outcome.held_out_constant,
            "{error} of {}",
            outcome.held_out_constant
        );
        assert!(
            outcome.best.measures.diversity.is_nan(),
            "there is no prior to draw from"
        );
        // The last value is off by up to 1.7 from the next, which is 0.17 and 0.08 of the two kinds of half ranges.
        let calibration = &outcome.manifest.calibration;
        assert_eq!(
            calibration.iter().map(|c| c.lag).collect::<Vec<_>>(),
            [0, 1, 2, 4, 9, 19]
        );
        for at_lag in calibration {
            assert!(
                at_lag.error_median < 0.03 && at_lag.error_p99 < 0.08,
                "{at_lag:?}"
            );
            assert_eq!((at_lag.critic_center, at_lag.critic_scale), (0.0, 1.0));
        }
        Bundle::load(&job.out).unwrap();
    }
}

fn trained(threads: usize) -> State {
    let settings = Settings {
        seed: 11,
        threads,
        average: 0.9,
        ..Settings::default()
    };
    let mut trainer = Trainer::new(Nets::new(sizes()), settings);
    for step in 0..4 {
        let losses = trainer.step(|_, x| {
            for (k, slot) in x.iter_mut().enumerate() {
                *slot = ((k + 57 * step) as f32 * 0.2).sin();
            }
        });
        assert!(losses.is_finite() && losses.generator.total > 0.0);
        assert_eq!(losses.gradients[2..], [0.0; 2]);
    }
    trainer.state
}

#[test]
fn one_seed_gives_the_same_weights_on_any_number_of_threads() {
    let once = trained(1);
    assert_eq!(once, trained(1));
    assert_eq!(once, trained(2));
    assert!(once.weights.critic_x.is_empty() && once.weights.critic_z.is_empty());
}

#[test]
fn a_run_goes_on_where_it_stopped() {
    let (broken, whole) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    run(&job(broken.path(), 8));
    run(&Job {
        resume: true,
        ..job(broken.path(), 13)
    });
    run(&job(whole.path(), 13));
    for file in [
        "bundle/encoder.onnx",
        "bundle/generator.onnx",
        "bundle.run/losses.csv",
    ] {
        let [broken, whole] = [&broken, &whole].map(|dir| fs::read(dir.path().join(file)).unwrap());
        assert!(broken == whole, "{file}");
    }
}

#[test]
fn a_bundle_can_be_trained_on() {
    let dir = tempfile::tempdir().unwrap();
    let first = job(dir.path(), 8);
    run(&first);
    let Origin {
        start,
        architecture,
        sizes: found,
        scaler,
    } = warm_start::load(&first.out).unwrap();
    assert_eq!(
        (architecture.as_str(), found, scaler),
        ("aer", sizes(), ScalerChoice::MinMax)
    );
    let second = Job {
        warm_start: Some(start.clone()),
        out: dir.path().join("second"),
        ..job(dir.path(), 4)
    };
    assert_eq!(run(&second).manifest.training.warm_start, Some(start.hash));
}

#[test]
fn the_command_line_trains_it() {
    let dir = tempfile::tempdir().unwrap();
    let train = |method: &str, out: &str, more: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_train"))
            .args([method, "--synthetic", "2", "--points", "150", "--accept-poor"])
            .args(["--steps", "2", "--out", out])
            .args(more)
            .current_dir(dir.path())
            .output()
            .unwrap()
    };
    let done = train("aer", "bundle", &[]);
    assert!(done.status.success(), "{done:?}");
    let said = String::from_utf8(done.stdout).unwrap();
    assert!(
        said.starts_with("bundle: 2 steps in") && !said.contains("diversity"),
        "{said}"
    );
    let bundle = Bundle::load(&dir.path().join("bundle")).unwrap();
    let manifest = bundle.manifest();
    assert_eq!((manifest.window, manifest.latent), (100, 60));
    assert_eq!(manifest.architecture.parameters.values().sum::<usize>(), 29_581);
    assert_eq!(manifest.scaler, Scaler::Window { gain: 3.0 });

    let wrong = train("tadgan", "other", &["--warm-start", "bundle"]);
    assert_eq!(wrong.status.code(), Some(64));
    let said = String::from_utf8(wrong.stderr).unwrap();
    assert_eq!(
        said,
        "train: the bundle of --warm-start is an AER, which another command trains\n"
    );
    assert!(!dir.path().join("other").exists());
}
