use std::str::FromStr;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRef, FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use garde::Validate;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use shared::Id;
use tokio::time::timeout_at;
use uuid::Uuid;

use super::ApiError;
use super::bounds::BodyDeadline;
use super::reading::{finish, read_body, read_query};
use crate::auth::Authentication;
use crate::openapi::{Described, Operation, Schemas};
use crate::requests::Page;
use crate::store::{IdempotencyKey, Once};

/// No list needs as much; the tree of a query costs a hundred times its length.
const MAX_PARAMETERS: usize = 100;
const MAX_QUERY_BYTES: usize = 8 * 1024;

/// A JSON body that was parsed and keeps every rule of its type.
pub struct Body<T>(pub T);

/// A [`Body`] that makes something, and the Idempotency-Key by which it makes it once.
pub struct Creation<T> {
    pub request: T,
    pub once: Once,
}

/// As [`Body`], where sending none is the same as sending `{}`.
pub struct OptionalBody<T>(pub T);

/// The query of a list: its page and what is wanted of it, each with every rule of its
/// type.
pub struct Query<T>(pub Page, pub T);

/// Query parameters of a request that is no list, with every rule of their type.
pub struct Asked<T>(pub T);

/// The `{id}` of the path. A malformed id names nothing: 404.
pub struct EntityId(pub Id);

/// The `{event_id}` of the path. A malformed id names nothing: 404.
pub struct EventId(pub Uuid);

impl<S, T> FromRequest<S> for Body<T>
where
    S: Send + Sync,
    T: DeserializeOwned + Validate<Context = ()>,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        require_json(request.headers())?;
        read_body(&read(request, state).await?).map(Self)
    }
}

impl<S, T> FromRequest<S> for Creation<T>
where
    S: Send + Sync,
    Authentication: FromRef<S>,
    T: DeserializeOwned + Serialize + Validate<Context = ()>,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        require_json(request.headers())?;
        let key = IdempotencyKey::from_request(&request, &Authentication::from_ref(state))?;
        let request = read_body(&read(request, state).await?)?;
        let once = Once::new(key, &request)?;
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
            return read_body(b"{}").map(Self);
        }
        json?;
        read_body(&bytes).map(Self)
    }
}

impl<S, T> FromRequestParts<S> for Query<T>
where
    S: Send + Sync,
    T: DeserializeOwned + Validate<Context = ()>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let tree = query_tree(parts.uri.query().unwrap_or_default())?;
        let (page, mut details) = read_query(&tree);
        let (wanted, more) = read_query(&tree);
        details.note_all(more);
        finish(page.zip(wanted), details).map(|(page, wanted)| Self(page, wanted))
    }
}

impl<S, T> FromRequestParts<S> for Asked<T>
where
    S: Send + Sync,
    T: DeserializeOwned + Validate<Context = ()>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let (asked, details) = read_query(&query_tree(parts.uri.query().unwrap_or_default())?);
        finish(asked, details).map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for EntityId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        named(parts, state, "resource").await.map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for EventId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        named(parts, state, "event").await.map(Self)
    }
}

/// What the path names by an id, if it is one.
async fn named<S: Send + Sync, T: FromStr>(
    parts: &mut Parts,
    state: &S,
    kind: &'static str,
) -> Result<T, ApiError> {
    let text = Path::<String>::from_request_parts(parts, state).await;
    let id = text.ok().and_then(|Path(text)| text.parse().ok());
    id.ok_or(ApiError::NotFound(kind))
}

impl<T: JsonSchema> Described for Body<T> {
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        operation.takes_body(schemas.request::<T>(), true);
    }
}

impl<T: JsonSchema> Described for Creation<T> {
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        IdempotencyKey::describe(operation, schemas);
        Body::<T>::describe(operation, schemas);
    }
}

impl<T: JsonSchema> Described for OptionalBody<T> {
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        operation.takes_body(schemas.request::<T>(), false);
    }
}

impl<T: JsonSchema> Described for Query<T> {
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        let wanted = schemas.query::<T>();
        let parameters = wanted.into_iter().chain(schemas.query::<Page>());
        parameters.for_each(|parameter| operation.takes(parameter));
        operation.refuses(&ApiError::invalid("limit", "greater than 100"));
    }
}

impl<T: JsonSchema> Described for Asked<T> {
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        schemas.query::<T>().into_iter().for_each(|parameter| operation.takes(parameter));
        operation.refuses(&ApiError::invalid("timeout", "greater than 25000"));
    }
}

impl Described for EventId {
    fn describe(operation: &mut Operation, _: &mut Schemas) {
        operation.takes(json!({ "name": "event_id", "in": "path", "required": true,
                                "description": "As X-Event-ID named it.",
                                "schema": { "type": "string", "format": "uuid" } }));
        operation.refuses(&ApiError::NotFound("event"));
    }
}

impl Described for EntityId {
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        operation.takes(json!({ "name": "id", "in": "path", "required": true,
                                "schema": schemas.request::<Id>() }));
        operation.refuses(&ApiError::NotFound("resource"));
    }
}

async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, ApiError> {
    let deadline = request.extensions().get::<BodyDeadline>().copied();
    let body = Bytes::from_request(request, state);
    let body = match deadline {
        Some(BodyDeadline(deadline)) => {
            timeout_at(deadline, body).await.map_err(|_| ApiError::BodyTimeout)?
        }
        None => body.await,
    };
    body.map_err(|rejection: BytesRejection| {
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

/// The query as a tree of texts. Of a parameter that is given twice it is unclear which
/// one counts: it is a list, which no parameter is.
fn query_tree(query: &str) -> Result<Value, ApiError> {
    if query.len() > MAX_QUERY_BYTES {
        let problem = format!("longer than {MAX_QUERY_BYTES} bytes");
        return Err(ApiError::invalid("query", problem));
    }
    let mut tree = serde_json::Map::new();
    for (number, (name, value)) in form_urlencoded::parse(query.as_bytes()).enumerate() {
        if number == MAX_PARAMETERS {
            let problem = format!("more than {MAX_PARAMETERS} parameters");
            return Err(ApiError::invalid("query", problem));
        }
        let value = Value::String(value.into_owned());
        match tree.get_mut(&*name) {
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
            None => drop(tree.insert(name.into_owned(), value)),
        }
    }
    Ok(Value::Object(tree))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each level would be one more call when the tree is dropped.
    #[test]
    fn a_parameter_that_is_given_often_does_not_nest() {
        let tree = query_tree(&"a=1&".repeat(MAX_PARAMETERS)).unwrap();
        let values = tree["a"].as_array().unwrap();
        assert_eq!(values.len(), MAX_PARAMETERS);
        assert!(values.iter().all(Value::is_string), "{values:?}");
    }

    #[test]
    fn a_query_is_bounded_in_number_and_length() {
        assert!(query_tree(&"a&".repeat(MAX_PARAMETERS + 1)).is_err());
        let long = |bytes: usize| format!("a={}", "x".repeat(bytes - 2));
        assert!(query_tree(&long(MAX_QUERY_BYTES)).is_ok());
        assert!(query_tree(&long(MAX_QUERY_BYTES + 1)).is_err());
    }
}
