//! Half an hour at full load, or as long as one likes, after a past that is read first: does memory grow, does the agent keep up?

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use agent::clock::now;

use crate::broker::Broker;
use crate::fleet::{BUCKET_MS, Fleet, Pace, SETTINGS};
use crate::process::{Agent, Metrics, cpu_seconds, root};
use crate::{Options, pause};

/// Seconds between two looks.
const LOOK: u64 = 10;
const MIB: f64 = 1_048_576.0;
/// Of 10 000 eras of a series so many have a fault: with twelve buckets an era some 17 a minute of 20 000 series.
const FAULTS: u64 = 100;
const HEADER: &str = "seconds,resident_mib,tasks_mib,agent_cpu,generator_cpu,lag_records,late_s,windows,rows,alerts,open_alerts,\
                      state_mib,aborts";

/// One look at everything.
#[derive(Clone, Copy, Default)]
struct Look {
    /// Since the agent began.
    seconds: f64,
    resident: f64,
    /// What tasks say that they hold.
    tasks: f64,
    /// Processor time of the agent and of this program so far (seconds).
    agent_cpu: f64,
    own_cpu: f64,
    lag: f64,
    /// By how much the stream itself was late since the look before (seconds).
    late: f64,
    windows: f64,
    rows: f64,
    alerts: f64,
    open: f64,
    state: f64,
    aborts: f64,
}

impl Look {
    fn new(metrics: &Metrics) -> Self {
        Self {
            resident: metrics.sum("agent_resident_bytes") / MIB,
            tasks: metrics.sum("agent_task_bytes") / MIB,
            lag: metrics.sum("agent_consumer_lag_records"),
            windows: metrics.sum("agent_windows_inferred_total"),
            rows: metrics.sum("agent_rows_scored_total"),
            alerts: metrics.sum("agent_alerts_total"),
            open: metrics.sum("agent_open_alerts"),
            state: metrics.sum("agent_state_bytes_total") / MIB,
            aborts: metrics.sum("agent_transaction_aborts_total"),
            ..Self::default()
        }
    }

    /// As a line under [`HEADER`]; processor time is that since `before`, as a share of one core.
    fn line(&self, before: &Self) -> String {
        let took = self.seconds - before.seconds;
        format!(
            "{:.1},{:.2},{:.2},{:.3},{:.3},{},{:.2},{},{},{},{},{:.2},{}",
            self.seconds,
            self.resident,
            self.tasks,
            (self.agent_cpu - before.agent_cpu) / took,
            (self.own_cpu - before.own_cpu) / took,
            self.lag,
            self.late,
            self.windows,
            self.rows,
            self.alerts,
            self.open,
            self.state,
            self.aborts
        )
    }
}

/// Runs it and prints what came of it.
pub(crate) fn measure(options: &Options) {
    let series = options.series.unwrap_or(20_000);
    let preload = options.preload.unwrap_or(200);
    let minutes = options.minutes.unwrap_or(30.0);
    let warm_up = options.warm_up.unwrap_or(5.0);
    let csv = options.csv.clone().unwrap_or_else(|| root().join("out/soak.csv"));
    let Some(broker) = Broker::start() else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let mut fleet = Fleet::new(broker.producer("soak"), "soak", series, FAULTS);
    let from = now().millis().div_euclid(BUCKET_MS) * BUCKET_MS;
    // Records of one second.
    let second = fleet.groups() as f64;
    let began = Instant::now();
    fleet.preload(from, preload, 1_000);
    println!(
        "{series} series, {preload} buckets written in {:.0} s",
        began.elapsed().as_secs_f64()
    );
    let config = config(dir.path(), &broker, series);
    let mut agent = Agent::start(options.agent.as_ref(), &config, dir.path().join("agent.log"));
    let mut file = create(&csv);
    writeln!(file, "{HEADER}").expect("room");
    let began = Instant::now();
    // The stream goes on where the past ends, but once that is digested: what would wait until then is no load of every day.
    let (mut fleet, mut pace, mut digested) = (Some(fleet), None::<Pace>, 0.0);
    let mut looks: Vec<Look> = Vec::new();
    for turn in 1.. {
        while began.elapsed().as_secs() < turn * LOOK {
            pause(100);
        }
        agent.must_live();
        let seconds = began.elapsed().as_secs_f64();
        let Some(metrics) = agent.metrics() else { continue };
        let look = Look {
            seconds,
            agent_cpu: agent.cpu_seconds(),
            own_cpu: cpu_seconds("self"),
            late: pace.as_ref().map_or(0.0, Pace::behind),
            ..Look::new(&metrics)
        };
        let before = looks.last().copied().unwrap_or_default();
        writeln!(file, "{}", look.line(&before)).expect("room");
        looks.push(look);
        if look.rows > 0.0
            && look.lag == 0.0
            && let Some(fleet) = fleet.take()
        {
            digested = seconds;
            println!(
                "the past is digested after {seconds:.0} s; from now on a sample a second for {minutes} minutes"
            );
            pace = Some(fleet.go_on(from, 1_000, now().millis() - from));
        }
        if pace.is_some() && seconds >= digested + minutes * 60.0 {
            break;
        }
    }
    drop(pace);
    let from = digested + warm_up * 60.0;
    looks.retain(|look| look.seconds >= from);
    print(&looks, second, &csv);
}

