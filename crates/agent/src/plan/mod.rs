//! `agent plan`: what so many series will take, before they come.
//!
//! What can be counted is counted on a real task ([`memory`]), what depends on the machine is measured on it ([`speed`]), and
//! the report says which is which.

pub mod memory;
mod report;
pub mod speed;

use std::path::PathBuf;

use pipeline::TaskSettings;
use serde::Serialize;
use types::DurationMs;

use self::memory::{Driven, SeriesMemory};
use self::speed::Speed;
use crate::failure::Failure;
use crate::model::{self, ServingOptions};
use crate::settings;

/// What `agent plan` was asked for.
#[derive(Clone, Debug)]
pub struct PlanOptions {
    /// Series.
    pub series: u64,
    /// Length of their buckets (milliseconds), more than 0.
    pub interval: DurationMs,
    /// Configuration file.
    pub config: Option<PathBuf>,
    /// `section.key=value` over it.
    pub overrides: Vec<(String, String)>,
    /// Bundle, device and threads.
    pub serving: ServingOptions,
    /// Print one JSON document.
    pub json: bool,
}

/// What an allocator adds to what was asked of it, as a share: headers, rounding, holes.
const ALLOCATOR: f64 = 0.1;
/// What the Kafka clients hold at most: 16 MiB of records fetched ahead, as much in fetches under way (a MiB for each of 16
/// partitions), and 8 MiB of outputs that wait for their commit.
const KAFKA_BYTES: u64 = 40 << 20;
/// How much of a core, or of the nets' threads, may be planned with: the rest is for catching up and for the broker.
const LOAD: f64 = 0.7;

/// The whole prediction: the document of `--json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// Series planned for.
    pub series: u64,
    /// Length of their buckets (milliseconds).
    pub interval_ms: DurationMs,
    /// Bundle name and hash.
    pub bundle: String,
    /// Windows a second.
    pub windows: Windows,
    /// What the nets did in a short run on this machine.
    pub measured: Speed,
    /// What the planned series need of such cores.
    pub cores: Cores,
    /// Bytes.
    pub memory: Memory,
    /// Bytes of a full series in a snapshot of its task.
    pub snapshot_bytes_per_series: usize,
    /// Fewest partitions, for `state.max_series` is a cap on each.
    pub partitions: u64,
    /// Fewest agents, for the loop of each is one thread; with fewer, its nets or its loop would be behind.
    pub agents: u64,
}

/// Windows a second when every series has a sample in every bucket.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Windows {
    /// One a bucket.
    pub fine: f64,
    /// One a coarse bucket.
    pub coarse: f64,
    /// Both.
    pub total: f64,
}

/// Cores that are busy all the time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Cores {
    /// Running nets; of threads that feed a GPU where one computes.
    pub nets: f64,
    /// Decoding, windows, scores and alerts, at one sample a bucket.
    pub tasks: f64,
}

/// Bytes. What is counted is counted on a full series, with an event under way.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Memory {
    /// Of one series, by what for.
    pub per_series: SeriesMemory,
    /// All series, with what the allocator adds.
    pub series: u64,
    /// Program, ONNX Runtime and nets, measured in this process; `None` where the system does not say.
    pub process: Option<u64>,
    /// Kafka's buffers at most.
    pub kafka: u64,
    /// All of it.
    pub total: u64,
}

/// Predicts and prints.
///
/// # Errors
/// Wrong configuration, a bad bundle, no runtime, or a device that does not work.
pub fn run(options: &PlanOptions) -> Result<(), Failure> {
    let settings = settings::load(options.config.as_deref(), None, &options.overrides)?;
    let mut serving = model::load(&settings.serving(&options.serving))?;
    settings.check_model(&serving.model())?;
    let measured = speed::measure(&mut serving).map_err(Failure::unavailable)?;
    let process = speed::resident_bytes();
    let task = settings.task("plan", serving.model());
    let driven = memory::drive(&task, options.interval).map_err(Failure::internal)?;
    let plan = Plan::new(
        options.series,
        options.interval,
        &task,
        &driven,
        measured,
        process,
    );
    crate::logging::say(&if options.json {
        let mut document = serde_json::to_string_pretty(&plan).map_err(Failure::internal)?;
        document.push('\n');
        document
    } else {
        report::text(&plan)
    });
    Ok(())
}

impl Plan {
    /// Arithmetic over what was counted and measured. `process` is what the process took before there were series (bytes).
    #[must_use]
    pub fn new(
        series: u64,
        interval: DurationMs,
        task: &TaskSettings,
        driven: &Driven,
        measured: Speed,
        process: Option<u64>,
    ) -> Self {
        let count = series as f64;
        let fine = count * 1_000.0 / interval as f64;
        let factor = task.defaults.score.coarse_buckets(interval);
        let coarse = if factor > 1 { fine / f64::from(factor) } else { 0.0 };
        let windows = Windows {
            fine,
            coarse,
            total: fine + coarse,
        };
        let cores = Cores {
            nets: windows.total / measured.windows_per_second_per_thread,
            tasks: fine * driven.bucket.as_secs_f64(),
        };
        let of_series = (count * driven.memory.total() as f64 * (1.0 + ALLOCATOR)).ceil() as u64;
        let least = |load: f64| (load / LOAD).ceil().max(1.0) as u64;
        Self {
            series,
            interval_ms: interval,
            bundle: task.model.label.clone(),
            windows,
            cores,
            memory: Memory {
                per_series: driven.memory,
                series: of_series,
                process,
                kafka: KAFKA_BYTES,
                total: of_series + process.unwrap_or(0) + KAFKA_BYTES,
            },
            snapshot_bytes_per_series: driven.snapshot,
            partitions: series.div_ceil(task.max_series as u64).max(1),
            agents: least(cores.tasks).max(least(cores.nets / measured.threads as f64)),
            measured,
        }
    }
}
