//! Records that can never be applied, and why.

/// Why a record can never be applied as it is.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{reason}: {error}")]
pub struct Poison {
    pub reason: Reason,
    /// For the dead letter, beside the record itself. It may quote the record, so it
    /// belongs in no log.
    pub error: String,
}

/// The kinds of poison: label of a metric and header of a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    NoKey,
    NoValue,
    InvalidUtf8,
    NotJson,
    /// JSON, but not an object with the five keys.
    NotAnEnvelope,
    UnknownEventType,
    /// The event belongs in another topic.
    WrongTopic,
    /// An id is missing or malformed, or the key, the envelope and the data disagree.
    InvalidId,
    InvalidTimestamp,
    InvalidVersion,
    /// The data is not the document that the event type promises.
    InvalidData,
    /// MySQL refuses the row.
    Refused,
    /// The order's number is another order's.
    OrderNumberTaken,
}

impl Reason {
    pub const ALL: [Self; 13] = [
        Self::NoKey,
        Self::NoValue,
        Self::InvalidUtf8,
        Self::NotJson,
        Self::NotAnEnvelope,
        Self::UnknownEventType,
        Self::WrongTopic,
        Self::InvalidId,
        Self::InvalidTimestamp,
        Self::InvalidVersion,
        Self::InvalidData,
        Self::Refused,
        Self::OrderNumberTaken,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoKey => "no_key",
            Self::NoValue => "no_value",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::NotJson => "not_json",
            Self::NotAnEnvelope => "not_an_envelope",
            Self::UnknownEventType => "unknown_event_type",
            Self::WrongTopic => "wrong_topic",
            Self::InvalidId => "invalid_id",
            Self::InvalidTimestamp => "invalid_timestamp",
            Self::InvalidVersion => "invalid_version",
            Self::InvalidData => "invalid_data",
            Self::Refused => "refused",
            Self::OrderNumberTaken => "order_number_taken",
        }
    }

    pub(crate) fn because(self, error: impl ToString) -> Poison {
        Poison { reason: self, error: error.to_string() }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
