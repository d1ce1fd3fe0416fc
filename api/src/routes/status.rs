use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use super::App;

pub fn routes() -> Router<App> {
    Router::new().route("/", get(root)).route("/health", get(health))
}

async fn root(State(app): State<App>) -> Response {
    let status = if app.health.is_ready() { "healthy" } else { "degraded" };
    Json(json!({ "service": "social-commerce-api", "version": env!("CARGO_PKG_VERSION"),
                 "status": status }))
    .into_response()
}

/// Liveness and what it can reach: 200 as long as writes can be taken.
async fn health(State(app): State<App>) -> Response {
    let (code, status) = if app.health.is_ready() {
        (StatusCode::OK, "healthy")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "degraded")
    };
    let report = json!({ "status": status, "dependencies": app.health.dependencies() });
    (code, Json(report)).into_response()
}
