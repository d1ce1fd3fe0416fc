use std::borrow::Cow;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

use super::Details;

/// The codes of the contract. INSUFFICIENT_STOCK is reserved.
const CODES: [&str; 12] = [
    "VALIDATION_ERROR",
    "AUTHENTICATION_FAILED",
    "INVALID_TOKEN",
    "FORBIDDEN",
    "ACCOUNT_STATUS_ERROR",
    "RESOURCE_NOT_FOUND",
    "STATE_CONFLICT",
    "DUPLICATE_RESOURCE",
    "VERSION_CONFLICT",
    "INSUFFICIENT_STOCK",
    "RATE_LIMITED",
    "INTERNAL_ERROR",
];

/// Every way in which a request is refused. This is the one place that knows the
/// codes of the contract and their HTTP status.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error("the request breaks a rule")]
    Validation(Details),
    #[error("{0}")]
    AuthenticationFailed(Cow<'static, str>),
    #[error("a bearer token is needed: POST /auth/login gives one")]
    TokenRequired,
    /// Malformed, forged, expired: which of them is nobody's business.
    #[error("the token is not valid")]
    InvalidToken,
    #[error("{0}")]
    Forbidden(&'static str),
    #[error("{0}")]
    AccountStatus(&'static str),
    #[error("{0} not found")]
    NotFound(&'static str),
    #[error("{0}")]
    StateConflict(String),
    #[error("{0}")]
    Duplicate(&'static str),
    /// The caller named a version that is no longer current.
    #[error("the version is {0} by now")]
    VersionConflict(i64),
    /// Another request with the same Idempotency-Key was faster; its answer is there.
    #[error("the same request is being answered")]
    AlreadyAnswered,
    #[error("too many requests")]
    RateLimited { retry_after_seconds: u64 },
    /// More requests are in flight than the limit.
    #[error("too many requests are in flight, try again")]
    Overloaded,
    #[error("the request took too long: read before you repeat a write")]
    TimedOut,
    #[error("the body took too long to arrive")]
    BodyTimeout,
    #[error("the method is not allowed here")]
    MethodNotAllowed,
    #[error("the request is larger than the limit")]
    TooLarge,
    #[error("the body must be application/json")]
    UnsupportedMediaType,
    /// Others changed the same document again and again.
    #[error("others are changing the same document, try again")]
    Contended,
    /// The database is away or too slow. The write may have happened only where
    /// `outcome_unknown` says so.
    #[error("the database is not available, try again")]
    Unavailable { outcome_unknown: bool },
    /// For the log only: the client learns nothing of it.
    #[error("internal error")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// How each refusal is answered.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Error")]
pub struct Envelope<'a> {
    error: Refusal<'a>,
}

#[derive(Serialize, JsonSchema)]
struct Refusal<'a> {
    #[schemars(extend("enum" = CODES))]
    code: &'static str,
    /// For people; it may change.
    message: String,
    /// Each failing field, by its path, and what is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<&'a Details>,
}

impl ApiError {
    /// Nothing was written.
    pub const UNAVAILABLE: Self = Self::Unavailable { outcome_unknown: false };

    /// One field that breaks a rule.
    pub fn invalid(field: impl AsRef<str>, problem: impl AsRef<str>) -> Self {
        Self::Validation(Details::of(field, problem))
    }

    pub fn internal(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(error.into())
    }

    /// A caller that must name itself in `header`, and did not.
    pub fn missing_header(header: &str) -> Self {
        Self::AuthenticationFailed(format!("the header {header} is missing").into())
    }

    /// A caller that names itself in `header` by what is no id.
    pub fn malformed_header(header: &str) -> Self {
        Self::invalid(header, "not an id: expected 24 hex digits")
    }

    pub fn code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Validation(_) => (StatusCode::UNPROCESSABLE_ENTITY, "VALIDATION_ERROR"),
            Self::AuthenticationFailed(_) => (StatusCode::UNAUTHORIZED, "AUTHENTICATION_FAILED"),
            Self::TokenRequired => (StatusCode::UNAUTHORIZED, "AUTHENTICATION_FAILED"),
            Self::InvalidToken => (StatusCode::UNAUTHORIZED, "INVALID_TOKEN"),
            Self::Forbidden(_) => (StatusCode::FORBIDDEN, "FORBIDDEN"),
            Self::AccountStatus(_) => (StatusCode::FORBIDDEN, "ACCOUNT_STATUS_ERROR"),
            Self::NotFound(_) => (StatusCode::NOT_FOUND, "RESOURCE_NOT_FOUND"),
            Self::StateConflict(_) => (StatusCode::CONFLICT, "STATE_CONFLICT"),
            Self::Duplicate(_) => (StatusCode::CONFLICT, "DUPLICATE_RESOURCE"),
            Self::VersionConflict(_) => (StatusCode::CONFLICT, "VERSION_CONFLICT"),
            Self::AlreadyAnswered => (StatusCode::SERVICE_UNAVAILABLE, "INTERNAL_ERROR"),
            Self::RateLimited { .. } => (StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITED"),
            Self::Overloaded | Self::TimedOut | Self::Contended => {
                (StatusCode::SERVICE_UNAVAILABLE, "INTERNAL_ERROR")
            }
            Self::BodyTimeout => (StatusCode::REQUEST_TIMEOUT, "VALIDATION_ERROR"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "VALIDATION_ERROR"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "VALIDATION_ERROR"),
            Self::UnsupportedMediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "VALIDATION_ERROR"),
            Self::Unavailable { .. } => (StatusCode::SERVICE_UNAVAILABLE, "INTERNAL_ERROR"),
            Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR"),
        }
    }

    pub fn retry_after_seconds(&self) -> Option<u64> {
        match self {
            Self::RateLimited { retry_after_seconds } => Some(*retry_after_seconds),
            Self::Unavailable { .. }
            | Self::AlreadyAnswered
            | Self::Overloaded
            | Self::Contended
            | Self::TimedOut => Some(1),
            _ => None,
        }
    }

    /// What RFC 6750 wants said to whom a token would help.
    pub fn challenge(&self) -> Option<HeaderValue> {
        match self {
            Self::TokenRequired => Some(HeaderValue::from_static("Bearer")),
            Self::InvalidToken => Some(HeaderValue::from_static("Bearer error=\"invalid_token\"")),
            _ => None,
        }
    }

    /// What the client is told.
    pub fn envelope(&self) -> Envelope<'_> {
        let details = match self {
            Self::Validation(details) => Some(details),
            _ => None,
        };
        let (_, code) = self.code();
        Envelope { error: Refusal { code, message: self.client_message(), details } }
    }

    fn client_message(&self) -> String {
        match self {
            Self::Unavailable { outcome_unknown: true } => {
                "the database was lost while the write was committed: read before you repeat it"
                    .to_owned()
            }
            other => other.to_string(),
        }
    }
}

/// Why the service did not do what was asked, for the log's line of the request.
#[derive(Debug, Clone)]
pub struct WhyFailed(pub String);

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if let Self::Internal(source) = &self {
            tracing::error!(error = %source, "request failed");
        }
        let (status, _) = self.code();
        let mut response = (status, Json(self.envelope())).into_response();
        let challenge = self.challenge();
        if status.is_server_error() {
            response.extensions_mut().insert(WhyFailed(self.to_string()));
        }
        if let Some(seconds) = self.retry_after_seconds() {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(challenge) = challenge {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
