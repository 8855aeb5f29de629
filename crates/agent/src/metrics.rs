//! Every metric of the agent: names, labels and meaning stand here and nowhere else.
//!
//! No label holds a series: their number is the input's to choose.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ingest::kafka::{KafkaErrorKind, TopicPartition};
use pipeline::{Overdue, TaskMemory};
use prometheus::{
    Error, Gauge, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};
use types::{Alert, AlertState, Occurrence, RejectReason, Severity, Timestamp};

use crate::clock::Stopwatch;
use crate::plan::speed::resident_bytes;

/// All metrics, each with a method that says what happened.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    occurrences: IntCounterVec,
    rejected: IntCounterVec,
    alerts: IntCounterVec,
    open_alerts: IntGauge,
    rows: IntCounter,
    windows: IntCounter,
    inference_seconds: Histogram,
    batch_windows: Histogram,
    lag: IntGaugeVec,
    series: IntGaugeVec,
    last_scored: GaugeVec,
    commits: IntCounter,
    aborts: IntCounter,
    state_bytes: IntCounter,
    state_lost: IntCounter,
    records_expired: IntCounter,
    partitions_anew: IntCounter,
    errors: IntCounterVec,
    queued: IntGauge,
    windows_waiting: IntGauge,
    outputs_waiting: IntGauge,
    fetched: IntGauge,
    held: IntGaugeVec,
    series_limit: IntGauge,
    resident: IntGauge,
    overdue_series: IntGaugeVec,
    overdue_seconds: GaugeVec,
    loop_age: Gauge,
    canary_seconds: Histogram,
    canary_last: Gauge,
    clock: Stopwatch,
    /// When the loop came round last (milliseconds of `clock`).
    turned: AtomicU64,
    build: IntGaugeVec,
    model: IntGaugeVec,
    started: Gauge,
}

const PARTITION: [&str; 2] = ["topic", "partition"];
const PART: [&str; 3] = ["topic", "partition", "part"];

impl Metrics {
    /// Registers all of them.
    ///
    /// # Errors
    /// When `registry` holds one of these names already.
    pub fn new(registry: &Registry) -> Result<Self, Error> {
        let r = registry;
        let metrics = Self {
            registry: registry.clone(),
            occurrences: counters(
                r,
                "occurrences_total",
                "What happened inside tasks, by kind.",
                &["kind"],
            )?,
            rejected: counters(
                r,
                "rejected_total",
                "Samples and records not used, by reason.",
                &["reason"],
            )?,
            alerts: counters(r, "alerts_total", "Alert states emitted.", &["state", "severity"])?,
            open_alerts: gauge(r, "open_alerts", "Events that are firing now.")?,
            rows: counter(r, "rows_scored_total", "Buckets that got their final score.")?,
            windows: counter(r, "windows_inferred_total", "Windows that the nets have seen.")?,
            inference_seconds: histogram(
                r,
                "inference_seconds",
                "Time one batch takes in the nets.",
                prometheus::exponential_buckets(0.000_5, 2.0, 14)?,
            )?,
            batch_windows: histogram(
                r,
                "inference_batch_windows",
                "Windows in one batch.",
                prometheus::exponential_buckets(1.0, 2.0, 9)?,
            )?,
            lag: gauges(
                r,
                "consumer_lag_records",
                "Records that wait in the input.",
                &PARTITION,
            )?,
            series: gauges(r, "series", "Series held.", &PARTITION)?,
            last_scored: real_gauges(
                r,
                "last_scored_timestamp_seconds",
                "Start of the newest bucket with a score, event time.",
            )?,
            commits: counter(r, "commits_total", "Commits of outputs and input offsets.")?,
            aborts: counter(
                r,
                "transaction_aborts_total",
                "Transactions given up; their input is read again.",
            )?,
            state_bytes: counter(r, "state_bytes_total", "State written to its topic.")?,
            state_lost: counter(
                r,
                "state_lost_total",
                "Partitions that began without the state kept of them.",
            )?,
            records_expired: counter(
                r,
                "records_expired_total",
                "Offsets that were deleted before their records were processed.",
            )?,
            partitions_anew: counter(
                r,
                "partitions_anew_total",
                "Partitions that begin again because their topic was made anew.",
            )?,
            errors: counters(
                r,
                "errors_total",
                "Failures of brokers and nets, by kind.",
                &["kind"],
            )?,
            queued: gauge(r, "producer_queue_records", "Outputs that wait to be written.")?,
            windows_waiting: gauge(r, "windows_waiting", "Windows that wait for the nets.")?,
            outputs_waiting: gauge(r, "outputs_waiting", "Outputs that wait for their publication.")?,
            fetched: gauge(
                r,
                "consumer_queue_bytes",
                "Input that was fetched and waits to be taken.",
            )?,
            held: gauges(r, "task_bytes", "Memory that a task holds, by what for.", &PART)?,
            series_limit: gauge(r, "series_limit", "Most series that a partition may hold.")?,
            resident: gauge(r, "resident_bytes", "Memory of this process.")?,
            overdue_series: gauges(
                r,
                "overdue_series",
                "Series of which a score is due, by their own samples, and is not there.",
                &PARTITION,
            )?,
            overdue_seconds: real_gauges(
                r,
                "overdue_seconds",
                "For how long the oldest of these scores has been due, event time.",
            )?,
            loop_age: register(
                r,
                Gauge::with_opts(opts(
                    "loop_age_seconds",
                    "Since when the loop has not come round.",
                ))?,
            )?,
            canary_seconds: histogram(
                r,
                "canary_seconds",
                "Time from a canary's sample to the commit of the alert that it caused.",
                prometheus::exponential_buckets(0.05, 2.0, 12)?,
            )?,
            canary_last: register(
                r,
                Gauge::with_opts(opts(
                    "canary_last_timestamp_seconds",
                    "When an alert of the canary was last committed, or first waited for, unix time; 0 without a canary.",
                ))?,
            )?,
            clock: Stopwatch::start(),
            turned: AtomicU64::new(0),
            build: gauges(
                r,
                "build_info",
                "Always 1; the version is in the label.",
                &["version"],
            )?,
            model: gauges(
                r,
                "model_info",
                "Always 1; what computes is in the labels.",
                &["bundle", "device", "runtime"],
            )?,
            started: register(
                r,
                Gauge::with_opts(opts("start_time_seconds", "When this process began, unix time."))?,
            )?,
        };
        metrics.touch();
        Ok(metrics)
    }

