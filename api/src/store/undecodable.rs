use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use mongodb::bson::error::Error;
use mongodb::bson::oid::ObjectId;
use prometheus::IntCounterVec;

/// Documents that are remembered as logged; more are only counted.
const MOST_LOGGED: usize = 1_000;

/// Documents that a list left out because they cannot be read. Each is logged once: the same
/// page is asked for again and again.
#[derive(Clone)]
pub(super) struct Undecodable {
    total: IntCounterVec,
    logged: Arc<Mutex<HashSet<Named>>>,
}

/// A document, by its collection and id.
type Named = (&'static str, Option<ObjectId>);

impl Undecodable {
    pub fn new(total: IntCounterVec) -> Self {
        Self { total, logged: Arc::default() }
    }

    pub fn note(&self, collection: &'static str, id: Option<ObjectId>, error: &Error) {
        self.total.with_label_values(&[collection]).inc();
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.len() < MOST_LOGGED && logged.insert((collection, id)) {
            let id = id.map(ObjectId::to_hex);
            tracing::error!(collection, id, %error, "a document cannot be read: lists leave it out");
        }
    }
}
