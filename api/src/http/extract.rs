use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRef, FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use garde::Validate;
use serde::de::DeserializeOwned;
use shared::Id;

use super::objects::ObjectsOnly;
use super::{ApiError, Details};
use crate::auth::Authentication;
use crate::store::{IdempotencyKey, Once};

/// A JSON body that was parsed and keeps every rule of its type.
pub struct Body<T>(pub T);

/// A [`Body`] that makes something, and the Idempotency-Key by which it makes it once.
pub struct Creation<T> {
    pub request: T,
    pub once: Once,
}

/// As [`Body`], where sending none is the same as sending `{}`.
pub struct OptionalBody<T>(pub T);

/// A query string that was parsed and keeps every rule of its type.
pub struct Query<T>(pub T);

/// The `{id}` of the path. A malformed id names nothing: 404.
pub struct EntityId(pub Id);

impl<S, T> FromRequest<S> for Body<T>
where
    S: Send + Sync,
    T: DeserializeOwned + Validate<Context = ()>,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        require_json(request.headers())?;
        parse_json(&read(request, state).await?).map(Self)
    }
}

impl<S, T> FromRequest<S> for Creation<T>
where
    S: Send + Sync,
    Authentication: FromRef<S>,
    T: DeserializeOwned + Validate<Context = ()>,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        require_json(request.headers())?;
        let key = IdempotencyKey::from_request(&request, &Authentication::from_ref(state))?;
        let bytes = read(request, state).await?;
        let request = parse_json(&bytes)?;
        let once = Once::new(key, &bytes)?;
        Ok(Self { request, once })
    }
}

impl<S, T> FromRequest<S> for OptionalBody<T>
where
    S: Send + Sync,
    T: DeserializeOwned + Validate<Context = ()>,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let json = require_json(request.headers());
        let bytes = read(request, state).await?;
        if bytes.is_empty() {
            return parse_json(b"{}").map(Self);
        }
        json?;
        parse_json(&bytes).map(Self)
    }
}

impl<S, T> FromRequestParts<S> for Query<T>
where
    S: Send + Sync,
    T: DeserializeOwned + Validate<Context = ()>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let query = parts.uri.query().unwrap_or_default();
        let pairs = form_urlencoded::parse(query.as_bytes());
        parse(serde_urlencoded::Deserializer::new(pairs)).map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for EntityId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| ApiError::NotFound("resource"))?;
        text.parse().map(Self).map_err(|_| ApiError::NotFound("resource"))
    }
}

/// serde reports a missing field at its parent: the name is in the message. Where the
/// text is no JSON at all there is no field to name.
fn failing_field(path: &str, problem: &str) -> String {
    let parent = if matches!(path, "." | "?") { "" } else { path };
    let missing = problem.strip_prefix("missing field `").and_then(|rest| rest.split_once('`'));
    match (parent, missing) {
        ("", None) => "body".to_owned(),
        (parent, None) => parent.to_owned(),
        ("", Some((field, _))) => field.to_owned(),
        (parent, Some((field, _))) => format!("{parent}.{field}"),
    }
}

async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, ApiError> {
    Bytes::from_request(request, state).await.map_err(|rejection: BytesRejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            ApiError::TooLarge
        } else {
            ApiError::invalid("body", "the body was not sent completely")
        }
    })
}

/// Older clients send no content type at all; one that says something else is refused.
fn require_json(headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return Ok(());
    };
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let json = essence.eq_ignore_ascii_case("application/json")
        || (essence.starts_with("application/") && essence.ends_with("+json"));
    if json { Ok(()) } else { Err(ApiError::UnsupportedMediaType) }
}

fn parse_json<T>(bytes: &[u8]) -> Result<T, ApiError>
where
    T: DeserializeOwned + Validate<Context = ()>,
{
    // serde_json checks only the strings that are read, not those of ignored fields.
    let text = std::str::from_utf8(bytes)
        .map_err(|_| ApiError::invalid("body", "the body is not UTF-8"))?;
    let mut json = serde_json::Deserializer::from_str(text);
    let value = parse(ObjectsOnly(&mut json))?;
    json.end().map_err(|error| ApiError::invalid("body", error.to_string()))?;
    Ok(value)
}

fn parse<'de, T, D>(input: D) -> Result<T, ApiError>
where
    D: serde::Deserializer<'de>,
    D::Error: std::fmt::Display,
    T: DeserializeOwned + Validate<Context = ()>,
{
    let value: T = serde_path_to_error::deserialize(input).map_err(|error| {
        let path = error.path().to_string();
        let problem = error.into_inner().to_string();
        ApiError::invalid(failing_field(&path, &problem), problem)
    })?;
    value.validate().map_err(|report| {
        let broken = report.iter().map(|(path, error)| (path.to_string(), error.to_string()));
        ApiError::Validation(broken.collect::<Details>())
    })?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_field_that_is_missing_or_wrong() {
        for (path, problem, field) in [
            (".", "missing field `email` at line 1 column 2", "email"),
            ("company_info", "missing field `legal_name`", "company_info.legal_name"),
            ("variants.red.quantity", "invalid type: string", "variants.red.quantity"),
            ("?", "EOF while parsing an object", "body"),
            (".", "expected value", "body"),
        ] {
            assert_eq!(failing_field(path, problem), field);
        }
    }
}
