//! The command line of `train`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};
use training::recipe::{CHECKPOINT_EVERY, Recipe};
use types::DurationMs;

/// Trains TadGAN and writes bundles for the agent.
#[derive(Debug, Parser)]
#[command(name = "train", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Train TadGAN on files or generated series and write a bundle.
    #[command(after_help = recipes())]
    Tadgan(TadganArgs),
    /// Train AER, a smaller net that reconstructs and predicts, and write a bundle.
    #[command(
        after_help = aer_defaults(),
        mut_arg("scaler", |arg| arg.help("How windows become input [default: window]")),
        mut_arg("warm_start", |arg| arg.help("Start from the nets of this bundle; the kind of scaler is then its own")),
        mut_arg("steps", |arg| arg.help("Steps, at most")),
        mut_arg("patience", |arg| arg.help(
            "Rows of epochs.csv without a held-out error 1 % below the best before them that end the run; 0: none do"
        )),
        mut_arg("learning_rate", |arg| arg.help("Adam's rate")),
    )]
    Aer(AerArgs),
    /// Make a bundle of weights in Keras' layout (a safetensors file).
    Import(ImportArgs),
    /// The GAN lab: digits, drawn by a DCGAN that learns from MNIST, and judged by a classifier.
    Dcgan(DcganArgs),
    /// The GAN lab: two peaks, learned by a vanilla GAN, which collapses, and by a Wasserstein GAN, which does not.
    ModeCollapse(ModeCollapseArgs),
    /// The GAN lab: a series whose season changes, and TadGAN, which notices.
    Seasonality(SeasonalityArgs),
}

#[derive(Debug, Args)]
pub(crate) struct DcganArgs {
    /// Directory with the four IDX files of MNIST, plain or gzipped.
    #[arg(long, value_name = "DIR")]
    pub(crate) mnist: PathBuf,
    /// Run directory: settings, losses, drawings, checkpoints.
    #[arg(long, value_name = "RUN")]
    pub(crate) out: PathBuf,
    /// Go on from the newest checkpoint in RUN, with the same settings.
    #[arg(long)]
    pub(crate) resume: bool,
    /// The one seed: the same gives the same drawings, whatever the number of threads.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Passes of the GAN over the digits.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = positive)]
    pub(crate) epochs: usize,
    /// Images of a batch.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = positive)]
    pub(crate) batch: usize,
    /// Adam's rate for generator and discriminator at the start; over the last quarter it falls to nothing.
    #[arg(long, value_name = "RATE", default_value_t = 0.0005, value_parser = above_zero)]
    pub(crate) learning_rate: f64,
    /// Decay a step of the average of the generator's weights that drawings are made with; 0 takes the weights themselves.
    #[arg(long, value_name = "DECAY", default_value_t = 0.999, value_parser = decay)]
    pub(crate) ema: f64,
    /// Drawings that are judged after each epoch.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = positive)]
    pub(crate) drawings: usize,
    /// Threads [default: as many as there are cores]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub(crate) threads: Option<usize>,
}

#[derive(Debug, Args)]
pub(crate) struct ModeCollapseArgs {
    /// Run directory: settings, looks at the samples, pictures, checkpoints.
    #[arg(long, value_name = "RUN")]
    pub(crate) out: PathBuf,
    /// Go on from the newest checkpoint in RUN, with the same settings.
    #[arg(long)]
    pub(crate) resume: bool,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// How many seeds, one after the other.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = positive)]
    pub(crate) seeds: usize,
    /// Generator steps of each GAN.
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = positive)]
    pub(crate) steps: usize,
    /// Generator steps between looks at the samples.
    #[arg(long, value_name = "N", default_value_t = 25, value_parser = positive)]
    pub(crate) look_every: usize,
    /// Samples of a batch.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = positive)]
    pub(crate) batch: usize,
    /// Adam's rate at the start; it falls linearly to nothing.
    #[arg(long, value_name = "RATE", default_value_t = 0.005, value_parser = above_zero)]
    pub(crate) learning_rate: f64,
    /// Updates of the discriminator before each of the generator.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = positive)]
    pub(crate) discriminator_updates: usize,
    /// Values of the noise that a sample is made of.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = positive)]
    pub(crate) latent: usize,
    /// Weight of the gradient penalty.
    #[arg(long, value_name = "WEIGHT", default_value_t = 0.1, value_parser = weight)]
    pub(crate) penalty_weight: f32,
}

