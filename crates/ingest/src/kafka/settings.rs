//! Our settings to librdkafka's.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError as Native;

/// How to reach the brokers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionSettings {
    /// `host:port`, comma separated.
    pub brokers: String,
    /// Anything else that librdkafka takes, except what this edge decides itself; see [`check_property`].
    pub properties: BTreeMap<String, String>,
}

/// How to share partitions with other members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSettings {
    /// Consumer group.
    pub group: String,
    /// Static membership: a restart under the same id within the session timeout moves no partition.
    pub instance_id: Option<String>,
    /// A member that is silent for longer is taken for dead.
    pub session_timeout: Duration,
}

/// What may happen to outputs when a process dies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Outputs and input offsets are seen together or not at all.
    Transactional {
        /// Stable over restarts; a second process that uses it fences the first.
        id: String,
        /// The broker aborts a transaction that is open for longer.
        timeout: Duration,
    },
    /// Outputs before offsets: a crash repeats outputs, with the same ids, and loses none.
    AtLeastOnce,
}

/// Keys that this edge sets: taking them from the outside would break its contract.
const OWN_KEYS: [&str; 17] = [
    "acks",
    "auto.offset.reset",
    "bootstrap.servers",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.idempotence",
    "enable.partition.eof",
    "group.id",
    "group.instance.id",
    "group.protocol",
    "isolation.level",
    "metadata.broker.list",
    "partition.assignment.strategy",
    "request.required.acks",
    "session.timeout.ms",
    "transaction.timeout.ms",
    "transactional.id",
];

/// Whether `key = value` may stand in [`ConnectionSettings::properties`].
///
/// # Errors
/// What is wrong: a key that librdkafka does not know, a value that it refuses, or a key that is not free.
pub fn check_property(key: &str, value: &str) -> Result<(), String> {
    if OWN_KEYS.contains(&key) {
        return Err("is set by the agent itself".to_owned());
    }
    let mut one = ClientConfig::new();
    one.set(key, value);
    match one.create_native_config() {
        Ok(_) => Ok(()),
        Err(Native::ClientConfig(_, description, ..)) => Err(format!("librdkafka: {description}")),
        Err(error) => Err(error.to_string()),
    }
}

impl ConnectionSettings {
    /// Settings without properties.
    #[must_use]
    pub fn new(brokers: impl Into<String>) -> Self {
        Self {
            brokers: brokers.into(),
            properties: BTreeMap::new(),
        }
    }

    /// What every client of ours has in common.
    pub(super) fn base(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (key, value) in &self.properties {
            config.set(key, value);
        }
        config.set("bootstrap.servers", &self.brokers);
        config
    }

    /// A client that reads by itself, outside any group.
    pub(super) fn lookup(&self) -> ClientConfig {
        let mut config = self.base();
        config
            .set("group.id", "agent-lookup")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("isolation.level", "read_committed");
        config
    }

    pub(super) fn consumer(&self, group: &GroupSettings) -> ClientConfig {
        let mut config = self.base();
        let session_ms = group.session_timeout.as_millis();
        config
            .set("group.id", &group.group)
            .set("session.timeout.ms", session_ms.to_string())
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("partition.assignment.strategy", "range")
            .set("isolation.level", "read_committed")
            // Reached only where retention has eaten a start that the owner chose: the oldest left is next best.
            .set("auto.offset.reset", "earliest");
        if let Some(id) = &group.instance_id {
            config.set("group.instance.id", id);
        }
        let free = |key: &str| !self.properties.contains_key(key);
        // librdkafka wants the poll interval to be at least the session timeout.
        if free("max.poll.interval.ms") {
            config.set("max.poll.interval.ms", session_ms.max(300_000).to_string());
        }
        // Partitions that were added, and topics that have come back, are found by looking: five minutes by default.
        if free("topic.metadata.refresh.interval.ms") {
            config.set("topic.metadata.refresh.interval.ms", "5000");
        }
        // The source of the end offsets that lag is measured against.
        if free("statistics.interval.ms") {
            config.set("statistics.interval.ms", "5000");
        }
        // 64 MiB for all partitions of a process is plenty: the default would allow that much a partition.
        if free("queued.max.messages.kbytes") {
            config.set("queued.max.messages.kbytes", "16384");
        }
        config
    }

    /// A client that writes without waiting: what is not there soon is given up.
    pub(super) fn sender(&self) -> ClientConfig {
        let mut config = self.base();
        config
            .set("message.timeout.ms", "5000")
            .set("linger.ms", "0")
            .set("queue.buffering.max.messages", "1000");
        config
    }

    pub(super) fn producer(&self, delivery: &Delivery) -> ClientConfig {
        let mut config = self.base();
        config.set("enable.idempotence", "true");
        let free = |key: &str| !self.properties.contains_key(key);
        if free("compression.type") && free("compression.codec") {
            config.set("compression.type", "zstd");
        }
        // Far more than one publication; the default is a GiB.
        if free("queue.buffering.max.kbytes") {
            config.set("queue.buffering.max.kbytes", "65536");
        }
        // The Java clients' choice, so that alerts land where joins on the same key expect them.
        if free("partitioner") {
            config.set("partitioner", "murmur2_random");
        }
        if let Delivery::Transactional { id, timeout } = delivery {
            let timeout_ms = timeout.as_millis().to_string();
            config
                .set("transactional.id", id)
                .set("transaction.timeout.ms", &timeout_ms)
                // librdkafka wants a message to give up no later than its transaction.
                .set("delivery.timeout.ms", &timeout_ms);
        }
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_checked_by_librdkafka_and_by_us() {
        assert_eq!(check_property("security.protocol", "ssl"), Ok(()));
        assert_eq!(check_property("compression.type", "zstd"), Ok(()));
        let unknown = check_property("secruity.protocol", "ssl").unwrap_err();
        assert!(unknown.contains("No such configuration property"), "{unknown}");
        assert!(check_property("security.protocol", "tls").is_err());
        assert!(check_property("enable.auto.commit", "true").is_err());
    }

    #[test]
    fn every_own_setting_is_known_to_librdkafka() {
        let connection = ConnectionSettings::new("127.0.0.1:1");
        let group = GroupSettings {
            group: "g".to_owned(),
            instance_id: Some("i".to_owned()),
            session_timeout: Duration::from_secs(400),
        };
        let delivery = Delivery::Transactional {
            id: "t".to_owned(),
            timeout: Duration::from_secs(10),
        };
        for config in [
            connection.consumer(&group),
            connection.producer(&delivery),
            connection.sender(),
        ] {
            config.create_native_config().unwrap();
        }
    }
}
