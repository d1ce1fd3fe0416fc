use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::store::Committed;

/// Names the event that a write stored: the thread to pull on in every later log.
const EVENT_ID: &str = "x-event-id";

/// The answer to a write that leaves a document: the whole of it.
pub struct Written<T> {
    status: StatusCode,
    document: T,
    committed: Committed,
}

impl<T> Written<T> {
    pub fn created(document: T, committed: Committed) -> Self {
        Self {
            status: StatusCode::CREATED,
            document,
            committed,
        }
    }

    pub fn changed(document: T, committed: Committed) -> Self {
        Self {
            status: StatusCode::OK,
            document,
            committed,
        }
    }
}

/// The answer to a write that leaves none: 204 without a body.
pub struct Deleted(pub Committed);

impl<T: Serialize> IntoResponse for Written<T> {
    fn into_response(self) -> Response {
        let event_id = [(EVENT_ID, self.committed.event_id.to_string())];
        (self.status, event_id, Json(self.document)).into_response()
    }
}

impl IntoResponse for Deleted {
    fn into_response(self) -> Response {
        (
            StatusCode::NO_CONTENT,
            [(EVENT_ID, self.0.event_id.to_string())],
        )
            .into_response()
    }
}