#[derive(Debug, Args)]
pub(crate) struct SeasonalityArgs {
    /// Run directory: the series and its labels, what `train tadgan` leaves in one, the bundle, the picture.
    #[arg(long, value_name = "RUN")]
    pub(crate) out: PathBuf,
    /// Go on from the newest checkpoint in RUN, with the same settings.
    #[arg(long)]
    pub(crate) resume: bool,
    /// Seed of the series and of the nets.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Generator steps before --steps, on the reconstruction alone.
    #[arg(long, value_name = "N", default_value_t = 400)]
    pub(crate) warm_up: usize,
    /// Generator steps; each is preceded by five of each critic.
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = positive)]
    pub(crate) steps: usize,
    /// Threads [default: as many as there are cores]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub(crate) threads: Option<usize>,
}

/// Exactly one of them.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct SourceArgs {
    /// Metric files, as `agent replay` reads them.
    #[arg(help_heading = "Data", long, num_args = 1.., value_name = "FILE")]
    pub(crate) file: Vec<PathBuf>,
    /// Directories with metric files, searched recursively, or patterns such as 'metrics/**/*.csv'; may be repeated.
    /// Files that hold nothing usable are passed over and named.
    #[arg(help_heading = "Data", long, num_args = 1.., value_name = "DIR|PATTERN")]
    pub(crate) data: Vec<PathBuf>,
    /// So many generated series.
    #[arg(help_heading = "Data", long, value_name = "N", value_parser = positive)]
    pub(crate) synthetic: Option<usize>,
}

#[derive(Debug, Args)]
pub(crate) struct TadganArgs {
    #[command(flatten)]
    pub(crate) common: CommonArgs,
    /// Sizes of the nets: conv, small or paper [default: conv, or the bundle's with --warm-start]
    #[arg(long, value_name = "NAME", help_heading = "Nets")]
    pub(crate) arch: Option<String>,
    /// Units of the hidden layers of the critic of latents: 20 as in Orion, 100 as in the paper's code [default: 20]
    #[arg(long, value_name = "N", value_parser = positive, help_heading = "Nets")]
    pub(crate) critic_z_units: Option<usize>,
    /// Generator steps before --steps, on the reconstruction alone: an eighth of the work each. They end early when they
    /// no longer help, see --patience.
    #[arg(long, value_name = "N", help_heading = "Training")]
    pub(crate) warm_up: Option<usize>,
    /// Weight of the reconstruction error beside the critics; 10 is the reference's.
    #[arg(long, value_name = "WEIGHT", value_parser = weight, help_heading = "Training")]
    pub(crate) reconstruction_weight: Option<f32>,
    /// What that weight counts: `one`, mean squared errors, as in the reference; `linear`, the same relative to what the
    /// principal components of the data leave.
    #[arg(long, value_name = "UNIT", help_heading = "Training")]
    pub(crate) weight_unit: Option<WeightUnitName>,
    /// Error beyond which the reconstruction loss grows with it and no longer with its square, in the nets' units, of which a window
    /// spans about two: nets that are not punished by the square do not learn to rebuild outliers. docs/quality.md has what 0.1
    /// wins and loses.
    #[arg(long, value_name = "ERROR", value_parser = above_zero, help_heading = "Training")]
    pub(crate) huber: Option<f64>,
    /// Share of the rate that encoder and generator keep after the warm-up, over which it falls.
    #[arg(long, value_name = "SHARE", value_parser = share, help_heading = "Training")]
    pub(crate) final_rate: Option<f64>,
    /// Share of the windows that are shown with a jump at their end and are to be rebuilt without it, so that nets that train
    /// long do not learn to rebuild faults. Not on a GPU.
    #[arg(long, value_name = "SHARE", value_parser = share, help_heading = "Training")]
    pub(crate) denoise: Option<f64>,
    /// Have dropout in training, as the reference does.
    #[arg(long, help_heading = "Training", overrides_with = "no_dropout")]
    pub(crate) dropout: bool,
    /// Leave dropout out of training: on varied data it drives the critics apart.
    #[arg(long, help_heading = "Training", overrides_with = "dropout")]
    pub(crate) no_dropout: bool,
}

