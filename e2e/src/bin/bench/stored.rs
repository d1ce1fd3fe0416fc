//! Documents by the hundred thousand, and the rows that `outboxctl replay` makes of them.

use e2e::{Pipeline, sample};
use mongodb::bson::{Document, doc, oid::ObjectId};
use mongodb::{Client, Database};

/// Copies of one document of each collection: how many of ten, and the field that no two
/// may share.
const COPIES: [(&str, Option<&str>, usize); 4] = [
    ("users", Some("contact_info.primary_email"), 2),
    ("products", None, 2),
    ("orders", Some("order_number"), 2),
    ("posts", None, 4),
];

const INSERTED_AT_ONCE: usize = 2_000;

pub async fn database(pipeline: &Pipeline) -> Database {
    let client = Client::with_uri_str(pipeline.setting("MONGODB_URL")).await.expect("MongoDB");
    client.database(pipeline.setting("DATABASE_NAME"))
}

/// Writes so many documents past the API: copies, without events, of those that there must
/// be one of in each collection.
pub async fn copy(database: &Database, documents: usize) {
    for (collection, unique, tenths) in COPIES {
        copy_one(database, collection, unique, documents * tenths / 10).await;
    }
}

/// A document in each of the collections that [`copy`] takes one from.
pub struct Originals {
    pub user: String,
    pub product: String,
}

pub async fn write_one_of_each(pipeline: &Pipeline) -> Originals {
    let client = pipeline.client();
    let user = client.create("/users", "", &sample::user("size@example.com")).await;
    let user = user["id"].as_str().expect("an id").to_owned();
    let supplier = client.create("/suppliers", "", &sample::supplier("size@harbour.example")).await;
    let supplier = supplier["id"].as_str().expect("an id");
    let product = client.publish_product(supplier).await;
    client.create("/orders", &user, &sample::order(&product, Some("red"), 1)).await;
    client.create("/posts", &user, &sample::post("one of a million")).await;
    Originals { user, product }
}

async fn copy_one(database: &Database, collection: &str, unique: Option<&str>, count: usize) {
    let documents = database.collection::<Document>(collection);
    let found = documents.find_one(doc! {}).await.expect("MongoDB answers");
    let template = found.unwrap_or_else(|| panic!("{collection} is empty"));
    for first in (0..count).step_by(INSERTED_AT_ONCE) {
        let copies = (first..count.min(first + INSERTED_AT_ONCE)).map(|number| {
            let mut copy = template.clone();
            copy.insert("_id", ObjectId::new());
            if let Some(path) = unique {
                set(&mut copy, path, format!("copy-{number}@example.com"));
            }
            copy
        });
        documents.insert_many(copies).ordered(false).await.expect("copies are inserted");
    }
}

/// `path` is a field, or one within another.
fn set(document: &mut Document, path: &str, value: String) {
    match path.split_once('.') {
        Some((outer, inner)) => {
            let within = document.get_document_mut(outer).expect("a document in it");
            within.insert(inner, value);
        }
        None => {
            document.insert(path, value);
        }
    }
}
