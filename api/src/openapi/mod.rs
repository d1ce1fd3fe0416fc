//! The OpenAPI 3.1 document and the page that shows it.
//!
//! Nobody writes the document: a route is declared once (`routes`), and the types of its
//! handler's arguments and answer describe it (`operation`). The limits in the schemas
//! are read from the `garde` attributes that check them (`schemas`), the examples of
//! refusals are the refusals themselves.

mod examples;
mod operation;
mod pages;
mod routes;
mod schemas;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

pub use operation::{Described, Operation};
pub use pages::pages;
pub use routes::Routes;
pub use schemas::Schemas;

use crate::auth::{AccountKind, AuthMode};
use crate::http::Envelope;
use crate::status::Reading;
use operation::Refused;

const BEARER: &str = "bearer";

const ABOUT: &str = "\
Every write answers once the document and its event are durable together. Send an \
Idempotency-Key with what creates, and repeat it when an answer was lost; send If-Match \
with what changes, and nobody's change is overwritten.";

/// Response headers, described once.
const HEADERS: [(&str, &str, &str); 9] = [
    ("ETag", "The version of the document, to name in If-Match.", "\"7\""),
    (
        "X-Event-ID",
        "The event that the write stored: its `event_id` in Kafka, in MySQL and in the logs.",
        "0199a2b3-c4d5-7e6f-8a9b-0c1d2e3f4a5b",
    ),
    ("X-Request-ID", "The request's own, or a fresh one; it is in the log.", "mine-1"),
    ("Idempotent-Replayed", "`true`: the first answer to this Idempotency-Key again.", "true"),
    (
        "Link",
        "Where the list goes on; absent on the last page.",
        "</users?limit=20&cursor=65a1b2c3d4e5f60718293a4b>; rel=\"next\"",
    ),
    ("Retry-After", "Seconds to wait before the next attempt.", "1"),
    ("WWW-Authenticate", "What a token would help against.", "Bearer"),
    (
        "Cache-Control",
        "`no-store`: keep it nowhere; `no-cache`: ask before you show it again.",
        "no-store",
    ),
    ("Allow", "The methods that this path has.", "GET, POST"),
];

/// References to header components by name; X-Request-ID is on every answer.
fn headers(names: &[&str]) -> Value {
    let names = names.iter().copied().chain(["X-Request-ID"]);
    let reference = |name| json!({ "$ref": format!("#/components/headers/{name}") });
    names.map(|name| (name.to_owned(), reference(name))).collect::<Map<_, _>>().into()
}

fn document(mode: AuthMode, operations: Vec<Operation>, mut schemas: Schemas) -> Value {
    let envelope = schemas.answer::<Envelope>();
    let mut paths = operational(&mut schemas);
    let mut refusals = Map::new();
    for operation in operations {
        let path = paths.entry(operation.path).or_insert_with(|| {
            json!({ "parameters": [
                { "$ref": "#/components/parameters/X-Request-ID" },
                { "$ref": "#/components/parameters/traceparent" },
            ] })
        });
        let method = operation.method;
        path[method] = describe(operation, &envelope, &mut refusals);
    }
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Social commerce",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": { "name": "MIT", "identifier": "MIT" },
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "headers": header_components(),
            "parameters": parameter_components(),
            "responses": refusals,
            "securitySchemes": security_schemes(mode),
        },
    });
    let mut document = schemas.finish(document);
    examples::add(&mut document["components"]["schemas"]);
    document
}

