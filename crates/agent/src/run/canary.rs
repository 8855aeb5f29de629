//! A series of our own, sent through everything that others' go through: broker, decoding, windows, nets, limits and the commit.
//!
//! In every bucket of the canary's interval one sample goes to each canary partition that this agent holds: 1 in odd buckets, 0 in
//! even ones, with a limit between. So each closes the bucket before it and makes one alert state, fired or resolved. That state is not
//! published: what counts is when it would have been.
//!
//! The value follows from the bucket, so that two agents that both hold a partition for a moment say the same.

use ingest::kafka::{ConnectionSettings, KafkaError, Sender};
use pipeline::{Output, Publication, TaskId};
use types::{Bound, DurationMs, Timestamp};

use super::engine::source_of;
use crate::config::CanarySettings;
use crate::metrics::Metrics;

/// Name of the series.
const SERIES: &str = "canary";

/// Sends samples and times what comes of them.
pub(crate) struct Canary {
    sender: Sender,
    interval: DurationMs,
    /// Number of the bucket that has its sample.
    sent: Option<i64>,
}

/// Alert states that wait for their commit: when the samples that caused them were sent.
pub(crate) type Caused = Vec<Timestamp>;

impl Canary {
    pub(crate) fn new(
        connection: &ConnectionSettings,
        settings: &CanarySettings,
    ) -> Result<Self, KafkaError> {
        Ok(Self {
            sender: Sender::connect(connection)?,
            interval: settings.interval,
            sent: None,
        })
    }

    /// Sends the samples of this bucket, if they are not sent yet, to these partitions.
    pub(crate) fn beat<'a>(&mut self, now: Timestamp, held: impl Iterator<Item = &'a TaskId>) {
        let bucket = now.millis().div_euclid(self.interval);
        if self.sent.is_some_and(|sent| sent >= bucket) {
            return;
        }
        let payload = sample(now, bucket);
        for id in held {
            if let Err(error) = self.sender.send(&source_of(id), SERIES, &payload) {
                // That nothing comes back is what the metric is for.
                tracing::debug!(%error, %id, "canary not sent");
            }
            self.sent = Some(bucket);
        }
    }
}

fn sample(now: Timestamp, bucket: i64) -> String {
    let (seconds, ms) = (now.millis().div_euclid(1_000), now.millis().rem_euclid(1_000));
    let value = bucket.rem_euclid(2);
    format!("{{\"name\":\"{SERIES}\",\"timestamp\":{seconds}.{ms:03},\"value\":{value}}}")
}

/// Takes out of a publication what comes from tasks that `is_canary` takes: nobody else is to see it, and it is not kept.
pub(crate) fn take(publication: &mut Publication, is_canary: impl Fn(&TaskId) -> bool) -> Caused {
    let mut caused = Vec::new();
    publication.state.retain(|(id, _)| !is_canary(id));
    publication.outputs.retain(|(id, output)| {
        if !is_canary(id) {
            return true;
        }
        match output {
            Output::Alert(alert) => {
                if alert.limit.is_some_and(|limit| limit.bound == Bound::Above) {
                    caused.push(alert.available_at);
                }
                false
            }
            Output::Row(_) | Output::Forecast(_) | Output::Rejected { .. } | Output::Occurred(_) => false,
            _ => true,
        }
    });
    caused
}

/// What was taken out is committed.
pub(crate) fn committed(caused: &Caused, now: Timestamp, metrics: &Metrics) {
    for sent in caused {
        metrics.canary(*sent, now);
    }
}