    /// Makes every label that is known beforehand appear with 0: a rate over it is then never absent.
    fn touch(&self) {
        for name in OCCURRENCES.iter().copied().filter_map(occurrence_name) {
            self.occurrences.with_label_values(&[name]);
        }
        for reason in RejectReason::ALL {
            self.rejected.with_label_values(&[reason.name()]);
        }
        for kind in KafkaErrorKind::ALL {
            self.errors.with_label_values(&[kind.name()]);
        }
        self.errors.with_label_values(&[INFERENCE]);
        for state in [AlertState::Firing, AlertState::Escalated, AlertState::Resolved] {
            for severity in [Severity::Warning, Severity::Critical] {
                self.alerts.with_label_values(&[state.name(), severity.name()]);
            }
        }
        self.build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
    }

    /// The process began.
    pub fn started(&self, at: Timestamp) {
        self.started.set(at.millis() as f64 / 1000.0);
    }

    /// What computes from here on.
    pub fn model(&self, bundle: &str, device: &str, runtime: &str) {
        self.model.reset();
        self.model.with_label_values(&[bundle, device, runtime]).set(1);
    }

    /// Something happened `count` times inside a task.
    pub fn occurred(&self, what: Occurrence, count: u64) {
        if let Occurrence::Rejected(reason) = what {
            self.rejected.with_label_values(&[reason.name()]).inc_by(count);
        }
        if let Some(name) = occurrence_name(what) {
            self.occurrences.with_label_values(&[name]).inc_by(count);
        }
        if what == Occurrence::BucketScored {
            self.rows.inc_by(count);
        }
    }

    /// An alert state went out.
    pub fn alerted(&self, alert: &Alert) {
        self.alerts
            .with_label_values(&[alert.state.name(), alert.severity.name()])
            .inc();
    }

    /// Events that are firing now, over all tasks.
    pub fn open_alerts(&self, count: usize) {
        self.open_alerts.set(signed(count));
    }

    /// One batch went through the nets.
    pub fn inferred(&self, windows: usize, took: Duration) {
        self.windows.inc_by(windows as u64);
        self.batch_windows.observe(windows as f64);
        self.inference_seconds.observe(took.as_secs_f64());
    }

    /// The nets failed on a batch.
    pub fn inference_failed(&self) {
        self.errors.with_label_values(&[INFERENCE]).inc();
    }

    /// Records between what was processed and the end of a partition.
    pub fn lag(&self, source: &TopicPartition, records: i64) {
        self.lag.with_label_values(&labels(source)).set(records.max(0));
    }

    /// Series that a partition's task holds.
    pub fn series(&self, source: &TopicPartition, count: usize) {
        self.series.with_label_values(&labels(source)).set(signed(count));
    }

    /// Start of the newest bucket of a partition that has a score.
    pub fn last_scored(&self, source: &TopicPartition, bucket: Timestamp) {
        self.last_scored
            .with_label_values(&labels(source))
            .set(bucket.millis() as f64 / 1000.0);
    }

