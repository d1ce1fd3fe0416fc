use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::HeaderName;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use shared::process::{
    Dependency, Failure, Health, RetryPolicy, Shutdown, Stopping, ops_router, registry, retry,
    serve,
};
use tokio::net::TcpListener;
use tower::util::{MapRequestLayer, option_layer};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};

use crate::Config;
use crate::auth::Authentication;
use crate::http::browsers::{cors, protections};
use crate::http::{ApiError, bound, keep_well_formed, observe};
use crate::metrics::Metrics;
use crate::openapi::pages;
use crate::order_numbers::OrderNumbers;
use crate::password::PasswordHashing;
use crate::routes::{self, App, Parts};
use crate::status::{self, Latest};
use crate::store::Store;

/// The largest request body, in bytes.
const BODY_LIMIT: usize = 1024 * 1024;
/// Between two looks at whether MongoDB is there.
const PING_INTERVAL: Duration = Duration::from_secs(1);

/// Serves on `listener` until `shutdown` and for the drain delay after it, then finishes the
/// requests in flight.
///
/// # Errors
/// Where the configuration cannot work: a malformed MONGODB_URL.
/// MongoDB being away is no error: requests are answered 503 until it is there.
pub async fn run(
    config: Config,
    listener: TcpListener,
    shutdown: Shutdown,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let health = Health::default();
    let registry = registry(&health)?;
    let metrics = Metrics::register(&registry)?;
    let mongodb = health.dependency("mongodb");
    let store = Store::connect(
        &config.mongodb,
        config.mongodb_timeout(),
        config.group_limits(),
        metrics.clone(),
    )
    .await?;
    let authentication = Authentication::new(&config.auth)?;
    let passwords = PasswordHashing::start(config.hash_threads(), config.hash_queue, &metrics)?;

    tracing::info!(address = %listener.local_addr()?, database = config.mongodb.database_name,
                   "serving REST");
    let watch = tokio::spawn(watch_mongodb(store.clone(), mongodb, shutdown.clone()));
    let status = status::router(Latest::of(store.clone()));
    let app = App::from(Parts {
        store,
        passwords,
        order_numbers: OrderNumbers::default(),
        health: health.clone(),
        authentication,
    });
    let ops = ops_router(health.clone(), registry).merge(status);
    let ops = ops.method_not_allowed_fallback(method_not_allowed);
    let app = router(app, metrics, &config).merge(ops).layer(protections());
    let stopping = Stopping { draining: shutdown.clone(), stop: Shutdown::new() };
    let serving = serve(listener, app, config.connection_limits(), stopping.clone());
    let deadline = async {
        shutdown.cancelled().await;
        health.drain();
        // Load balancers learn only now that it goes: until then they send new connections.
        tokio::time::sleep(config.drain_delay()).await;
        stopping.stop.cancel();
        tokio::time::sleep(config.drain_timeout()).await;
    };
    tokio::select! {
        () = serving => {}
        () = deadline => tracing::warn!("requests were still in flight at the end of the drain"),
    }
    watch.await?;
    Ok(())
}

/// REST with what surrounds every request; outermost first. All of it is one layer,
/// because the router boxes each of its layers anew for every request.
fn router(app: App, metrics: Metrics, config: &Config) -> Router {
    let request_id = HeaderName::from_static("x-request-id");
    let bounds = config.bounds(metrics.requests_in_flight.clone());
    let cors = config.cors_origins.as_ref().map(cors);
    let (rest, document) = routes::rest(&app.authentication).finish();
    rest.layer(from_fn_with_state(app.clone(), require_database))
        .fallback(|| async { ApiError::NotFound("path") })
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(app)
        .merge(pages(&document))
        .layer((
            MapRequestLayer::new(keep_well_formed),
            SetRequestIdLayer::new(request_id.clone(), MakeRequestUuid),
            PropagateRequestIdLayer::new(request_id),
            from_fn_with_state(Arc::new(metrics), observe),
            option_layer(cors),
            from_fn_with_state(bounds, bound),
            CatchPanicLayer::custom(|_| ApiError::internal("a handler panicked").into_response()),
            DefaultBodyLimit::max(BODY_LIMIT),
        ))
}

async fn method_not_allowed() -> ApiError {
    ApiError::MethodNotAllowed
}

/// Until the unique indexes stand nothing is written, and nothing there is to read.
async fn require_database(State(app): State<App>, request: Request, next: Next) -> Response {
    let needs_none = matches!(request.uri().path(), "/" | "/health");
    if app.store.is_prepared() || needs_none {
        return next.run(request).await;
    }
    ApiError::UNAVAILABLE.into_response()
}

/// Prepares the database once it is there, then keeps an eye on it for /ready.
async fn watch_mongodb(store: Store, mongodb: Dependency, shutdown: Shutdown) {
    let prepared = retry(
        RetryPolicy::default(),
        &shutdown,
        &mongodb,
        |_| Failure::Transient,
        || store.prepare(),
    );
    if prepared.await.is_err() {
        return;
    }
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(PING_INTERVAL) => {}
        }
        match store.ping().await {
            Ok(()) => mongodb.up(),
            Err(error) => mongodb.down(error),
        }
    }
}
