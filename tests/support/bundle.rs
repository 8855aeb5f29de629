//! A small bundle of the project's own making.

use std::path::{Path, PathBuf};

use training::data::{DataOptions, Dataset};
use training::nets::Sizes;
use training::recipe::Recipe;
use training::train::{self, Job, Length, ScalerChoice};
use training::trainer::Settings;

/// Buckets of its window.
pub(crate) const WINDOW: usize = 20;

/// Trains tiny nets for an instant; the same bytes every time. Enough for a score, not for a good one.
pub(crate) fn write(dir: &Path) -> PathBuf {
    let sizes = Sizes {
        window: WINDOW,
        latent: 4,
        body: training::nets::Body::Recurrent {
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
