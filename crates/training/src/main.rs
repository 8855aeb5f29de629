//! `train`: makes bundles.

mod cli;
mod experiments;
mod job;
mod progress;

use std::io::ErrorKind;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser as _;
use ingest::file::OpenError;
use training::data::{DataError, DataOptions, Dataset, Inputs};
use training::gpu::{self, GpuError};
use training::import::{self, ImportError, ImportJob};
use training::run_dir::ResumeError;
use training::train::{self, Job, TrainError};

use crate::cli::{Cli, Command, CommonArgs, ImportArgs, Interval, TadganArgs};
use crate::progress::Display;

/// Exit codes, after the BSD `sysexits` convention; the same as those of `agent`.
mod exit {
    pub(crate) const USAGE: u8 = 64;
    pub(crate) const DATA: u8 = 65;
    pub(crate) const NO_INPUT: u8 = 66;
    pub(crate) const UNAVAILABLE: u8 = 69;
    pub(crate) const INTERNAL: u8 = 70;
    pub(crate) const IO: u8 = 74;
}

/// Why the program ends early: an exit code and one line.
struct Failure(u8, String);

impl From<TrainError> for Failure {
    fn from(error: TrainError) -> Self {
        let code = match &error {
            TrainError::Data(data) => return data_failure(data),
            TrainError::Resume(error) => resume_code(error),
            TrainError::Gpu(GpuError::NotBuilt | GpuError::Nets(_)) => exit::USAGE,
            TrainError::Gpu(GpuError::Absent(_) | GpuError::Unfit { .. }) => exit::UNAVAILABLE,
            TrainError::Trouble(_) => exit::INTERNAL,
            TrainError::Write(_) => exit::IO,
        };
        Self(code, error.to_string())
    }
}

/// The exit code of a run that cannot go on.
fn resume_code(error: &ResumeError) -> u8 {
    match error {
        ResumeError::Read { source, .. } => match source.kind() {
            ErrorKind::NotFound => exit::NO_INPUT,
            ErrorKind::InvalidData => exit::DATA,
            _ => exit::IO,
        },
        ResumeError::Format { .. } => exit::DATA,
        ResumeError::Further { .. } | ResumeError::Other { .. } => exit::USAGE,
        ResumeError::Write(_) => exit::IO,
    }
}

impl From<ImportError> for Failure {
    fn from(error: ImportError) -> Self {
        let code = match &error {
            ImportError::Data(data) => return data_failure(data),
            ImportError::Read { .. } => exit::NO_INPUT,
            ImportError::Format { .. } | ImportError::Tensors(_) => exit::DATA,
            ImportError::Write(_) => exit::IO,
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
        DataError::NoFile { .. } => exit::NO_INPUT,
        DataError::Open {
            source: OpenError::Read(_),
            ..
        }
        | DataError::Read { .. }
        | DataError::Spool { .. } => exit::IO,
        DataError::Changed { .. }
        | DataError::Irregular { .. }
        | DataError::NoSamples { .. }
        | DataError::Open { .. }
        | DataError::TooShort { .. } => exit::DATA,
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
        Command::Aer(args) => job::aer(&args).and_then(|job| train(&args.common, job)),
        Command::Import(args) => import(args),
        Command::Dcgan(args) => experiments::dcgan(args),
        Command::ModeCollapse(args) => experiments::mode_collapse(args),
        Command::Seasonality(args) => experiments::seasonality(args),
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
    train(&args.common, job::tadgan(args)?)
}

/// Trains, whatever the method.
fn train(args: &CommonArgs, job: Job) -> Result<(), Failure> {
    if job.gpu {
        eprintln!("on {}", gpu::find(&job.sizes).map_err(TrainError::from)?);
    }
    train::check(&job)?;
    let data = load(args, &job)?;
    eprintln!(
        "{} runs of buckets, {} training windows; {}",
        data.runs(),
        data.train_windows().len(),
        data.summary
    );
    let started = Instant::now();
    let mut display = Display::new();
    let outcome = train::run(&job, &data, |progress| display.show(&progress))?;
    display.finish();
    progress::summarise(&job, &outcome, started.elapsed());
    Ok(())
}

/// Reads the data; its spool lies in the run directory, which does not stay if there is nothing to train on.
fn load(args: &CommonArgs, job: &Job) -> Result<Dataset, Failure> {
    let options = DataOptions {
        interval: match args.interval {
            Some(Interval::Ms(ms)) => Some(ms),
            Some(Interval::Any) | None => None,
        },
        train_fraction: args.train_fraction,
        spool_dir: job.run.clone(),
        ..DataOptions::new(job.sizes.window)
    };
    let there = job.run.exists();
    std::fs::create_dir_all(&job.run)
        .map_err(|error| Failure(exit::IO, format!("cannot write {}: {error}", job.run.display())))?;
    let source = &args.source;
    let read = || match source.synthetic {
        Some(count) => Dataset::synthetic(args.seed, count, args.points, &options),
        None if source.data.is_empty() => Dataset::from_files(&Inputs::files(&source.file), &options, |_| {}),
        None => Dataset::from_files(&Inputs::search(&source.data)?, &options, |_| {}),
    };
    read().map_err(|error| {
        if !there {
            // What has come into it since is left alone, and so is the directory.
            let _ = std::fs::remove_dir(&job.run);
        }
        data_failure(&error)
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
        name: job::bundle_name(args.name.as_deref(), &args.out)?,
        command: job::command_line(),
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
    let manifest = import::run(&job)?;
    println!("{}: {}", job.out.display(), manifest.name);
    Ok(())
}
