use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use shared::document::Document;

use crate::openapi::{Described, Operation, Schemas};
use crate::store::{Committed, Remembered};

/// Names the event that a write stored: the thread to pull on in every later log.
const EVENT_ID: &str = "x-event-id";
/// Tells an answer that was given before from one that was made now.
const REPLAYED: &str = "idempotent-replayed";

/// The answer to a write that leaves a document: the whole of it.
pub struct Written<T> {
    status: StatusCode,
    document: T,
    committed: Committed,
}

impl<T> Written<T> {
    pub fn created(document: T, committed: Committed) -> Self {
        Self { status: StatusCode::CREATED, document, committed }
    }

    pub fn changed(document: T, committed: Committed) -> Self {
        Self { status: StatusCode::OK, document, committed }
    }
}

/// The answer to a request that makes something once: what was made, now or before.
pub enum Created<T> {
    Now(Written<T>),
    Before(Remembered),
}

/// The answer to a write that leaves none: 204 without a body.
pub struct Deleted(pub Committed);

/// The answer to a read of one document, with its version to name in If-Match.
pub struct Found<T> {
    version: i64,
    body: T,
}

impl<D: Document> Found<D> {
    pub fn document(document: D) -> Self {
        Self::version(document.version(), document)
    }
}

impl<T> Found<T> {
    /// For a body that is more, or less, than the document.
    pub fn version(version: i64, body: T) -> Self {
        Self { version, body }
    }
}

/// The entity tag of a version: the version itself.
fn etag(version: i64) -> String {
    format!("\"{version}\"")
}

fn about(committed: &Committed) -> [(&'static str, String); 2] {
    [(EVENT_ID, committed.event_id.to_string()), (header::ETAG.as_str(), etag(committed.version))]
}

impl<T: Serialize> IntoResponse for Written<T> {
    fn into_response(self) -> Response {
        let headers = about(&self.committed);
        (self.status, headers, Json(self.document)).into_response()
    }
}

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        match self {
            Self::Now(written) => written.into_response(),
            Self::Before(remembered) => remembered.into_response(),
        }
    }
}

impl IntoResponse for Deleted {
    fn into_response(self) -> Response {
        let event_id = [(EVENT_ID, self.0.event_id.to_string())];
        (StatusCode::NO_CONTENT, event_id).into_response()
    }
}

impl<T: Serialize> IntoResponse for Found<T> {
    fn into_response(self) -> Response {
        ([(header::ETAG, etag(self.version))], Json(self.body)).into_response()
    }
}

/// The first answer once more, byte for byte.
impl IntoResponse for Remembered {
    fn into_response(self) -> Response {
        let json = [(header::CONTENT_TYPE.as_str(), "application/json"), (REPLAYED, "true")];
        let headers = about(&self.committed);
        (StatusCode::CREATED, headers, json, self.body).into_response()
    }
}

impl<T: JsonSchema> Described for Written<T> {
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        let document = schemas.answer::<T>();
        operation.answers(StatusCode::OK, Some(document), &["ETag", "X-Event-ID"]);
    }
}

impl<T: JsonSchema> Described for Created<T> {
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        let headers = ["ETag", "X-Event-ID", "Idempotent-Replayed"];
        operation.answers(StatusCode::CREATED, Some(schemas.answer::<T>()), &headers);
    }
}

impl<T: JsonSchema> Described for Found<T> {
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        operation.answers(StatusCode::OK, Some(schemas.answer::<T>()), &["ETag"]);
    }
}

impl Described for Deleted {
    fn describe(operation: &mut Operation, _: &mut Schemas) {
        operation.answers(StatusCode::NO_CONTENT, None, &["X-Event-ID"]);
    }
}
