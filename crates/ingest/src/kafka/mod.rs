//! The Kafka edge: librdkafka's callbacks become one closed enum of events, taken by one owner in one loop.
//!
//! The contract. One thread owns a [`Consumer`] and polls it. A rebalance is an ordinary [`Event`]: while it is not
//! answered, the group waits and no further message of the old assignment comes out, so the owner can drain and
//! commit what it holds of revoked partitions, under its own deadline, before it answers.
//! [`Event::Assigned`] is answered by [`Consumer::assign`] with a start for every partition,
//! [`Event::Revoked`] by [`Consumer::release`]. Nothing commits by itself: offsets move with
//! [`Producer::commit`] only, together with what they caused.
//!
//! Assignment is eager (`range`): manual commits under cooperative assignment lose partitions in librdkafka.

mod consumer;
mod embedded;
mod error;
pub mod failpoint;
mod lookup;
mod producer;
mod sender;
mod settings;
mod statelog;

pub use consumer::{Consumer, Event, Message, Start, TopicPartition};
pub use embedded::EmbeddedBroker;
pub use error::{KafkaError, KafkaErrorKind};
pub use lookup::{may_read, record_time};
pub use producer::{Outgoing, Producer};
pub use sender::Sender;
pub use settings::{ConnectionSettings, Delivery, GroupSettings, check_property};
pub use statelog::StateLog;
