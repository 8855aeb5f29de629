//! Outputs of tasks as records on topics, in one transaction with the offsets that caused them.

use std::collections::BTreeMap;
use std::time::Duration;

use ingest::kafka::{
    ConnectionSettings, Consumer, Delivery, KafkaError, Outgoing, Producer, TopicPartition, failpoint,
    record_time,
};
use pipeline::{Output, Publication};
use types::Timestamp;

use crate::rows;
use crate::run::restore::StateTopic;
use crate::run::watchdog::Watchdog;

/// Where outputs go.
pub(crate) struct Publisher {
    pub(crate) connection: ConnectionSettings,
    pub(crate) producer: Producer,
    pub(crate) delivery: Delivery,
    /// The producer is of no further use.
    pub(crate) is_over: bool,
    pub(crate) watchdog: Watchdog,
    pub(crate) alerts_topic: String,
    pub(crate) source: String,
    pub(crate) scores_topic: Option<String>,
    pub(crate) forecasts_topic: Option<String>,
    pub(crate) dead_letter_topic: Option<String>,
    /// Where state is kept, if it is.
    pub(crate) state: Option<StateTopic>,
}

/// Records sent in one publication.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Alert states.
    pub(crate) alerts: u64,
    /// Rows on the scores topic.
    pub(crate) rows: u64,
    /// Forecasts on their topic.
    pub(crate) forecasts: u64,
    /// Dead letters.
    pub(crate) dead_letters: u64,
}

impl Publisher {
    /// Sends a publication and commits `next`, its offsets. After an error nothing of it counts: see [`Publisher::abort`].
    pub(crate) fn publish(
        &self,
        consumer: &Consumer,
        publication: &Publication,
        next: &BTreeMap<TopicPartition, i64>,
        timeout: Duration,
    ) -> Result<Sent, KafkaError> {
        self.producer.begin()?;
        failpoint::pass("before_produce");
        let mut sent = Sent::default();
        for (task, output) in &publication.outputs {
            match output {
                Output::Alert(alert) => {
                    let headers = alerting::wire::cloud_event_headers(alert, &self.source);
                    let headers: Vec<(&str, &[u8])> = headers
                        .iter()
                        .map(|(name, value)| (*name, value.as_bytes()))
                        .collect();
                    let payload = alerting::wire::to_json(alert);
                    self.send(
                        &self.alerts_topic,
                        alert.series.as_str(),
                        payload.as_bytes(),
                        &headers,
                        timeout,
                    )?;
                    sent.alerts += 1;
                }
                Output::Row(row) => {
                    let Some(topic) = &self.scores_topic else { continue };
                    let payload = rows::to_json(row);
                    self.send(topic, row.series.as_str(), payload.as_bytes(), &[], timeout)?;
                    sent.rows += 1;
                }
                Output::Forecast(forecast) => {
                    let Some(topic) = &self.forecasts_topic else {
                        continue;
                    };
                    let payload = rows::forecast_to_json(forecast);
                    self.send(topic, forecast.series.as_str(), payload.as_bytes(), &[], timeout)?;
                    sent.forecasts += 1;
                }
                Output::Rejected { offset, rejected } => {
                    let Some(topic) = &self.dead_letter_topic else {
                        continue;
                    };
                    let (partition, offset) = (task.partition.to_string(), offset.to_string());
                    let headers: [(&str, &[u8]); 4] = [
                        ("reason", rejected.reason.name().as_bytes()),
                        ("topic", task.topic.as_bytes()),
                        ("partition", partition.as_bytes()),
                        ("offset", offset.as_bytes()),
                    ];
                    let key = format!("{task}/{offset}");
                    self.send(topic, &key, rejected.detail.as_bytes(), &headers, timeout)?;
                    sent.dead_letters += 1;
                }
                Output::Due { .. } | Output::Occurred(_) | Output::Processed { .. } => {}
            }
        }
        if let Some(state) = &self.state {
            state.keep(&self.producer, &publication.state, timeout)?;
        }
        failpoint::pass("after_produce");
        self.watchdog
            .during(|| self.producer.commit(consumer, next, timeout))?;
        Ok(sent)
    }

    /// Drops what the failed publication left behind.
    pub(crate) fn abort(&self, timeout: Duration) -> Result<(), KafkaError> {
        self.watchdog.during(|| self.producer.abort(timeout))
    }

    /// Makes another producer where the one there was is over. It takes over the same transactional id, which ends what the other left open.
    pub(crate) fn revive(&mut self, timeout: Duration) -> Result<(), KafkaError> {
        if !self.is_over {
            return Ok(());
        }
        let producer = Producer::connect(&self.connection, &self.delivery)?;
        self.watchdog.during(|| producer.init(timeout))?;
        tracing::info!("another producer is made");
        self.producer = producer;
        self.is_over = false;
        Ok(())
    }

    /// The time of the record before `offset`, if there is one left.
    pub(crate) fn record_time(
        &self,
        source: &TopicPartition,
        low: i64,
        offset: i64,
        timeout: Duration,
    ) -> Result<Option<Timestamp>, KafkaError> {
        record_time(&self.connection, source, low, offset, timeout)
    }

    fn send(
        &self,
        topic: &str,
        key: &str,
        payload: &[u8],
        headers: &[(&str, &[u8])],
        timeout: Duration,
    ) -> Result<(), KafkaError> {
        self.producer.send(
            &Outgoing {
                topic,
                key: key.as_bytes(),
                payload,
                headers,
                time: None,
            },
            timeout,
        )
    }
}
