//! A bundle a signal, trained on the signal itself as the reference does, kept on disk; and what the nets say of every window.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use ndarray::Array2;
use scorer::bundle::Bundle;
use scorer::normalise::Scaler;
use scorer::parity::preprocess::{min_max, window_starts};
use training::calibrate::infer;
use training::data::{DataOptions, Dataset, Inputs};
use training::nets::{Nets, Sizes};
use training::principal::Principal;
use training::recipe::Recipe;
use training::train::{self, Job, Length, ScalerChoice};
use training::warm_start;

use crate::signals::{Grid, Signal, WINDOW};

/// What scores windows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// TadGAN of a named architecture.
    Tadgan(String),
    /// Its sibling.
    Aer,
    /// Both: AER's error and forecast, TadGAN's critic.
    Both(String),
    /// No net: as many principal components as TadGAN has latents.
    Linear,
}

/// How bundles are trained and where they are kept.
#[derive(Clone, Debug)]
pub(crate) struct Training {
    /// Kept bundles; one that is there is not trained again.
    pub(crate) cache: PathBuf,
    /// The one seed.
    pub(crate) seed: u64,
    /// Steps of TadGAN on the reconstruction alone, then with the critics.
    pub(crate) tadgan: (usize, usize),
    /// Steps of AER.
    pub(crate) aer: usize,
}

/// Every window of a series and what is made of it; rows are one bucket apart, in the nets' units.
pub(crate) struct Seen {
    /// The windows.
    pub(crate) x: Array2<f64>,
    /// Their reconstructions.
    pub(crate) y: Array2<f64>,
    /// Critic values of the windows; empty where there is no critic.
    pub(crate) critics: Vec<f64>,
}

impl Training {
    /// The bundle of `method` for a signal, trained if it is not there yet; `None` for a method without nets.
    pub(crate) fn bundle(&self, method: &Method, signal: &Signal) -> Option<PathBuf> {
        let (architecture, sizes, steps) = match method {
            Method::Tadgan(name) => {
                let steps = format!("{}+{}", self.tadgan.0, self.tadgan.1);
                (name.as_str(), Sizes::named(name).expect("an architecture"), steps)
            }
            Method::Aer => ("aer", Sizes::aer(), self.aer.to_string()),
            Method::Both(_) | Method::Linear => return None,
        };
        let kept = self
            .cache
            .join(format!("{architecture}-{steps}-seed{}", self.seed));
        let out = kept.join(signal.name.replace('/', "__"));
        if !out.join("manifest.toml").exists() {
            std::fs::create_dir_all(&kept).expect("a writable cache");
            self.train(architecture, sizes, signal, &out);
        }
        Some(out)
    }

    fn train(&self, architecture: &str, sizes: Sizes, signal: &Signal, out: &Path) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let name = signal.name.replace('/', "__");
        let path = dir.path().join(format!("{name}.csv"));
        std::fs::write(&path, training_file(&signal.trained, signal.interval)).expect("a writable directory");
        let options = DataOptions {
            spool_dir: dir.path().to_owned(),
            ..DataOptions::new(WINDOW)
        };
        let data = Dataset::from_files(&Inputs::files(&[path]), &options, |_| {}).expect("usable data");
        let mut recipe = Recipe::of(architecture);
        recipe.patience = 0;
        recipe.steps = self.tadgan.1;
        recipe.warm_up = self.tadgan.0;
        if sizes.critic_filters == 0 {
            recipe.warm_up = 0;
            recipe.steps = self.aer;
        }
        let mut job = Job::new(&name, out, architecture, sizes, &recipe);
        job.run = dir.path().join("run");
        job.command = "benches/batch".to_owned();
        job.settings.seed = self.seed;
        job.length = Length::Steps(recipe.steps);
        job.scaler = ScalerChoice::MinMax;
        job.accept_poor = true;
        train::run(&job, &data, |_| {}).expect("a run that ends well");
    }
}

