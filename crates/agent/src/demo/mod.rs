//! `agent demo`: the daemon on a live synthetic stream, with a broker in the same process and nothing to set up.
//!
//! Two parties that know each other through the broker only, as in life. The daemon is that of `agent run`, on the
//! calling thread. A `driver` on a thread of its own writes the stream, reads the alerts topic, and keeps a
//! `ledger` of what it injected and what was said about it.
//!
//! Event time runs 600 times as fast as the clock and starts on a fixed day, so that a seed means the same values,
//! the same faults and (with the same bundle) the same alerts every time.

mod alerts;
mod driver;
mod feed;
mod ledger;
mod screen;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ingest::kafka::{ConnectionSettings, EmbeddedBroker};

use crate::failure::Failure;
use crate::logging;
use crate::model::{self, ServingOptions};
use crate::run::{self, Edge, RunOptions};
use crate::settings::{self, AgentSettings};
use driver::Driver;
use feed::Feed;
use screen::{Header, Screen};

/// Topic of the stream, and its partitions.
const INPUT: (&str, i32) = ("demo-metrics", 4);
/// Topic of the alerts, and its partitions.
const ALERTS: (&str, i32) = ("demo-alerts", 1);
/// Series of the stream.
const SERIES: usize = 36;
/// Port where free, as of the daemon.
const PORT: u16 = 9464;

/// What differs from the default configuration, and is named in the summary. Two minutes of evidence and a rarity
/// of one in 6 000: at the defaults, 36 series are expected to see a few rare moments a day each, and the demo
/// runs through ten hours a minute. The confidence asks for as much past as the demo has prepared, so that nothing
/// is said about that.
const SETTINGS: [(&str, &str); 4] = [
    ("score.warn_decades", "4.5"),
    ("score.critical_decades", "6.0"),
    ("alert.min_duration", "2"),
    ("alert.min_confidence", "0.5"),
];

/// Where the bundle predicts: a limit that daily peaks come close to, and some of them cross.
const LIMIT: (&str, &str) = (
    "rules",
    r#"[{ match = { name = "cpu_usage_percent" }, limit_above = 52.0 }]"#,
);

/// What `agent demo` was asked for.
#[derive(Clone, Debug)]
pub struct DemoOptions {
    /// How long the stream is live, after its past has been read.
    pub live: Duration,
    /// The same seed gives the same stream and the same faults.
    pub seed: u64,
    /// Whether something goes wrong in it.
    pub faults: bool,
    /// Address of `/metrics`; the default port, or any when that is taken, when `None`.
    pub listen: Option<SocketAddr>,
    /// Bundle, device and threads.
    pub serving: ServingOptions,
}

/// Runs until the time is up, or SIGINT or SIGTERM, and counts.
///
/// # Errors
/// No bundle or a bad one, no ONNX Runtime, no port, or standard output closed.
pub fn run(options: &DemoOptions) -> Result<(), Failure> {
    let broker = EmbeddedBroker::start(&[INPUT, ALERTS]).map_err(Failure::unavailable)?;
    let connection = ConnectionSettings::new(broker.brokers());
    let stop = Arc::new(AtomicBool::new(false));
    let (settings, edge) = start(options, &connection, &stop)?;
    let serving = model::load(&settings.serving(&options.serving))?;
    let mut told: Vec<(&str, &str)> = SETTINGS.to_vec();
    let settings = if serving.model().kind.predicts() {
        told.push(LIMIT);
        configure(&connection, edge.address, Some(LIMIT))?
    } else {
        settings
    };
    let feed = Feed::new(options.seed, SERIES, options.live, options.faults);
    let mut screen = Screen::stdout(feed.longest_key());
    screen.header(&Header {
        seed: options.seed,
        faults: options.faults,
        feed: &feed,
        partitions: INPUT.1,
        bundle: &serving.bundle.label(),
        device: &serving.device,
        runtime: &serving.runtime_version,
        brokers: &connection.brokers,
        settings: &told,
        address: edge.address,
    })?;
    let driver = Driver::new(
        feed,
        &connection,
        screen,
        serving.bundle.manifest().window,
        settings.task("", serving.model()).defaults.first_due(),
        Arc::clone(&edge.metrics),
        Arc::clone(&stop),
    )?;
    let live = options.live;
    let driver = std::thread::spawn(move || driver.run(live));
    let served = run::serve_loaded(
        serving,
        &RunOptions::default(),
        settings,
        &edge,
        Arc::clone(&stop),
    );
    stop.store(true, Ordering::Relaxed);
    let driven = driver
        .join()
        .unwrap_or_else(|_| Err(Failure::internal("the demo's stream panicked")));
    edge.stop();
    served.and(driven)
}

/// Settings, logging, port and signals. Without a wish, a taken default port is no reason to fail.
fn start(
    options: &DemoOptions,
    connection: &ConnectionSettings,
    stop: &Arc<AtomicBool>,
) -> Result<(AgentSettings, Edge), Failure> {
    let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listen = options.listen.unwrap_or(local(PORT));
    let settings = configure(connection, listen, None)?;
    logging::start(&settings.all().log);
    match Edge::start(&settings, stop) {
        Ok(edge) => Ok((settings, edge)),
        Err(_) if options.listen.is_none() => {
            let settings = configure(connection, local(0), None)?;
            let edge = Edge::start(&settings, stop)?;
            Ok((settings, edge))
        }
        Err(failure) => Err(failure),
    }
}

/// The daemon's configuration. The environment stays out of it: the demo is the same everywhere.
fn configure(
    connection: &ConnectionSettings,
    listen: SocketAddr,
    limit: Option<(&str, &str)>,
) -> Result<AgentSettings, Failure> {
    // The embedded broker knows no transactions and finds no offset by time, hence delivery and start.
    let text = format!(
        r#"
        {rules}
        [kafka]
        brokers = "{brokers}"
        topics = ["{input}"]
        group = "demo"
        format = "native_json"
        delivery = "at_least_once"
        start = "earliest"
        [alerts]
        topic = "{alerts}"
        source = "/agent/demo"
        [http]
        listen = "{listen}"
        [log]
        level = "warn"
        "#,
        brokers = connection.brokers,
        input = INPUT.0,
        alerts = ALERTS.0,
        rules = limit.map_or_else(String::new, |(key, rules)| format!("{key} = {rules}")),
    );
    let overrides = SETTINGS.map(|(key, value)| (key.to_owned(), value.to_owned()));
    settings::load(None, Some(&text), &overrides)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_right() {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let connection = ConnectionSettings::new("127.0.0.1:1");
        let settings = configure(&connection, listen, Some(LIMIT)).unwrap();
        assert_eq!(settings.all().rules[0].limits.above, Some(52.0));
        assert_eq!(settings.all().alert.min_duration, 2);
        assert_eq!(settings.all().score.warn_decades, 4.5);
        assert_eq!(settings.all().listen, listen);
    }
}
