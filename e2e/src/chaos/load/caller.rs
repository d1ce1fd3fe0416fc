//! A careful client: it asks until it knows.
//!
//! A create that was not answered is asked again under its Idempotency-Key; a change
//! names the version that it starts from, so that asking again can do no harm, and a
//! conflict after a lost answer is settled by reading the document.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::Rng;
use rand::rngs::StdRng;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;

use super::intent::{Aim, Done, Intent};
use crate::chaos::ledger::How;

/// Longer than the API's own patience, shorter than a freeze.
const ATTEMPT: Duration = Duration::from_secs(6);
/// After which a write counts as never answered.
const PATIENCE: Duration = Duration::from_secs(180);

#[derive(Clone)]
pub struct Caller {
    http: reqwest::Client,
    urls: Vec<String>,
    /// The API that answered last.
    preferred: usize,
    tally: Arc<Mutex<Tally>>,
}

/// What came back, over all clients.
#[derive(Debug, Default, Clone)]
pub struct Tally {
    /// By status; 0 stands for no answer.
    pub answers: BTreeMap<u16, u64>,
    /// Answers that the contract does not allow for what was asked.
    pub surprises: Vec<String>,
}

impl Caller {
    pub fn new(urls: &[String], preferred: usize, tally: Arc<Mutex<Tally>>) -> Self {
        let http = reqwest::Client::builder().timeout(ATTEMPT).build().expect("an HTTP client");
        Self { http, urls: urls.to_vec(), preferred: preferred % urls.len(), tally }
    }

    /// Asks until it is known to be done. Nothing where the answer was a surprise,
    /// which is then in the tally.
    pub async fn insist(&mut self, intent: &Intent, rng: &mut StdRng) -> Option<Done> {
        let (started, mut asked_before) = (Instant::now(), false);
        let mut pause = Duration::from_millis(10);
        while started.elapsed() < PATIENCE {
            match self.attempt(self.request(intent)).await {
                Some((200..=299, answer)) => {
                    if let Some(done) = self.understand(intent, answer).await {
                        return Some(done);
                    }
                }
                Some((404 | 409, _)) if asked_before && intent.document_path().is_some() => {
                    return self.settle(intent, rng).await;
                }
                None | Some((429 | 503, _)) => {}
                Some((status, answer)) => {
                    let body = answer.text().await.unwrap_or_default();
                    return self.surprised(format!("{status} {body}"), intent);
                }
            }
            asked_before = true;
            self.pause(&mut pause, rng).await;
        }
        self.surprised(format!("no answer in {PATIENCE:?}"), intent)
    }

    fn request(&self, intent: &Intent) -> RequestBuilder {
        let request = self.ask(intent.method.clone(), &intent.path, &intent.caller);
        let request = match &intent.aim {
            Aim::Create { key } => request.header("Idempotency-Key", key),
            Aim::Change { version, .. } | Aim::Remove { version, .. } => {
                request.header("If-Match", format!("\"{version}\""))
            }
        };
        if intent.body.is_null() { request } else { request.json(&intent.body) }
    }

    fn ask(&self, method: Method, path: &str, caller: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.urls[self.preferred]));
        match caller {
            "" => request,
            caller => request.header("X-User-ID", caller).header("X-Supplier-ID", caller),
        }
    }

    /// Nothing where no answer came; the other API is asked next.
    async fn attempt(&mut self, request: RequestBuilder) -> Option<(u16, Response)> {
        let answer = request.send().await.ok();
        let status = answer.as_ref().map_or(0, |answer| answer.status().as_u16());
        *self.tally().answers.entry(status).or_default() += 1;
        if !(200..500).contains(&status) {
            self.preferred = (self.preferred + 1) % self.urls.len();
        }
        answer.map(|answer| (status, answer))
    }

    /// Nothing where the answer was cut off before it said what was created.
    async fn understand(&mut self, intent: &Intent, answer: Response) -> Option<Done> {
        let header = |name: &str| {
            let value = answer.headers().get(name).and_then(|value| value.to_str().ok());
            value.map(str::to_owned)
        };
        let event_id = header("x-event-id");
        let replayed = header("idempotent-replayed").is_some();
        let how = if replayed { How::Replayed } else { How::Answered };
        if event_id.is_none() {
            self.surprised("no X-Event-ID".to_owned(), intent);
        }
        let bytes = answer.bytes().await.unwrap_or_default();
        let document: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        let cut_off = document.is_null() && matches!(intent.aim, Aim::Create { .. });
        (!cut_off).then_some(Done { how, event_id, document })
    }

    /// Was it this client's own earlier attempt that the API is in conflict with? Nobody
    /// else writes this document.
    async fn settle(&mut self, intent: &Intent, rng: &mut StdRng) -> Option<Done> {
        let path = intent.document_path()?;
        let mut pause = Duration::from_millis(10);
        loop {
            let read = self.ask(Method::GET, &path, &intent.caller);
            let Some((status, answer)) = self.attempt(read).await else {
                self.pause(&mut pause, rng).await;
                continue;
            };
            let body = answer.text().await.unwrap_or_default();
            let document: Value = serde_json::from_str(&body).unwrap_or(Value::Null);
            let done = |document| Done { how: How::ReadBack, event_id: None, document };
            match (&intent.aim, status) {
                (Aim::Remove { .. }, 404) => return Some(done(Value::Null)),
                (Aim::Change { version, .. }, 200) if document["version"] == version + 1 => {
                    return Some(done(document));
                }
                (_, 429 | 503) => self.pause(&mut pause, rng).await,
                // The answer was cut off in the middle.
                (_, 200) if document.is_null() => self.pause(&mut pause, rng).await,
                _ => return self.surprised(format!("a conflict, but {status} {body}"), intent),
            }
        }
    }

    /// Up to 640 ms, each a little different.
    async fn pause(&self, pause: &mut Duration, rng: &mut StdRng) {
        tokio::time::sleep(pause.mul_f64(rng.random_range(0.5..1.5))).await;
        *pause = (*pause * 2).min(Duration::from_millis(640));
    }

    fn surprised(&self, what: String, intent: &Intent) -> Option<Done> {
        let surprise = format!("{} {} {:?}: {what}", intent.method, intent.path, intent.aim);
        self.tally().surprises.push(surprise);
        None
    }

    fn tally(&self) -> std::sync::MutexGuard<'_, Tally> {
        self.tally.lock().expect("nobody panics while counting")
    }
}