#[derive(Debug, Args)]
pub(crate) struct AerArgs {
    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

/// What every method needs.
#[derive(Debug, Args)]
pub(crate) struct CommonArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// Share of each file's time span, from its start, that is used at all; `agent evaluate --train-fraction` judges
    /// the rest.
    #[arg(long, value_name = "F", default_value_t = 1.0, value_parser = fraction, help_heading = "Data")]
    pub(crate) train_fraction: f64,
    /// Samples of each generated series.
    #[arg(long, value_name = "N", default_value_t = 2000, help_heading = "Data")]
    pub(crate) points: usize,
    /// How windows become input [default: minmax for one file, else window]
    #[arg(long, help_heading = "Data")]
    pub(crate) scaler: Option<ScalerName>,
    /// Grid of the series, e.g. 300s, and what the bundle is for; `any` infers it a series [default: inferred]
    #[arg(long, help_heading = "Data")]
    pub(crate) interval: Option<Interval>,
    /// Directory of the bundle; a bundle that is there is replaced once the new one is whole.
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub(crate) out: PathBuf,
    /// Name of the bundle, as alerts show it [default: last part of OUT]
    #[arg(long, help_heading = "Output")]
    pub(crate) name: Option<String>,
    /// Directory for settings, losses, their plot and checkpoints [default: OUT.run]
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub(crate) run: Option<PathBuf>,
    /// Go on with the run in this directory from its newest checkpoint; with the same data and settings, more steps
    /// aside, the bundle is that of a run that never stopped.
    #[arg(long, value_name = "RUN", conflicts_with = "run", help_heading = "Output")]
    pub(crate) resume: Option<PathBuf>,
    /// Generator steps between checkpoints.
    #[arg(long, value_name = "N", default_value_t = CHECKPOINT_EVERY, value_parser = positive, help_heading = "Output")]
    pub(crate) checkpoint_every: usize,
    /// Write the bundle even if the nets give no more than a constant.
    #[arg(long, help_heading = "Output")]
    pub(crate) accept_poor: bool,
    /// Start from the nets of this bundle; architecture, sizes and kind of scaler are then its own, and there is no
    /// warm-up unless it is asked for.
    #[arg(long, value_name = "BUNDLE", help_heading = "Nets")]
    pub(crate) warm_start: Option<PathBuf>,
    /// The one seed: the same gives the same weights, whatever the number of threads.
    #[arg(long, default_value_t = 0, help_heading = "Training")]
    pub(crate) seed: u64,
    /// Generator steps, at most; each is preceded by five of each critic.
    #[arg(long, value_name = "N", value_parser = positive, help_heading = "Training")]
    pub(crate) steps: Option<usize>,
    /// Passes over the data, instead of --steps.
    #[arg(long, value_name = "N", conflicts_with = "steps", value_parser = positive, help_heading = "Training")]
    pub(crate) epochs: Option<usize>,
    /// Generator steps between rows of epochs.csv, which is also what --patience counts [default: a pass over the data,
    /// but not below 50 or above 500]
    #[arg(long, value_name = "N", value_parser = positive, help_heading = "Training")]
    pub(crate) epoch_steps: Option<usize>,
    /// Rows of epochs.csv without a held-out error 1 % below the best before them that end the warm-up, and later the
    /// run; 0: none do.
    #[arg(long, value_name = "N", help_heading = "Training")]
    pub(crate) patience: Option<usize>,
    /// Rate of the optimisers; 0.0005 is the reference's.
    #[arg(long, value_name = "RATE", value_parser = above_zero, help_heading = "Training")]
    pub(crate) learning_rate: Option<f64>,
    /// Windows of a batch; 64 is the reference's.
    #[arg(long, value_name = "N", value_parser = positive, help_heading = "Training")]
    pub(crate) batch: Option<usize>,
    /// Decay a generator step of the average of the weights that the bundle is made of; 0 takes the weights themselves.
    #[arg(long, value_name = "DECAY", value_parser = decay, help_heading = "Training")]
    pub(crate) ema: Option<f64>,
    /// Threads [default: as many as there are cores]
    #[arg(long, value_name = "N", value_parser = positive, help_heading = "Machine")]
    pub(crate) threads: Option<usize>,
    /// Where to train.
    #[arg(long, default_value = "cpu", help_heading = "Machine")]
    pub(crate) device: Device,
}

