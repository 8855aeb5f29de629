//! How well nets reconstruct what they were not trained on: a bundle a file, trained on the first 70 % of its time span
//! and judged on the rest, beside a linear reconstruction, and beside one bundle for all files.
//!
//! ```text
//! cargo bench -p aiops-benches --bench reconstruction -- --data DIR [--arch conv] [--seeds 1,2,3] [--model BUNDLE]
//! ```
//!
//! The error is the mean squared difference of windows and reconstructions in data units, over all windows whose first
//! bucket starts after the cut, divided by that of the median of the buckets before it. Beside it stand the diversity
//! of G(z) and the wall time of training. `--seeds ''` trains nothing.

use std::path::{Path, PathBuf};
use std::time::Instant;

use ingest::file::{self, FileOptions, ReadItem};
use scorer::bundle::Bundle;
use scorer::normalise::{FloorEstimate, Scaler, median};
use training::calibrate::infer;
use training::data::{DataOptions, Dataset, Inputs};
use training::nets::{Nets, Sizes, Weights};
use training::principal::Principal;
use training::recipe::Recipe;
use training::train::{self, Job, ScalerChoice};
use training::warm_start;
use types::Timestamp;
use windowing::{SeriesWindow, WindowSpec};

/// Share of a file's time span that is trained on.
const TRAINED: f64 = 0.7;
const WINDOW: usize = 100;
/// Components of the linear reconstruction: as many as the nets have latents.
const COMPONENTS: usize = 20;

fn main() {
    let options = Options::read();
    let Some(data) = options.data else {
        println!("reconstruction: give --data DIR with metric files, behind `--`");
        return;
    };
    let inputs = Inputs::search(&[data]).expect("readable directory");
    let shared = options.model.as_deref().map(open);
    let mut sums: Vec<Sum> = vec![Sum::default(); options.seeds.len()];
    let (mut linear_sum, mut shared_sum) = (Sum::default(), Sum::default());
    println!(
        "| file | linear | {} | shared | diversity | seconds |\n|---|---|---|---|---|---|",
        options.arch
    );
    for input in &inputs.files {
        let name = input
            .path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let series = Series::read(&input.path);
        // Of a constant there is no share of an error to speak of; its own is.
        let constant = series.constant_error();
        let (linear, trained) = (series.linear(), series.scaler());
        linear_sum.add(&series, linear);
        let (mut ratios, mut diversity, mut seconds) = (Vec::new(), Vec::new(), Vec::new());
        for (seed, sum) in options.seeds.iter().zip(&mut sums) {
            let started = Instant::now();
            let (weights, sizes, scaler, outcome) = trained_on(&input.path, &options.arch, *seed, trained);
            let error = series.error(&Nets::new(sizes), &weights, &scaler);
            sum.add(&series, error);
            ratios.push(show(error, constant));
            diversity.push(format!("{:.2}", outcome.best.measures.diversity));
            seconds.push(format!("{:.0}", started.elapsed().as_secs_f64()));
        }
        let of_all = shared.as_ref().map_or(f64::NAN, |(nets, weights, scaler)| {
            series.error(nets, weights, scaler)
        });
        shared_sum.add(&series, of_all);
        println!(
            "| {name} | {} | {} | {} | {} | {} |",
            show(linear, constant),
            ratios.join(" "),
            show(of_all, constant),
            diversity.join(" "),
            seconds.join(" ")
        );
    }
    let means: Vec<String> = sums.iter().map(Sum::mean).collect();
    println!(
        "| geometric mean | {} | {} | {} | | |",
        linear_sum.mean(),
        means.join(" "),
        shared_sum.mean()
    );
}

/// The error as a share of the constant's; of a constant series, of the scale.
fn show(error: f64, constant: f64) -> String {
    if constant > 0.0 {
        format!("{:.4}", error / constant)
    } else {
        format!("±{:.1e}", error.sqrt())
    }
}

/// Logarithms of ratios.
#[derive(Clone, Debug, Default)]
struct Sum(Vec<f64>);

