//! A database and topics of a test's own, and what it writes into the outbox.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bson::{Document, RawDocumentBuf};
use clap::Parser;
use mongodb::{Client, Collection, Database};
use relay::config::Config;
use shared::event::EventType;
use shared::outbox::{self, OutboxRecord};
use shared::process::Shutdown;
use shared::{Id, Timestamp};
use tokio::task::JoinHandle;

use crate::process::Process;
use crate::reader::{self, Seen};

/// How long anything may take that happens at all; on two busy cores.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The tests that take minutes are asked for.
pub fn chaos() -> bool {
    cfg!(feature = "chaos")
}

pub struct Pipeline {
    pub name: String,
    pub database: Database,
    pub mongodb_url: String,
    pub kafka: String,
}

impl Pipeline {
    pub async fn new(test: &str) -> Self {
        assert!(
            std::env::var("OUTBOX_TEST_STACK").is_ok(),
            "run through make test or deploy/local/with-test-servers"
        );
        let setting = |name| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
        Self::on(test, setting("MONGODB_URL"), setting("KAFKA_BOOTSTRAP_SERVERS")).await
    }

    pub async fn on(test: &str, mongodb_url: String, kafka: String) -> Self {
        let unique = uuid::Uuid::now_v7().simple().to_string();
        let name = format!("relay_{test}_{}", &unique[unique.len() - 8..]);
        let client = Client::with_uri_str(&mongodb_url).await.unwrap();
        Self { database: client.database(&name), name, mongodb_url, kafka }
    }

    /// The environment of a relay of this pipeline, on any free port.
    pub fn settings(&self) -> BTreeMap<String, String> {
        let settings = [
            ("MONGODB_URL", self.mongodb_url.clone()),
            ("DATABASE_NAME", self.name.clone()),
            ("KAFKA_BOOTSTRAP_SERVERS", self.kafka.clone()),
            ("KAFKA_TOPIC_PREFIX", format!("{}.", self.name)),
            ("RELAY_TOPIC_PARTITIONS", "3".to_owned()),
            ("RELAY_ADDR", "127.0.0.1:0".to_owned()),
        ];
        settings.map(|(name, value)| (name.to_owned(), value)).into()
    }

    pub fn config(&self) -> Config {
        // A setting's flag is its variable in lower case, but for RELAY_TOPIC_...
        let flag =
            |name: &str| name.replace("RELAY_TOPIC", "TOPIC").replace('_', "-").to_lowercase();
        let settings = self.settings();
        let settings = settings.iter().map(|(name, value)| format!("--{}={value}", flag(name)));
        let arguments = std::iter::once("relay".to_owned()).chain(settings);
        Config::parse_from(arguments)
    }

    /// Runs the relay inside this process.
    pub fn start(&self) -> Running {
        let shutdown = Shutdown::new();
        let task = tokio::spawn(relay::run(self.config(), shutdown.clone()));
        Running { shutdown, task }
    }

    /// Runs the real binary as one shard of several.
    pub fn launch_shard(&self, shard: &str) -> Process {
        let mut settings = self.settings();
        settings.insert("RELAY_SHARD".to_owned(), shard.to_owned());
        Process::launch(&settings)
    }

    /// Runs the real binary.
    pub fn launch(&self) -> Process {
        Process::launch(&self.settings())
    }

    pub fn outbox(&self) -> Collection<RawDocumentBuf> {
        self.database.collection(outbox::COLLECTION)
    }

    pub fn dead(&self) -> Collection<Document> {
        self.database.collection(relay::DEAD_COLLECTION)
    }

    pub async fn write(&self, records: &[OutboxRecord]) {
        for chunk in records.chunks(5_000) {
            let documents = chunk.iter().map(OutboxRecord::to_bson);
            self.outbox().insert_many(documents).await.unwrap();
        }
    }

    pub fn topic(&self, topic: &str) -> String {
        format!("{}.{topic}", self.name)
    }

    /// Everything a read_committed reader sees, once it sees at least `count` events.
    pub async fn await_events(&self, count: usize) -> Vec<Seen> {
        let (kafka, prefix) = (self.kafka.clone(), format!("{}.", self.name));
        let reading = tokio::task::spawn_blocking(move || {
            reader::read_until(&kafka, &prefix, count, Instant::now() + PATIENCE)
        });
        reading.await.unwrap()
    }

    pub async fn drop(self) {
        self.database.drop().await.unwrap();
        reader::delete_topics(&self.kafka, &format!("{}.", self.name)).await;
    }
}

pub struct Running {
    shutdown: Shutdown,
    task: JoinHandle<Result<(), relay::RunError>>,
}

impl Running {
    pub async fn stop(self) {
        self.shutdown.cancel();
        let stopped = tokio::time::timeout(Duration::from_secs(10), self.task).await;
        stopped.expect("the relay did not stop").unwrap().unwrap();
    }
}

/// Events of several entities, each from version 1 on, in an order in which they could
/// have been committed.
pub fn history(entities: usize, versions: i64) -> Vec<OutboxRecord> {
    let ids: Vec<Id> = (0..entities).map(|_| Id::new()).collect();
    let of_version = |version| ids.iter().map(move |id| record(*id, version));
    (1..=versions).flat_map(of_version).collect()
}

/// The version's event of this entity; its domain follows from the id.
pub fn record(id: Id, version: i64) -> OutboxRecord {
    const KINDS: [EventType; 5] = [
        EventType::UserUpdated,
        EventType::SupplierUpdated,
        EventType::ProductUpdated,
        EventType::OrderConfirmed,
        EventType::PostUpdated,
    ];
    let last = id.object_id().bytes()[11];
    let kind = KINDS[usize::from(last) % KINDS.len()];
    let traceparent = last
        .is_multiple_of(2)
        .then(|| "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned());
    let data = serde_json::json!({ "version": version, "text": "grün ☂ \"quoted\"\n" });
    OutboxRecord::new(kind, id, version, Timestamp::now(), traceparent, &data).unwrap()
}

/// Every record is there exactly once, and each entity's versions rise.
pub fn assert_exactly_once(seen: &[Seen], written: &[OutboxRecord]) {
    let mut times = BTreeMap::new();
    for event in seen {
        *times.entry(event.event_id()).or_insert(0) += 1;
    }
    let doubled: Vec<_> = times.iter().filter(|(_, count)| **count > 1).collect();
    assert!(doubled.is_empty(), "{} events seen more than once: {doubled:?}", doubled.len());
    let id = |record: &OutboxRecord| record.event_id.to_string();
    let missing: Vec<_> =
        written.iter().filter(|record| !times.contains_key(&id(record))).collect();
    assert!(missing.is_empty(), "{} of {} events missing", missing.len(), written.len());
    assert_eq!(times.len(), written.len(), "events nobody wrote");
    assert_in_order(seen);
}

pub fn assert_in_order(seen: &[Seen]) {
    let mut newest = BTreeMap::new();
    for event in seen {
        let version: i64 = event.header("version").unwrap().parse().unwrap();
        let before = newest.insert((event.topic.clone(), event.key.clone()), version);
        assert!(
            before.is_none_or(|before| before < version),
            "{} of {}: version {version} after {before:?}",
            event.event_id(),
            event.key
        );
    }
}

/// Waits until `condition` holds; says `what` was waited for when it never does.
pub async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
