//! From options to jobs.

use std::path::Path;

use scorer::manifest::ModelKind;
use training::denoise::Denoise;
use training::nets::{ARCHITECTURES, Sizes};
use training::recipe::{Recipe, WeightUnit};
use training::train::{Job, Length, ScalerChoice};
use training::warm_start::{self, Origin, WarmStartError};

use crate::cli::{AerArgs, CommonArgs, Device, Interval, ScalerName, TadganArgs, WeightUnitName};
use crate::{Failure, exit};

/// The job of `train tadgan`.
pub(crate) fn tadgan(args: &TadganArgs) -> Result<Job, Failure> {
    let origin = args.common.warm_start.as_deref().map(origin).transpose()?;
    let (architecture, sizes) = match &origin {
        Some(origin) => from_bundle(args, origin)?,
        None => named(args)?,
    };
    let mut recipe = Recipe::of(&architecture);
    if origin.is_some() {
        recipe.warm_up = 0;
    }
    let dropout = match (args.dropout, args.no_dropout) {
        (false, false) => recipe.dropout,
        (on, _) => on,
    };
    let recipe = Recipe {
        warm_up: args.warm_up.unwrap_or(recipe.warm_up),
        reconstruction_weight: args.reconstruction_weight.unwrap_or(recipe.reconstruction_weight),
        weight_unit: args.weight_unit.map_or(recipe.weight_unit, |unit| match unit {
            WeightUnitName::One => WeightUnit::One,
            WeightUnitName::Linear => WeightUnit::Linear,
        }),
        final_rate: args.final_rate.unwrap_or(recipe.final_rate),
        dropout,
        ..recipe
    };
    let mut job = common(&args.common, (&architecture, sizes), &recipe, origin)?;
    job.settings.huber = args.huber.unwrap_or(0.0);
    if let Some(share) = args.denoise {
        if job.gpu {
            let line = "--denoise is not there on a GPU; leave it or --device gpu out".to_owned();
            return Err(Failure(exit::USAGE, line));
        }
        job.settings.denoise = Some(Denoise {
            share,
            by_window: job.scaler == ScalerChoice::Window,
        });
    }
    Ok(job)
}

/// The job of `train aer`.
pub(crate) fn aer(args: &AerArgs) -> Result<Job, Failure> {
    let origin = args.common.warm_start.as_deref().map(origin).transpose()?;
    let sizes = match &origin {
        Some(origin) if origin.sizes.model() != ModelKind::Aer => return Err(other_method("a TadGAN")),
        Some(origin) => origin.sizes.clone(),
        None => Sizes::aer(),
    };
    common(&args.common, ("aer", sizes), &Recipe::AER, origin)
}

/// The job of either method, from the options that both have.
pub(crate) fn common(
    args: &CommonArgs,
    (architecture, sizes): (&str, Sizes),
    recipe: &Recipe,
    origin: Option<Origin>,
) -> Result<Job, Failure> {
    let one_file = args.source.file.len() == 1;
    let asked = args.scaler.map(|scaler| match scaler {
        ScalerName::Minmax => ScalerChoice::MinMax,
        ScalerName::Window => ScalerChoice::Window,
    });
    let given = origin.as_ref().map(|origin| origin.scaler);
    if let (Some(asked), Some(given)) = (asked, given)
        && asked != given
    {
        return Err(contradiction("--scaler"));
    }
    let usual = match sizes.model() {
        ModelKind::Tadgan if one_file => ScalerChoice::MinMax,
        // AER reconstructs and predicts better so, even what it was trained on alone.
        ModelKind::Tadgan | ModelKind::Aer => ScalerChoice::Window,
    };
    let recipe = Recipe {
        learning_rate: args.learning_rate.unwrap_or(recipe.learning_rate),
        batch: args.batch.unwrap_or(recipe.batch),
        average: args.ema.unwrap_or(recipe.average),
        patience: args.patience.unwrap_or(recipe.patience),
        steps: args.steps.unwrap_or(recipe.steps),
        ..*recipe
    };
    let name = bundle_name(args.name.as_deref(), &args.out)?;
    let mut job = Job::new(&name, &args.out, architecture, sizes, &recipe);
    if let Some(run) = args.resume.as_ref().or(args.run.as_ref()) {
        job.run.clone_from(run);
    }
    if let Some(epochs) = args.epochs {
        job.length = Length::Epochs(epochs);
    }
    job.command = command_line();
    job.warm_start = origin.map(|origin| origin.start);
    job.settings.seed = args.seed;
    job.settings.threads = threads(args.threads);
    job.gpu = args.device == Device::Gpu;
    job.resume = args.resume.is_some();
    job.epoch_steps = args.epoch_steps;
    job.checkpoint_every = args.checkpoint_every;
    job.accept_poor = args.accept_poor;
    job.scaler = asked.or(given).unwrap_or(usual);
    job.any_interval = match args.interval {
        Some(Interval::Any) => true,
        Some(Interval::Ms(_)) => false,
        None => !one_file,
    };
    Ok(job)
}