impl Sum {
    fn add(&mut self, series: &Series, error: f64) {
        let constant = series.constant_error();
        if constant > 0.0 {
            self.0.push((error / constant).ln());
        }
    }

    fn mean(&self) -> String {
        format!("{:.4}", (self.0.iter().sum::<f64>() / self.0.len() as f64).exp())
    }
}

/// Trains a bundle by the architecture's recipe on the beginning of a file; leaves nothing behind.
fn trained_on(
    path: &Path,
    arch: &str,
    seed: u64,
    scaler: Scaler,
) -> (Weights, Sizes, Scaler, train::Outcome) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let options = DataOptions {
        train_fraction: TRAINED,
        spool_dir: dir.path().to_owned(),
        ..DataOptions::new(WINDOW)
    };
    let data =
        Dataset::from_files(&Inputs::files(&[path.to_owned()]), &options, |_| {}).expect("usable data");
    let sizes = Sizes::named(arch).expect("an architecture");
    let mut job = Job::new(
        "bench",
        &dir.path().join("bundle"),
        arch,
        sizes,
        &Recipe::of(arch),
    );
    job.settings.seed = seed;
    job.settings.threads = 2;
    job.scaler = ScalerChoice::MinMax;
    job.accept_poor = true;
    let outcome = train::run(&job, &data, |_| {}).expect("a run that ends well");
    let origin = warm_start::load(&job.out).expect("the bundle just written");
    // The manifest's range is that of the windows that were trained on.
    let scaler = match outcome.manifest.scaler {
        Scaler::MinMax { .. } => outcome.manifest.scaler,
        Scaler::Window { .. } => scaler,
    };
    (origin.start.weights, origin.sizes, scaler, outcome)
}

fn open(dir: &Path) -> (Nets, Weights, Scaler) {
    let origin = warm_start::load(dir).expect("a bundle");
    let bundle = Bundle::load(dir).expect("a bundle");
    (
        Nets::new(origin.sizes),
        origin.start.weights,
        bundle.manifest().scaler,
    )
}

/// A file's buckets, cut in two.
struct Series {
    values: Vec<f64>,
    floors: Vec<f64>,
    /// First bucket of each run that may not be crossed: gaps longer than a window.
    starts: Vec<usize>,
    /// Buckets before the cut.
    cut: usize,
    median: f64,
}

impl Series {
    /// Reads the one series of a file as the agent would.
    fn read(path: &Path) -> Self {
        let reader = file::open(path, &FileOptions::default()).expect("a metric file");
        let mut samples: Vec<(Timestamp, f64)> = Vec::new();
        for item in reader {
            if let ReadItem::Sample(sample) = item.expect("a readable file") {
                samples.push((sample.time, sample.value));
            }
        }
        samples.sort_by_key(|sample| sample.0);
        let (first, last) = (samples[0].0.millis(), samples[samples.len() - 1].0.millis());
        let cut_at = first + (TRAINED * (last - first) as f64) as i64;
        let (spec, mut window) = (WindowSpec::new(WINDOW), SeriesWindow::new());
        let (mut floor, mut occurrences, mut rejected) = (FloorEstimate::default(), Vec::new(), Vec::new());
        let mut series = Self {
            values: Vec::new(),
            floors: Vec::new(),
            starts: vec![0],
            cut: 0,
            median: 0.0,
        };
        let mut take = |window: &mut SeriesWindow| {
            while let Some(closed) = window.next_closed(&spec, &mut occurrences) {
                if closed.restarted {
                    series.starts.push(series.values.len());
                }
                floor.push(closed.bucket.value);
                series.values.push(closed.bucket.value);
                series.floors.push(floor.floor());
                series.cut += usize::from(closed.bucket.start.millis() <= cut_at);
            }
        };
        for (time, value) in samples {
            // What the window refuses, the agent does not see either.
            let _ = window.observe(&spec, time, value, &mut rejected);
            take(&mut window);
        }
        window.flush(&spec);
        take(&mut window);
        series.median = median(&series.values[..series.cut]);
        series
    }

