use std::collections::BTreeMap;

use axum::http::StatusCode;
use schemars::JsonSchema;
use serde_json::{Value, json};

use super::schemas::Schemas;
use crate::auth::{AccountKind, AuthMode};
use crate::http::ApiError;

/// What a part of a request, or an answer, adds to the description of its operation.
/// Each extractor and each answer describes itself: the document cannot say other than
/// what the handler's types do.
pub trait Described {
    fn describe(operation: &mut Operation, schemas: &mut Schemas);
}

/// One method on one path, as OpenAPI describes it.
pub struct Operation {
    pub(super) mode: AuthMode,
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) summary: &'static str,
    pub(super) parameters: Vec<Value>,
    pub(super) request: Option<Value>,
    /// Who may call: any one of these. None: everybody.
    pub(super) callers: Vec<Value>,
    pub(super) answers: BTreeMap<u16, Value>,
    /// By status and code, each with an example of its envelope.
    pub(super) refusals: BTreeMap<u16, BTreeMap<&'static str, Refused>>,
}

pub(super) struct Refused {
    pub example: Value,
    /// Names of header components.
    pub headers: Vec<&'static str>,
}

impl Operation {
    pub(super) fn new(
        mode: AuthMode,
        method: &'static str,
        path: &'static str,
        summary: &'static str,
    ) -> Self {
        let mut operation = Self {
            mode,
            method,
            path,
            summary,
            parameters: Vec::new(),
            request: None,
            callers: Vec::new(),
            answers: BTreeMap::new(),
            refusals: BTreeMap::new(),
        };
        operation.refuses(&ApiError::internal("nothing of this is told"));
        operation.refuses(&ApiError::Unavailable { outcome_unknown: false });
        operation
    }

    /// Whether it is about one thing, and not about a list.
    pub fn is_on_one(&self) -> bool {
        self.path.contains("{id}")
    }

    /// A refusal that can happen; the example is the very answer that would be sent.
    pub fn refuses(&mut self, error: &ApiError) {
        let (status, code) = error.code();
        let retry_after = error.retry_after_seconds().map(|_| "Retry-After");
        let challenge = error.challenge().map(|_| "WWW-Authenticate");
        let headers = retry_after.into_iter().chain(challenge).collect();
        let refused = Refused { example: json!(error.envelope()), headers };
        self.refusals.entry(status.as_u16()).or_default().entry(code).or_insert(refused);
    }

    pub fn takes(&mut self, parameter: Value) {
        self.parameters.push(parameter);
    }

    pub fn takes_header(&mut self, name: &str, description: &str, schema: &Value) {
        self.takes(json!({ "name": name, "in": "header", "description": description,
                           "schema": schema }));
    }

    pub fn takes_body(&mut self, schema: Value, required: bool) {
        let content = json!({ "application/json": { "schema": schema } });
        self.request = Some(json!({ "required": required, "content": content }));
        self.refuses(&ApiError::BodyTimeout);
        self.refuses(&ApiError::TooLarge);
        self.refuses(&ApiError::UnsupportedMediaType);
        self.refuses(&ApiError::invalid("body", "EOF while parsing a value"));
    }

    /// Must be called by an account of one of these kinds.
    pub fn called_by(&mut self, kinds: &[AccountKind]) {
        self.believes(kinds);
        match self.mode {
            AuthMode::Headers => {
                for kind in kinds {
                    self.refuses(&ApiError::missing_header(kind.header()));
                }
            }
            AuthMode::Token => self.refuses(&ApiError::TokenRequired),
        }
    }

    /// May be called by anybody; an account of this kind is told more.
    pub fn called_by_anybody_or(&mut self, kind: AccountKind) {
        self.believes(&[kind]);
        self.callers.push(json!({}));
    }

    /// Who calls may say so, and must say so rightly.
    fn believes(&mut self, kinds: &[AccountKind]) {
        match self.mode {
            AuthMode::Headers => {
                for kind in kinds {
                    self.callers.push(json!({ kind.to_string(): [] }));
                    self.refuses(&ApiError::malformed_header(kind.header()));
                }
            }
            AuthMode::Token => {
                self.callers.push(json!({ super::BEARER: [] }));
                self.reads_tokens();
            }
        }
    }

    /// Where tokens are believed, one that comes must be sound, needed or not.
    pub fn reads_tokens(&mut self) {
        if self.mode == AuthMode::Token {
            self.refuses(&ApiError::InvalidToken);
            self.refuses(&ApiError::Forbidden("the header names another account than the token"));
            self.refuses(&ApiError::malformed_header(AccountKind::User.header()));
        }
    }

    /// `headers` are names of the document's header components.
    pub fn answers(&mut self, status: StatusCode, body: Option<Value>, headers: &[&str]) {
        let mut answer = json!({
            "description": status.canonical_reason().unwrap_or_default(),
            "headers": super::headers(headers),
        });
        if let Some(schema) = body {
            answer["content"] = json!({ "application/json": { "schema": schema } });
        }
        self.answers.insert(status.as_u16(), answer);
    }
}

/// A handler, by the types of its arguments and of its answer. `Arguments` are those of
/// axum's own `Handler`.
pub trait Documented<Arguments> {
    fn describe(operation: &mut Operation, schemas: &mut Schemas);
}

impl<F, Fut, Answer> Documented<((),)> for F
where
    F: FnOnce() -> Fut,
    Fut: Future<Output = Answer>,
    Answer: Described,
{
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        Answer::describe(operation, schemas);
    }
}

/// One implementation a number of arguments: Rust has no other way to say it.
macro_rules! documented {
    ($($argument:ident)*) => {
        impl<F, Fut, Answer, Via, $($argument,)*> Documented<(Via, $($argument,)*)> for F
        where
            F: FnOnce($($argument,)*) -> Fut,
            Fut: Future<Output = Answer>,
            Answer: Described,
            $($argument: Described,)*
        {
            fn describe(operation: &mut Operation, schemas: &mut Schemas) {
                $($argument::describe(operation, schemas);)*
                Answer::describe(operation, schemas);
            }
        }
    };
}

documented!(A);
documented!(A B);
documented!(A B C);
documented!(A B C D);
documented!(A B C D E);
documented!(A B C D E G);
documented!(A B C D E G H);
documented!(A B C D E G H I);

impl<T: Described> Described for Result<T, ApiError> {
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        T::describe(operation, schemas);
    }
}

impl<T: JsonSchema> Described for axum::Json<T> {
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        operation.answers(StatusCode::OK, Some(schemas.answer::<T>()), &[]);
    }
}

impl<T> Described for axum::extract::State<T> {
    fn describe(_: &mut Operation, _: &mut Schemas) {}
}

impl<T> Described for axum::extract::ConnectInfo<T> {
    fn describe(_: &mut Operation, _: &mut Schemas) {}
}

impl Described for axum::http::HeaderMap {
    fn describe(_: &mut Operation, _: &mut Schemas) {}
}

impl Described for axum::http::Uri {
    fn describe(_: &mut Operation, _: &mut Schemas) {}
}
