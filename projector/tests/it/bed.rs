//! What a test needs: names of its own, records in, rows and dead letters out.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use clap::Parser;
use diesel::deserialize::QueryableByName;
use diesel::mysql::Mysql;
use diesel::sql_types::BigInt;
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use projector::config::Config;
use projector::database::{self, Connection};
use projector::dead_letter::{self, DeadLetter};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use shared::event::{Domain, Envelope, EventType, header};
use shared::process::Shutdown;
use shared::{Id, Timestamp};
use uuid::Uuid;

/// Longer than anything takes on a machine that is busy with other tests too.
pub const DEADLINE: Duration = Duration::from_secs(60);

pub struct Bed {
    pub config: Config,
    producer: FutureProducer,
}

impl Bed {
    /// Topics of `partitions` partitions and a migrated database.
    pub async fn new(partitions: i32) -> Self {
        let bed = Self::without_topics();
        bed.create_topics(partitions).await;
        database::prepare(&bed.config.mysql).await.unwrap();
        bed
    }

    /// Topics of one partition.
    pub async fn new_without_schema() -> Self {
        let bed = Self::without_topics();
        bed.create_topics(1).await;
        bed
    }

    /// The ids of the projectors that the brokers count as members.
    pub async fn group_members(&self) -> Vec<String> {
        let servers = self.config.kafka.kafka_bootstrap_servers.clone();
        let group = self.config.group.kafka_group_id.clone();
        let asking = tokio::task::spawn_blocking(move || {
            let client: BaseConsumer =
                ClientConfig::new().set("bootstrap.servers", servers).create().unwrap();
            let groups = client.fetch_group_list(Some(&group), Duration::from_secs(10)).unwrap();
            let members = groups.groups().iter().flat_map(|group| group.members());
            members.map(|member| member.id().to_owned()).collect()
        });
        asking.await.unwrap()
    }

    /// Only the names.
    pub fn without_topics() -> Self {
        assert!(
            std::env::var_os("OUTBOX_TEST_STACK").is_some(),
            "run through `make test` or deploy/local/with-test-servers"
        );
        let name = Uuid::new_v4().simple().to_string()[..12].to_owned();
        let config = Config::parse_from([
            "projector".to_owned(),
            format!("--kafka-topic-prefix=pj{name}."),
            format!("--kafka-group-id=pj{name}"),
            format!("--mysql-database=analytics_pj{name}"),
            format!("--addr={}", SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
        ]);
        let producer = ClientConfig::new()
            .set("bootstrap.servers", &config.kafka.kafka_bootstrap_servers)
            .set("message.max.bytes", "10000000")
            .set("linger.ms", "1")
            .create()
            .unwrap();
        Self { config, producer }
    }

    pub async fn create_topics(&self, partitions: i32) {
        let names: Vec<_> =
            Domain::ALL.iter().map(|domain| self.config.kafka.topic(domain.topic())).collect();
        let topics: Vec<_> = names
            .iter()
            .map(|name| NewTopic::new(name, partitions, TopicReplication::Fixed(1)))
            .collect();
        let created = self.admin().create_topics(&topics, &AdminOptions::new()).await.unwrap();
        for result in created {
            result.unwrap();
        }
    }

    /// `topic`: as in the contract.
    pub async fn try_create_topic(&self, topic: &str, partitions: i32) -> Result<(), String> {
        let name = self.config.kafka.topic(topic);
        let topic = NewTopic::new(&name, partitions, TopicReplication::Fixed(1));
        let created = self.admin().create_topics([&topic], &AdminOptions::new()).await;
        match created.map_err(|error| error.to_string())?.pop() {
            Some(Ok(_)) => Ok(()),
            refused => Err(format!("{refused:?}")),
        }
    }

    pub fn admin(&self) -> AdminClient<DefaultClientContext> {
        ClientConfig::new()
            .set("bootstrap.servers", &self.config.kafka.kafka_bootstrap_servers)
            .create()
            .unwrap()
    }

    pub fn start(&self) -> Running {
        start(self.config.clone())
    }

    pub async fn connection(&self) -> Connection {
        database::connect(&self.config.mysql).await.unwrap()
    }

    /// Sends the records in order and waits until Kafka has them all.
    pub async fn send(&self, messages: impl IntoIterator<Item = Message>) {
        let mut sent = Vec::new();
        for message in messages {
            let topic = self.config.kafka.topic(&message.topic);
            let headers = message.headers.iter().fold(OwnedHeaders::new(), |all, (key, value)| {
                all.insert(Header { key, value: Some(value) })
            });
            let mut record = FutureRecord::<[u8], [u8]>::to(&topic);
            if let Some(partition) = message.partition {
                record = record.partition(partition);
            }
            if !message.headers.is_empty() {
                record = record.headers(headers);
            }
            record.key = message.key.as_deref();
            record.payload = message.value.as_deref();
            loop {
                match self.producer.send_result(record) {
                    Ok(delivery) => break sent.push(delivery),
                    Err((_, again)) => {
                        // Its queue is full: wait for the oldest to leave.
                        let oldest = sent.remove(0);
                        oldest.await.unwrap().unwrap();
                        record = again;
                    }
                }
            }
        }
        for delivery in sent {
            delivery.await.unwrap().unwrap();
        }
    }

    pub async fn count(&self, table: &str, condition: &str) -> i64 {
        self.try_count(table, condition).await.unwrap()
    }

    /// For a time when the table or the server may not be there.
    pub async fn try_count(&self, table: &str, condition: &str) -> Result<i64, String> {
        let query = format!("SELECT COUNT(*) AS n FROM {table} WHERE {condition}");
        let mut connection =
            database::connect(&self.config.mysql).await.map_err(|error| error.to_string())?;
        let count: Result<Count, _> = diesel::sql_query(query).get_result(&mut connection).await;
        count.map(|count| count.n).map_err(|error| error.to_string())
    }

    pub async fn rows<T>(&self, query: &str) -> Vec<T>
    where
        T: QueryableByName<Mysql> + Send + 'static,
    {
        let mut connection = self.connection().await;
        diesel::sql_query(query).load(&mut connection).await.unwrap()
    }

    /// Waits until `table` has exactly `expected` rows that meet `condition`.
    pub async fn await_count(&self, table: &str, condition: &str, expected: i64) {
        let what = format!("{expected} rows in {table} where {condition}");
        eventually(&what, async || match self.try_count(table, condition).await? {
            counted if counted == expected => Ok(()),
            counted => Err(format!("{counted} rows")),
        })
        .await;
    }

    /// Waits until there are at least `expected`, then returns all.
    pub async fn dead_letters(&self, expected: usize) -> Vec<DeadLetter> {
        let topic = self.config.kafka.topic(dead_letter::TOPIC);
        let servers = self.config.kafka.kafka_bootstrap_servers.clone();
        let reading =
            tokio::task::spawn_blocking(move || read_dead_letters(&servers, &topic, expected));
        reading.await.unwrap()
    }

    pub async fn drop_database(self) {
        self.sql(&format!("DROP DATABASE {}", self.config.mysql.mysql_database)).await;
    }

    pub async fn sql(&self, statement: &str) {
        self.connection().await.batch_execute(statement).await.unwrap();
    }

    /// Leaves nothing on the servers that others use too.
    pub async fn clear(self) {
        let topics = Domain::ALL.iter().map(|domain| domain.topic()).chain([dead_letter::TOPIC]);
        let topics: Vec<_> = topics.map(|topic| self.config.kafka.topic(topic)).collect();
        let topics: Vec<_> = topics.iter().map(String::as_str).collect();
        self.admin().delete_topics(&topics, &AdminOptions::new()).await.unwrap();
    }
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

fn read_dead_letters(servers: &str, topic: &str, expected: usize) -> Vec<DeadLetter> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("group.id", format!("reader-{}", Uuid::new_v4()))
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .set("fetch.message.max.bytes", "20000000")
        .create()
        .unwrap();
    let mut all = rdkafka::TopicPartitionList::new();
    all.add_partition_offset(topic, 0, rdkafka::Offset::Beginning).unwrap();
    consumer.assign(&all).unwrap();
    let mut letters = Vec::new();
    let deadline = Instant::now() + DEADLINE;
    while letters.len() < expected {
        assert!(
            Instant::now() < deadline,
            "{} of {expected} dead letters came: {letters:?}",
            letters.len()
        );
        if let Some(Ok(message)) = consumer.poll(Duration::from_millis(200)) {
            letters.push(DeadLetter::read(&message).unwrap());
        }
    }
    // What is beyond the expected ones must show too.
    let (_, end) = consumer.fetch_watermarks(topic, 0, Duration::from_secs(10)).unwrap();
    assert_eq!(end as usize, letters.len(), "more dead letters than expected");
    letters
}

pub struct Running {
    shutdown: Shutdown,
    task: tokio::task::JoinHandle<Result<(), projector::Error>>,
}

pub fn start(config: Config) -> Running {
    let shutdown = Shutdown::new();
    let task = tokio::spawn(projector::run(config, shutdown.clone()));
    Running { shutdown, task }
}

impl Running {
    /// As SIGTERM does.
    pub async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap().unwrap();
    }
}

