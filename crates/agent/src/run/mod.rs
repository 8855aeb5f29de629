//! `agent run`: the daemon.
//!
//! Two threads of its own beside the backends': the engine's, which owns consumer, producer, tasks and log in one loop,
//! and a tokio worker for HTTP and signals.

mod canary;
mod engine;
mod publish;
mod record;
mod refused;
mod restore;
mod starts;
mod watch;
mod watchdog;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ingest::kafka::{ConnectionSettings, Consumer, Delivery, GroupSettings, KafkaError, Producer};
use pipeline::{Host, Identity, Member};
use prometheus::Registry;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::clock::{self, Stopwatch};
use crate::config::{DeliveryMode, KafkaSettings};
use crate::failure::Failure;
use crate::http::{HttpServer, Readiness};
use crate::logging;
use crate::metrics::Metrics;
use crate::model::{self, Serving, ServingOptions};
use crate::settings::{self, AgentSettings};
use canary::Canary;
use engine::{Engine, Parts};
use publish::Publisher;
use record::Recorder;
use restore::StateTopic;
use watch::Watch;
use watchdog::Watchdog;

/// Time from a signal to the end of the process, whatever the broker does.
const STOP_DEADLINE: Duration = Duration::from_secs(30);
/// How long one attempt to take over the transactional id may last.
const INIT_TIMEOUT: Duration = Duration::from_secs(5);

/// What `agent run` was asked for.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// Configuration file.
    pub config: Option<PathBuf>,
    /// `section.key=value` over it.
    pub overrides: Vec<(String, String)>,
    /// Log of all inputs.
    pub record: Option<PathBuf>,
    /// Bundle, device and threads over the configuration's.
    pub serving: ServingOptions,
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// Wrong configuration, a port in use, a bad bundle, no runtime, or a broker that ends the client for good.
pub fn run(options: &RunOptions) -> Result<(), Failure> {
    let settings = settings::load(options.config.as_deref(), None, &options.overrides)?;
    logging::start(&settings.all().log);
    let stop = Arc::new(AtomicBool::new(false));
    let edge = Edge::start(&settings, &stop)?;
    let result = serve(options, settings, &edge, Arc::clone(&stop));
    stop.store(true, Ordering::Relaxed);
    edge.stop();
    match &result {
        Ok(()) => tracing::info!("stopped"),
        Err(failure) => tracing::error!(%failure, "stopped"),
    }
    result
}

/// Everything after the port is bound, on the calling thread.
///
/// # Errors
/// As [`run`].
pub(crate) fn serve(
    options: &RunOptions,
    settings: AgentSettings,
    edge: &Edge,
    stop: Arc<AtomicBool>,
) -> Result<(), Failure> {
    let serving = model::load(&settings.serving(&options.serving))?;
    settings.check_model(&serving.model())?;
    serve_loaded(serving, options, settings, edge, stop)
}

