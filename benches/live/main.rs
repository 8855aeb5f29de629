//! The agent as a process on a real Apache Kafka, measured in real time: how long a kill is felt, and whether hours leave a trace.
//!
//! ```text
//! cargo bench -p aiops-benches --bench live -- recovery [--series 10000] [--preload 150] [--only state-dynamic]
//! cargo bench -p aiops-benches --bench live -- soak [--minutes 30] [--warm-up 5] [--series 20000] [--preload 200] [--csv out/soak.csv]
//! ```
//!
//! The agent is this program, started again as `run`; `--agent PROGRAM` takes another. Needs a JDK from version 17 and Maven.

mod broker;
mod fleet;
#[path = "../../crates/ingest/tests/kafka/node.rs"]
#[expect(clippy::unwrap_used, reason = "a test's helper")]
mod node;
mod process;
mod recovery;
mod soak;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser as _;

/// What the command line says; each command has defaults of its own.
#[derive(Debug, Default)]
pub(crate) struct Options {
    pub(crate) series: Option<usize>,
    pub(crate) preload: Option<usize>,
    pub(crate) minutes: Option<f64>,
    pub(crate) warm_up: Option<f64>,
    pub(crate) only: Option<String>,
    pub(crate) csv: Option<PathBuf>,
    pub(crate) agent: Option<PathBuf>,
}

/// Set for the agent that this program starts, which is itself.
pub(crate) const IS_AGENT: &str = "LIVE_BENCH_IS_AGENT";

fn main() -> ExitCode {
    if std::env::var_os(IS_AGENT).is_some() {
        return run_agent();
    }
    // `cargo bench` says so; under `cargo test` a word is the name of a test, and nobody waits for minutes.
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    match std::env::args().nth(1).as_deref() {
        Some("recovery") if is_bench => recovery::measure(&Options::read()),
        Some("soak") if is_bench => soak::measure(&Options::read()),
        _ => println!("nothing measured: say `recovery` or `soak` to `cargo bench`"),
    }
    ExitCode::SUCCESS
}

fn run_agent() -> ExitCode {
    match agent::cli::run(agent::cli::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("agent: {failure}");
            ExitCode::from(failure.code)
        }
    }
}

impl Options {
    fn read() -> Self {
        let mut options = Self::default();
        let mut arguments = std::env::args().skip(2);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().unwrap_or_default();
            match argument.as_str() {
                "--series" => options.series = Some(value().parse().expect("a number of series")),
                "--preload" => options.preload = Some(value().parse().expect("a number of buckets")),
                "--minutes" => options.minutes = Some(value().parse().expect("minutes")),
                "--warm-up" => options.warm_up = Some(value().parse().expect("minutes")),
                "--only" => options.only = Some(value()),
                "--csv" => options.csv = Some(value().into()),
                "--agent" => options.agent = Some(value().into()),
                // What cargo adds.
                _ => {}
            }
        }
        options
    }
}

/// Another process sends no event.
#[expect(clippy::disallowed_methods, reason = "what is measured goes by the clock")]
pub(crate) fn pause(milliseconds: u64) {
    std::thread::sleep(std::time::Duration::from_millis(milliseconds));
}