/// Asks until the answer is `Ok`; fails with the last one once the deadline is over.
pub async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(last) => assert!(Instant::now() < deadline, "waited for {what}; last seen: {last}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A record to be sent.
#[derive(Debug, Clone)]
pub struct Message {
    /// As in the contract.
    pub topic: String,
    pub partition: Option<i32>,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(&'static str, Vec<u8>)>,
}

impl Message {
    /// As the relay writes it.
    pub fn event(
        event_type: EventType,
        entity: Id,
        version: i64,
        at: Timestamp,
        data: &impl serde::Serialize,
    ) -> Self {
        let event_id = Uuid::now_v7().to_string();
        let mut message = Self::older(event_type, entity, at, data);
        message.value = Some(envelope(event_type, &event_id, entity, at, data));
        message.headers = vec![
            (header::EVENT_ID, event_id.into_bytes()),
            (header::EVENT_TYPE, event_type.as_str().into()),
            (header::VERSION, version.to_string().into_bytes()),
        ];
        message
    }

    /// As the older producer wrote it: without headers.
    pub fn older(
        event_type: EventType,
        entity: Id,
        at: Timestamp,
        data: &impl serde::Serialize,
    ) -> Self {
        let event_id = Uuid::new_v4().to_string();
        Self {
            topic: event_type.domain().topic().to_owned(),
            partition: None,
            key: Some(entity.to_string().into_bytes()),
            value: Some(envelope(event_type, &event_id, entity, at, data)),
            headers: Vec::new(),
        }
    }
}

fn envelope(
    event_type: EventType,
    event_id: &str,
    entity: Id,
    at: Timestamp,
    data: &impl serde::Serialize,
) -> Vec<u8> {
    let envelope = Envelope {
        event_type: event_type.as_str().into(),
        event_id: event_id.into(),
        timestamp: at.to_string().into(),
        entity_id: entity.to_string().into(),
        data,
    };
    serde_json::to_vec(&envelope).unwrap()
}
