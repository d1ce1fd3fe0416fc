use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use shared::process::DependencyState;

use super::App;
use crate::openapi::{Described, Operation, Routes, Schemas};

pub fn routes(api: Routes) -> Routes {
    api.get("/", root, "Which service this is").get(
        "/health",
        health,
        "What it can reach: 200 as long as writes can be taken",
    )
}

#[derive(Serialize, JsonSchema)]
struct Service {
    service: &'static str,
    version: &'static str,
    status: Status,
}

/// Liveness and what it can reach.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Health")]
struct Report {
    status: Status,
    dependencies: BTreeMap<&'static str, DependencyState>,
}

#[derive(Clone, Copy, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Status {
    Healthy,
    Degraded,
}

async fn root(State(app): State<App>) -> Json<Service> {
    Json(Service {
        service: "social-commerce-api",
        version: env!("CARGO_PKG_VERSION"),
        status: Status::of(&app),
    })
}

async fn health(State(app): State<App>) -> Report {
    Report { status: Status::of(&app), dependencies: app.health.dependencies() }
}

impl Status {
    fn of(app: &App) -> Self {
        if app.health.is_ready() { Self::Healthy } else { Self::Degraded }
    }
}

impl IntoResponse for Report {
    fn into_response(self) -> Response {
        let healthy = self.status == Status::Healthy;
        let code = if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        (code, Json(self)).into_response()
    }
}

impl Described for Report {
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        let report = schemas.answer::<Self>();
        operation.answers(StatusCode::OK, Some(report.clone()), &[]);
        operation.answers(StatusCode::SERVICE_UNAVAILABLE, Some(report), &[]);
    }
}
