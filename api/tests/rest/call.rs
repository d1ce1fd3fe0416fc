//! One request and its answer, with assertions that say what was asked.

use std::future::IntoFuture;
use std::panic::Location;

use futures::future::BoxFuture;
use reqwest::header::HeaderMap;
use reqwest::{Body, Method, RequestBuilder, StatusCode};
use serde_json::Value;

use crate::documented;

/// A request that is sent once awaited.
pub struct Call {
    document: &'static Value,
    method: Method,
    path: String,
    what: String,
    request: RequestBuilder,
}

pub struct Answer {
    /// Method and path of the request, for messages.
    pub what: String,
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Call {
    pub fn new(
        document: &'static Value,
        method: Method,
        path: &str,
        request: RequestBuilder,
    ) -> Self {
        Self { what: format!("{method} {path}"), path: path.to_owned(), document, method, request }
    }

    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.request = self.request.header(name, value.as_ref());
        self
    }

    pub fn user(self, user: &Value) -> Self {
        self.header("X-User-ID", id(user))
    }

    pub fn supplier(self, supplier: &Value) -> Self {
        self.header("X-Supplier-ID", id(supplier))
    }

    pub fn token(self, token: &str) -> Self {
        self.header("Authorization", format!("Bearer {token}"))
    }

    pub fn json(mut self, body: &Value) -> Self {
        self.what = format!("{} {}", self.what, excerpt(&body.to_string()));
        self.request = self.request.json(body);
        self
    }

    /// A body that is sent as it is, without a content type.
    pub fn bytes(mut self, body: impl Into<Body>) -> Self {
        self.request = self.request.body(body);
        self
    }
}

impl Call {
    /// For a request that may stay without an answer.
    pub fn into_request(self) -> RequestBuilder {
        self.request
    }
}

impl IntoFuture for Call {
    type Output = Answer;
    type IntoFuture = BoxFuture<'static, Answer>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let Self { document, method, path, what, request } = self;
            let response = request.send().await.unwrap_or_else(|error| panic!("{what}: {error:?}"));
            let (status, headers) = (response.status(), response.headers().clone());
            let text = response.text().await.unwrap();
            let answer = Answer { what, status, headers, text };
            documented::check(document, &method, &path, &answer);
            answer
        })
    }
}

impl Answer {
    #[track_caller]
    pub fn is(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "{}: {}", self.what, self.text);
        self
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        let parsed = serde_json::from_str(&self.text);
        parsed.unwrap_or_else(|error| panic!("{}: {error} in {:?}", self.what, self.text))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Asserts the contract's envelope, and answers its `details` (null without).
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) -> Value {
        self.is(status);
        let content_type = self.header("content-type");
        assert_eq!(content_type, Some("application/json"), "{}", self.what);
        assert_eq!(self.header("x-event-id"), None, "{} was refused", self.what);
        let body = self.json();
        assert_eq!(keys(&body), ["error"], "{}: {body}", self.what);
        let error = &body["error"];
        assert_eq!(error["code"], code, "{}: {body}", self.what);
        assert!(!error["message"].as_str().unwrap().is_empty(), "{}: {body}", self.what);
        let known: &[&str] = &["code", "details", "message"];
        assert!(keys(error).iter().all(|key| known.contains(&key.as_str())), "{body}");
        error["details"].clone()
    }

    /// As [`Answer::refused`] for a rule that `field` breaks.
    #[track_caller]
    pub fn names(&self, field: &str) {
        let details = self.refused(422, "VALIDATION_ERROR");
        assert!(details[field].is_string(), "{}: no {field:?} in {details}", self.what);
    }
}

/// The id of a document.
#[track_caller]
pub fn id(document: &Value) -> &str {
    document["id"].as_str().unwrap_or_else(|| {
        panic!("{}: no id in {document}", Location::caller());
    })
}

/// The keys of an object, sorted.
pub fn keys(object: &Value) -> Vec<String> {
    let mut keys: Vec<_> = object.as_object().expect("an object").keys().cloned().collect();
    keys.sort_unstable();
    keys
}

fn excerpt(text: &str) -> String {
    text.chars().take(200).collect()
}
