use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::Value;
use shared::event::Domain;

use crate::chaos::ledger::{Acknowledged, How};

/// A write that a client wants done, once.
#[derive(Debug, Clone)]
pub struct Intent {
    pub domain: Domain,
    pub aim: Aim,
    pub method: Method,
    pub path: String,
    /// The calling user or supplier.
    pub caller: String,
    pub body: Value,
    /// Dotted path in the document and the text that stands there once it is done.
    pub sets: BTreeMap<String, String>,
}

#[derive(Debug, Clone)]
pub enum Aim {
    /// Under this Idempotency-Key.
    Create { key: String },
    /// Only from this version: `If-Match`.
    Change { id: String, version: i64 },
    /// Likewise, and then it is gone.
    Remove { id: String, version: i64 },
}

/// The definite end of an [`Intent`].
#[derive(Debug, Clone)]
pub struct Done {
    pub how: How,
    pub event_id: Option<String>,
    /// Null where the entity is gone.
    pub document: Value,
}

impl Intent {
    /// Where the document is read.
    pub fn document_path(&self) -> Option<String> {
        match &self.aim {
            Aim::Create { .. } => None,
            Aim::Change { id, .. } | Aim::Remove { id, .. } => {
                Some(format!("/{}/{id}", self.domain.collection()))
            }
        }
    }

    pub fn acknowledged(&self, done: &Done) -> Acknowledged {
        let (id, version) = match &self.aim {
            Aim::Create { .. } => (
                done.document["id"].as_str().unwrap_or_default().to_owned(),
                done.document["version"].as_i64().unwrap_or_default(),
            ),
            Aim::Change { id, version } | Aim::Remove { id, version } => (id.clone(), version + 1),
        };
        Acknowledged {
            domain: self.domain.topic().to_owned(),
            id,
            version,
            event_id: done.event_id.clone(),
            how: done.how,
            removed: matches!(self.aim, Aim::Remove { .. }),
            sets: self.sets.clone(),
        }
    }

    /// Makes `tag` the text at a dotted path, where the body has it at the path itself or,
    /// as sign-ups do, at the path's last name.
    pub fn set(&mut self, path: &str, tag: &str) {
        let last = path.rsplit('.').next().unwrap_or(path).to_owned();
        let pointer = format!("/{}", path.replace('.', "/"));
        match self.body.pointer_mut(&pointer) {
            Some(place) => *place = Value::String(tag.to_owned()),
            None => self.body[last] = Value::String(tag.to_owned()),
        }
        self.sets.insert(path.to_owned(), tag.to_owned());
    }
}
