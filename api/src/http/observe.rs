use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::Response;

use super::errors::WhyFailed;
use crate::metrics::Metrics;

/// One log line and one measurement per request, at the boundary.
pub async fn observe(
    State(metrics): State<Arc<Metrics>>,
    request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    // The pattern, not the path: labels and logs stay few and free of ids.
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned());
    let request_id = text(request.headers(), "x-request-id");
    let traceparent = text(request.headers(), "traceparent");

    let response = next.run(request).await;

    let elapsed = started.elapsed();
    let status = response.status();
    let labels = [method_label(&method), &route, status.as_str()];
    metrics.requests.with_label_values(&labels).inc();
    metrics.request_seconds.with_label_values(&labels).observe(elapsed.as_secs_f64());
    let why = response.extensions().get::<WhyFailed>();
    tracing::info!(
        %method,
        route,
        status = status.as_u16(),
        // Whole microseconds.
        milliseconds = (elapsed.as_secs_f64() * 1e6).round() / 1e3,
        request_id,
        traceparent,
        event_id = text(response.headers(), "x-event-id"),
        reason = why.map(|why| why.0.as_str()),
        "request"
    );
    response
}

/// Clients may invent methods; they may not invent series.
fn method_label(method: &Method) -> &str {
    match *method {
        Method::GET
        | Method::POST
        | Method::PATCH
        | Method::DELETE
        | Method::PUT
        | Method::HEAD
        | Method::OPTIONS => method.as_str(),
        _ => "other",
    }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}
