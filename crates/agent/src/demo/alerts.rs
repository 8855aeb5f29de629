//! Alerts as a stranger reads them: from their topic, by their schema.

use std::time::Duration;

use ingest::kafka::{ConnectionSettings, Consumer, Event, GroupSettings, KafkaError, Start};
use serde::Deserialize;
use types::{AlertState, Bound, Severity, Timestamp};

use crate::failure::Failure;

/// What the demo shows of an alert state.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Heard {
    pub(super) id: String,
    pub(super) state: AlertState,
    pub(super) severity: Severity,
    pub(super) series: String,
    pub(super) start: Timestamp,
    pub(super) available_at: Timestamp,
    pub(super) score: f64,
    pub(super) value: f64,
    pub(super) expected: Option<f64>,
    /// Of a limit alert.
    pub(super) limit: Option<HeardLimit>,
}

/// The limit that an alert is about.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct HeardLimit {
    pub(super) bound: Bound,
    pub(super) value: f64,
    pub(super) forecast: Option<f64>,
}

#[derive(Deserialize)]
struct Wire {
    id: String,
    state: AlertState,
    severity: Severity,
    series: String,
    start: String,
    available_at: String,
    score: f64,
    value: f64,
    expected: Option<f64>,
    limit: Option<HeardLimit>,
}

impl Heard {
    fn parse(payload: &[u8]) -> Result<Self, Failure> {
        let wire: Wire = serde_json::from_slice(payload)
            .map_err(|e| Failure::internal(format!("an alert that is none: {e}")))?;
        let time = |text: &str| Timestamp::parse(text, None).map_err(Failure::internal);
        Ok(Self {
            start: time(&wire.start)?,
            available_at: time(&wire.available_at)?,
            id: wire.id,
            state: wire.state,
            severity: wire.severity,
            series: wire.series,
            score: wire.score,
            value: wire.value,
            expected: wire.expected,
            limit: wire.limit,
        })
    }
}

/// Reads the alerts topic from its beginning.
pub(super) struct Listener {
    consumer: Consumer,
}

impl Listener {
    pub(super) fn connect(connection: &ConnectionSettings, topic: &str) -> Result<Self, Failure> {
        let group = GroupSettings {
            group: "demo-listener".to_owned(),
            instance_id: None,
            session_timeout: Duration::from_secs(45),
        };
        let consumer =
            Consumer::connect(connection, &group, &[topic.to_owned()]).map_err(Failure::unavailable)?;
        Ok(Self { consumer })
    }

    /// The next alert, waiting up to `timeout` for one.
    pub(super) fn poll(&mut self, timeout: Duration) -> Result<Option<Heard>, Failure> {
        let survived = |result: Result<(), KafkaError>| match result {
            Err(error) if error.kind.ends_client() => Err(Failure::unavailable(error)),
            _ => Ok(None),
        };
        match self.consumer.poll(timeout) {
            Some(Event::Message(message)) => Heard::parse(&message.payload).map(Some),
            Some(Event::Assigned(partitions)) => {
                let starts: Vec<_> = partitions.into_iter().map(|p| (p, Start::Beginning)).collect();
                survived(self.consumer.assign(&starts))
            }
            Some(Event::Revoked { .. }) => survived(self.consumer.release()),
            Some(Event::Error(error)) => survived(Err(error)),
            Some(Event::Ends(_) | Event::Fetched(_)) | None => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_on_the_wire_is_understood() {
        let heard = Heard::parse(
            br#"{"id":"0123","state":"escalated","severity":"critical","scope":"m","series":"cpu{host=\"a\"}",
                "start":"2026-01-05T07:00:00Z","end":"2026-01-05T07:02:00Z","available_at":"2026-01-05T07:02:00Z",
                "score":2.5,"value":9.0,"expected":2.0,"band":[1.0,3.0],"confidence":0.6,
                "parts":{"reconstruction":2.5,"critic":0.0,"range":0.1,"envelope":0.0},"bundle":"b","schema_version":1}"#,
        )
        .unwrap();
        assert_eq!(
            (heard.state, heard.severity),
            (AlertState::Escalated, Severity::Critical)
        );
        assert_eq!(
            (heard.series.as_str(), heard.expected),
            ("cpu{host=\"a\"}", Some(2.0))
        );
        assert_eq!(heard.limit, None);
        let limit = Heard::parse(
            br#"{"id":"0123","kind":"limit","state":"firing","severity":"warning","series":"cpu","start":"2026-01-05T07:00:00Z",
                "available_at":"2026-01-05T07:00:00Z","score":1.0,"value":80.0,"limit":{"bound":"above","value":90.0}}"#,
        )
        .unwrap()
        .limit
        .unwrap();
        assert_eq!(
            (limit.bound, limit.value, limit.forecast),
            (Bound::Above, 90.0, None)
        );
        assert_eq!(heard.available_at - heard.start, 120_000);
        assert!(Heard::parse(b"{}").is_err());
    }
}
