//! Group commit against a model: random writes with random conflicts, many at once.
//! Every acknowledged write is there with its event, and no other is.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::call::{Answer, Call, id};
use crate::fixtures::{new_post, new_product};
use crate::harness::Api;

/// Side by side, since most of a case is waiting for whoever else wants the same document.
const HISTORIES: u64 = 8;
/// Of each history: 1,000 in all.
const CASES: usize = 125;
/// Requests of a case that are under way together.
const AT_ONCE: usize = 10;

/// A write gives up, with a 503, when ten at once on one document have made it again for the
/// usual five seconds: on a machine that is busy with other things they may. What is tested
/// here is what is written, not how soon.
const PATIENT: &str = "--mongodb-timeout=60";

/// What the acknowledged writes add up to.
struct Model {
    api: Api,
    user: Value,
    suppliers: [Value; 2],
    posts: Vec<String>,
    /// With the index of its supplier.
    products: Vec<(String, usize)>,
    /// The events of all writes that were answered with success.
    acknowledged: BTreeSet<Uuid>,
}

impl Model {
    async fn new() -> Self {
        let api = Api::with(&[PATIENT]).await;
        let user = api.user().await;
        let suppliers = [api.supplier().await, api.supplier().await];
        let acknowledged = api.database.events().await.into_iter().map(|event| event.id).collect();
        Self { api, user, suppliers, posts: Vec::new(), products: Vec::new(), acknowledged }
    }

    /// One request; few targets, so that many meet.
    fn draw(&self, case: usize, random: &mut StdRng) -> Call {
        match random.random_range(0..10) {
            0 => {
                // Some keys are drawn twice: one writes, the other is told the same.
                let key = format!("{case}-{}", random.random_range(0..3));
                self.create_post().header("Idempotency-Key", key)
            }
            1 | 2 => self.create_post(),
            3 => {
                let supplier = &self.suppliers[random.random_range(0..2)];
                self.api.post("/products").supplier(supplier).json(&new_product())
            }
            4..=7 => self.change_post(random),
            _ => self.change_product(random),
        }
    }

    fn create_post(&self) -> Call {
        let mut draft = new_post();
        draft["is_draft"] = json!(true);
        self.api.post("/posts").user(&self.user).json(&draft)
    }

    fn change_post(&self, random: &mut StdRng) -> Call {
        let Some(post) = pick(&self.posts, random) else {
            return self.create_post();
        };
        let path = format!("/posts/{post}");
        let call = match random.random_range(0..6) {
            0 => self.api.delete(path),
            1 => self.api.post(format!("{path}/publish")),
            // Names a version that may be current, old or yet to come.
            2 => {
                let version = random.random_range(1..4);
                let call = self.api.patch(path).json(&json!({ "text_content": "named" }));
                call.header("If-Match", format!("\"{version}\""))
            }
            _ => self.api.patch(path).json(&json!({ "text_content": "changed" })),
        };
        call.user(&self.user)
    }

    fn change_product(&self, random: &mut StdRng) -> Call {
        let Some((product, supplier)) = pick(&self.products, random) else {
            return self.create_post();
        };
        let path = format!("/products/{product}");
        let call = match random.random_range(0..4) {
            0 => self.api.delete(path),
            1 => self.api.post(format!("{path}/publish")),
            _ => self.api.patch(path).json(&json!({ "brand": "changed" })),
        };
        call.supplier(&self.suppliers[*supplier])
    }

