use axum::Json;
use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;

use super::ApiError;
use crate::openapi::{Described, Operation, Schemas};
use crate::requests::Cursor;
use crate::store::Listing;

/// The answer to a list: a bare array, and in a Link header where it goes on.
pub struct Listed<T> {
    documents: Vec<T>,
    next: Option<String>,
    room: Option<OwnedSemaphorePermit>,
}

/// A large page as text. It gives its room back once it is sent, or its connection has ended.
struct Sent {
    json: Vec<u8>,
    _room: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Sent {
    fn as_ref(&self) -> &[u8] {
        &self.json
    }
}

impl<T> Listed<T> {
    pub fn new(request: &Uri, listing: Listing<T>) -> Self {
        Self {
            next: listing.next.map(|cursor| next_page(request, cursor)),
            documents: listing.documents,
            room: listing.room,
        }
    }
}

/// The same request, from `cursor` on.
fn next_page(request: &Uri, cursor: Cursor) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    let asked = form_urlencoded::parse(request.query().unwrap_or_default().as_bytes());
    for (name, value) in asked.filter(|(name, _)| name != "skip" && name != "cursor") {
        query.append_pair(&name, &value);
    }
    query.append_pair("cursor", &cursor.to_string());
    format!("<{}?{}>; rel=\"next\"", request.path(), query.finish())
}

impl<T: Serialize> IntoResponse for Listed<T> {
    fn into_response(self) -> Response {
        let documents = match self.room {
            None => Json(self.documents).into_response(),
            Some(room) => large(&self.documents, room).unwrap_or_else(ApiError::into_response),
        };
        match self.next {
            Some(next) => ([(header::LINK, next)], documents).into_response(),
            None => documents,
        }
    }
}

fn large<T: Serialize>(
    documents: &[T],
    mut room: OwnedSemaphorePermit,
) -> Result<Response, ApiError> {
    let json = serde_json::to_vec(documents).map_err(ApiError::internal)?;
    // From here on it is only text.
    let rest = room.num_permits().saturating_sub(json.len());
    drop(room.split(rest));
    let body = Body::from(Bytes::from_owner(Sent { json, _room: room }));
    let mut response = Response::new(body);
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    Ok(response)
}

impl<T: JsonSchema> Described for Listed<T> {
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        let list = json!({ "type": "array", "items": schemas.answer::<T>() });
        operation.answers(StatusCode::OK, Some(list), &["Link"]);
    }
}