/// Everything after the bundle is loaded.
///
/// # Errors
/// As [`run`], bundle and runtime apart.
pub(crate) fn serve_loaded(
    serving: Serving,
    options: &RunOptions,
    settings: AgentSettings,
    edge: &Edge,
    stop: Arc<AtomicBool>,
) -> Result<(), Failure> {
    let bundle = serving.bundle.label();
    edge.metrics
        .model(&bundle, &serving.device, &serving.runtime_version);
    edge.metrics.series_limit(settings.all().state.max_series);
    tracing::info!(
        bundle,
        device = serving.device,
        runtime = serving.runtime_version,
        "bundle loaded"
    );
    if let Some(reason) = &serving.fallback_reason {
        tracing::warn!(reason, "CUDA does not work here: the CPU computes");
    }
    let kafka = &settings.all().kafka;
    let connection = ConnectionSettings {
        brokers: kafka.brokers.clone(),
        properties: kafka.properties.clone(),
    };
    let connect = |e: KafkaError| Failure::unavailable(format!("{}: {e}", kafka.brokers));
    let delivery = delivery(kafka);
    let producer = Producer::connect(&connection, &delivery).map_err(connect)?;
    while let Err(error) = producer.init(INIT_TIMEOUT) {
        if error.kind.ends_client() {
            return Err(connect(error));
        }
        tracing::warn!(%error, brokers = kafka.brokers, "waiting for the broker");
        edge.metrics.failed(error.kind);
        edge.readiness.set(Err(error.to_string()));
        if stop.load(Ordering::Relaxed) {
            return Ok(());
        }
    }
    let group = GroupSettings {
        group: kafka.group.clone(),
        instance_id: kafka.group_instance_id.clone(),
        session_timeout: millis(kafka.session_timeout),
    };
    let canary = match &settings.all().canary {
        Some(canary) => Some(Canary::new(&connection, canary).map_err(connect)?),
        None => None,
    };
    let mut topics = kafka.topics.clone();
    topics.extend(settings.all().canary.iter().map(|canary| canary.topic.clone()));
    let consumer = Consumer::connect(&connection, &group, &topics).map_err(connect)?;
    let recorder = match &options.record {
        Some(path) => Some(Recorder::create(path, settings.text(), &bundle)?),
        None => None,
    };
    // A recorded run is to be complete, and what came from elsewhere is not in it.
    let state_topic = settings.state_topic().filter(|_| options.record.is_none());
    let state = state_topic.map(|topic| StateTopic {
        connection: connection.clone(),
        topic,
        inputs: kafka.topics.clone(),
        identity: Identity {
            bundle: bundle.clone(),
            runtime: serving.runtime_version.clone(),
            device: serving.device.clone(),
        },
        metrics: Arc::clone(&edge.metrics),
        log: None,
    });
    let publisher = Publisher {
        connection,
        producer,
        delivery,
        is_over: false,
        watchdog: Watchdog::start(),
        alerts_topic: settings.all().alerts.topic.clone(),
        source: settings.all().alerts.source.clone(),
        scores_topic: settings.all().scores_topic.clone(),
        forecasts_topic: settings.all().forecasts_topic.clone(),
        dead_letter_topic: settings.all().dead_letter_topic.clone(),
        state,
    };
    let model = serving.model();
    Engine::new(Parts {
        settings,
        model,
        consumer,
        publisher,
        member: Member::new(Host::new(serving.backends)),
        recorder,
        watch: Watch::new(Arc::clone(&edge.metrics), canary),
        metrics: Arc::clone(&edge.metrics),
        readiness: Arc::clone(&edge.readiness),
        clock: Stopwatch::start(),
        stop,
    })
    .run()
}

fn delivery(kafka: &KafkaSettings) -> Delivery {
    match kafka.delivery {
        DeliveryMode::AtLeastOnce => Delivery::AtLeastOnce,
        DeliveryMode::Transactional => Delivery::Transactional {
            id: kafka.transactional_id.clone().unwrap_or_else(|| {
                // Without a name of its own a process can fence nobody, but neither can another fence it.
                format!("{}-{}-{}", kafka.group, std::process::id(), clock::now().millis())
            }),
            timeout: millis(kafka.transaction_timeout),
        },
    }
}

fn millis(ms: types::DurationMs) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

/// HTTP and signals.
pub(crate) struct Edge {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) readiness: Arc<Readiness>,
    pub(crate) address: std::net::SocketAddr,
    runtime: tokio::runtime::Runtime,
    stop_http: oneshot::Sender<()>,
}

impl Edge {
    /// Binds the port, serves it, and turns SIGTERM and SIGINT into `stop`.
    pub(crate) fn start(settings: &AgentSettings, stop: &Arc<AtomicBool>) -> Result<Self, Failure> {
        let server = HttpServer::bind(settings.all().listen).map_err(Failure::unavailable)?;
        let address = server.address().map_err(Failure::unavailable)?;
        let metrics = Arc::new(Metrics::new(&Registry::new()).map_err(Failure::internal)?);
        metrics.started(clock::now());
        let readiness = Arc::new(Readiness::not_yet("starting"));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(Failure::internal)?;
        let (stop_http, stopped) = oneshot::channel::<()>();
        let serving = server.serve(Arc::clone(&metrics), Arc::clone(&readiness), async {
            let _ = stopped.await;
        });
        runtime.spawn(async {
            if let Err(error) = serving.await {
                tracing::error!(%error, "http stopped");
            }
        });
        {
            let _guard = runtime.enter();
            let mut terminate = signal(SignalKind::terminate()).map_err(Failure::internal)?;
            let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::internal)?;
            let stop = Arc::clone(stop);
            runtime.spawn(async move {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                tracing::info!("asked to stop");
                stop.store(true, Ordering::Relaxed);
                tokio::time::sleep(STOP_DEADLINE).await;
                tracing::error!("not stopped within {} s: giving up", STOP_DEADLINE.as_secs());
                std::process::exit(i32::from(crate::exit_code::UNAVAILABLE));
            });
        }
        tracing::info!(%address, "http");
        Ok(Self {
            metrics,
            readiness,
            address,
            runtime,
            stop_http,
        })
    }

    /// Finishes the answers under way.
    pub(crate) fn stop(self) {
        let _ = self.stop_http.send(());
        self.runtime.shutdown_timeout(Duration::from_secs(1));
    }
}
