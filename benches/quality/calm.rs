//! False alerts of a fleet to which nothing happens, with the default configuration and the shipped bundle:
//!
//! ```text
//! cargo bench -p aiops-benches --bench calm -- [--series 1000] [--days 28] [--interval 300] [--seed 1] [--threads 2]
//!     [--begin 0] [--model BUNDLE] [--alerts OUT.jsonl]
//! ```
//!
//! The series are `ingest::synthetic::calm`, a sample every five minutes or as many seconds as are said, all from the same moment on: the worst case for
//! firing together, a Monday's working day or `--begin` days later. The bars: a warning a series and week, a critical alert a series and 90 days, and at no moment more
//! than 1 % of the series in alert. Under `cargo test` two series for two days, so that it cannot rot.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use alerting::wire::to_json;
use ingest::synthetic::{SeriesSpec, calm};
use pipeline::{Host, Input, Matcher, Model, Output, Rule, Task, TaskId, TaskSettings};
use scorer::bundle::Bundle;
use scorer::onnx::{DEFAULT_BATCH, OnnxBackend};
use scorer::runtime::{Device, Runtime};
use types::{Alert, AlertState, Kind, Payload, Record, Sample, SeriesKey, Severity, Timestamp};

const DAY_MS: i64 = 86_400_000;
/// A Monday, as the working day begins: the first weekend is still to come.
const START_MS: i64 = 1_767_600_000_000;
/// Series of one task. They do not know of each other, so that what they say does not depend on it.
const TOGETHER: usize = 50;

fn main() {
    let options = Options::read();
    let dir = options
        .model
        .clone()
        .unwrap_or_else(|| root().join("models/general"));
    let (bundle, runtime) = match (Bundle::load(&dir), Runtime::find(None)) {
        (Ok(bundle), Ok(runtime)) => (bundle, runtime),
        (Err(e), _) => return println!("SKIPPED: calm: {e}"),
        (_, Err(e)) => return println!("SKIPPED: calm: {e}; run `make deps`"),
    };
    let mut specs = calm(options.seed, options.series);
    for spec in &mut specs {
        spec.interval = options.interval;
    }
    let started = Instant::now();
    let events = watch(&specs, &bundle, &runtime, &options);
    let fleet = Fleet {
        specs: &specs,
        start: options.start,
        days: options.days,
        events: &events,
    };
    println!(
        "{} series, {} days, every {} s, seed {}, bundle {}: {:.0} s",
        specs.len(),
        options.days,
        options.interval / 1_000,
        options.seed,
        bundle.label(),
        started.elapsed().as_secs_f64()
    );
    fleet.print_shapes();
    fleet.print_leads();
    fleet.print_weeks();
    fleet.print_together();
    fleet.print_bars();
    if let Some(path) = &options.alerts {
        let mut file =
            std::io::BufWriter::new(std::fs::File::create(path).expect("a file to write alerts to"));
        for event in &events {
            writeln!(file, "{}", to_json(&event.last)).expect("room for alerts");
        }
    }
}

/// One alert from its beginning to its end.
struct Event {
    /// Number of its series.
    series: usize,
    /// When it was known.
    known: Timestamp,
    /// When it was over; the end of the run where it was not.
    over: Timestamp,
    /// Its last state.
    last: Alert,
}

impl Event {
    fn is_critical(&self) -> bool {
        self.last.severity == Severity::Critical
    }
}

/// Every event of all series, in order of series and time.
fn watch(specs: &[SeriesSpec], bundle: &Bundle, runtime: &Runtime, options: &Options) -> Vec<Event> {
    let next = AtomicUsize::new(0);
    let mut parts: Vec<(usize, Vec<Event>)> = std::thread::scope(|scope| {
        let work = || {
            let mut done = Vec::new();
            loop {
                let at = next.fetch_add(TOGETHER, Ordering::Relaxed);
                let Some(rest) = specs.get(at..).filter(|rest| !rest.is_empty()) else {
                    return done;
                };
                let group = &rest[..rest.len().min(TOGETHER)];
                let time = (options.start, options.days);
                done.push((at, watch_group(at, group, bundle, runtime, time)));
            }
        };
        let workers: Vec<_> = (0..options.threads.max(1)).map(|_| scope.spawn(work)).collect();
        let done = workers
            .into_iter()
            .map(|w| w.join().expect("a worker that ends well"));
        done.flatten().collect()
    });
    parts.sort_by_key(|(at, _)| *at);
    parts.into_iter().flat_map(|(_, events)| events).collect()
}

