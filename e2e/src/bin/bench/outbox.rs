//! The outbox as the relay finds it: filled, written to at a steady pace, and read by
//! the bare driver.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use mongodb::bson::{RawDocumentBuf, Timestamp as ClusterTime, doc};
use mongodb::options::WriteConcern;
use mongodb::{Client, Collection, Database};
use shared::event::EventType;
use shared::outbox::{self, OutboxRecord};
use shared::{Id, Timestamp};
use tokio::task::JoinSet;
use uuid::Uuid;

/// An average event.
const PAYLOAD_BYTES: usize = 1_300;
const BATCH: u32 = 1_000;

#[derive(Clone)]
pub struct Outbox {
    database: Database,
    records: Collection<RawDocumentBuf>,
}

/// When a write was to be sent, and when MongoDB had committed it.
pub struct Written {
    pub due: Instant,
    pub committed: Instant,
}

impl Outbox {
    pub async fn open(url: &str, database: &str) -> Self {
        let client = Client::with_uri_str(url).await.expect("MongoDB");
        let database = client.database(database);
        Self { records: database.collection(outbox::COLLECTION), database }
    }

    /// Adds events: a hundred entities at a time, with a hundred versions each.
    pub async fn fill(&self, events: usize) {
        let mut left = events;
        while left > 0 {
            let ids: Vec<Id> = (0..100).map(|_| Id::new()).collect();
            let records = (1..=100).flat_map(|version| ids.iter().map(move |id| (*id, version)));
            let records: Vec<_> =
                records.take(left).map(|(id, version)| record(id, version).to_bson()).collect();
            left -= records.len();
            for page in records.chunks(2_500) {
                self.records.insert_many(page).await.expect("events");
            }
        }
    }

    /// All that is written after this carries a later time.
    pub async fn now(&self) -> ClusterTime {
        let answer = self.database.run_command(doc! { "ping": 1 }).await.expect("MongoDB");
        answer.get_timestamp("operationTime").expect("a replica set")
    }

    /// The raw limit: the bare driver reads `events` events from the change stream and
    /// does nothing with them. Returns events per second.
    pub async fn tail(&self, from: ClusterTime, events: usize) -> f64 {
        let begun = Instant::now();
        let after = ClusterTime { increment: from.increment + 1, ..from };
        let stream = self.records.watch().start_at_operation_time(after).batch_size(BATCH);
        let mut stream = stream.await.expect("a change stream").with_type::<RawDocumentBuf>();
        let mut bytes = 0;
        let mut left = events;
        while left > 0 {
            let event = stream.next_if_any().await.expect("the stream goes on");
            if let Some(event) = event {
                bytes += event.as_bytes().len();
                left -= 1;
            }
        }
        assert!(bytes > events * PAYLOAD_BYTES, "the events came whole");
        events as f64 / begun.elapsed().as_secs_f64()
    }

    /// Writes `count` events one by one, so many a second, whether or not the earlier ones
    /// are committed yet: a server that stalls delays them, and spares itself none.
    pub async fn write_steadily(&self, per_second: u32, count: u32) -> HashMap<Uuid, Written> {
        let (begun, gap) = (Instant::now(), Duration::from_secs(1) / per_second);
        let mut writes = JoinSet::new();
        for number in 0..count {
            let due = begun + gap * number;
            tokio::time::sleep_until(due.into()).await;
            let records = self.records.clone();
            writes.spawn(async move {
                let record = record(Id::new(), 1);
                let insert = records.insert_one(record.to_bson());
                insert.write_concern(WriteConcern::majority()).await.expect("a commit");
                (record.event_id, Written { due, committed: Instant::now() })
            });
        }
        writes.join_all().await.into_iter().collect()
    }

    pub async fn drop(self) {
        self.database.drop().await.expect("cleaned up");
    }
}

fn record(id: Id, version: i64) -> OutboxRecord {
    const KINDS: [EventType; 5] = [
        EventType::UserUpdated,
        EventType::SupplierUpdated,
        EventType::ProductUpdated,
        EventType::OrderConfirmed,
        EventType::PostUpdated,
    ];
    let kind = KINDS[usize::from(id.object_id().bytes()[11]) % KINDS.len()];
    let data = serde_json::json!({ "version": version, "text": "x".repeat(PAYLOAD_BYTES) });
    let mut record = OutboxRecord::new(kind, id, version, Timestamp::now(), None, &data)
        .expect("an event is JSON");
    // Still JSON: the text is shortened by what the envelope has added.
    let surplus = record.payload.len() - PAYLOAD_BYTES;
    record.payload = record.payload.replacen(&"x".repeat(surplus), "", 1);
    record
}
