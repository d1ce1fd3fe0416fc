use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::Value;
use utoipa_swagger_ui::{Config, SwaggerUi};

/// The page asks this server alone: no script, style or picture from anywhere else.
/// Swagger UI sets styles on elements, and its icons are `data:` URLs.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'",
);

/// `/openapi.json`, and `/docs`, which shows it.
pub fn pages(document: &Value) -> Router {
    let json: Arc<str> = document.to_string().into();
    let config = Config::new(["/openapi.json"]).persist_authorization(true);
    let docs = Router::from(SwaggerUi::new("/docs").config(config)).layer(from_fn(guard));
    Router::new().route("/openapi.json", get(openapi)).with_state(json).merge(docs)
}

async fn openapi(State(json): State<Arc<str>>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], json.to_string()).into_response()
}

async fn guard(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, POLICY);
    response
}