fn watch_group(
    first: usize,
    specs: &[SeriesSpec],
    bundle: &Bundle,
    runtime: &Runtime,
    (start, days): (Timestamp, i64),
) -> Vec<Event> {
    let backend = OnnxBackend::new(bundle, runtime, Device::Cpu, DEFAULT_BATCH)
        .expect("a runtime that runs the bundle");
    let mut host = Host::new(vec![Box::new(backend)]);
    let id = TaskId {
        topic: "calm".into(),
        partition: 0,
    };
    host.assign(id.clone(), Task::new(Arc::new(settings(bundle)), false));
    let until = start + days * DAY_MS;
    let numbers: BTreeMap<SeriesKey, usize> = specs
        .iter()
        .zip(first..)
        .map(|(s, i)| (s.key.clone(), i))
        .collect();
    let mut events: BTreeMap<(usize, String), Event> = BTreeMap::new();
    let mut take = |out: &mut Vec<(TaskId, Output)>| {
        for (_, output) in out.drain(..) {
            let Output::Alert(alert) = output else { continue };
            let series = numbers[&alert.series];
            let event = events.entry((series, alert.id.clone())).or_insert_with(|| Event {
                series,
                known: alert.available_at,
                over: until,
                last: alert.clone(),
            });
            if alert.state == AlertState::Resolved {
                event.over = alert.available_at;
            }
            event.last = alert;
        }
    };
    let mut streams: Vec<_> = specs.iter().map(|spec| spec.stream(start)).collect();
    let mut out = Vec::new();
    for offset in 0.. {
        let mut samples = Vec::with_capacity(streams.len());
        for stream in &mut streams {
            let Some((time, value)) = stream.next() else {
                continue;
            };
            let series = stream.spec().key.clone();
            samples.push(Sample { series, time, value });
        }
        if samples.first().is_none_or(|sample| sample.time >= until) {
            break;
        }
        let record = Record {
            offset,
            time: None,
            payload: Payload::Samples(samples),
        };
        host.feed(&id, Input::Record(&record), &mut out);
        if host.due() >= 256 {
            assert_eq!(host.infer(&mut out).failed, 0, "nets that answer");
        }
        take(&mut out);
    }
    host.infer(&mut out);
    take(&mut out);
    let mut events: Vec<Event> = events.into_values().collect();
    events.sort_by_key(|event| (event.series, event.known));
    events
}

/// The default configuration, and a rule that says what is a counter.
fn settings(bundle: &Bundle) -> TaskSettings {
    let mut settings = TaskSettings::new(Model::new(bundle.manifest(), bundle.label()));
    let mut counters = settings.defaults.clone();
    counters.window.kind = Kind::Counter;
    settings.rules.push(Rule {
        matcher: Matcher {
            name: Some("*_total".to_owned()),
            ..Matcher::default()
        },
        settings: counters,
    });
    settings
}

/// What there was to watch, and what came of it.
struct Fleet<'a> {
    specs: &'a [SeriesSpec],
    start: Timestamp,
    days: i64,
    events: &'a [Event],
}