    /// Notes what was acknowledged. What is refused must be refused for a reason.
    fn learn(&mut self, answers: &[Answer]) {
        // A repeated request may be answered before the one that it repeats.
        let is_replay = |answer: &&Answer| answer.header("idempotent-replayed").is_some();
        let (replays, firsts): (Vec<_>, Vec<_>) = answers.iter().partition(is_replay);
        for answer in firsts.into_iter().chain(replays) {
            if !answer.status.is_success() {
                let status = answer.status.as_u16();
                assert!(matches!(status, 404 | 409), "{}: {}", answer.what, answer.text);
                continue;
            }
            let fresh = self.acknowledged.insert(answer.event_id());
            let replayed = answer.header("idempotent-replayed").is_some();
            assert_ne!(fresh, replayed, "{}: its event is another one's too", answer.what);
            let path = answer.what.split(' ').nth(1).unwrap();
            match (answer.status.as_u16(), path) {
                (201, _) if replayed => {}
                (201, "/posts") => self.posts.push(id(&answer.json()).to_owned()),
                (201, _) => {
                    let product = answer.json();
                    let supplier = usize::from(product["supplier_id"] == self.suppliers[1]["id"]);
                    self.products.push((id(&product).to_owned(), supplier));
                }
                (204, path) => {
                    let gone = path.rsplit('/').next().unwrap();
                    self.posts.retain(|post| post != gone);
                    self.products.retain(|(product, _)| product != gone);
                }
                _ => {}
            }
        }
    }

    /// The database holds what was acknowledged, all of it and nothing else.
    async fn check(&self) {
        let database = &self.api.database;
        let mut versions: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        let mut stored = BTreeSet::new();
        for event in database.events().await {
            assert!(stored.insert(event.id));
            versions.entry(event.entity_id).or_default().push(event.version);
        }
        let missing: Vec<_> = self.acknowledged.difference(&stored).collect();
        let extra: Vec<_> = stored.difference(&self.acknowledged).collect();
        assert!(missing.is_empty() && extra.is_empty(), "missing {missing:?}, extra {extra:?}");

        let mut documents = 0;
        for collection in ["users", "suppliers", "posts", "products"] {
            for document in database.all(collection).await {
                let entity = document.get_object_id("_id").unwrap().to_hex();
                let version = document.get_i64("version").unwrap();
                let events = versions.get_mut(&entity).expect("an event for each document");
                events.sort_unstable();
                assert_eq!(*events, Vec::from_iter(1..=version), "{collection} {entity}");
                documents += 1;
            }
        }
        assert_eq!(documents, versions.len(), "an event without a document");
        self.check_lists().await;
    }

    /// A supplier lists exactly its live products, whoever linked them together.
    async fn check_lists(&self) {
        for (index, supplier) in self.suppliers.iter().enumerate() {
            let path = format!("/suppliers/{}", id(supplier));
            let listed = self.api.get(path).await.is(200).json()["product_ids"].clone();
            let listed: BTreeSet<_> =
                serde_json::from_value::<Vec<String>>(listed).unwrap().into_iter().collect();
            let live = self.products.iter().filter(|(_, of)| *of == index);
            assert_eq!(listed, live.map(|(product, _)| product.clone()).collect());
        }
    }
}

fn pick<'a, T>(from: &'a [T], random: &mut StdRng) -> Option<&'a T> {
    // The oldest few, so that they are changed again and again.
    let few = from.len().min(4);
    (few > 0).then(|| &from[random.random_range(0..few)])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_writes_end_as_the_model_says() {
    let seed: u64 =
        std::env::var("SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    println!("SEED={seed}");
    let histories = (0..HISTORIES).map(|history| history_of_writes(seed.wrapping_add(history)));
    futures::future::join_all(histories).await;
}

/// One API with a database of its own, from its first write to the last.
async fn history_of_writes(seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut model = Model::new().await;
    for case in 0..CASES {
        let calls: Vec<_> = (0..AT_ONCE).map(|_| model.draw(case, &mut random)).collect();
        let under_way: FuturesUnordered<_> =
            calls.into_iter().map(IntoFuture::into_future).collect();
        let answers: Vec<Answer> = under_way.collect().await;
        model.learn(&answers);
    }
    model.check().await;
    let metrics = model.api.get("/metrics").await.is(200).text.clone();
    let count = |name: &str| -> f64 {
        let line = metrics.lines().find(|line| line.starts_with(name)).expect("a metric");
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    let mean = count("api_commit_group_size_sum") / count("api_commit_group_size_count");
    assert!(mean > 1.5, "only {mean} writes share a transaction: nothing was tested");
}
