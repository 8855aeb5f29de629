//! The configuration once it is known to be right: values that cannot be wrong.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use alerting::{AlertSpec, LimitSpec};
use ingest::decode::{Format, LabelRules};
use jiff::tz::TimeZone;
use pipeline::{Maintenance, Matcher};
use scorer::causal::ScoreSpec;
use scorer::runtime::Device;
use types::{Aggregate, DurationMs, Kind};

/// Everything that can be set. Sections as in the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `[kafka]`.
    pub kafka: KafkaSettings,
    /// `[alerts]`.
    pub alerts: AlertsSettings,
    /// `[scores]`: topic that gets one record a bucket.
    pub scores_topic: Option<String>,
    /// `[forecasts]`: topic that gets what is expected of each next bucket.
    pub forecasts_topic: Option<String>,
    /// `[dead_letter]`: topic that gets what could not be used.
    pub dead_letter_topic: Option<String>,
    /// `[canary]`: `None` where there is none.
    pub canary: Option<CanarySettings>,
    /// `[files]`: zone of times without one.
    pub zone: TimeZone,
    /// `[labels]`.
    pub labels: LabelRules,
    /// `[state]`.
    pub state: StateSettings,
    /// `[windows]`.
    pub windows: WindowsSettings,
    /// `[score]`.
    pub score: ScoreSpec,
    /// `[alert]`.
    pub alert: AlertSpec,
    /// `[[rules]]`, the first match wins.
    pub rules: Vec<RuleSettings>,
    /// `[[maintenance]]`.
    pub maintenance: Vec<Maintenance>,
    /// `[model]`.
    pub model: ModelSettings,
    /// `[http]`: address of `/metrics`, `/healthz` and `/readyz`.
    pub listen: SocketAddr,
    /// `[log]`.
    pub log: LogSettings,
}

/// `[kafka]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaSettings {
    /// `host:port`, comma separated.
    pub brokers: String,
    /// Input topics, at least one.
    pub topics: Vec<String>,
    /// Consumer group.
    pub group: String,
    /// Static membership.
    pub group_instance_id: Option<String>,
    /// How records are encoded.
    pub format: Format,
    /// How outputs and input offsets hang together.
    pub delivery: DeliveryMode,
    /// As given, or made of group and instance id; `None`: to be made unique by the process.
    pub transactional_id: Option<String>,
    /// After this the broker ends a transaction that was left open (milliseconds).
    pub transaction_timeout: DurationMs,
    /// How long outputs are gathered before a commit (milliseconds).
    pub commit_interval: DurationMs,
    /// A member silent for longer is taken for dead (milliseconds).
    pub session_timeout: DurationMs,
    /// Where a group that has never committed begins.
    pub start: StartMode,
    /// Passed on to librdkafka, each checked.
    pub properties: BTreeMap<String, String>,
}

/// `kafka.delivery`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryMode {
    /// Outputs and offsets in one transaction.
    Transactional,
    /// Outputs first, then offsets.
    AtLeastOnce,
}

/// `kafka.start`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartMode {
    /// At the oldest record, loudly.
    Earliest,
    /// After the newest record.
    Latest,
    /// [`StateSettings::lookback`] ago, muted until the present is reached.
    Lookback,
}

/// `[canary]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanarySettings {
    /// Topic that the agent writes its own samples to, and reads them from.
    pub topic: String,
    /// Distance of two of them in one partition (milliseconds).
    pub interval: DurationMs,
}

/// `[alerts]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertsSettings {
    /// Topic of the alerts.
    pub topic: String,
    /// `source` of the CloudEvents.
    pub source: String,
}

/// `[state]`. Durations in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateSettings {
    /// Topic on which state is kept, where delivery is transactional; `None`: none is.
    pub topic: Option<String>,
    /// What is read again after a restart.
    pub lookback: DurationMs,
    /// Most series of a task.
    pub max_series: usize,
    /// A series silent for so long is forgotten.
    pub series_ttl: DurationMs,
    /// A series silent for so long may be forgotten to make room.
    pub evict_idle: DurationMs,
}

/// `[windows]`. Durations in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WindowsSettings {
    /// How long a bucket waits for samples out of order.
    pub lateness: DurationMs,
    /// Empty buckets that a window survives; `None`: as many as it holds.
    pub restart_after: Option<usize>,
    /// Windows with a larger share of filled-in buckets are not scored.
    pub max_filled_share: f64,
    /// Samples further ahead of their record are rejected.
    pub future_limit: DurationMs,
    /// When buckets close although nothing came after them.
    pub idle_close: IdleClose,
}

/// `windows.idle_close`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdleClose {
    /// After three intervals of the series.
    Auto,
    /// After this long (milliseconds).
    After(DurationMs),
}

/// One of `[[rules]]`, with what it does not say taken from the sections.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleSettings {
    /// Which series.
    pub matcher: Matcher,
    /// They are not looked at.
    pub ignore: bool,
    /// Length of their buckets (milliseconds); `None`: inferred.
    pub interval: Option<DurationMs>,
    /// What their values mean.
    pub kind: Kind,
    /// How samples become a bucket's value.
    pub aggregate: Aggregate,
    /// Windows.
    pub windows: WindowsSettings,
    /// Score.
    pub score: ScoreSpec,
    /// Alerts.
    pub alert: AlertSpec,
    /// Limits.
    pub limits: LimitSpec,
}

/// `[model]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelSettings {
    /// Bundle directory; `None`: the shipped one.
    pub path: Option<PathBuf>,
    /// Wanted device.
    pub device: Device,
    /// Inference threads; 0: one a core.
    pub threads: usize,
    /// ONNX Runtime library; `None`: searched for.
    pub onnxruntime: Option<PathBuf>,
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// Lines for people or for machines.
    pub format: LogFormat,
    /// Directives of `tracing_subscriber::EnvFilter`.
    pub level: String,
}

/// `log.format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}
