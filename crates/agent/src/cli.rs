//! The command line: words that other programs rely on.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::demo::DemoOptions;
use crate::evaluate::EvaluateOptions;
use crate::evaluate::choice::Half;
use crate::failure::Failure;
use crate::model::ServingOptions;
use crate::plan::PlanOptions;
use crate::replay::ReplayOptions;
use scorer::runtime::Device;
use types::DurationMs;

/// Watches metric streams and says early, once and with reasons when something is not normal.
#[derive(Debug, Parser)]
#[command(name = "agent", version, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// The daemon: metrics from Kafka topics in, alerts to a topic out.
    Run(RunArgs),
    /// Backtest a file: what the daemon would have said.
    Replay(ReplayArgs),
    /// Measure the agent on many labelled files: NAB score, events, delay, alerts a day.
    Evaluate(EvaluateArgs),
    /// Watch alerts come out of a live synthetic stream with faults; nothing to set up.
    Demo(DemoArgs),
    /// Check configuration, bundle and broker, and say every problem at once.
    Check(CheckArgs),
    /// Say what a bundle is and verify it against its fingerprint.
    Inspect(InspectArgs),
    /// Say what a stream or file holds: series, intervals, rejects with reasons.
    Decode(DecodeArgs),
    /// Predict what so many series will take: memory, windows a second, cores.
    Plan(PlanArgs),
}

/// Options that name the bundle and where it runs.
#[derive(Debug, Args)]
pub struct ModelArgs {
    /// Bundle directory [default: the shipped models/general]
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceArgs,
}

/// Options that say where a bundle runs.
#[derive(Debug, Args)]
pub struct DeviceArgs {
    /// cpu, cuda (fails when it does not work) or auto
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<Device>,
    /// ONNX Runtime library [default: searched for]
    #[arg(long, value_name = "FILE")]
    pub onnxruntime: Option<PathBuf>,
    /// Inference threads [default: one a core]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
}

impl ModelArgs {
    fn serving(self) -> ServingOptions {
        self.device.serving(self.model)
    }
}

impl DeviceArgs {
    fn serving(self, model: Option<PathBuf>) -> ServingOptions {
        ServingOptions {
            model,
            device: self.device,
            onnxruntime: self.onnxruntime,
            threads: self.threads.unwrap_or(0),
        }
    }
}

/// `agent run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Override one setting, e.g. --set kafka.brokers=broker:9092
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    pub set: Vec<(String, String)>,
    /// Write every input and control record, so that `agent replay` can repeat the run
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    #[command(flatten)]
    model: ModelArgs,
}

/// `agent replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// CSV (NAB, long or wide), JSON lines, or a recorded run; plain, gzip or zstd
    #[arg(long, value_name = "FILE")]
    pub file: PathBuf,
    #[command(flatten)]
    model: ModelArgs,
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Override one setting, e.g. --set score.lag=4
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    pub set: Vec<(String, String)>,
    /// Labelled windows: JSON {key: [[start, end], …]}
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// Write alert states, one JSON line each
    #[arg(long, value_name = "OUT.jsonl")]
    pub alerts: Option<PathBuf>,
    /// Write one row a bucket (CSV, or JSON lines when it ends in .jsonl)
    #[arg(long, value_name = "OUT.csv")]
    pub scores: Option<PathBuf>,
    /// Write what was forecast of each next bucket, where the bundle predicts (CSV, or JSON lines when it ends in .jsonl)
    #[arg(long, value_name = "OUT.csv")]
    pub forecasts: Option<PathBuf>,
    /// Write a self-contained HTML report
    #[arg(long, value_name = "OUT.html")]
    pub report: Option<PathBuf>,
    /// At the end, score what live would not have scored yet
    #[arg(long)]
    pub flush: bool,
}

