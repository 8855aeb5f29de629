//! A small bundle that has learnt something: windows of 100 buckets, every served lag, nets that follow a wave.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use training::data::{DataOptions, Dataset, Inputs};
use training::nets::Sizes;
use training::recipe::Recipe;
use training::train::{self, Job, Length, ScalerChoice};
use training::trainer::Settings;

/// Steps on the reconstruction alone: enough to follow a wave.
const WARM_UP: usize = 150;

/// Steps in which the critics learn, too: a token.
const STEPS: usize = 2;

/// Directory of the bundle, trained once a process.
pub(crate) fn trained() -> &'static Path {
    static BUNDLE: OnceLock<PathBuf> = OnceLock::new();
    BUNDLE.get_or_init(|| {
        let work = Path::new(env!("CARGO_TARGET_TMPDIR")).join("trained");
        fs::create_dir_all(&work).unwrap();
        train(&work)
    })
}

fn train(work: &Path) -> PathBuf {
    let data = work.join("waves.csv");
    fs::write(&data, waves()).unwrap();
    let data = Dataset::from_files(&Inputs::files(&[data]), &DataOptions::new(100), |_| {}).unwrap();
    let sizes = Sizes {
        window: 100,
        latent: 6,
        body: training::nets::Body::Recurrent {
            encoder_units: 6,
            generator_units: 8,
        },
        critic_filters: 4,
        critic_z_units: 6,
    };
    let job = Job {
        command: "made by the tests".to_owned(),
        settings: Settings {
            seed: 5,
            learning_rate: 5e-3,
            average: 0.8,
            batch: 32,
            warm_up: WARM_UP,
            dropout: false,
            ..Settings::default()
        },
        length: Length::Steps(STEPS),
        scaler: ScalerChoice::Window,
        any_interval: true,
        ..Job::new("waves", &work.join("bundle"), "tiny", sizes, &Recipe::PAPER)
    };
    train::run(&job, &data, |_| {}).unwrap();
    job.out
}

/// Waves of three periods side by side, with some noise on them.
fn waves() -> String {
    let mut text = String::from("timestamp,a,b,c\n");
    for k in 0..600_u32 {
        let noise = (f64::from(k) * 0.754_877_666).fract() - 0.5;
        let wave = |period: f64| 50.0 + 20.0 * (f64::from(k) / period * std::f64::consts::TAU).sin() + noise;
        text += &format!(
            "{},{:.3},{:.3},{:.3}\n",
            1_700_000_100 + 300 * u64::from(k),
            wave(100.0),
            wave(80.0),
            wave(60.0)
        );
    }
    text
}
