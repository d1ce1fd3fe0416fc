//! The replica while instances come and go, and while it is built anew: in the end every
//! row equals its document.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use e2e::{Client, Pipeline, Servers, eventually, sample};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// Writers that create, change and delete products and posts until told to stop.
struct Writers {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicUsize>,
    tasks: Vec<JoinHandle<()>>,
}

impl Writers {
    async fn start(pipeline: &Pipeline) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let written = Arc::new(AtomicUsize::new(0));
        let mut tasks = Vec::new();
        for number in 0..3 {
            let client = pipeline.client();
            let user = sample::user(&format!("writer{number}@example.com"));
            let user = id(&client.create("/users", "", &user).await);
            let supplier = sample::supplier(&format!("supplier{number}@example.com"));
            let supplier = id(&client.create("/suppliers", "", &supplier).await);
            let (stop, written) = (Arc::clone(&stop), Arc::clone(&written));
            tasks.push(tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    written.fetch_add(write(&client, &user, &supplier).await, Ordering::Relaxed);
                }
            }));
        }
        Self { stop, written, tasks }
    }

    /// Waits until there are so many writes more than now.
    async fn progress(&self, more: usize) {
        let before = self.written.load(Ordering::Relaxed);
        eventually("writes go on", Duration::from_secs(30), async || {
            let now = self.written.load(Ordering::Relaxed);
            if now >= before + more { Ok(()) } else { Err(format!("{before} -> {now}")) }
        })
        .await;
    }

    async fn finish(self) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.expect("every write is accepted");
        }
    }
}

fn id(document: &Value) -> String {
    document["id"].as_str().expect("an id").to_owned()
}

/// Returns how many writes that was.
async fn write(client: &Client, user: &str, supplier: &str) -> usize {
    let post = id(&client.create("/posts", user, &sample::post("under load")).await);
    let change = json!({ "text_content": "changed" });
    client.expect(200, Method::PATCH, &format!("/posts/{post}"), user, &change).await;
    let product = id(&client.create("/products", supplier, &sample::product()).await);
    let path = format!("/products/{product}");
    let variants = json!({ "variants": { "green": sample::variant("DC-1-G", "Green", 5300) } });
    client.expect(200, Method::PATCH, &path, supplier, &variants).await;
    if product.ends_with(['0', '4', '8', 'c']) {
        client.expect(204, Method::DELETE, &path, supplier, &Value::Null).await;
        client.expect(204, Method::DELETE, &format!("/posts/{post}"), user, &Value::Null).await;
    }
    4
}

#[tokio::test(flavor = "multi_thread")]
async fn three_projectors_one_killed_one_added_under_load() {
    let mut pipeline = Pipeline::start(&Servers::shared(), "scale").await;
    let others = [pipeline.another_projector(), pipeline.another_projector()];
    for projector in &others {
        projector.wait_until_ready().await;
    }
    let writers = Writers::start(&pipeline).await;
    writers.progress(100).await;
    pipeline.projector.kill().await;
    writers.progress(100).await;
    let added = pipeline.another_projector();
    added.wait_until_ready().await;
    writers.progress(100).await;
    writers.finish().await;
    pipeline.verify(Duration::from_secs(60)).await;
    pipeline.events().await.assert_exactly_once_in_order();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_mysql_is_rebuilt_while_writes_go_on() {
    let pipeline = Pipeline::start(&Servers::shared(), "rebuild").await;
    let writers = Writers::start(&pipeline).await;
    writers.progress(200).await;
    // Suppliers first: their going takes the reference from products that are still there,
    // which a product applied between two of these statements would keep.
    for table in ["suppliers", "products", "users", "orders", "posts", "tombstones"] {
        // The projector may win a deadlock.
        let empty = format!("DELETE FROM {table}");
        eventually(&empty, Duration::from_secs(30), async || pipeline.rows().query(&empty).await)
            .await;
    }
    let output = pipeline.outboxctl(&["replay"]).await;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    assert!(told.contains("products: ") && told.contains(" s left"), "no progress: {told}");
    writers.progress(50).await;
    writers.finish().await;
    pipeline.verify(Duration::from_secs(60)).await;
}
