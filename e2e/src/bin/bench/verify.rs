//! `outboxctl verify` at size: a million documents, and the rows that `outboxctl replay`
//! makes of them.

use std::process::Stdio;
use std::time::{Duration, Instant};

use e2e::{Pipeline, Servers, Used, binary, sample};
use mongodb::bson::{Document, doc, oid::ObjectId};
use mongodb::{Client, Database};
use tokio::process::Command;

use crate::figures::Figures;

/// Copies of one document of each collection, and the field that no two may share.
const COPIES: [(&str, Option<&str>, usize); 4] = [
    ("users", Some("contact_info.primary_email"), 200_000),
    ("products", None, 200_000),
    ("orders", Some("order_number"), 200_000),
    ("posts", None, 400_000),
];

const INSERTED_AT_ONCE: usize = 2_000;

/// Memory is read so often.
const SAMPLE: Duration = Duration::from_millis(20);

pub async fn measure(servers: &Servers, figures: &mut Figures) {
    let pipeline = Pipeline::start(servers, "size").await;
    write_one_of_each(&pipeline).await;
    pipeline.verify(Duration::from_secs(30)).await;
    let client = Client::with_uri_str(pipeline.setting("MONGODB_URL")).await.expect("MongoDB");
    let database = client.database(pipeline.setting("DATABASE_NAME"));
    for (collection, unique, count) in COPIES {
        println!("verify: {count} copies in {collection}");
        copy(&database, collection, unique, count).await;
    }
    let documents: usize = COPIES.iter().map(|(_, _, count)| count).sum();
    for command in ["replay", "verify"] {
        println!("verify: outboxctl {command}");
        let (took, peak) = run(&pipeline, command).await;
        let rate = documents as f64 / took.as_secs_f64();
        let name = format!("outboxctl {command}, a million documents");
        figures.add(&name, "documents/s", None, rate);
        figures.add(
            &format!("{name}: memory at its highest"),
            "MB",
            None,
            peak as f64 / f64::from(1 << 20),
        );
    }
    database.drop().await.expect("cleaned up");
}

async fn write_one_of_each(pipeline: &Pipeline) {
    let client = pipeline.client();
    let user = client.create("/users", "", &sample::user("size@example.com")).await;
    let user = user["id"].as_str().expect("an id");
    let supplier = client.create("/suppliers", "", &sample::supplier("size@harbour.example")).await;
    let supplier = supplier["id"].as_str().expect("an id");
    let product = client.publish_product(supplier).await;
    client.create("/orders", user, &sample::order(&product, Some("red"), 1)).await;
    client.create("/posts", user, &sample::post("one of a million")).await;
}

async fn copy(database: &Database, collection: &str, unique: Option<&str>, count: usize) {
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

/// How long `outboxctl COMMAND` took, and its resident memory at its highest, in bytes.
///
/// # Panics
/// Where it does not succeed: where `verify` finds a difference.
async fn run(pipeline: &Pipeline, command: &str) -> (Duration, u64) {
    let begun = Instant::now();
    let mut outboxctl = Command::new(binary("outboxctl"))
        .arg(command)
        .envs(pipeline.environment())
        .stdin(Stdio::null())
        .spawn()
        .expect("outboxctl runs");
    let mut peak = 0;
    loop {
        let used = outboxctl.id().and_then(|id| Used::of(&id.to_string()));
        peak = peak.max(used.map_or(0, |used| used.peak_memory));
        if let Some(status) = outboxctl.try_wait().expect("its end can be seen") {
            assert!(status.success(), "outboxctl {command}: {status}");
            return (begun.elapsed(), peak);
        }
        tokio::time::sleep(SAMPLE).await;
    }
}