    /// The loop comes round: a loop that hangs cannot say so itself, its silence is measured when metrics are asked for.
    pub fn turned(&self) {
        self.turned.store(millis(self.clock.elapsed()), Ordering::Relaxed);
    }

    /// Windows that wait for the nets, and outputs that wait for their publication.
    pub fn waiting(&self, windows: usize, outputs: usize) {
        self.windows_waiting.set(signed(windows));
        self.outputs_waiting.set(signed(outputs));
    }

    /// Input that was fetched and waits to be taken (bytes).
    pub fn fetched(&self, bytes: u64) {
        self.fetched.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Most series that a partition may hold.
    pub fn series_limit(&self, series: usize) {
        self.series_limit.set(signed(series));
    }

    /// What a partition's task holds in memory.
    pub fn held(&self, source: &TopicPartition, memory: &TaskMemory) {
        let [topic, partition] = labels(source);
        for (part, bytes) in memory.parts() {
            self.held
                .with_label_values(&[&topic, &partition, part])
                .set(signed(bytes));
        }
    }

    /// Series of a partition whose score is due and not there.
    pub fn overdue(&self, source: &TopicPartition, overdue: Overdue) {
        let labels = labels(source);
        self.overdue_series
            .with_label_values(&labels)
            .set(signed(overdue.series));
        self.overdue_seconds
            .with_label_values(&labels)
            .set(overdue.longest as f64 / 1000.0);
    }

    /// From `now` on a canary is to be heard, or is not; what was waited for before is waited for still.
    pub fn canary_awaited(&self, is_awaited: bool, now: Timestamp) {
        if !is_awaited {
            self.canary_last.set(0.0);
        } else if self.canary_last.get() == 0.0 {
            self.canary_last.set(now.millis() as f64 / 1000.0);
        }
    }

    /// The alert of a canary's sample of the time `sent` was committed at `now`.
    pub fn canary(&self, sent: Timestamp, now: Timestamp) {
        self.canary_seconds.observe((now - sent).max(0) as f64 / 1000.0);
        self.canary_last.set(now.millis() as f64 / 1000.0);
    }

    /// A partition is another member's now: nothing is said about it any more.
    pub fn forget(&self, source: &TopicPartition) {
        let labels = labels(source);
        let labels = labels.each_ref().map(String::as_str);
        // Absent is what it should become: that it was so already is no failure.
        let _ = self.lag.remove_label_values(&labels);
        let _ = self.series.remove_label_values(&labels);
        let _ = self.last_scored.remove_label_values(&labels);
        let _ = self.overdue_series.remove_label_values(&labels);
        let _ = self.overdue_seconds.remove_label_values(&labels);
        for (part, _) in TaskMemory::default().parts() {
            let _ = self.held.remove_label_values(&[labels[0], labels[1], part]);
        }
    }

    /// Outputs and offsets were committed.
    pub fn committed(&self) {
        self.commits.inc();
    }

    /// A transaction was given up.
    pub fn aborted(&self) {
        self.aborts.inc();
    }

    /// A record of so many bytes was written to the state topic.
    pub fn kept(&self, bytes: usize) {
        self.state_bytes.inc_by(bytes as u64);
    }

    /// A partition begins without the state that was kept of it.
    pub fn state_lost(&self) {
        self.state_lost.inc();
    }

    /// So many records can never be processed.
    pub fn expired(&self, offsets: i64) {
        self.records_expired.inc_by(u64::try_from(offsets).unwrap_or(0));
    }

    /// A partition is another one of the same name.
    pub fn anew(&self) {
        self.partitions_anew.inc();
    }

    /// A broker, or the way to it, failed.
    pub fn failed(&self, kind: KafkaErrorKind) {
        self.errors.with_label_values(&[kind.name()]).inc();
    }

    /// Outputs that wait to be written.
    pub fn queued(&self, records: usize) {
        self.queued.set(signed(records));
    }

    /// Buckets that have their final score so far.
    pub(crate) fn buckets_scored(&self) -> u64 {
        self.rows.get()
    }

    /// Alert states emitted so far.
    pub(crate) fn alert_states(&self) -> u64 {
        let states = [AlertState::Firing, AlertState::Escalated, AlertState::Resolved];
        let severities = [Severity::Warning, Severity::Critical];
        let each = states.into_iter().flat_map(|state| {
            severities.map(|severity| {
                self.alerts
                    .with_label_values(&[state.name(), severity.name()])
                    .get()
            })
        });
        each.sum()
    }

    /// All metrics in the Prometheus text format, in the order of their names.
    #[must_use]
    pub fn render(&self) -> String {
        let age = millis(self.clock.elapsed()).saturating_sub(self.turned.load(Ordering::Relaxed));
        self.loop_age.set(age as f64 / 1000.0);
        self.resident
            .set(resident_bytes().map_or(0, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX)));
        // Fails only for names that registering would have refused.
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .unwrap_or_default()
    }
}

