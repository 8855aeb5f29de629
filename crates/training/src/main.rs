//! `train`: makes bundles.

mod cli;

use std::io::{ErrorKind, IsTerminal as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser as _;
use indicatif::{ProgressBar, ProgressStyle};
use ingest::file::OpenError;
use training::data::{DataError, Dataset, files_under};
use training::import::ImportError;
use training::train::{self, ImportJob, Job, Length, Progress, ScalerChoice, TrainError};

use crate::cli::{Cli, Command, Device, ImportArgs, Interval, ScalerName, TadganArgs};

/// Exit codes, after the BSD `sysexits` convention; the same as those of `agent`.
mod exit {
    pub(crate) const USAGE: u8 = 64;
    pub(crate) const DATA: u8 = 65;
    pub(crate) const NO_INPUT: u8 = 66;
    pub(crate) const INTERNAL: u8 = 70;
    pub(crate) const IO: u8 = 74;
}

/// Why the program ends early: an exit code and one line.
struct Failure(u8, String);

impl From<TrainError> for Failure {
    fn from(error: TrainError) -> Self {
        let code = match &error {
            TrainError::Data(data) => return data_failure(data),
            TrainError::Import(ImportError::Read { .. }) => exit::NO_INPUT,
            TrainError::Import(_) => exit::DATA,
            TrainError::Resume { source, .. } => match source.kind() {
                ErrorKind::NotFound => exit::NO_INPUT,
                ErrorKind::InvalidInput => exit::USAGE,
                ErrorKind::InvalidData => exit::DATA,
                _ => exit::IO,
            },
            TrainError::Diverged { .. } => exit::INTERNAL,
            TrainError::Write { .. } => exit::IO,
        };
        Self(code, error.to_string())
    }
}

fn data_failure(error: &DataError) -> Failure {
    let code = match error {
        DataError::Open {
            source: OpenError::NotFound,
            ..
        } => exit::NO_INPUT,
        DataError::Open {
            source: OpenError::Read(_),
            ..
        }
        | DataError::Read { .. } => exit::IO,
        DataError::Open { .. } | DataError::NoSamples { .. } | DataError::TooShort { .. } => exit::DATA,
    };
    Failure(code, error.to_string())
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are errors to clap, but not to us. If printing fails there is nowhere to say so.
            let _ = error.print();
            return if error.use_stderr() {
                ExitCode::from(exit::USAGE)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    let done = match cli.command {
        Command::Tadgan(args) => tadgan(&args),
        Command::Import(args) => import(args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(code, line)) => {
            eprintln!("train: {line}");
            ExitCode::from(code)
        }
    }
}

fn tadgan(args: &TadganArgs) -> Result<(), Failure> {
    if args.device == Device::Gpu {
        let line = "training on a GPU is not built; use --device cpu";
        return Err(Failure(exit::USAGE, line.to_owned()));
    }
    let job = job(args)?;
    let data = load(args, job.sizes.window)?;
    let windows = data.training_places(job.sizes.window).len();
    eprintln!(
        "{} runs of buckets, {windows} training windows{}{}",
        data.runs.len(),
        note(data.short_series as u64, "series too short for a window"),
        note(data.rejected, "points rejected"),
    );
    let started = Instant::now();
    let bar = ProgressBar::new(0);
    let style = "{elapsed_precise} [{wide_bar}] {pos}/{len} {msg} left {eta}";
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style);
    }
    let plain = !std::io::stderr().is_terminal();
    let manifest = train::run(&job, &data, |progress| show(&bar, plain, started, progress))?;
    bar.finish_and_clear();
    let lag = manifest.calibration.first();
    println!(
        "{}: {} generator steps in {:.0} s; median error at lag 0 {:.4} of a half range",
        job.out.display(),
        manifest.training.generator_steps,
        started.elapsed().as_secs_f64(),
        lag.map_or(f64::NAN, |lag| lag.error_median),
    );
    Ok(())
}

fn note(count: u64, what: &str) -> String {
    if count == 0 {
        String::new()
    } else {
        format!(", {count} {what}")
    }
}

fn show(bar: &ProgressBar, plain: bool, started: Instant, progress: Progress<'_>) {
    let losses = progress.losses;
    let line = format!(
        "mse {:.4} cx {:.2} cz {:.2} eg {:.2} distance {:.3}",
        losses.generator.mse,
        losses.critic_x.total(),
        losses.critic_z.total(),
        losses.generator.total,
        losses.critic_x.wasserstein(),
    );
    if plain {
        if progress.done == 1 || progress.done.is_multiple_of(20) || progress.done == progress.steps {
            let spent = started.elapsed().as_secs_f64();
            let left = spent / progress.done as f64 * (progress.steps - progress.done) as f64;
            eprintln!(
                "step {}/{} {line} left {left:.0} s",
                progress.done, progress.steps
            );
        }
        return;
    }
    bar.set_length(progress.steps as u64);
    bar.set_message(line);
    bar.set_position(progress.done as u64);
}

