//! A pipeline with some history, and the means to falsify it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use e2e::chaos::{
    Acknowledged, Breach, How, Ledger, Load, Losses, Pace, check, wait_until_drained,
};
use e2e::{Client, Pipeline, Servers, eventually, sample};
use futures::TryStreamExt;
use mongodb::bson::{Document, doc};
use mysql_async::prelude::Queryable;
use reqwest::Method;
use serde_json::Value;
use shared::event::Domain;

use crate::records::{self, Committed, Record};

pub struct Scene {
    pub pipeline: Pipeline,
    ledger: Arc<Ledger>,
    pub losses: Losses,
    /// The user who owns the posts made here.
    author: String,
    known: BTreeMap<Breach, usize>,
}

const SOON: Duration = Duration::from_secs(60);

impl Scene {
    /// With a history in all five domains, in which the checker finds nothing.
    pub async fn start(name: &str) -> Self {
        let pipeline = Pipeline::start(&Servers::shared(), name).await;
        let ledger = Arc::new(Ledger::create(pipeline.logs().join("acknowledged.jsonl")));
        let urls = [pipeline.api.url()];
        let load = Load::start(1, &Pace::without_pause(4), &urls, &ledger, pipeline.rows());
        eventually("a history", SOON, async || {
            let writes = Ledger::read(ledger.path());
            let orders = writes.iter().filter(|it| it.domain == "order" && it.version > 1).count();
            if writes.len() > 80 && orders > 2 { Ok(()) } else { Err(writes.len().to_string()) }
        })
        .await;
        let written = load.finish().await;
        assert!(written.tally.surprises.is_empty(), "{:?}", written.tally);
        let (author, known, losses) = (String::new(), BTreeMap::new(), Losses::default());
        let mut scene = Self { pipeline, ledger, losses, author, known };
        let body = sample::user("author@example.com");
        scene.author = scene.write(Method::POST, "/users", Domain::User, body).await;
        wait_until_drained(scene.environment(), &Losses::default(), SOON).await;
        scene.expect("an honest pipeline", &[]).await;
        scene
    }

    /// The checker finds what it found before, and this in addition.
    pub async fn expect(&mut self, deed: &str, more: &[(Breach, usize)]) {
        for (breach, count) in more {
            *self.known.entry(*breach).or_default() += count;
        }
        let findings = check(self.ledger.path(), self.environment(), &self.losses).await;
        assert_eq!(findings.counts(), self.known, "{deed}: {findings:#?}");
        for breach in Breach::ALL {
            assert!(findings.looked(breach) > 0, "{deed}: {breach:?} was not looked for");
        }
    }

    /// It is no longer found.
    pub fn forgive(&mut self, breach: Breach) {
        self.known.remove(&breach);
    }

    /// Of the clients' ledger.
    pub fn lines(&self) -> usize {
        Ledger::read(self.ledger.path()).len()
    }

    pub async fn forget_outbox(&self, entity: &str) {
        let outbox = self.database().await.collection::<Document>("outbox");
        outbox.delete_many(doc! { "entity_id": entity }).await.unwrap();
    }

    pub async fn sql(&self, statement: &str) {
        let changed = self.mysql().await.query_iter(statement).await.unwrap().affected_rows();
        assert_eq!(changed, 1, "{statement}");
    }

    pub async fn ids(&self, query: &str) -> Vec<String> {
        let rows = self.pipeline.rows().query(query).await.unwrap();
        rows.into_iter().map(|row| row["id"].clone()).collect()
    }

    pub async fn collection(&self, domain: Domain) -> mongodb::Collection<Document> {
        self.database().await.collection(domain.collection())
    }

    pub async fn records(&self, topic: &str) -> Vec<Record> {
        records::read(self.environment(), topic).await
    }

    pub async fn produce(&self, record: &Record) {
        records::write(self.environment(), record).await;
    }

    pub async fn forget_first_record(&self, topic: &str) {
        self.forget_up_to(&self.records(topic).await.remove(0)).await;
    }

    pub async fn forget_up_to(&self, record: &Record) {
        records::forget_up_to(self.environment(), record).await;
    }

    pub async fn await_dead_letters(&self, count: usize) {
        eventually("a dead letter", SOON, async || {
            let letters = self.records("dead-letter").await.len();
            if letters == count { Ok(()) } else { Err(letters.to_string()) }
        })
        .await;
    }

    pub async fn create_post(&self) -> String {
        let id = self.write(Method::POST, "/posts", Domain::Post, sample::post("first")).await;
        self.await_row(&id, 1).await;
        id
    }

    pub async fn edit_post(&self, id: &str, body: Value) {
        self.write(Method::PATCH, &format!("/posts/{id}"), Domain::Post, body).await;
    }

    pub async fn await_row(&self, post: &str, version: i64) {
        let sql = format!("SELECT version FROM posts WHERE post_id = '{post}'");
        self.pipeline.rows().one(&sql, |row| row["version"] == version.to_string()).await;
    }

    /// The events of a post from a version on, in their order.
    pub async fn outbox(&self, post: &str, from: i64) -> Vec<Committed> {
        let outbox = self.database().await.collection::<Document>("outbox");
        let own = doc! { "entity_id": post, "version": { "$gte": from } };
        let found = outbox.find(own).sort(doc! { "version": 1 }).await.unwrap();
        found.map_ok(Committed).try_collect().await.unwrap()
    }

    /// A write through REST, noted as the clients of the load do.
    async fn write(&self, method: Method, path: &str, domain: Domain, body: Value) -> String {
        let client: Client = self.pipeline.client();
        let status = if method == Method::POST { 201 } else { 200 };
        let answer = client.expect(status, method, path, &self.author, &body).await;
        let id = answer.body["id"].as_str().unwrap().to_owned();
        self.ledger.append(&Acknowledged {
            domain: domain.topic().to_owned(),
            id: id.clone(),
            version: answer.body["version"].as_i64().unwrap(),
            event_id: answer.event_id,
            how: How::Answered,
            removed: false,
            sets: BTreeMap::new(),
        });
        id
    }

    async fn database(&self) -> mongodb::Database {
        let url = self.pipeline.setting("MONGODB_URL");
        let client = mongodb::Client::with_uri_str(url).await.unwrap();
        client.database(self.pipeline.setting("DATABASE_NAME"))
    }

    async fn mysql(&self) -> mysql_async::Conn {
        let setting = |name: &str| self.pipeline.setting(name).to_owned();
        let options = mysql_async::OptsBuilder::default()
            .ip_or_hostname(setting("MYSQL_HOST"))
            .tcp_port(setting("MYSQL_PORT").parse().unwrap())
            .user(Some(setting("MYSQL_USER")))
            .pass(Some(setting("MYSQL_PASSWORD")))
            .db_name(Some(setting("MYSQL_DATABASE")));
        mysql_async::Conn::new(options).await.unwrap()
    }

    pub fn environment(&self) -> &BTreeMap<String, String> {
        self.pipeline.environment()
    }
}
