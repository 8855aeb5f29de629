//! A small bundle of the project's own making.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use training::data::{DataOptions, Dataset};
use training::nets::{Body, Sizes};
use training::recipe::Recipe;
use training::train::{self, Job, Length, ScalerChoice};
use training::trainer::Settings;

/// Buckets of its window.
pub(crate) const WINDOW: usize = 20;

/// Tiny nets that predict, trained until they follow a wave of 36 buckets; once a process.
pub(crate) fn predicting() -> &'static Path {
    static BUNDLE: OnceLock<PathBuf> = OnceLock::new();
    BUNDLE.get_or_init(|| {
        let work = Path::new(env!("CARGO_TARGET_TMPDIR")).join("predicting");
        let sizes = Sizes {
            window: WINDOW,
            latent: 16,
            body: Body::Aer { units: 8 },
            ..Sizes::aer()
        };
        let job = Job {
            command: "train aer".to_owned(),
            settings: Settings {
                seed: 3,
                learning_rate: 5e-3,
                ..Recipe::AER.settings()
            },
            run: work.join("run"),
            // Enough to follow it on any processor, whatever the order of its sums.
            length: Length::Steps(4_000),
            scaler: ScalerChoice::Window,
            any_interval: true,
            accept_poor: true,
            ..Job::new("tiny-aer", &work.join("bundle"), "tiny", sizes, &Recipe::AER)
        };
        let data = Dataset::sine(40.0, 400.0, &DataOptions::new(WINDOW)).unwrap();
        train::run(&job, &data, |_| {}).unwrap();
        job.out
    })
}

/// Trains tiny nets for an instant; the same bytes every time. Enough for a score, not for a good one.
pub(crate) fn write(dir: &Path) -> PathBuf {
    let sizes = Sizes {
        window: WINDOW,
        latent: 4,
        body: Body::Recurrent {
            encoder_units: 6,
            generator_units: 6,
        },
        critic_filters: 4,
        critic_z_units: 4,
    };
    let job = Job {
        command: "train tadgan".to_owned(),
        settings: Settings {
            seed: 3,
            average: 0.5,
            ..Settings::default()
        },
        length: Length::Steps(4),
        scaler: ScalerChoice::Window,
        any_interval: true,
        accept_poor: true,
        ..Job::new("tiny", &dir.join("bundle"), "tiny", sizes, &Recipe::PAPER)
    };
    let data = Dataset::synthetic(1, 4, 200, &DataOptions::new(WINDOW)).unwrap();
    train::run(&job, &data, |_| {}).unwrap();
    job.out
}