/// What is there for those who run it: what every process of ours serves, and the page that
/// shows the whole pipeline.
fn operational(schemas: &mut Schemas) -> Map<String, Value> {
    let plain = |media_type: &str| json!({ media_type: {} });
    let reading = json!({ "application/json": { "schema": schemas.answer::<Reading>() } });
    let not_kept = json!({ "Cache-Control": { "$ref": "#/components/headers/Cache-Control" } });
    let pages = [
        ("/live", "200 as long as the process can answer", plain("text/plain"), None, false),
        (
            "/ready",
            "Whether it can do its work: 503 where not",
            plain("application/json"),
            None,
            true,
        ),
        ("/metrics", "In the Prometheus text format", plain("text/plain"), None, false),
        (
            "/status",
            "The whole pipeline, live, as a page",
            plain("text/html"),
            Some(&not_kept),
            false,
        ),
        (
            "/status.json",
            "What the page shows, read at most twice a second",
            reading,
            Some(&not_kept),
            false,
        ),
    ];
    let path =
        |(path, summary, content, headers, may_fail): (&str, &str, Value, Option<&Value>, bool)| {
            let mut answer = json!({ "description": "OK", "content": content });
            if let Some(headers) = headers {
                answer["headers"] = headers.clone();
            }
            let mut responses = json!({ "200": answer });
            if may_fail {
                responses["503"] = answer;
            }
            let get = json!({ "operationId": format!("get{}", path.replace(['/', '.'], "_")),
                          "summary": summary, "tags": ["status"], "responses": responses });
            (path.to_owned(), json!({ "get": get }))
        };
    pages.map(path).into_iter().collect()
}

fn describe(operation: Operation, envelope: &Value, refusals: &mut Map<String, Value>) -> Value {
    let mut responses = Map::new();
    for (status, codes) in &operation.refusals {
        let names: Vec<_> = codes.keys().copied().collect();
        let name = format!("{status}_{}", names.join("_"));
        responses.insert(
            status.to_string(),
            json!({ "$ref": format!("#/components/responses/{name}") }),
        );
        refusals.entry(name).or_insert_with(|| refusal(codes, envelope));
    }
    for (status, answer) in operation.answers {
        responses.insert(status.to_string(), answer);
    }
    let domain = operation.path.trim_start_matches('/').split('/').next().unwrap_or_default();
    let id = operation.path.replace(['{', '}'], "").replace(['/', '-'], "_");
    let mut described = json!({
        "operationId": format!("{}{}", operation.method, id.trim_end_matches('_')),
        "summary": operation.summary,
        "tags": [if matches!(domain, "" | "health") { "status" } else { domain }],
        "parameters": operation.parameters,
        "responses": responses,
    });
    if let Some(request) = operation.request {
        described["requestBody"] = request;
    }
    if !operation.callers.is_empty() {
        described["security"] = operation.callers.into();
    }
    described
}

fn refusal(codes: &BTreeMap<&'static str, Refused>, envelope: &Value) -> Value {
    let names: Vec<_> = codes.keys().copied().collect();
    let examples: Map<_, _> = codes
        .iter()
        .map(|(code, refused)| ((*code).to_owned(), json!({ "value": refused.example })))
        .collect();
    let sent: BTreeSet<_> = codes.values().flat_map(|refused| refused.headers.clone()).collect();
    let sent: Vec<_> = sent.into_iter().collect();
    json!({
        "description": names.join(" or "),
        "headers": headers(&sent),
        "content": { "application/json": { "schema": envelope, "examples": examples } },
    })
}

fn header_components() -> Value {
    let component = |(name, description, example): (&str, &str, &str)| {
        let schema = json!({ "type": "string" });
        let header = json!({ "description": description, "schema": schema, "example": example });
        (name.to_owned(), header)
    };
    HEADERS.map(component).into_iter().collect::<Map<_, _>>().into()
}

/// What every request may send.
fn parameter_components() -> Value {
    json!({
        "X-Request-ID": {
            "name": "X-Request-ID", "in": "header",
            "description": "Your name for the request; it comes back and is in the log.",
            "schema": { "type": "string", "examples": ["mine-1"] },
        },
        "traceparent": {
            "name": "traceparent", "in": "header",
            "description": "W3C Trace Context; it goes on into the event.",
            "schema": {
                "type": "string",
                "examples": ["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"],
            },
        },
    })
}

fn security_schemes(mode: AuthMode) -> Value {
    let named = |kind: AccountKind| {
        let about = format!("The id of the calling {kind}.");
        let scheme = json!({ "type": "apiKey", "in": "header", "name": kind.header(),
                             "description": about });
        (kind.to_string(), scheme)
    };
    match mode {
        AuthMode::Headers => AccountKind::ALL.into_iter().map(named).collect::<Map<_, _>>().into(),
        AuthMode::Token => json!({
            BEARER: { "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                      "description": "The token that POST /auth/login gave." },
        }),
    }
}
