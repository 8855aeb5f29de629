//! The command line of `train`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};
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
    Tadgan(TadganArgs),
    /// Make a bundle of weights in Keras' layout (a safetensors file).
    Import(ImportArgs),
}

/// Exactly one of them.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct SourceArgs {
    /// Metric files, as `agent replay` reads them.
    #[arg(long, num_args = 1.., value_name = "FILE")]
    pub(crate) file: Vec<PathBuf>,
    /// A directory with metric files, searched recursively.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// So many generated series.
    #[arg(long, value_name = "N", value_parser = positive)]
    pub(crate) synthetic: Option<usize>,
}

#[derive(Debug, Args)]
pub(crate) struct TadganArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// Samples of each generated series.
    #[arg(long, value_name = "N", default_value_t = 2000)]
    pub(crate) points: usize,
    /// Directory of the bundle; a bundle that is there is replaced.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Directory for settings, losses and checkpoints [default: OUT.run]
    #[arg(long, value_name = "DIR")]
    pub(crate) run: Option<PathBuf>,
    /// Go on with the run in this directory from its newest checkpoint; with the same data and settings, more steps
    /// aside, the weights are those of a run that never stopped.
    #[arg(long, value_name = "RUN", conflicts_with = "run")]
    pub(crate) resume: Option<PathBuf>,
    /// Name of the bundle, as alerts show it [default: last part of OUT]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// The one seed: the same gives the same weights, whatever the number of threads.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Sizes of the nets: paper or small.
    #[arg(long, value_name = "NAME", default_value = "paper")]
    pub(crate) arch: String,
    /// Generator steps; each is preceded by five of each critic.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = positive)]
    pub(crate) steps: usize,
    /// Times over the data, instead of --steps.
    #[arg(long, value_name = "N", conflicts_with = "steps", value_parser = positive)]
    pub(crate) epochs: Option<usize>,
    /// Generator steps before those, on the reconstruction alone: an eighth of the work each. The paper has none.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) warm_up: usize,
    /// Weight of the reconstruction error; 10 is the reference's.
    #[arg(long, value_name = "WEIGHT", default_value_t = 10.0, value_parser = weight)]
    pub(crate) reconstruction_weight: f32,
    /// Rate of the three Adams; 0.0005 is the reference's.
    #[arg(long, value_name = "RATE", default_value_t = 0.0005, value_parser = rate)]
    pub(crate) learning_rate: f64,
    /// Windows of a batch.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = positive)]
    pub(crate) batch: usize,
    /// How windows become input [default: minmax for one file, else window]
    #[arg(long)]
    pub(crate) scaler: Option<ScalerName>,
    /// Grid of the series, e.g. 300s, and what the bundle is for; `any` infers it a series [default: inferred]
    #[arg(long)]
    pub(crate) interval: Option<Interval>,
    /// Leave dropout out of training: the reference has it, but on varied data it drives the critics apart.
    #[arg(long)]
    pub(crate) no_dropout: bool,
    /// Decay a generator step of the average of the weights that the bundle is made of; 0 takes the last weights.
    #[arg(long, value_name = "DECAY", default_value_t = 0.995, value_parser = decay)]
    pub(crate) ema: f64,
    /// Generator steps between checkpoints.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = positive)]
    pub(crate) checkpoint_every: usize,
    /// Threads [default: as many as there are cores]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub(crate) threads: Option<usize>,
    /// Where to train.
    #[arg(long, default_value = "cpu")]
    pub(crate) device: Device,
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
    /// A metric file whose last fifth calibrates the bundle [default: a sine, good for parity tests only]
    #[arg(long, value_name = "FILE")]
    pub(crate) calibrate: Option<PathBuf>,
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

fn weight(text: &str) -> Result<f32, String> {
    text.parse()
        .ok()
        .filter(|weight: &f32| *weight >= 0.0 && weight.is_finite())
        .ok_or_else(|| "expected a number from 0 on".to_owned())
}

fn rate(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|rate: &f64| *rate > 0.0 && rate.is_finite())
        .ok_or_else(|| "expected a number above 0".to_owned())
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
