//! What a client calls its request: `traceparent` goes into the event, X-Request-ID into the
//! answer, both into the log. Text of another form is dropped, as W3C Trace Context asks:
//! a log line and an event are no place for whatever a client likes to send.

use axum::extract::Request;
use axum::http::HeaderMap;
use shared::is_traceparent;

const TRACEPARENT: &str = "traceparent";
const REQUEST_ID: &str = "x-request-id";
const MAX_REQUEST_ID_BYTES: usize = 128;

/// Removes the headers that are malformed or given twice.
pub fn keep_well_formed(mut request: Request) -> Request {
    keep_if(request.headers_mut(), TRACEPARENT, is_traceparent);
    keep_if(request.headers_mut(), REQUEST_ID, is_request_id);
    request
}

fn keep_if(headers: &mut HeaderMap, name: &str, is_well_formed: fn(&str) -> bool) {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return;
    };
    if values.next().is_some() || !value.to_str().is_ok_and(is_well_formed) {
        headers.remove(name);
    }
}

fn is_request_id(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=MAX_REQUEST_ID_BYTES).contains(&text.len()) && text.bytes().all(is_allowed)
}
