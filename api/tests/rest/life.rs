//! The engine of `lives`: takes a document through its writes and looks at everything
//! that each of them must leave.

use reqwest::Method;
use serde_json::{Value, json};

use crate::call::{Call, id};
use crate::documents::Domain;
use crate::harness::Api;

/// Who makes the requests of a life, once there is a document to make them on.
pub enum Caller {
    Nobody,
    /// The document itself: a supplier is answered its bank details.
    Itself,
    User(Value),
    Supplier(Value),
}

pub struct Step {
    method: Method,
    suffix: &'static str,
    body: Option<Value>,
    event: &'static str,
    /// What the answer must say, by JSON pointer.
    expected: Vec<(&'static str, Value)>,
}

pub fn step(method: Method, suffix: &'static str, event: &'static str) -> Step {
    Step { method, suffix, body: None, event, expected: vec![] }
}

impl Step {
    pub fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    pub fn gives(mut self, pointer: &'static str, value: impl Into<Value>) -> Self {
        self.expected.push((pointer, value.into()));
        self
    }
}

impl Caller {
    fn makes(&self, call: Call, subject: Option<&Value>) -> Call {
        match (self, subject) {
            (Self::Itself, Some(supplier)) | (Self::Supplier(supplier), _) => {
                call.supplier(supplier)
            }
            (Self::User(user), _) => call.user(user),
            _ => call,
        }
    }
}

/// Takes one document through `steps`; the first creates it.
pub async fn live(api: &Api, domain: Domain, caller: Caller, steps: Vec<Step>) {
    let mut before: Option<Value> = None;
    let mut events = api.database.events().await.len();
    for (version, step) in (1..).zip(steps) {
        let subject = before.as_ref().map(id).map(|id| format!("/{id}")).unwrap_or_default();
        let path = format!("/{}{subject}{}", domain.collection, step.suffix);
        let mut call = caller.makes(api.call(step.method.clone(), &path), before.as_ref());
        if let Some(body) = &step.body {
            call = call.json(body);
        }
        let answer = call.await;
        events += 1;
        assert_eq!(api.database.events().await.len(), events, "{}: one event", answer.what);
        let event = api.database.event_of(&answer).await;

        if step.method == Method::DELETE {
            assert_eq!(answer.is(204).text, "");
            event.tells_deletion(domain.topic, &subject[1..], version);
            api.get(&path)
                .user(&json!({ "id": "0".repeat(24) }))
                .await
                .refused(404, "RESOURCE_NOT_FOUND");
            continue;
        }
        let document = answer.is(if before.is_none() { 201 } else { 200 }).json();
        domain.check(&document);
        assert_eq!(document["version"], version, "{}", answer.what);
        for (pointer, value) in &step.expected {
            assert_eq!(document.pointer(pointer), Some(value), "{} of {document:#}", pointer);
        }
        if let Some(before) = &before {
            assert_eq!(document["created_at"], before["created_at"]);
            assert!(document["updated_at"].as_str() >= before["updated_at"].as_str());
        }
        event.carries(step.event, &document);

        let mut public = document.clone();
        public.as_object_mut().unwrap().remove("banking_info");
        let stored = api.database.stored(domain.collection, id(&document)).await.unwrap();
        assert_eq!(domain.answered(stored), public, "stored as answered");
        let read = caller
            .makes(api.get(format!("/{}/{}", domain.collection, id(&document))), Some(&document));
        assert_eq!(read.await.is(200).json(), document, "read as answered");
        before = Some(document);
    }
}