fn load(args: &TadganArgs, window: usize) -> Result<Dataset, Failure> {
    let failed = |error: DataError| data_failure(&error);
    if let Some(count) = args.source.synthetic {
        return Dataset::synthetic(args.seed, count, args.points, window).map_err(failed);
    }
    let files = match &args.source.data {
        Some(dir) => files_under(dir).map_err(failed)?,
        None => args.source.file.clone(),
    };
    if files.is_empty() {
        return Err(Failure(
            exit::DATA,
            "no .csv or .jsonl file in the directory".to_owned(),
        ));
    }
    let interval = match args.interval {
        Some(Interval::Ms(ms)) => Some(ms),
        Some(Interval::Any) | None => None,
    };
    Dataset::from_files(&files, window, interval, |_| {}).map_err(failed)
}

fn job(args: &TadganArgs) -> Result<Job, Failure> {
    let Some(sizes) = training::nets::Sizes::named(&args.arch) else {
        let known = training::nets::ARCHITECTURES.join(", ");
        let line = format!("unknown architecture `{}`; known are {known}", args.arch);
        return Err(Failure(exit::USAGE, line));
    };
    let one_file = args.source.file.len() == 1;
    let scaler = match args.scaler {
        Some(ScalerName::Minmax) => ScalerChoice::MinMax,
        Some(ScalerName::Window) => ScalerChoice::Window,
        None if one_file => ScalerChoice::MinMax,
        None => ScalerChoice::Window,
    };
    let run = args.resume.as_ref().or(args.run.as_ref()).cloned();
    let run = run.unwrap_or_else(|| {
        let mut name = args.out.clone().into_os_string();
        name.push(".run");
        PathBuf::from(name)
    });
    Ok(Job {
        name: bundle_name(args.name.as_deref(), &args.out)?,
        out: args.out.clone(),
        run,
        command: command_line(),
        architecture: args.arch.clone(),
        sizes,
        settings: training::trainer::Settings {
            seed: args.seed,
            batch: args.batch,
            average: args.ema,
            warm_up: args.warm_up,
            reconstruction_weight: args.reconstruction_weight,
            learning_rate: args.learning_rate,
            dropout: !args.no_dropout,
            threads: args
                .threads
                .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get)),
        },
        resume: args.resume.is_some(),
        length: args.epochs.map_or(Length::Steps(args.steps), Length::Epochs),
        checkpoint_every: args.checkpoint_every,
        scaler,
        any_interval: match args.interval {
            Some(Interval::Any) => true,
            Some(Interval::Ms(_)) => false,
            None => !one_file,
        },
    })
}

fn import(args: ImportArgs) -> Result<(), Failure> {
    let Interval::Ms(interval) = args.interval else {
        return Err(Failure(
            exit::USAGE,
            "imported weights need their interval".to_owned(),
        ));
    };
    if !(args.min.is_finite() && args.max.is_finite() && args.min <= args.max) {
        return Err(Failure(exit::USAGE, "--min and --max are no range".to_owned()));
    }
    if args.window % 2 == 1 || args.window < 18 {
        return Err(Failure(
            exit::USAGE,
            "--window must be even and at least 18".to_owned(),
        ));
    }
    let job = ImportJob {
        name: bundle_name(args.name.as_deref(), &args.out)?,
        command: command_line(),
        sizes: training::nets::Sizes {
            window: args.window,
            ..training::nets::Sizes::paper()
        },
        range: (args.min, args.max),
        interval,
        weights: args.weights,
        out: args.out,
        calibrate_on: args.calibrate,
    };
    let manifest = train::import(&job)?;
    println!("{}: {}", job.out.display(), manifest.name);
    Ok(())
}

fn bundle_name(given: Option<&str>, out: &std::path::Path) -> Result<String, Failure> {
    let last = out.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = given.map(str::to_owned).or(last).unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || !name.chars().all(plain) {
        let line = format!("`{name}` is no name of a bundle: letters, digits, `-`, `_` and `.`; see --name");
        return Err(Failure(exit::USAGE, line));
    }
    Ok(name)
}

/// The command line as typed, but for the place of the program.
fn command_line() -> String {
    let arguments = std::env::args().skip(1).map(|argument| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./,=:".contains(c);
        if !argument.is_empty() && argument.chars().all(plain) {
            argument
        } else {
            format!("'{}'", argument.replace('\'', "'\\''"))
        }
    });
    std::iter::once("train".to_owned())
        .chain(arguments)
        .collect::<Vec<_>>()
        .join(" ")
}
