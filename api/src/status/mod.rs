//! `/status`: a page that shows the whole pipeline live, and `/status.json`, which it asks.
//!
//! It is for those who run the pipeline, as `/metrics` is: it stays outside of what bounds
//! and measures requests, it needs nobody's identity, and it tells counts and times alone.
//! The api knows Kafka and MySQL by what the relay writes into MongoDB.

mod judge;
mod latest;
mod reading;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};

pub use latest::Latest;
pub use reading::Reading;

/// The page asks this server alone, and runs only what this server sent as a file.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// The page's files change with the program only, but a browser asks for them again: what
/// it kept may be of another version.
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");

pub fn router(latest: Latest) -> Router {
    Router::new()
        .route("/status.json", get(json))
        .with_state(latest)
        .route("/status", get(page))
        .route("/status/page.css", get(|| file("text/css", include_str!("page/status.css"))))
        .route("/status/page.js", get(|| file("text/javascript", include_str!("page/status.js"))))
        .route("/status/icon.svg", get(|| file("image/svg+xml", include_str!("page/icon.svg"))))
}

async fn json(State(latest): State<Latest>) -> Response {
    let reading = latest.reading().await;
    ([(header::CACHE_CONTROL, "no-store")], Json(&*reading)).into_response()
}

async fn page() -> Response {
    let headers = [(header::CONTENT_SECURITY_POLICY, POLICY), (header::CACHE_CONTROL, ASK_AGAIN)];
    (headers, Html(include_str!("page/status.html"))).into_response()
}

async fn file(media_type: &'static str, text: &'static str) -> Response {
    let media_type = HeaderValue::from_static(media_type);
    ([(header::CONTENT_TYPE, media_type), (header::CACHE_CONTROL, ASK_AGAIN)], text).into_response()
}