    /// First buckets of the windows that lie after the cut.
    fn judged(&self) -> Vec<usize> {
        self.windows(self.cut, self.values.len())
    }

    fn windows(&self, from: usize, to: usize) -> Vec<usize> {
        let crosses = |at: usize| {
            self.starts
                .iter()
                .any(|start| at < *start && *start < at + WINDOW)
        };
        (from..(to + 1).saturating_sub(WINDOW))
            .filter(|at| !crosses(*at))
            .collect()
    }

    fn scaler(&self) -> Scaler {
        let trained = self.values[..self.cut].iter();
        let (min, max) = trained.fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), v| {
            (min.min(*v), max.max(*v))
        });
        Scaler::MinMax { min, max }
    }

    fn constant_error(&self) -> f64 {
        self.mean_square(|at, slot| slot.copy_from_slice(&vec![self.median; at.len()]))
    }

    fn error(&self, nets: &Nets, weights: &Weights, scaler: &Scaler) -> f64 {
        let mut input = vec![0.0; WINDOW];
        self.mean_square(|at, slot| {
            let values = &self.values[at.clone()];
            let affine = scaler.fit(values, self.floors[at.end - 1]);
            scaler.apply(affine, values, &mut input);
            let rebuilt = infer(nets, weights, &input).reconstruction;
            slot.iter_mut()
                .zip(&rebuilt)
                .for_each(|(y, r)| *y = affine.unscale(f64::from(*r)));
        })
    }

    /// The error of the principal components of the windows before the cut.
    fn linear(&self) -> f64 {
        let scaler = self.scaler();
        let affine = scaler.fit(&[], 0.0);
        let scaled = |at: usize| {
            let mut window = vec![0.0; WINDOW];
            scaler.apply(affine, &self.values[at..at + WINDOW], &mut window);
            window
        };
        let trained: Vec<f32> = self.windows(0, self.cut).into_iter().flat_map(scaled).collect();
        let principal = Principal::of(&trained, WINDOW, COMPONENTS);
        self.mean_square(|at, slot| {
            let mut rebuilt = principal.mean.clone();
            let window = scaled(at.start);
            for component in &principal.components {
                let pairs = component.direction.iter().zip(&window).zip(&principal.mean);
                let along: f64 = pairs.map(|((d, x), m)| d * (f64::from(*x) - m)).sum();
                rebuilt
                    .iter_mut()
                    .zip(&component.direction)
                    .for_each(|(y, d)| *y += along * d);
            }
            slot.iter_mut()
                .zip(&rebuilt)
                .for_each(|(y, r)| *y = affine.unscale(*r));
        })
    }

    fn mean_square(&self, mut rebuild: impl FnMut(std::ops::Range<usize>, &mut [f64])) -> f64 {
        let (windows, mut rebuilt, mut sum) = (self.judged(), vec![0.0; WINDOW], 0.0);
        for at in &windows {
            rebuild(*at..at + WINDOW, &mut rebuilt);
            let errors = rebuilt
                .iter()
                .zip(&self.values[*at..])
                .map(|(y, x)| (y - x).powi(2));
            sum += errors.sum::<f64>();
        }
        sum / (windows.len() * WINDOW) as f64
    }
}

/// What the command line says.
struct Options {
    data: Option<PathBuf>,
    arch: String,
    seeds: Vec<u64>,
    model: Option<PathBuf>,
}

impl Options {
    fn read() -> Self {
        let mut options = Self {
            data: None,
            arch: "conv".to_owned(),
            seeds: vec![1],
            model: None,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let mut value = || arguments.next().expect("a value");
            match name.as_str() {
                "--data" => options.data = Some(value().into()),
                "--arch" => options.arch = value(),
                "--model" => options.model = Some(value().into()),
                "--seeds" => {
                    options.seeds = value()
                        .split(',')
                        .filter(|seed| !seed.is_empty())
                        .map(|seed| seed.parse().expect("a seed"))
                        .collect();
                }
                // What cargo adds.
                _ => {}
            }
        }
        options
    }
}
