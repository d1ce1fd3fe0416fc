use mongodb::bson::{Bson, RawDocument};
use mongodb::error::{Error, ErrorKind, WriteFailure};
use shared::event::Domain;

use crate::http::ApiError;

/// A document would be larger than MongoDB's 16 MiB (the server's own error code).
const BSON_OBJECT_TOO_LARGE: i32 = 10334;
const DUPLICATE_KEY: i32 = 11000;

/// Something that may exist only once; each is an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Constraint {
    UserEmail,
    SupplierEmail,
    OrderNumber,
    IdempotencyKey,
}

impl Constraint {
    /// The key first: a request that is repeated is told so before it is told that what it
    /// asks for, an e-mail address say, is taken by itself.
    pub const ALL: [Self; 4] =
        [Self::IdempotencyKey, Self::UserEmail, Self::SupplierEmail, Self::OrderNumber];

    /// The name of its index, by which the server's error message tells it.
    pub fn index_name(self) -> &'static str {
        match self {
            Self::UserEmail => "user_email_unique",
            Self::SupplierEmail => "supplier_email_unique",
            Self::OrderNumber => "order_number_unique",
            // Ids of documents are drawn, never given: only a key's can be taken.
            Self::IdempotencyKey => "_id_",
        }
    }

    /// Where it holds.
    pub(super) fn collection(self) -> &'static str {
        match self {
            Self::UserEmail => Domain::User.collection(),
            Self::SupplierEmail => Domain::Supplier.collection(),
            Self::OrderNumber => Domain::Order.collection(),
            Self::IdempotencyKey => super::once::COLLECTION,
        }
    }

    /// The field that is unique there.
    pub(super) fn field(self) -> &'static str {
        match self {
            Self::UserEmail | Self::SupplierEmail => "contact_info.primary_email",
            Self::OrderNumber => "order_number",
            Self::IdempotencyKey => "_id",
        }
    }

    /// What a new document of this collection claims for itself.
    pub(super) fn claimed_by<'a>(
        collection: &str,
        document: &'a RawDocument,
    ) -> Option<(Self, &'a str)> {
        let all = Self::ALL.into_iter();
        let constraint = all.into_iter().find(|each| each.collection() == collection)?;
        let mut fields = constraint.field().split('.').peekable();
        let mut document = document;
        while let Some(field) = fields.next() {
            if fields.peek().is_none() {
                return Some((constraint, document.get_str(field).ok()?));
            }
            document = document.get_document(field).ok()?;
        }
        None
    }
}

/// Why a [`super::Write`] was not committed. Nothing of it is stored, except where
/// `outcome_unknown` says that nobody knows.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// A document changed or vanished since it was read. The write, made again
    /// from what is there now, can succeed.
    #[error("a document changed since it was read")]
    Stale,
    /// The caller's fault: something unique is taken.
    #[error("{} is taken", .0.index_name())]
    Duplicate(Constraint),
    /// The caller's fault: the document or its event would be too large.
    #[error("the document is too large")]
    TooLarge,
    /// Too many writes wait already.
    #[error("too many writes are waiting")]
    Overloaded,
    /// MongoDB is away or too slow.
    #[error("MongoDB is not available")]
    Unavailable {
        outcome_unknown: bool,
        #[source]
        source: Option<Error>,
    },
    #[error("internal error")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl CommitError {
    pub fn internal(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(error.into())
    }

    /// All that [`Self::reason`] can answer.
    pub const REASONS: [&str; 6] =
        ["stale", "duplicate", "too_large", "overloaded", "unavailable", "internal"];

    /// The label under which api_commit_failures_total counts it.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Stale => "stale",
            Self::Duplicate(_) => "duplicate",
            Self::TooLarge => "too_large",
            Self::Overloaded => "overloaded",
            Self::Unavailable { .. } => "unavailable",
            Self::Internal(_) => "internal",
        }
    }
}

/// Carried through the driver's transaction loop, which knows only its own errors.
#[derive(Debug)]
pub(super) struct PreconditionFailed;

/// A statement that the server refused, in the answer to a command that it took.
#[derive(Debug)]
pub(super) struct StatementFailed {
    code: i32,
    message: String,
}

