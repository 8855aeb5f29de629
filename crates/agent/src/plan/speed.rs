//! How fast the nets are here: a short run of the bundle, on every thread at once.

use std::time::Duration;

use scorer::BackendError;
use scorer::onnx::DEFAULT_BATCH;
use serde::Serialize;

use crate::clock::Stopwatch;
use crate::model::Serving;

/// How long each thread runs, after one batch that does not count.
const RUN: Duration = Duration::from_millis(1_000);

/// What a short run showed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Speed {
    /// What computed.
    pub device: String,
    /// Version of ONNX Runtime.
    pub runtime: String,
    /// Threads that ran at the same time, each with nets of its own.
    pub threads: usize,
    /// Rows of a call.
    pub batch: usize,
    /// Windows that came out.
    pub windows: usize,
    /// Time of the slowest thread (seconds).
    pub seconds: f64,
    /// Windows a second of the mean thread.
    pub windows_per_second_per_thread: f64,
}

/// Runs every backend of `serving` for a second.
///
/// # Errors
/// When a backend fails.
pub fn measure(serving: &mut Serving) -> Result<Speed, BackendError> {
    let window: Vec<f32> = (0..serving.bundle.manifest().window)
        .map(|i| (i as f32 * 0.1).sin())
        .collect();
    let threads = serving.backends.len().max(1);
    let ran: Result<Vec<(usize, Duration)>, BackendError> = std::thread::scope(|scope| {
        let workers: Vec<_> = serving
            .backends
            .iter_mut()
            .map(|backend| {
                let batch = [window.as_slice(); DEFAULT_BATCH];
                scope.spawn(move || {
                    backend.run(&batch)?;
                    let clock = Stopwatch::start();
                    let mut done = 0;
                    while clock.elapsed() < RUN {
                        done += backend.run(&batch)?.len();
                    }
                    Ok((done, clock.elapsed()))
                })
            })
            .collect();
        let panicked = |_| Err(BackendError("the backend panicked".to_owned()));
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(panicked))
            .collect()
    });
    let ran = ran?;
    let windows = ran.iter().map(|(done, _)| done).sum();
    let rate: f64 = ran
        .iter()
        .map(|(done, time)| *done as f64 / time.as_secs_f64())
        .sum();
    let slowest = ran.iter().map(|(_, time)| *time).max().unwrap_or_default();
    Ok(Speed {
        device: serving.device.clone(),
        runtime: serving.runtime_version.clone(),
        threads,
        batch: DEFAULT_BATCH,
        windows,
        seconds: slowest.as_secs_f64(),
        windows_per_second_per_thread: rate / threads as f64,
    })
}

/// What of this process is in memory now (bytes); `None` where the system does not say.
#[must_use]
pub fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes << 10)
}