fn config(dir: &Path, broker: &Broker, series: usize) -> PathBuf {
    let path = dir.join("soak.toml");
    let text = format!(
        "[kafka]\nbrokers = \"{}\"\ntopics = [\"soak\"]\ngroup = \"soak\"\n[alerts]\ntopic = \"soak-alerts\"\n\
         [state]\ntopic = \"soak-state\"\nmax_series = {series}\n{SETTINGS}",
        broker.address()
    );
    std::fs::write(&path, text).expect("room");
    path
}

fn create(path: &Path) -> File {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).expect("a directory for the figures");
    }
    File::create(path).expect("a file for the figures")
}

fn print(warm: &[Look], second: f64, csv: &Path) {
    let (Some(first), Some(last)) = (warm.first(), warm.last()) else {
        return println!("shorter than its warm-up: nothing to say");
    };
    let took = last.seconds - first.seconds;
    println!(
        "\nafter warm-up, {:.0} s to {:.0} s, {} looks, all in {}:\n\n| what | is |\n|---|---|",
        first.seconds,
        last.seconds,
        warm.len(),
        csv.display()
    );
    let row = |what: &str, is: String| println!("| {what} | {is} |");
    let slope = |of: fn(&Look) -> f64| {
        let (slope, error) = slope(warm, of);
        format!("{slope:+.1} ± {error:.1}")
    };
    let most = |of: fn(&Look) -> f64| warm.iter().map(of).fold(0.0, f64::max);
    let per_second = |of: fn(&Look) -> f64| (of(last) - of(first)) / took;
    row(
        "resident memory, first and last (MiB)",
        format!("{:.0}, {:.0}", first.resident, last.resident),
    );
    row(
        "resident memory, most (MiB)",
        format!("{:.0}", most(|l| l.resident)),
    );
    row("its slope (MiB/h, standard error)", slope(|l| l.resident));
    row("slope of what tasks say they hold (MiB/h)", slope(|l| l.tasks));
    row("slope of the rest (MiB/h)", slope(|l| l.resident - l.tasks));
    row("lag, most (records; seconds of input)", {
        let lag = most(|l| l.lag);
        format!("{lag:.0}; {:.1}", lag / second)
    });
    row("stream late, most (s)", format!("{:.1}", most(|l| l.late)));
    row(
        "agent (share of a core)",
        format!("{:.2}", per_second(|l| l.agent_cpu)),
    );
    row(
        "generator (share of a core)",
        format!("{:.2}", per_second(|l| l.own_cpu)),
    );
    row("windows a second", format!("{:.0}", per_second(|l| l.windows)));
    row("rows a second", format!("{:.0}", per_second(|l| l.rows)));
    row("state (MiB/s)", format!("{:.2}", per_second(|l| l.state)));
    row("alert states", format!("{:.0}", last.alerts - first.alerts));
    row(
        "transactions given up",
        format!("{:.0}", last.aborts - first.aborts),
    );
}

/// Slope of a line through all looks, an hour, and its standard error.
fn slope(looks: &[Look], of: fn(&Look) -> f64) -> (f64, f64) {
    let n = looks.len() as f64;
    let hours = |l: &Look| l.seconds / 3_600.0;
    let mean_x = looks.iter().map(hours).sum::<f64>() / n;
    let mean_y = looks.iter().map(of).sum::<f64>() / n;
    let xx: f64 = looks.iter().map(|l| (hours(l) - mean_x).powi(2)).sum();
    let xy: f64 = looks.iter().map(|l| (hours(l) - mean_x) * (of(l) - mean_y)).sum();
    let slope = xy / xx;
    let rest = |l: &Look| of(l) - mean_y - slope * (hours(l) - mean_x);
    let left: f64 = looks.iter().map(|l| rest(l).powi(2)).sum();
    (slope, (left / (n - 2.0) / xx).sqrt())
}
