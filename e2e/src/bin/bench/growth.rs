//! Growth: the whole pipeline with a shop's documents stored on both sides, and with ten
//! times as many, in turn, so that neither has the better hour.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use e2e::{Pipeline, Process, Servers, assigned_at, sample};
use futures::TryStreamExt;
use mongodb::bson::{Document, doc};
use tokio::time::sleep;

use crate::figures::{Figures, Latencies};
use crate::open_loop::{warm_up, write_and_watch};
use crate::stored::{self, Originals};
use crate::{Settings, http};

/// In the smaller one at the beginning.
const STORED: usize = 100_000;

const CONNECTIONS: usize = 32;

/// Are asked for by id.
const PRODUCTS: i32 = 2_000;

/// At a time: what is written stays, and the sizes must not meet.
const TIME: Duration = Duration::from_secs(2);

/// From HTTP answer to row.
const WRITES_A_SECOND: u64 = 200;
const SECONDS: u64 = 10;

const PATIENCE: Duration = Duration::from_secs(60);

pub async fn measure(servers: &Servers, settings: &Settings, figures: &mut Figures) {
    let mut small = Shop::open(servers, STORED).await;
    let mut large = Shop::open(servers, STORED * settings.growth).await;
    println!("growth: once for the servers to warm up");
    small.measure(&mut Figures::default(), None).await;
    for run in 1..=settings.runs {
        println!("growth: run {run} of {}", settings.runs);
        small.measure(figures, None).await;
        large.measure(figures, Some(small.stored)).await;
    }
    for shop in [small, large] {
        stored::database(&shop.pipeline).await.drop().await.expect("cleaned up");
    }
}

/// A pipeline, and what is stored on both sides of it.
struct Shop {
    pipeline: Pipeline,
    originals: Originals,
    stored: usize,
    /// `GET` of some of its products.
    products: Arc<[Vec<u8>]>,
}

impl Shop {
    async fn open(servers: &Servers, stored: usize) -> Self {
        println!("growth: {stored} documents are written, and their rows");
        let pipeline = Pipeline::start(servers, "growth").await;
        let originals = stored::write_one_of_each(&pipeline).await;
        pipeline.verify(PATIENCE).await;
        stored::copy(&stored::database(&pipeline).await, stored).await;
        let replayed = pipeline.outboxctl(&["replay"]).await;
        assert!(replayed.status.success(), "{}", String::from_utf8_lossy(&replayed.stderr));
        warm_up(&pipeline, &originals.user).await;
        let products = some_products(&pipeline).await;
        Self { pipeline, originals, stored, products }
    }

    /// Beside the figures of one that holds `against` documents.
    async fn measure(&mut self, figures: &mut Figures, against: Option<usize>) {
        let mut rows = Rows { figures, stored: self.stored, against };
        self.read(&mut rows).await;
        let written = self.write(&mut rows).await;
        self.drain(written, &mut rows).await;
        let latencies = write_and_watch(&self.pipeline, WRITES_A_SECOND, SECONDS).await;
        for percent in [50, 99] {
            let name = format!("HTTP answer to MySQL row, {WRITES_A_SECOND} writes/s: p{percent}");
            rows.add(&name, "ms", latencies.percentile(percent));
        }
    }

    async fn read(&self, rows: &mut Rows<'_>) {
        let page = [http::get("/products?limit=20")];
        let rate = self.drive(self.products.clone()).await;
        rows.add("GET /products/{id}", "/s", per_second(&rate));
        let rate = self.drive(page.into()).await;
        rows.add("GET /products?limit=20", "/s", per_second(&rate));
    }

    /// Posts and orders, while nobody takes their events; how many.
    async fn write(&mut self, rows: &mut Rows<'_>) -> usize {
        let Pipeline { relay, projector, .. } = &mut self.pipeline;
        projector.terminate(PATIENCE).await;
        relay.terminate(PATIENCE).await;
        let Originals { user, product } = &self.originals;
        let order = sample::order(product, Some("red"), 1);
        let mut written = 0;
        for (path, body) in [("/posts", sample::post("grown")), ("/orders", order)] {
            let request = http::post(path, user, None, &body.to_string());
            let latencies = self.drive([request].into()).await;
            rows.add(&format!("POST {path}"), "/s", per_second(&latencies));
            written += latencies.count();
        }
        written
    }

    async fn drive(&self, requests: Arc<[Vec<u8>]>) -> Latencies {
        http::drive(&self.pipeline.api.address(), requests, CONNECTIONS, TIME).await
    }

    /// What was `written` and the relay has meanwhile published, from the moment that the
    /// projector is given its partitions.
    async fn drain(&mut self, written: usize, rows: &mut Rows<'_>) {
        self.pipeline.relay.restart();
        await_all(&self.pipeline.relay, "relay_published_total", written).await;
        // One with a log of its own, which tells when that moment was.
        self.pipeline.projector = self.pipeline.another_projector();
        await_all(&self.pipeline.projector, "projector_applied_total", written).await;
        let ended = SystemTime::now();
        let begun = assigned_at(&self.pipeline.projector).expect("it has partitions");
        let took = ended.duration_since(begun).expect("time passes");
        rows.add("projector drains", "events/s", written as f64 / took.as_secs_f64());
    }
}

/// Until the counter has come to `count`; it asks every five milliseconds.
async fn await_all(process: &Process, counter: &str, count: usize) {
    process.wait_until_ready().await;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let counted = process.metrics().await.sum(counter);
        if counted >= count as f64 {
            return;
        }
        assert!(Instant::now() < deadline, "{counter}: {counted} of {count}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// `GET` of so many different ones that no cache of a few helps.
async fn some_products(pipeline: &Pipeline) -> Arc<[Vec<u8>]> {
    let products = stored::database(pipeline).await.collection::<Document>("products");
    let sample = [doc! { "$sample": { "size": PRODUCTS } }, doc! { "$project": { "_id": 1 } }];
    let found = products.aggregate(sample).await.expect("MongoDB answers");
    let found: Vec<Document> = found.try_collect().await.expect("ids");
    let id = |product: &Document| product.get_object_id("_id").expect("an id");
    found.iter().map(|product| http::get(&format!("/products/{}", id(product)))).collect()
}

fn per_second(latencies: &Latencies) -> f64 {
    latencies.count() as f64 / TIME.as_secs_f64()
}

/// The figures of one size.
struct Rows<'a> {
    figures: &'a mut Figures,
    stored: usize,
    /// The size whose figures these are compared with.
    against: Option<usize>,
}

impl Rows<'_> {
    fn add(&mut self, what: &str, unit: &'static str, value: f64) {
        let name = |stored| format!("{what}, {stored} documents stored");
        let against = self.against.map(name);
        self.figures.add(&name(self.stored), unit, against.as_deref(), value);
    }
}