impl From<&Bson> for StatementFailed {
    fn from(failure: &Bson) -> Self {
        let failure = failure.as_document();
        let code = failure.and_then(|failure| failure.get_i32("code").ok());
        let message = failure.and_then(|failure| failure.get_str("errmsg").ok());
        Self { code: code.unwrap_or_default(), message: message.unwrap_or_default().to_owned() }
    }
}

impl From<Error> for CommitError {
    fn from(error: Error) -> Self {
        if error.get_custom::<PreconditionFailed>().is_some() {
            return Self::Stale;
        }
        if is_unavailable(&error) {
            return Self::Unavailable { outcome_unknown: false, source: Some(error) };
        }
        match server_code(&error) {
            Some((DUPLICATE_KEY, message)) => match constraint(message) {
                Some(constraint) => Self::Duplicate(constraint),
                None => Self::internal(error),
            },
            Some((BSON_OBJECT_TOO_LARGE, _)) => Self::TooLarge,
            _ => Self::internal(error),
        }
    }
}

impl From<CommitError> for ApiError {
    fn from(error: CommitError) -> Self {
        match error {
            // The caller named no version: the handler tried until its time was up.
            CommitError::Stale => Self::Contended,
            CommitError::Duplicate(Constraint::UserEmail | Constraint::SupplierEmail) => {
                Self::Duplicate("the e-mail address is already in use")
            }
            CommitError::Duplicate(Constraint::OrderNumber) => {
                Self::internal("no free order number was found")
            }
            CommitError::Duplicate(Constraint::IdempotencyKey) => Self::AlreadyAnswered,
            CommitError::TooLarge => Self::TooLarge,
            CommitError::Overloaded => Self::Overloaded,
            CommitError::Unavailable { outcome_unknown, .. } => {
                Self::Unavailable { outcome_unknown }
            }
            CommitError::Internal(source) => Self::Internal(source),
        }
    }
}

/// Reads have no outcome to be unsure of.
impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        CommitError::from(error).into()
    }
}

/// The server cannot be reached, has no primary, is shutting down or ran out of time.
pub(super) fn is_unavailable(error: &Error) -> bool {
    // Driver and server label what another attempt can mend.
    const LABELS: [&str; 3] =
        ["TransientTransactionError", "UnknownTransactionCommitResult", "RetryableWriteError"];
    // InterruptedAtShutdown, PrimarySteppedDown, NotWritablePrimary, MaxTimeMSExpired,
    // ShutdownInProgress, NotPrimaryNoSecondaryOk, NotPrimaryOrSecondary
    const CODES: [i32; 7] = [11600, 189, 10107, 50, 91, 13435, 13436];
    match &*error.kind {
        ErrorKind::ServerSelection { .. }
        | ErrorKind::Io(_)
        | ErrorKind::ConnectionPoolCleared { .. }
        | ErrorKind::Transaction { .. } => true,
        _ if LABELS.iter().any(|label| error.contains_label(label)) => true,
        _ => server_code(error).is_some_and(|(code, _)| CODES.contains(&code)),
    }
}

pub(super) fn server_code(error: &Error) -> Option<(i32, &str)> {
    if let Some(failure) = error.get_custom::<StatementFailed>() {
        return Some((failure.code, &failure.message));
    }
    match &*error.kind {
        ErrorKind::Command(command) => Some((command.code, command.message.as_str())),
        ErrorKind::Write(WriteFailure::WriteError(write)) => {
            Some((write.code, write.message.as_str()))
        }
        ErrorKind::InsertMany(inserts) => {
            let first = inserts.write_errors.as_deref()?.first()?;
            Some((first.code, first.message.as_str()))
        }
        ErrorKind::Write(WriteFailure::WriteConcernError(concern)) => {
            Some((concern.code, concern.message.as_str()))
        }
        _ => None,
    }
}

/// "E11000 duplicate key error collection: … index: NAME dup key: …"
fn constraint(message: &str) -> Option<Constraint> {
    let (_, rest) = message.split_once(" index: ")?;
    let name = rest.split(' ').next()?;
    Constraint::ALL.into_iter().find(|constraint| constraint.index_name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_the_constraint_from_the_servers_message() {
        let message = "E11000 duplicate key error collection: a.users index: user_email_unique \
                       dup key: { contact_info.primary_email: \" index: order_number_unique\" }";
        assert_eq!(constraint(message), Some(Constraint::UserEmail));
        assert_eq!(constraint("E11000 duplicate key error index: other dup key"), None);
    }
}