/// Label of failures of the nets among `errors_total`.
const INFERENCE: &str = "inference";

/// Every occurrence but rejections, which have a metric of their own.
const OCCURRENCES: [Occurrence; 13] = [
    Occurrence::SampleAccepted,
    Occurrence::SampleDuplicate,
    Occurrence::CounterReset,
    Occurrence::SeriesCreated,
    Occurrence::SeriesEvicted,
    Occurrence::SeriesSilent,
    Occurrence::WindowRestarted,
    Occurrence::BucketClosed,
    Occurrence::BucketFilled,
    Occurrence::WindowDue,
    Occurrence::WindowSkipped,
    Occurrence::AlertEmitted,
    Occurrence::AlertMuted,
];

/// `None` for what has a metric of its own.
fn occurrence_name(what: Occurrence) -> Option<&'static str> {
    Some(match what {
        Occurrence::SampleAccepted => "sample_accepted",
        Occurrence::SampleDuplicate => "sample_duplicate",
        Occurrence::CounterReset => "counter_reset",
        Occurrence::SeriesCreated => "series_created",
        Occurrence::SeriesEvicted => "series_evicted",
        Occurrence::SeriesSilent => "series_silent",
        Occurrence::WindowRestarted => "window_restarted",
        Occurrence::BucketClosed => "bucket_closed",
        Occurrence::BucketFilled => "bucket_filled",
        Occurrence::WindowDue => "window_due",
        Occurrence::WindowSkipped => "window_skipped",
        Occurrence::AlertEmitted => "alert_emitted",
        Occurrence::AlertMuted => "alert_muted",
        Occurrence::Rejected(_) | Occurrence::BucketScored => return None,
    })
}

fn labels(source: &TopicPartition) -> [String; 2] {
    [source.topic.to_string(), source.partition.to_string()]
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(format!("agent_{name}"), help)
}

fn register<M: prometheus::core::Collector + Clone + 'static>(
    registry: &Registry,
    metric: M,
) -> Result<M, Error> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn counter(registry: &Registry, name: &str, help: &str) -> Result<IntCounter, Error> {
    register(registry, IntCounter::with_opts(opts(name, help))?)
}

fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, Error> {
    register(registry, IntCounterVec::new(opts(name, help), labels)?)
}

fn gauge(registry: &Registry, name: &str, help: &str) -> Result<IntGauge, Error> {
    register(registry, IntGauge::with_opts(opts(name, help))?)
}

fn gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, Error> {
    register(registry, IntGaugeVec::new(opts(name, help), labels)?)
}

fn real_gauges(registry: &Registry, name: &str, help: &str) -> Result<GaugeVec, Error> {
    register(registry, GaugeVec::new(opts(name, help), &PARTITION)?)
}

fn histogram(registry: &Registry, name: &str, help: &str, buckets: Vec<f64>) -> Result<Histogram, Error> {
    let opts = HistogramOpts {
        common_opts: opts(name, help),
        buckets,
    };
    register(registry, Histogram::with_opts(opts)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_rendered_and_partitions_forgotten() {
        let metrics = Metrics::new(&Registry::new()).unwrap();
        let text = metrics.render();
        for line in [
            "agent_rejected_total{reason=\"late\"} 0",
            "agent_alerts_total{severity=\"critical\",state=\"escalated\"} 0",
            "agent_errors_total{kind=\"inference\"} 0",
            "agent_errors_total{kind=\"fenced\"} 0",
            "agent_occurrences_total{kind=\"sample_accepted\"} 0",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
        }
        let source = TopicPartition {
            topic: "in".into(),
            partition: 3,
        };
        metrics.occurred(Occurrence::Rejected(RejectReason::Late), 2);
        metrics.occurred(Occurrence::BucketScored, 5);
        metrics.inferred(8, Duration::from_millis(3));
        metrics.lag(&source, -1);
        metrics.last_scored(&source, Timestamp::from_millis(1_500));
        metrics.model("b", "cpu", "1");
        metrics.model("b", "cuda:0", "1");
        let text = metrics.render();
        for line in [
            "agent_rejected_total{reason=\"late\"} 2",
            "agent_rows_scored_total 5",
            "agent_windows_inferred_total 8",
            "agent_consumer_lag_records{partition=\"3\",topic=\"in\"} 0",
            "agent_last_scored_timestamp_seconds{partition=\"3\",topic=\"in\"} 1.5",
            "agent_model_info{bundle=\"b\",device=\"cuda:0\",runtime=\"1\"} 1",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
        }
        assert!(!text.contains("device=\"cpu\""));
        metrics.forget(&source);
        assert!(!metrics.render().contains("partition=\"3\""));
    }
}
