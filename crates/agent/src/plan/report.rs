//! The plan in words.

use std::fmt::Write as _;

use super::{ALLOCATOR, Plan};

/// For a terminal.
pub(super) fn text(plan: &Plan) -> String {
    let mut out = String::new();
    let mut line = |name: &str, text: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "  {name:<14}{text}");
    };
    let (windows, measured, memory) = (&plan.windows, &plan.measured, &plan.memory);
    line(
        "windows/s",
        format!(
            "{} ({} of buckets, {} of coarse buckets)",
            rate(windows.total),
            rate(windows.fine),
            rate(windows.coarse)
        ),
    );
    line(
        "nets",
        format!(
            "{:.2} cores; measured here: {} windows/s a thread, {} on {}, batch {}, in {:.1} s",
            plan.cores.nets,
            rate(measured.windows_per_second_per_thread),
            count(measured.threads as u64, "thread"),
            measured.device,
            measured.batch,
            measured.seconds
        ),
    );
    line(
        "tasks",
        format!(
            "{:.2} cores; measured here, at one sample a bucket",
            plan.cores.tasks
        ),
    );
    line("memory", size(memory.total));
    let per = &memory.per_series;
    line(
        "",
        format!(
            "{} of series: {} each, and {:.0} % for the allocator",
            size(memory.series),
            size(per.total() as u64),
            100.0 * ALLOCATOR
        ),
    );
    let parts = [
        ("scores", per.scores),
        ("windows", per.windows),
        ("coarse windows", per.coarse),
        ("alerts", per.alerts),
        ("names", per.names),
        ("windows under way", per.queue),
    ];
    let parts = parts.map(|(name, bytes)| format!("{} {name}", size(bytes as u64)));
    line("", format!("  {}", parts.join(", ")));
    line(
        "",
        match memory.process {
            Some(bytes) => format!("{} of program, ONNX Runtime and nets, measured here", size(bytes)),
            None => "program, ONNX Runtime and nets come on top: this system does not say".to_owned(),
        },
    );
    line("", format!("{} of Kafka's buffers at most", size(memory.kafka)));
    line(
        "snapshot",
        format!("{} a series", size(plan.snapshot_bytes_per_series as u64)),
    );
    line(
        "at least",
        format!(
            "{}, {}",
            count(plan.partitions, "partition"),
            count(plan.agents, "agent")
        ),
    );
    let head = format!(
        "{} with buckets of {}, bundle {}\n",
        count(plan.series, "series"),
        crate::config::show_duration(plan.interval_ms),
        plan.bundle
    );
    head + &out
}

fn count(n: u64, what: &str) -> String {
    let plural = if n == 1 || what.ends_with('s') { "" } else { "s" };
    format!("{n} {what}{plural}")
}

fn rate(windows: f64) -> String {
    if windows < 100.0 {
        format!("{windows:.1}")
    } else {
        format!("{windows:.0}")
    }
}

fn size(bytes: u64) -> String {
    let bytes = bytes as f64;
    match bytes {
        b if b < 1024.0 => format!("{b:.0} B"),
        b if b < 1024.0 * 1024.0 => format!("{:.1} KiB", b / 1024.0),
        b if b < 1024.0 * 1024.0 * 1024.0 => format!("{:.0} MiB", b / (1024.0 * 1024.0)),
        b => format!("{:.2} GiB", b / (1024.0 * 1024.0 * 1024.0)),
    }
}