/// The series as a metric file, its beginning repeated at its end: the trainer takes no gradient step on the last fifth of a
/// file, the reference takes some on everything.
fn training_file(grid: &Grid, interval: i64) -> String {
    let values = &grid.values;
    let repeated = &values[..(values.len() / 4 + 8).min(values.len())];
    let mut text = "timestamp,value\n".to_owned();
    let first = grid.index.first().copied().unwrap_or_default();
    for (k, value) in values.iter().chain(repeated).enumerate() {
        writeln!(text, "{},{value:?}", first + k as i64 * interval).expect("a string takes it");
    }
    text
}

/// Runs a method over every window of what is judged, by its bundle as [`Training::bundle`] gives it.
pub(crate) fn see(signal: &Signal, bundle: Option<&Path>) -> Seen {
    match bundle {
        Some(dir) => with_nets(&signal.judged.values, dir),
        None => with_components(signal),
    }
}

/// AER with the critic values of TadGAN in the place of the ones that it has not.
pub(crate) fn see_both(signal: &Signal, training: &Training, architecture: &str) -> Seen {
    let see = |method: &Method| see(signal, training.bundle(method, signal).as_deref());
    let tadgan = see(&Method::Tadgan(architecture.to_owned()));
    Seen {
        critics: tadgan.critics,
        ..see(&Method::Aer)
    }
}

fn with_nets(values: &[f64], dir: &Path) -> Seen {
    let origin = warm_start::load(dir).expect("a bundle of this version");
    let scaler = Bundle::load(dir).expect("a bundle").manifest().scaler;
    let nets = Nets::new(origin.sizes);
    let x = windows(values, &scaler);
    let input: Vec<f32> = x.iter().map(|v| *v as f32).collect();
    let outputs = infer(&nets, &origin.start.weights, &input);
    Seen {
        y: as_rows(x.nrows(), outputs.reconstruction.into_iter().map(f64::from)),
        critics: outputs.critic_x.into_iter().map(f64::from).collect(),
        x,
    }
}

fn with_components(signal: &Signal) -> Seen {
    const COMPONENTS: usize = 20;
    let scaler = min_max(&signal.trained.values);
    let trained: Vec<f32> = windows(&signal.trained.values, &scaler)
        .iter()
        .map(|v| *v as f32)
        .collect();
    let principal = Principal::of(&trained, WINDOW, COMPONENTS);
    let x = windows(&signal.judged.values, &scaler);
    let mut y = Array2::zeros(x.dim());
    for (window, mut rebuilt) in x.rows().into_iter().zip(y.rows_mut()) {
        rebuilt.iter_mut().zip(&principal.mean).for_each(|(y, m)| *y = *m);
        for component in &principal.components {
            let centred = window.iter().zip(&principal.mean).map(|(x, m)| x - m);
            let along: f64 = centred.zip(&component.direction).map(|(c, d)| c * d).sum();
            rebuilt
                .iter_mut()
                .zip(&component.direction)
                .for_each(|(y, d)| *y += along * d);
        }
    }
    Seen {
        x,
        y,
        critics: Vec::new(),
    }
}

/// Every window that is followed by one more bucket, which the reference rolls off and never scores.
fn windows(values: &[f64], scaler: &Scaler) -> Array2<f64> {
    let affine = scaler.fit(&[], 0.0);
    let starts = window_starts(values.len(), WINDOW, 1, 1, &[]);
    let scaled = starts.iter().flat_map(|at| &values[*at..at + WINDOW]);
    as_rows(starts.len(), scaled.map(|v| affine.scale(*v)))
}

fn as_rows(rows: usize, values: impl Iterator<Item = f64>) -> Array2<f64> {
    Array2::from_shape_vec((rows, WINDOW), values.collect()).expect("as many values as rows hold")
}

/// See [`crate::signals::check`].
pub(crate) fn check() {
    let values: Vec<f64> = (0..103).map(f64::from).collect();
    let x = windows(&values, &Scaler::MinMax { min: 0.0, max: 102.0 });
    assert_eq!(x.dim(), (3, WINDOW));
    assert_eq!((x[[0, 0]], x[[2, 50]]), (-1.0, 1.0 / 51.0));
    let grid = Grid {
        index: vec![10, 20],
        values: vec![1.0, 2.5],
    };
    assert_eq!(
        training_file(&grid, 10),
        "timestamp,value\n10,1.0\n20,2.5\n30,1.0\n40,2.5\n"
    );
}