/// The recipes as the end of the help.
fn recipes() -> String {
    let columns = [("paper", Recipe::PAPER), ("others", Recipe::COMPACT)];
    let row = |name: &str, value: &dyn Fn(&Recipe) -> String| {
        let values = columns.iter().map(|(_, recipe)| format!("{:>8}", value(recipe)));
        format!("\n  {name:<24}{}", values.collect::<String>())
    };
    let mut text = format!(
        "Defaults that depend on --arch:\n  {:<24}{:>8}{:>8}",
        "", columns[0].0, columns[1].0
    );
    text += &row("--warm-up", &|r| r.warm_up.to_string());
    text += &row("--steps", &|r| r.steps.to_string());
    text += &row("--patience", &|r| r.patience.to_string());
    text += &row("--reconstruction-weight", &|r| {
        r.reconstruction_weight.to_string()
    });
    text += &row("--weight-unit", &|r| r.weight_unit.name().to_owned());
    text += &row("--final-rate", &|r| r.final_rate.to_string());
    text += &row("--dropout", &|r| if r.dropout { "yes" } else { "no" }.to_owned());
    text += &row("--learning-rate", &|r| r.learning_rate.to_string());
    text += &row("--batch", &|r| r.batch.to_string());
    text += &row("--ema", &|r| r.average.to_string());
    text
}

/// The recipe of AER as the end of the help.
fn aer_defaults() -> String {
    let Recipe {
        steps,
        patience,
        learning_rate,
        batch,
        average,
        ..
    } = Recipe::AER;
    format!(
        "Defaults: --steps {steps} --patience {patience} --learning-rate {learning_rate} --batch {batch} --ema {average}"
    )
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The weights: tensors `encoder.00.…`, `generator.00.…`, `critic_x.00.…`, `critic_z.00.…`.
    #[arg(long, value_name = "FILE")]
    pub(crate) weights: PathBuf,
    /// Smallest training value.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) min: f64,
    /// Largest training value.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) max: f64,
    /// Interval of the training series, e.g. 300s.
    #[arg(long)]
    pub(crate) interval: Interval,
    /// Window length in buckets.
    #[arg(long, default_value_t = 100)]
    pub(crate) window: usize,
    /// Directory of the bundle.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Name of the bundle [default: last part of OUT]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// A metric file whose last tenth calibrates the bundle [default: a sine, good for parity tests only]
    #[arg(long, value_name = "FILE")]
    pub(crate) calibrate: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WeightUnitName {
    One,
    Linear,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ScalerName {
    /// Range of the training series onto [-1, 1].
    Minmax,
    /// Each window by its median and standard deviation.
    Window,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Device {
    Cpu,
    Gpu,
}

/// An interval on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interval {
    Any,
    Ms(DurationMs),
}

impl FromStr for Interval {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "any" {
            return Ok(Self::Any);
        }
        let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let unit = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => 0,
        };
        let ms = number
            .parse::<DurationMs>()
            .ok()
            .and_then(|n| n.checked_mul(unit));
        match ms {
            Some(ms) if (1..=windowing::MAX_INTERVAL).contains(&ms) => Ok(Self::Ms(ms)),
            _ => Err("expected `any`, or a number with ms, s, m, h or d, at most 366d".to_owned()),
        }
    }
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("expected a whole number above 0".to_owned()),
        Ok(number) => Ok(number),
    }
}

fn fraction(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|fraction| *fraction > 0.0 && *fraction <= 1.0)
        .ok_or_else(|| "expected a number above 0, at most 1".to_owned())
}

fn weight(text: &str) -> Result<f32, String> {
    text.parse()
        .ok()
        .filter(|weight: &f32| *weight >= 0.0 && weight.is_finite())
        .ok_or_else(|| "expected a number from 0 on".to_owned())
}

fn above_zero(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|number: &f64| *number > 0.0 && number.is_finite())
        .ok_or_else(|| "expected a number above 0".to_owned())
}

fn share(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|share| *share > 0.0 && *share <= 1.0)
        .ok_or_else(|| "expected a number above 0, at most 1".to_owned())
}

fn decay(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|decay| (0.0..1.0).contains(decay))
        .ok_or_else(|| "expected a number from 0 to below 1".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_read() {
        assert_eq!("any".parse(), Ok(Interval::Any));
        assert_eq!("300s".parse(), Ok(Interval::Ms(300_000)));
        assert_eq!("5m".parse(), Ok(Interval::Ms(300_000)));
        for text in ["", "300", "0s", "-5s", "1y", "99999d", "s"] {
            assert!(text.parse::<Interval>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }
}
