//! Runs as a whole: going on, stopping early, starting from a bundle, and ending with a clear word.

use std::fs;
use std::path::Path;

use scorer::bundle::Bundle;
use training::course::Trouble;
use training::data::{DataOptions, Dataset, Inputs};
use training::nets::{Body, Nets, Sizes};
use training::recipe::Recipe;
use training::train::{self, Job, Length, TrainError};
use training::trainer::Settings;
use training::{run_dir, warm_start};

const WINDOW: usize = 20;

fn sizes() -> Sizes {
    Sizes {
        window: WINDOW,
        latent: 4,
        body: Body::Recurrent {
            encoder_units: 4,
            generator_units: 3,
        },
        critic_filters: 3,
        critic_z_units: 4,
    }
}

/// Warm-up, then a phase that ends early: nothing improves once the rate is tiny.
fn job(dir: &Path, steps: usize) -> Job {
    Job {
        settings: Settings {
            seed: 7,
            batch: 8,
            warm_up: 100,
            learning_rate: 1e-9,
            average: 0.9,
            ..Settings::default()
        },
        length: Length::Steps(steps),
        epoch_steps: Some(20),
        patience: 2,
        checkpoint_every: 7,
        accept_poor: true,
        ..Job::new("test", &dir.join("bundle"), "tiny", sizes(), &Recipe::PAPER)
    }
}

/// A learning rate and a length that are enough for more than a constant.
fn able(job: Job) -> Job {
    Job {
        settings: Settings {
            warm_up: 150,
            learning_rate: 1e-2,
            dropout: false,
            ..job.settings
        },
        patience: 0,
        accept_poor: false,
        ..job
    }
}

fn data(value: impl Fn(usize) -> f64) -> Dataset {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("metric.csv");
    let rows = (0..400).map(|k| format!("{},{}\n", 1_700_000_100 + 300 * k, value(k)));
    fs::write(&path, format!("timestamp,value\n{}", rows.collect::<String>())).expect("writable");
    Dataset::from_files(&Inputs::files(&[path]), &DataOptions::new(WINDOW), |_| {}).expect("usable")
}

fn wave(k: usize) -> f64 {
    50.0 + 20.0 * (k as f64 * 0.3).sin()
}

fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(dir)
        .expect("a folder")
        .map(|entry| entry.expect("a file").path())
        .map(|path| {
            (
                path.file_name().expect("a name").to_string_lossy().into_owned(),
                fs::read(&path).expect("readable"),
            )
        })
        .collect();
    files.sort();
    files
}

/// Rows of `epochs.csv` without their wall time.
fn epochs(job: &Job) -> Vec<String> {
    let text = fs::read_to_string(job.run.join("epochs.csv")).expect("readable");
    text.lines()
        .map(|line| line.rsplit_once(',').expect("columns").0.to_owned())
        .collect()
}

#[test]
fn a_run_that_went_on_is_a_run_that_never_stopped() {
    let data = data(wave);
    let [once, parts] = [(), ()].map(|()| tempfile::tempdir().unwrap());
    let whole = job(once.path(), 1_000);
    let outcome = train::run(&whole, &data, |_| {}).unwrap();
    // The first epoch sets the mark; two more without improvement end the warm-up at 60. After it epochs count from
    // step 260 on, and the third that does ends the run.
    assert!(outcome.stopped_early);
    assert_eq!((outcome.steps, epochs(&whole).len()), (300, 1 + 3 + 12));

    // Stopped within the first epoch after the warm-up, within later ones, and where patience counts already.
    for steps in [10, 85, 230, 1_000] {
        let part = Job {
            resume: steps != 10,
            ..job(parts.path(), steps)
        };
        train::run(&part, &data, |_| {}).unwrap();
    }
    let part = job(parts.path(), 1_000);
    assert_eq!(files(&whole.out), files(&part.out));
    assert_eq!(epochs(&whole), epochs(&part));
    for file in ["losses.csv", "config.toml", "checkpoint-00000300.safetensors"] {
        assert!(
            fs::read(whole.run.join(file)).unwrap() == fs::read(part.run.join(file)).unwrap(),
            "{file}"
        );
    }
}

#[test]
fn the_bundle_is_made_of_the_best_epoch() {
    let mut is_earlier = false;
    // Which epoch of a seed is the best hangs on the last bits of sums, which processors add in different orders.
    for seed in 7..13 {
        let dir = tempfile::tempdir().unwrap();
        let job = Job {
            // Learning so fast that the error jumps about.
            settings: Settings {
                seed,
                warm_up: 0,
                learning_rate: 2e-2,
                ..job(dir.path(), 1).settings
            },
            patience: 0,
            ..job(dir.path(), 330)
        };
        let outcome = train::run(&job, &data(wave), |_| {}).unwrap();
        let rows: Vec<_> = epochs(&job)
            .iter()
            .filter_map(|line| {
                let columns: Vec<f64> = line
                    .split(',')
                    .map(|column| column.parse().unwrap_or(-1.0))
                    .collect();
                Some((columns[1], *columns.get(4)?)).filter(|(step, _)| *step >= 200.0)
            })
            .collect();
        let best = rows.iter().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
        assert_eq!(rows.len(), 8);
        assert_eq!(outcome.best.step as f64, best.0);
        let nets = Nets::new(sizes());
        let path = run_dir::checkpoint_path(&job.run, outcome.best.step);
        let state = run_dir::read_checkpoint(&nets, &path).unwrap();
        assert!(warm_start::load(&job.out).unwrap().start.weights == state.average);
        assert_eq!(outcome.manifest.training.generator_steps, outcome.best.step);
        is_earlier |= best.0 < 330.0;
        if is_earlier {
            break;
        }
    }
    assert!(is_earlier, "the last is the best: the test shows nothing");
}

