//! What Kafka can answer to a transaction, by what must be done about it.

use rdkafka::error::RDKafkaErrorCode;

/// What can go wrong in a transaction, by what must be done about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    /// Aborted: nothing of it is visible. There is a record in it that Kafka will never
    /// take; which one is not known where several shared a request.
    #[error("refused: {0}")]
    Refused(RDKafkaErrorCode),
    /// Aborted: nothing of it is visible, and the producer is as good as new.
    #[error("aborted: {0}")]
    Aborted(String),
    /// Aborted, because the transaction before it was not committed: nothing of it is visible,
    /// and the producer is as good as new.
    #[error("the transaction before it was not committed")]
    Abandoned,
    /// Another relay has taken over this transactional.id.
    #[error("fenced by another relay")]
    Fenced,
    /// The producer can do nothing more, and what became of the transaction is not
    /// known here. A new producer decides it, and the checkpoint tells how.
    #[error("producer lost: {0}")]
    Lost(String),
    /// Stopped by shutdown before the commit: nothing of it is visible.
    #[error("shutting down")]
    Stopped,
}

impl TransactionError {
    /// All that [`Self::reason`] can answer.
    pub const REASONS: [&str; 6] =
        ["refused", "aborted", "abandoned", "fenced", "producer_lost", "shutdown"];

    /// The label of `relay_publish_failures_total`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Refused(_) => "refused",
            Self::Aborted(_) => "aborted",
            Self::Abandoned => "abandoned",
            Self::Fenced => "fenced",
            Self::Lost(_) => "producer_lost",
            Self::Stopped => "shutdown",
        }
    }
}

/// Why the shard could not be claimed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InitError {
    /// The broker is away or still loading: the same call can succeed later.
    #[error("{0}")]
    Again(String),
    /// The producer is of no use; another one may be.
    #[error("{0}")]
    Lost(String),
}

/// What a fatal error of the producer means.
pub fn fatal(code: RDKafkaErrorCode, reason: String) -> TransactionError {
    match code {
        RDKafkaErrorCode::Fenced
        | RDKafkaErrorCode::ProducerFenced
        | RDKafkaErrorCode::InvalidProducerEpoch => TransactionError::Fenced,
        _ => TransactionError::Lost(reason),
    }
}

/// Verdicts on the record itself, which no retry changes.
pub fn is_refusal(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::MessageSizeTooLarge
            | RDKafkaErrorCode::InvalidRecord
            | RDKafkaErrorCode::InvalidMessageSize
    )
}
