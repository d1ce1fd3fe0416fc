use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use prometheus::{Registry, TextEncoder};
use tokio::net::TcpListener;

use super::{ConnectionLimits, Health, Shutdown, Stopping, serve};

/// For Prometheus, probes, and people: few connections, and none of them slow.
const LIMITS: ConnectionLimits = ConnectionLimits {
    connections: 64,
    head: Duration::from_secs(10),
    idle: Duration::from_secs(120),
    write: Duration::from_secs(30),
};

/// `/live`, `/ready` and `/metrics`.
///
/// - `/live` answers 200 as long as the process can answer at all.
/// - `/ready` answers 200, or 503 with the state of each dependency.
/// - `/metrics` is in the Prometheus text format.
pub fn ops_router(health: Health, registry: Registry) -> Router {
    Router::new()
        .route("/live", get(|| async { "ok\n" }))
        .route("/ready", get(ready))
        .with_state(health)
        .route("/metrics", get(metrics).with_state(registry))
}

/// Binds `address`.
///
/// # Errors
/// Where it is taken or not ours. The error names it, which the system's own does not.
pub async fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let named =
        |error: std::io::Error| std::io::Error::new(error.kind(), format!("{address}: {error}"));
    TcpListener::bind(address).await.map_err(named)
}

/// Serves [`ops_router`] on `address` until `shutdown`.
///
/// # Errors
/// Where the address cannot be bound.
pub async fn serve_ops(
    address: SocketAddr,
    health: Health,
    registry: Registry,
    shutdown: Shutdown,
) -> std::io::Result<()> {
    let listener = listen(address).await?;
    tracing::info!(address = %listener.local_addr()?, "metrics and health");
    let stopping = Stopping { draining: shutdown.clone(), stop: shutdown };
    serve(listener, ops_router(health, registry), LIMITS, stopping).await;
    Ok(())
}

async fn ready(State(health): State<Health>) -> Response {
    let status = if health.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let report = serde_json::json!({
        "ready": health.is_ready(),
        "draining": health.is_draining(),
        "dependencies": health.dependencies(),
    });
    (status, Json(report)).into_response()
}

async fn metrics(State(registry): State<Registry>) -> Response {
    match TextEncoder::new().encode_to_string(&registry.gather()) {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics cannot be encoded");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_that_is_taken_is_named() {
        let taken = listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = taken.local_addr().unwrap();
        let error = listen(address).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
        assert!(error.to_string().starts_with(&address.to_string()), "{error}");
    }
}
