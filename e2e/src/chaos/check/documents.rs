//! MongoDB: the documents, and the outbox beside them.

use std::collections::BTreeMap;

use futures::TryStreamExt;
use mongodb::bson::{Bson, Document, doc};
use mongodb::{Client, Database};
use shared::event::Domain;
use uuid::Uuid;

use super::columns::{Column, children, columns, text};
use super::{Environment, Key};

/// A document as far as it is compared.
#[derive(Debug)]
pub struct Stored {
    pub version: i64,
    /// It must have a row.
    pub has_row: bool,
    pub row: Vec<Option<String>>,
    pub children: BTreeMap<String, Vec<Option<String>>>,
    /// All of it, for what the clients have set.
    pub document: Document,
}

/// An event that was committed with its document.
#[derive(Debug, Clone)]
pub struct Committed {
    pub key: Key,
    pub version: i64,
    pub event_id: String,
}

pub struct Source {
    pub documents: BTreeMap<Key, Stored>,
    pub outbox: Vec<Committed>,
    /// Records that the relay gave up.
    pub dead: usize,
}

pub async fn read(environment: &Environment) -> Source {
    let client = Client::with_uri_str(&environment["MONGODB_URL"]).await.expect("a MongoDB URL");
    let database = client.database(&environment["DATABASE_NAME"]);
    let mut documents = BTreeMap::new();
    for domain in Domain::ALL {
        for document in all(&database, domain.collection()).await {
            let id = document.get_object_id("_id").expect("an ObjectId").to_hex();
            documents.insert((domain, id), stored(domain, document));
        }
    }
    let outbox = all(&database, "outbox").await.iter().map(committed).collect();
    let dead = all(&database, "outbox_dead").await.len();
    Source { documents, outbox, dead }
}

async fn all(database: &Database, collection: &str) -> Vec<Document> {
    let collection = database.collection::<Document>(collection);
    let found = collection.find(doc! {}).projection(doc! { "payload": 0 }).await;
    found.expect("MongoDB answers").try_collect().await.expect("MongoDB answers")
}

fn stored(domain: Domain, document: Document) -> Stored {
    Stored {
        version: document.get_i64("version").expect("a version"),
        has_row: domain != Domain::Product
            || !document.get_str("status").is_ok_and(|status| status == "deleted"),
        row: values(&document, columns(domain)),
        children: children(domain).map_or_else(BTreeMap::new, |children| {
            let key = |child: &Document| text(child, children.key).unwrap_or_default();
            match document.get(children.path) {
                Some(Bson::Document(map)) => map
                    .iter()
                    .filter_map(|(key, child)| Some((key.clone(), child.as_document()?)))
                    .map(|(key, child)| (key, values(child, children.columns)))
                    .collect(),
                Some(Bson::Array(list)) => list
                    .iter()
                    .filter_map(Bson::as_document)
                    .map(|child| (key(child), values(child, children.columns)))
                    .collect(),
                _ => BTreeMap::new(),
            }
        }),
        document,
    }
}

fn values(document: &Document, columns: &[Column]) -> Vec<Option<String>> {
    columns.iter().map(|(_, path)| text(document, path)).collect()
}

fn committed(record: &Document) -> Committed {
    let Some(Bson::Binary(id)) = record.get("_id") else { panic!("an outbox _id: {record}") };
    let topic = record.get_str("topic").expect("a topic");
    let domain = Domain::from_topic(topic).expect("one of the five");
    let entity_id = record.get_str("entity_id").expect("an entity_id");
    Committed {
        key: (domain, entity_id.to_owned()),
        version: record.get_i64("version").expect("a version"),
        event_id: Uuid::from_slice(&id.bytes).expect("a UUID").to_string(),
    }
}