impl Fleet<'_> {
    /// Warnings a series and week, critical alerts a series and 90 days. An event that escalated counts as both.
    fn rates(&self, events: &[&Event], series: usize) -> (f64, f64) {
        let days = series as f64 * self.days as f64;
        let critical = events.iter().filter(|event| event.is_critical()).count();
        (events.len() as f64 / days * 7.0, critical as f64 / days * 90.0)
    }

    fn shape(&self, event: &Event) -> &str {
        self.specs[event.series].key.name()
    }

    /// How many series have so many warnings and critical alerts that they alone break a bar.
    fn above(&self, events: &[&Event]) -> (usize, usize) {
        let mut by_series: BTreeMap<usize, (i64, i64)> = BTreeMap::new();
        for event in events {
            let (all, critical) = by_series.entry(event.series).or_default();
            *all += 1;
            *critical += i64::from(event.is_critical());
        }
        let noisy = by_series.values().filter(|(all, _)| all * 7 > self.days).count();
        let paged = by_series
            .values()
            .filter(|(_, critical)| critical * 90 > self.days.max(90))
            .count();
        (noisy, paged)
    }

    fn print_shapes(&self) {
        println!(
            "\n| shape | series | warnings a week | critical in 90 days | most of one series | series above 1 a week | above 1 in 90 days |"
        );
        println!("|---|---|---|---|---|---|---|");
        let mut shapes: BTreeMap<&str, usize> = BTreeMap::new();
        for spec in self.specs {
            *shapes.entry(spec.key.name()).or_default() += 1;
        }
        for (shape, series) in shapes {
            let events: Vec<&Event> = self.events.iter().filter(|e| self.shape(e) == shape).collect();
            self.print_row(shape, &events, series);
        }
        self.print_row("all", &self.events.iter().collect::<Vec<_>>(), self.specs.len());
    }

    fn print_row(&self, name: &str, events: &[&Event], series: usize) {
        let (warnings, critical) = self.rates(events, series);
        let (noisy, paged) = self.above(events);
        let most = events.chunk_by(|a, b| a.series == b.series).map(<[_]>::len).max();
        println!(
            "| {name} | {series} | {warnings:.2} | {critical:.2} | {} | {noisy} | {paged} |",
            most.unwrap_or_default()
        );
    }

    fn print_leads(&self) {
        let mut leads: BTreeMap<&str, (usize, usize, BTreeMap<&str, usize>)> = BTreeMap::new();
        for event in self.events {
            let (all, critical, shapes) = leads.entry(lead(&event.last)).or_default();
            *all += 1;
            *critical += usize::from(event.is_critical());
            *shapes.entry(self.shape(event)).or_default() += 1;
        }
        println!("\n| led by | alerts | of these critical | most often in |\n|---|---|---|---|");
        for (lead, (all, critical, shapes)) in leads {
            println!("| {lead} | {all} | {critical} | {} |", most(&shapes, 4));
        }
    }

    fn print_weeks(&self) {
        println!("\n| week | warnings a series | critical a series |\n|---|---|---|");
        for week in 0..(self.days + 6) / 7 {
            let of_week = |e: &&Event| (e.known - self.start) / (7 * DAY_MS) == week;
            let events: Vec<&Event> = self.events.iter().filter(of_week).collect();
            let critical = events.iter().filter(|e| e.is_critical()).count();
            let per = |n: usize| n as f64 / self.specs.len() as f64;
            println!(
                "| {} | {:.3} | {:.3} |",
                week + 1,
                per(events.len()),
                per(critical)
            );
        }
    }

    /// The moments at which most began, and at which most were open.
    fn print_together(&self) {
        let mut began: BTreeMap<Timestamp, Vec<usize>> = BTreeMap::new();
        for (i, event) in self.events.iter().enumerate() {
            began.entry(event.known).or_default().push(i);
        }
        let mut moments: Vec<_> = began.into_iter().collect();
        moments.sort_by_key(|(at, events)| (std::cmp::Reverse(events.len()), *at));
        println!("\n| most began at | share of series | shapes | led by |\n|---|---|---|---|");
        for (at, events) in moments.iter().take(5) {
            let (mut shapes, mut leads) = (BTreeMap::new(), BTreeMap::new());
            for event in events.iter().map(|i| &self.events[*i]) {
                *shapes.entry(self.shape(event)).or_default() += 1;
                *leads.entry(lead(&event.last)).or_default() += 1;
            }
            let share = self.percent(events.len());
            println!("| {at} | {share} | {} | {} |", most(&shapes, 3), most(&leads, 3));
        }
        let (open, at) = self.most_open();
        println!("\nmost open at once: {} at {at}", self.percent(open));
    }

    fn most_open(&self) -> (usize, Timestamp) {
        // At one time what is over goes before what begins.
        let begins = self.events.iter().map(|e| (e.known, 1_i64));
        let ends = self.events.iter().map(|e| (e.over, -1));
        let mut changes: Vec<(Timestamp, i64)> = begins.chain(ends).collect();
        changes.sort_unstable();
        let (mut open, mut worst) = (0, (0, self.start));
        for (at, change) in changes {
            open += change;
            if open > worst.0 {
                worst = (open, at);
            }
        }
        (worst.0 as usize, worst.1)
    }

    fn percent(&self, series: usize) -> String {
        format!("{:.2} %", series as f64 / self.specs.len() as f64 * 100.0)
    }

    fn print_bars(&self) {
        let all: Vec<&Event> = self.events.iter().collect();
        let (warnings, critical) = self.rates(&all, self.specs.len());
        let open = self.most_open().0 as f64 / self.specs.len() as f64;
        println!("\n| bar | at most | is | |\n|---|---|---|---|");
        for (name, bar, is) in [
            ("warnings a series and week", 1.0, warnings),
            ("critical alerts a series and 90 days", 1.0, critical),
            ("share of the series in alert at one moment", 0.01, open),
        ] {
            let verdict = if is <= bar { "kept" } else { "BROKEN" };
            println!("| {name} | {bar} | {is:.4} | {verdict} |");
        }
    }
}