#[test]
fn a_run_starts_from_a_bundle_and_says_so() {
    let data = data(wave);
    let [first, second] = [(), ()].map(|()| tempfile::tempdir().unwrap());
    let origin = job(first.path(), 5);
    train::run(&origin, &data, |_| {}).unwrap();
    let origin = warm_start::load(&origin.out).unwrap();
    assert_eq!(origin.sizes, sizes());
    let hash = origin.start.hash.clone();
    let job = Job {
        sizes: origin.sizes,
        settings: Settings {
            warm_up: 0,
            ..job(second.path(), 1).settings
        },
        warm_start: Some(origin.start.clone()),
        ..job(second.path(), 1)
    };
    let outcome = train::run(&job, &data, |_| {}).unwrap();
    assert_eq!(outcome.manifest.training.warm_start.as_ref(), Some(&hash));
    assert!(
        fs::read_to_string(job.run.join("config.toml"))
            .unwrap()
            .contains(&hash)
    );
    // One step at a rate of 1e-9.
    let now = warm_start::load(&job.out).unwrap().start.weights;
    for (now, then) in now.nets().into_iter().zip(origin.start.weights.nets()) {
        let moved = now
            .iter()
            .zip(then)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max);
        assert!(moved <= 1e-7, "{moved}");
    }
    let error = train::run(
        &Job {
            warm_start: None,
            resume: true,
            ..job
        },
        &data,
        |_| {},
    )
    .unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with(&format!("warm_start was \"{hash}\", not none")),
        "{error}"
    );
}

#[test]
fn a_damaged_bundle_is_no_start() {
    let dir = tempfile::tempdir().unwrap();
    let job = job(dir.path(), 1);
    train::run(&job, &data(wave), |_| {}).unwrap();
    let path = job.out.join("generator.onnx");
    let mut bytes = fs::read(&path).unwrap();
    bytes[200] ^= 1;
    fs::write(&path, bytes).unwrap();
    let error = warm_start::load(&job.out).unwrap_err();
    assert!(
        error.to_string().contains("generator.onnx: SHA-256 is "),
        "{error}"
    );
}

#[test]
fn a_run_that_diverges_says_so_and_leaves_the_old_bundle() {
    let data = data(wave);
    let dir = tempfile::tempdir().unwrap();
    let good = able(job(dir.path(), 5));
    train::run(&good, &data, |_| {}).unwrap();
    let before = files(&good.out);
    for learning_rate in [100.0, 1e30] {
        let settings = Settings {
            learning_rate,
            warm_up: 0,
            ..good.settings
        };
        let wild = Job {
            settings,
            length: Length::Steps(400),
            ..good.clone()
        };
        let error = train::run(&wild, &data, |_| {}).unwrap_err();
        assert!(matches!(error, TrainError::Trouble(_)), "{error}");
        let text = error.to_string();
        assert!(text.starts_with("training diverged at generator step "), "{text}");
        assert!(
            text.contains("try a lower --learning-rate") && !text.contains('\n'),
            "{text}"
        );
        assert_eq!(files(&wild.out), before);
        assert!(
            fs::read_to_string(wild.run.join("losses.csv"))
                .unwrap()
                .lines()
                .count()
                > 1
        );
    }
}

#[test]
fn nets_that_learned_nothing_are_no_bundle() {
    let dir = tempfile::tempdir().unwrap();
    let lazy = Job {
        accept_poor: false,
        ..job(dir.path(), 5)
    };
    let error = train::run(&lazy, &data(wave), |_| {}).unwrap_err();
    assert!(
        matches!(error, TrainError::Trouble(Trouble::Saturated { .. })),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .contains("no more than a constant after generator step 65"),
        "{error}"
    );
    assert!(!lazy.out.exists());
}

#[test]
fn of_a_constant_series_a_constant_is_right() {
    let dir = tempfile::tempdir().unwrap();
    let recurrent = able(job(dir.path(), 5));
    let sizes = Sizes {
        window: WINDOW,
        ..Sizes::conv()
    };
    let recipe = Recipe {
        warm_up: 100,
        steps: 5,
        ..Recipe::COMPACT
    };
    let conv = Job::new("conv", &dir.path().join("conv"), "conv", sizes, &recipe);
    for job in [recurrent, conv] {
        let outcome = train::run(&job, &data(|_| 3.5), |_| {}).unwrap();
        assert_eq!(outcome.manifest.training.diversity, None);
        Bundle::load(&job.out).unwrap();
    }
}

#[test]
fn a_bundle_that_cannot_be_written_leaves_the_old_one() {
    let data = data(wave);
    let dir = tempfile::tempdir().unwrap();
    let job = job(dir.path(), 5);
    train::run(&job, &data, |_| {}).unwrap();
    let before = files(&job.out);
    // Its place while it is being written is taken.
    fs::write(dir.path().join(".bundle.new"), "").unwrap();
    let error = train::run(&job, &data, |_| {}).unwrap_err();
    assert!(matches!(error, TrainError::Write(_)), "{error}");
    assert_eq!(files(&job.out), before);
}
