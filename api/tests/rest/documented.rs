//! No undocumented answer: every answer that a test gets is held against the OpenAPI
//! document, its status, its code, its headers and its body.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use api::{AuthMode, Config};
use clap::Parser;
use jsonschema::Validator;
use reqwest::Method;
use serde_json::{Value, json};

use crate::accounts::SECRET;
use crate::call::Answer;

/// As served by default, but for one thing: an answer may not have a field that is not
/// described.
pub static DOCUMENT: LazyLock<Value> = LazyLock::new(|| closed(&["api"]));

/// The same where only tokens are believed.
pub static TOKEN_DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| closed(&["api", "--auth=token", "--token-secret", SECRET]));

/// What an API with these settings must keep to.
pub fn under(config: &Config) -> &'static Value {
    match config.auth.auth {
        AuthMode::Headers => &DOCUMENT,
        AuthMode::Token => &TOKEN_DOCUMENT,
    }
}

fn closed(arguments: &[&str]) -> Value {
    let mut document = api::openapi(&Config::parse_from(arguments)).unwrap();
    close(&mut document["components"]["schemas"]);
    document
}

static VALIDATORS: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);

/// Headers that are HTTP's own, or the server's, and mean nothing of ours.
const PLAIN_HEADERS: [&str; 11] = [
    "content-type",
    "content-length",
    "date",
    "allow",
    "connection",
    "transfer-encoding",
    "vary",
    "x-content-type-options",
    "x-frame-options",
    "referrer-policy",
    "content-security-policy",
];

#[track_caller]
pub fn check(document: &'static Value, method: &Method, path: &str, answer: &Answer) {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let method = method.as_str().to_lowercase();
    let Some(template) = template_of(document, path) else {
        return; // a path that the API does not have, or a page
    };
    let Some(operation) = document["paths"][template].get(&method) else {
        assert!(
            matches!(method.as_str(), "head" | "options") || answer.status == 405,
            "{} is not documented",
            answer.what
        );
        return;
    };
    let status = answer.status.as_str();
    let described = operation["responses"].get(status);
    let described = described.unwrap_or_else(|| {
        panic!("{}: {status} is not documented: {}", answer.what, answer.text);
    });
    let described = resolve(document, described);
    check_headers(described, answer);
    check_body(document, &format!("{method} {template} {status}"), described, answer);
}

fn check_headers(described: &Value, answer: &Answer) {
    for name in answer.headers.keys().filter(|name| !is_plain(name.as_str())) {
        let headers = described["headers"].as_object().into_iter().flatten();
        let known =
            headers.map(|(known, _)| known).any(|known| known.eq_ignore_ascii_case(name.as_str()));
        assert!(known, "{}: the header {name} is not documented", answer.what);
    }
}

/// CORS and protections are told to browsers, not to clients.
fn is_plain(name: &str) -> bool {
    PLAIN_HEADERS.contains(&name) || name.starts_with("access-control-")
}

fn check_body(document: &'static Value, operation: &str, described: &Value, answer: &Answer) {
    let Some(content) = described.get("content") else {
        assert_eq!(answer.text, "", "{}: a body is not documented", answer.what);
        return;
    };
    let media_type = answer.header("content-type").unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default();
    let content = content.get(media_type);
    let content = content.unwrap_or_else(|| panic!("{}: {media_type:?}", answer.what));
    let Some(schema) = content.get("schema") else {
        return;
    };
    let body = answer.json();
    assert_valid(document, operation, schema, &body, &answer.what);
    if let Some(examples) = content["examples"].as_object() {
        let code = body["error"]["code"].as_str().unwrap_or_default();
        assert!(examples.contains_key(code), "{}: {code} is not documented", answer.what);
    }
}

/// `name` tells one schema from another, so that each is compiled once.
pub fn assert_valid(
    document: &'static Value,
    name: &str,
    schema: &Value,
    value: &Value,
    what: &str,
) {
    let key = format!("{document:p} {name}");
    let known = VALIDATORS.lock().unwrap().get(&key).cloned();
    let validator = known.unwrap_or_else(|| {
        let schema = json!({ "$ref": "#/here", "here": schema,
                             "components": document["components"] });
        let validator = Arc::new(jsonschema::validator_for(&schema).unwrap());
        VALIDATORS.lock().unwrap().insert(key, Arc::clone(&validator));
        validator
    });
    let problems: Vec<_> = validator
        .iter_errors(value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(problems.is_empty(), "{what} ({name}): {problems:#?} in {value:#}");
}

/// The document's own path for `path`: `/users/{id}` for `/users/1`.
fn template_of(document: &'static Value, path: &str) -> Option<&'static str> {
    let paths = document["paths"].as_object().unwrap().keys();
    paths.map(String::as_str).find(|template| {
        let (wanted, given) = (template.split('/'), path.split('/'));
        wanted.clone().count() == given.clone().count()
            && wanted.zip(given).all(|(wanted, given)| {
                wanted == given || (wanted.starts_with('{') && !given.is_empty())
            })
    })
}

/// What a reference stands for.
pub fn resolve(document: &'static Value, value: &'static Value) -> &'static Value {
    match value["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap(),
        None => value,
    }
}

fn close(schema: &mut Value) {
    match schema {
        Value::Array(schemas) => schemas.iter_mut().for_each(close),
        Value::Object(fields) => {
            fields
                .iter_mut()
                .filter(|(name, _)| *name != "examples")
                .for_each(|(_, each)| close(each));
            if fields.get("properties").is_some_and(Value::is_object)
                && fields.get("type").is_some_and(|kind| kind == "object")
            {
                fields.entry("additionalProperties").or_insert(json!(false));
            }
        }
        _ => {}
    }
}