/// `agent evaluate`.
#[derive(Debug, Args)]
pub struct EvaluateArgs {
    /// Folder with the files; its own folders are families
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Labelled windows: JSON {key: [[start, end], …]}; files that no key names are left out
    #[arg(long, value_name = "FILE")]
    pub labels: PathBuf,
    /// Bundle directory [default: the shipped models/general]; several times: a row each, and their spread
    #[arg(long, value_name = "DIR")]
    pub model: Vec<PathBuf>,
    #[command(flatten)]
    device: DeviceArgs,
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Override one setting, e.g. --set score.lag=4
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    pub set: Vec<(String, String)>,
    /// Judge only what comes after this share of each file's time span, e.g. 0.7
    #[arg(long, value_name = "F", default_value_t = 0.0, value_parser = fraction)]
    pub train_fraction: f64,
    /// Judge only what comes after each file's own cut: JSON {"signals": [{"file": …, "test_start": …}, …]}
    #[arg(long, value_name = "FILE", conflicts_with = "train_fraction")]
    pub test_start: Option<PathBuf>,
    /// Look at these series only: a text file with a name a line, # for comments
    #[arg(long, value_name = "FILE")]
    pub series: Option<PathBuf>,
    /// Look only at every other file, in alphabetical order from the first or from the second on
    #[arg(long, value_name = "HALF")]
    pub half: Option<Half>,
    /// Measure the product alone, without what it is held against
    #[arg(long)]
    pub only_agent: bool,
    /// Print one JSON document instead of the table
    #[arg(long)]
    pub json: bool,
    /// Write the JSON document to a file, too
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// `agent demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// How long the stream is live, after its past has been read (some ten seconds)
    #[arg(long = "for", value_name = "DURATION", default_value = "60s", value_parser = duration)]
    pub live: Duration,
    /// The same seed gives the same stream and the same faults
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Let nothing go wrong
    #[arg(long)]
    pub no_faults: bool,
    /// Address of /metrics [default: 127.0.0.1:9464, or any port when that is in use]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    #[command(flatten)]
    model: ModelArgs,
}

/// `agent check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Override one setting
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    pub set: Vec<(String, String)>,
    #[command(flatten)]
    model: ModelArgs,
}

/// `agent inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    #[command(flatten)]
    model: ModelArgs,
}

/// `agent decode`.
#[derive(Debug, Args)]
pub struct DecodeArgs {
    /// File to look into
    #[arg(long, value_name = "FILE")]
    pub file: PathBuf,
    /// auto, native_json or prometheus_json
    #[arg(long, value_name = "FORMAT", default_value = "auto")]
    pub format: String,
}

/// `agent plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// Series at the same time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub series: u64,
    /// Length of their buckets, e.g. 60s
    #[arg(long, value_name = "DURATION", value_parser = interval)]
    pub interval: DurationMs,
    #[command(flatten)]
    model: ModelArgs,
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Override one setting, e.g. --set score.lag=4
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    pub set: Vec<(String, String)>,
    /// Print one JSON document instead of the text
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
///
/// # Errors
/// Whatever stopped it, with its exit code.
pub fn run(cli: Cli) -> Result<(), Failure> {
    match cli.command {
        Command::Run(args) => crate::run::run(&crate::run::RunOptions {
            config: args.config,
            overrides: args.set,
            record: args.record,
            serving: args.model.serving(),
        }),
        Command::Replay(args) => crate::replay::run(&ReplayOptions {
            file: args.file,
            serving: args.model.serving(),
            config: args.config,
            overrides: args.set,
            labels: args.labels,
            alerts: args.alerts,
            scores: args.scores,
            forecasts: args.forecasts,
            report: args.report,
            flush: args.flush,
        }),
        Command::Evaluate(args) => crate::evaluate::run(&EvaluateOptions {
            data: args.data,
            labels: args.labels,
            models: args.model,
            serving: args.device.serving(None),
            config: args.config,
            overrides: args.set,
            train_fraction: args.train_fraction,
            test_start: args.test_start,
            series: args.series,
            half: args.half,
            only_agent: args.only_agent,
            json: args.json,
            out: args.out,
        }),
        Command::Demo(args) => crate::demo::run(&DemoOptions {
            live: args.live,
            seed: args.seed,
            faults: !args.no_faults,
            listen: args.listen,
            serving: args.model.serving(),
        }),
        Command::Check(args) => crate::check::run(args.config.as_deref(), &args.set, &args.model.serving()),
        Command::Inspect(args) => crate::inspect::run(&args.model.serving()),
        Command::Decode(args) => crate::decode::run(&args.file, &args.format),
        Command::Plan(args) => crate::plan::run(&PlanOptions {
            series: args.series,
            interval: args.interval,
            config: args.config,
            overrides: args.set,
            serving: args.model.serving(),
            json: args.json,
        }),
    }
}

fn key_value(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()))
        .ok_or_else(|| format!("`{text}` is not KEY=VALUE"))
}

fn fraction(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| format!("`{text}` is no number"))?;
    if (0.0..1.0).contains(&value) {
        Ok(value)
    } else {
        Err(format!("`{text}` is not at least 0 and below 1"))
    }
}

/// What a configured interval may be, too.
fn interval(text: &str) -> Result<DurationMs, String> {
    let ms = crate::config::parse_duration(text)?;
    if (1..=windowing::MAX_INTERVAL).contains(&ms) {
        Ok(ms)
    } else {
        let most = crate::config::show_duration(windowing::MAX_INTERVAL);
        Err(format!("{} is outside 1ms to {most}", text.trim()))
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let ms = crate::config::parse_duration(text)?;
    u64::try_from(ms)
        .map(Duration::from_millis)
        .map_err(|e| e.to_string())
}
