//! What can go wrong with a broker, sorted by what the caller should do about it.

use rdkafka::error::{KafkaError as Native, RDKafkaErrorCode as Code};

/// An operation on the broker failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{operation}: {message}")]
pub struct KafkaError {
    /// What was tried.
    pub operation: &'static str,
    /// What to do about it.
    pub kind: KafkaErrorKind,
    /// librdkafka's words.
    pub message: String,
}

/// What to do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KafkaErrorKind {
    /// No broker answers, or not in time. librdkafka goes on trying; so may the caller.
    Unavailable,
    /// The topic does not exist (yet).
    UnknownTopic,
    /// Not allowed: credentials or access lists.
    Denied,
    /// A setting that librdkafka refuses.
    Setting,
    /// The transaction must be aborted; its input is to be processed again.
    Abortable,
    /// The partitions belong to another member by now; what was held of them must be dropped.
    Lost,
    /// Another client with the same identity took over: this one must end.
    Fenced,
    /// This client cannot go on.
    Fatal,
    /// Anything else: may be tried again.
    Retriable,
}

impl KafkaErrorKind {
    /// All kinds.
    pub const ALL: [Self; 9] = [
        Self::Unavailable,
        Self::UnknownTopic,
        Self::Denied,
        Self::Setting,
        Self::Abortable,
        Self::Lost,
        Self::Fenced,
        Self::Fatal,
        Self::Retriable,
    ];

    /// Stable name in metrics and log lines.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::UnknownTopic => "unknown_topic",
            Self::Denied => "denied",
            Self::Setting => "setting",
            Self::Abortable => "abortable",
            Self::Lost => "lost",
            Self::Fenced => "fenced",
            Self::Fatal => "fatal",
            Self::Retriable => "retriable",
        }
    }

    /// True when the client that reported it is of no further use.
    #[must_use]
    pub fn ends_client(self) -> bool {
        matches!(self, Self::Fatal | Self::Fenced)
    }
}

impl KafkaError {
    pub(super) fn new(operation: &'static str, error: &Native) -> Self {
        Self {
            operation,
            kind: kind(error),
            message: message(error),
        }
    }
}

/// The innermost text: the outer ones only repeat which call it was.
fn message(error: &Native) -> String {
    match error {
        Native::Transaction(e) => e.string(),
        Native::ClientConfig(_, description, key, _) => format!("{key}: {description}"),
        _ => match error.rdkafka_error_code() {
            Some(code) => code.to_string(),
            None => error.to_string(),
        },
    }
}

fn kind(error: &Native) -> KafkaErrorKind {
    let known = error.rdkafka_error_code().and_then(kind_of_code);
    match (error, known) {
        // Whatever the cause, nothing can be done with that client any more.
        (Native::Transaction(e), known) if e.is_fatal() && known != Some(KafkaErrorKind::Fenced) => {
            return KafkaErrorKind::Fatal;
        }
        (_, Some(known)) => return known,
        _ => {}
    }
    match error {
        Native::Transaction(e) if e.txn_requires_abort() => KafkaErrorKind::Abortable,
        Native::MessageConsumptionFatal(_) => KafkaErrorKind::Fatal,
        Native::ClientConfig(..) | Native::ClientCreation(_) | Native::Nul(_) => KafkaErrorKind::Setting,
        _ => KafkaErrorKind::Retriable,
    }
}

/// Codes that mean the same whatever operation reported them.
fn kind_of_code(code: Code) -> Option<KafkaErrorKind> {
    Some(match code {
        Code::BrokerTransportFailure
        | Code::AllBrokersDown
        | Code::OperationTimedOut
        | Code::MessageTimedOut
        | Code::Resolve
        | Code::RequestTimedOut
        | Code::CoordinatorNotAvailable
        | Code::CoordinatorLoadInProgress
        | Code::NetworkException => KafkaErrorKind::Unavailable,
        Code::UnknownTopic | Code::UnknownPartition | Code::UnknownTopicOrPartition => {
            KafkaErrorKind::UnknownTopic
        }
        Code::Authentication
        | Code::SaslAuthenticationFailed
        | Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed
        | Code::SSL => KafkaErrorKind::Denied,
        // A group that moved on while a transaction was under way.
        Code::IllegalGeneration
        | Code::UnknownMemberId
        | Code::RebalanceInProgress
        | Code::AssignmentLost
        | Code::PollExceeded => KafkaErrorKind::Lost,
        Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch | Code::FencedInstanceId => {
            KafkaErrorKind::Fenced
        }
        Code::Fatal => KafkaErrorKind::Fatal,
        _ => return None,
    })
}