fn named(args: &TadganArgs) -> Result<(String, Sizes), Failure> {
    let name = args.arch.as_deref().unwrap_or("conv");
    let Some(mut sizes) = Sizes::named(name) else {
        let known = ARCHITECTURES.join(", ");
        let line = format!("unknown architecture `{name}`; known are {known}");
        return Err(Failure(exit::USAGE, line));
    };
    sizes.critic_z_units = args.critic_z_units.unwrap_or(sizes.critic_z_units);
    Ok((name.to_owned(), sizes))
}

fn from_bundle(args: &TadganArgs, origin: &Origin) -> Result<(String, Sizes), Failure> {
    if origin.sizes.model() != ModelKind::Tadgan {
        return Err(other_method("an AER"));
    }
    if args
        .arch
        .as_ref()
        .is_some_and(|arch| *arch != origin.architecture)
    {
        return Err(contradiction("--arch"));
    }
    if args
        .critic_z_units
        .is_some_and(|units| units != origin.sizes.critic_z_units)
    {
        return Err(contradiction("--critic-z-units"));
    }
    Ok((origin.architecture.clone(), origin.sizes.clone()))
}

fn other_method(what: &str) -> Failure {
    let line = format!("the bundle of --warm-start is {what}, which another command trains");
    Failure(exit::USAGE, line)
}

fn contradiction(what: &str) -> Failure {
    Failure(
        exit::USAGE,
        format!("{what} is not what the bundle of --warm-start has"),
    )
}

/// The bundle to start from.
pub(crate) fn origin(dir: &Path) -> Result<Origin, Failure> {
    if !dir.is_dir() {
        let line = format!("no bundle at {}: there is no such directory", dir.display());
        return Err(Failure(exit::NO_INPUT, line));
    }
    warm_start::load(dir).map_err(|error: WarmStartError| Failure(exit::DATA, error.to_string()))
}

/// The name of a bundle: as given, or where it goes.
pub(crate) fn bundle_name(given: Option<&str>, out: &Path) -> Result<String, Failure> {
    let last = out.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = given.map(str::to_owned).or(last).unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || !name.chars().all(plain) {
        let line = format!("`{name}` is no name of a bundle: letters, digits, `-`, `_` and `.`; see --name");
        return Err(Failure(exit::USAGE, line));
    }
    Ok(name)
}

/// As many as there are cores, unless a number is asked for.
pub(crate) fn threads(asked: Option<usize>) -> usize {
    asked.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
}

/// The command line as typed, but for the place of the program; one that goes on with a run is that of the whole run.
pub(crate) fn command_line() -> String {
    let arguments = std::env::args().skip(1).map(|argument| {
        let argument = match argument.strip_prefix("--resume") {
            Some(rest) if rest.is_empty() || rest.starts_with('=') => format!("--run{rest}"),
            _ => argument,
        };
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