/// What led an alert's score.
fn lead(alert: &Alert) -> &'static str {
    let shares = alert.grounds.unwrap_or_default().shares;
    match shares.largest() {
        Some(_) if shares.range > 0.0 && alert.score - alert.parts.range < 1.0 => "range with another",
        Some(part) => part.name(),
        None => "none",
    }
}

/// `a 12, b 3`: the commonest first.
fn most(counts: &BTreeMap<&str, usize>, shown: usize) -> String {
    let mut sorted: Vec<_> = counts.iter().collect();
    sorted.sort_by_key(|(name, n)| (std::cmp::Reverse(**n), **name));
    let words: Vec<String> = sorted
        .iter()
        .take(shown)
        .map(|(name, n)| format!("{name} {n}"))
        .collect();
    words.join(", ")
}

/// What the command line says.
struct Options {
    series: usize,
    start: Timestamp,
    days: i64,
    /// Between two samples (milliseconds).
    interval: i64,
    seed: u64,
    threads: usize,
    model: Option<PathBuf>,
    alerts: Option<PathBuf>,
}

impl Options {
    fn read() -> Self {
        let short = !std::env::args().any(|a| a == "--bench");
        let mut options = Self {
            series: if short { 2 } else { 1000 },
            start: Timestamp::from_millis(START_MS),
            days: if short { 2 } else { 28 },
            interval: 300_000,
            seed: 1,
            threads: 1,
            model: None,
            alerts: None,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let mut value = || arguments.next().expect("a value");
            match name.as_str() {
                "--series" => options.series = value().parse().expect("a number of series"),
                "--begin" => {
                    let days: i64 = value().parse().expect("a number of days");
                    options.start = Timestamp::from_millis(START_MS + days * DAY_MS);
                }
                "--days" => options.days = value().parse().expect("a number of days"),
                "--interval" => {
                    options.interval = 1_000 * value().parse::<i64>().expect("a number of seconds");
                }
                "--seed" => options.seed = value().parse().expect("a seed"),
                "--threads" => options.threads = value().parse().expect("a number of threads"),
                "--model" => options.model = Some(value().into()),
                "--alerts" => options.alerts = Some(value().into()),
                // What cargo adds.
                _ => {}
            }
        }
        options
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map_or_else(PathBuf::new, Path::to_owned)
}
