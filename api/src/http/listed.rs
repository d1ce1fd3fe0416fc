use axum::Json;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use crate::openapi::{Described, Operation, Schemas};
use crate::requests::Cursor;
use crate::store::Listing;

/// The answer to a list: a bare array, and in a Link header where it goes on.
pub struct Listed<T> {
    documents: Vec<T>,
    next: Option<String>,
}

impl<T> Listed<T> {
    pub fn new(request: &Uri, listing: Listing<T>) -> Self {
        Self {
            next: listing.next.map(|cursor| next_page(request, cursor)),
            documents: listing.documents,
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
        let documents = Json(self.documents);
        match self.next {
            Some(next) => ([(header::LINK, next)], documents).into_response(),
            None => documents.into_response(),
        }
    }
}

impl<T: JsonSchema> Described for Listed<T> {
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        let list = json!({ "type": "array", "items": schemas.answer::<T>() });
        operation.answers(StatusCode::OK, Some(list), &["Link"]);
    }
}
