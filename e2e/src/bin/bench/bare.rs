//! The raw limits: what the bare drivers reach with the least that is the same work.

use std::time::{Duration, Instant};

use futures::TryStreamExt;
use mongodb::Client;
use mongodb::bson::{Document, RawDocumentBuf, doc, oid::ObjectId};
use mongodb::options::WriteConcern;
use tokio::task::JoinSet;

/// Transactions that each store `size` documents of about the size of a post, and as
/// many events, from `tasks` tasks. Returns documents per second.
pub async fn transactions(url: &str, tasks: usize, size: usize, time: Duration) -> f64 {
    let client = Client::with_uri_str(url).await.expect("MongoDB");
    let database = client.database("bench_bare");
    database.drop().await.expect("a clean database");
    for collection in ["posts", "outbox"] {
        database.create_collection(collection).await.expect("a collection");
    }
    let started = Instant::now();
    let mut running = JoinSet::new();
    for _ in 0..tasks {
        running.spawn(repeat(client.clone(), size, started + time));
    }
    let transactions: usize = running.join_all().await.into_iter().sum();
    let rate = (transactions * size) as f64 / started.elapsed().as_secs_f64();
    database.drop().await.expect("cleaned up");
    rate
}

async fn repeat(client: Client, size: usize, until: Instant) -> usize {
    let database = client.database("bench_bare");
    let posts = database.collection::<Document>("posts");
    let outbox = database.collection::<Document>("outbox");
    let mut session = client.start_session().await.expect("a session");
    let mut committed = 0;
    while Instant::now() < until {
        let documents: Vec<_> = (0..size).map(|_| document(600)).collect();
        let events: Vec<_> = (0..size).map(|_| document(900)).collect();
        let start = session.start_transaction().write_concern(WriteConcern::majority());
        start.await.expect("a transaction");
        posts.insert_many(documents).session(&mut session).await.expect("documents");
        outbox.insert_many(events).session(&mut session).await.expect("events");
        session.commit_transaction().await.expect("a commit");
        committed += 1;
    }
    committed
}

/// Reads of `documents` products each, as raw BSON, from `tasks` tasks. Returns reads
/// per second.
pub async fn finds(
    url: &str,
    database: &str,
    tasks: usize,
    documents: usize,
    time: Duration,
) -> f64 {
    let client = Client::with_uri_str(url).await.expect("MongoDB");
    let products = client.database(database).collection::<RawDocumentBuf>("products");
    let ids = products.distinct("_id", doc! {}).await.expect("ids");
    let started = Instant::now();
    let mut running = JoinSet::new();
    for _ in 0..tasks {
        let (products, id) = (products.clone(), ids[0].clone());
        running.spawn(async move {
            let mut reads = 0_usize;
            while started.elapsed() < time {
                if documents == 1 {
                    products.find_one(doc! { "_id": &id }).await.expect("a product");
                } else {
                    let page = products.find(doc! { "status": { "$ne": "deleted" } });
                    let page = page.sort(doc! { "created_at": -1, "_id": -1 });
                    let limit = i64::try_from(documents).expect("a small page");
                    let found: Vec<_> =
                        page.limit(limit).await.expect("a page").try_collect().await.expect("it");
                    assert_eq!(found.len(), documents);
                }
                reads += 1;
            }
            reads
        });
    }
    let reads: usize = running.join_all().await.into_iter().sum();
    reads as f64 / started.elapsed().as_secs_f64()
}

fn document(bytes: usize) -> Document {
    doc! { "_id": ObjectId::new(), "text": "x".repeat(bytes) }
}
