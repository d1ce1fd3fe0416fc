//! What hostile clients cost: an api that many of them share keeps its memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mongodb::bson::oid::ObjectId;
use reqwest::Method;
use serde_json::{Value, json};

use crate::call::id;
use crate::database::{Database, mongodb_url};
use crate::fixtures::{new_order, new_post, new_product, new_supplier, new_user};
use crate::process::Process;

const REQUESTS: usize = 1_000;
const AT_ONCE: usize = 16;
const MOST_KIB: u64 = 64 * 1024;
const MEBIBYTE: usize = 1024 * 1024;

struct Hostile {
    method: Method,
    path: String,
    header: (&'static str, String),
    body: String,
}

fn get(path: impl Into<String>) -> Hostile {
    let header = ("X-Other", String::new());
    Hostile { method: Method::GET, path: path.into(), header, body: String::new() }
}

fn post(path: &str, body: impl Into<String>) -> Hostile {
    Hostile { method: Method::POST, body: body.into(), ..get(path) }
}

/// One mebibyte of `item`, again and again, in a list behind `before`.
fn full(before: &str, item: &str, after: &str) -> String {
    let items = (MEBIBYTE - before.len() - after.len()) / (item.len() + 1) - 1;
    format!("{before}{}{item}{after}", format!("{item},").repeat(items))
}

fn requests(user: &Value, supplier: &Value, product: &Value) -> Vec<Hostile> {
    let products =
        |field: &str, item: &str| post("/products", full(&format!("{{\"{field}\":["), item, "]}"));
    let emails = "{\"password\":\"12345678\",\"company_info\":{},\"contact_info\":\
                  {\"primary_email\":\"a@b.co\",\"primary_phone\":\"1\",\"additional_emails\":[";
    let mut long_key = new_product();
    long_key["variants"] = json!({ "k".repeat(900_000): { "price_cents": "x" } });
    let sound = new_post().to_string();
    let ignored = format!("{},\"ignored\":[", &sound[..sound.len() - 1]);
    let keyed = Hostile {
        header: ("Idempotency-Key", "mine".to_owned()),
        ..post("/posts", full(&ignored, "{\"\":0}", "]}"))
    };
    let long = |name, path| Hostile { header: (name, "a".repeat(300_000)), ..get(path) };
    let mut order = new_order(product);
    order["items"] = json!(vec![json!({ "product_id": product["id"], "quantity": 0 }); 9_000]);
    vec![
        get(format!("/users?{}", "a&".repeat(32_000))),
        get(format!("/products?status={}", "draft,".repeat(5_000))),
        get("/products?limit=100"),
        get("/products?limit=100&status=draft"),
        get(format!("/users/{}", "0".repeat(60_000))),
        post("/suppliers", full(emails, "1", "]}}")),
        post("/suppliers", full(emails, "\"\"", "]}}")),
        post("/suppliers", new_supplier().to_string().replace("GB", &"G".repeat(400_000))),
        products("topic_descriptions", "{}"),
        products("topic_descriptions", "{\"topic\":\"\",\"description\":\"\"}"),
        products("stock_locations", "[]"),
        products("ignored", "{\"\":0}"),
        products("variants", "{\"a\":{\"attributes\":[]}}"),
        post("/products", long_key.to_string()),
        post("/posts", full(&ignored, "{\"\":0}", "]}")),
        post("/posts", full("{\"text_content\":[", "[", "")),
        post("/orders", order.to_string()),
        keyed,
        long("traceparent", "/users"),
        long("X-Request-ID", "/users"),
        long("If-Match", "/users"),
        get(format!("/products/{}", id(product))),
        get(format!("/users/{}", id(user))),
        get(format!("/suppliers/{}", id(supplier))),
    ]
}

/// Drafts of 600 KB, such as a supplier can make of some requests.
async fn large_products(database: &Database, product: &Value) {
    let mut template = database.stored("products", id(product)).await.unwrap();
    template.insert("short_description", "x".repeat(600_000));
    for _ in 0..20 {
        template.insert("_id", ObjectId::new());
        database.collection("products").insert_one(&template).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_hostile_requests_leave_the_memory_as_it_was() {
    let database = Database::fresh().await;
    let process = Process::start(&mongodb_url(), &database.name, &["--threads", "2"]).await;
    let user = process.call(Method::POST, "/users").json(&new_user()).await.is(201).json();
    let supplier =
        process.call(Method::POST, "/suppliers").json(&new_supplier()).await.is(201).json();
    let make = process.call(Method::POST, "/products").supplier(&supplier);
    let product = make.json(&new_product()).await.is(201).json();
    large_products(&database, &product).await;

    process.forget_peak();
    let idle = process.memory_kib("VmRSS");
    let requests = Arc::new(requests(&user, &supplier, &product));
    let next = Arc::new(AtomicUsize::new(0));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let clients = (0..AT_ONCE).map(|_| {
        let (requests, next, client) = (requests.clone(), next.clone(), client.clone());
        let url = process.url.clone();
        let (user, supplier) = (id(&user).to_owned(), id(&supplier).to_owned());
        tokio::spawn(async move {
            let mut broken = 0;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= REQUESTS {
                    return broken;
                }
                let Hostile { method, path, header, body } = &requests[number % requests.len()];
                let sent = client
                    .request(method.clone(), format!("{url}{path}"))
                    .header("X-User-ID", &user)
                    .header("X-Supplier-ID", &supplier)
                    .header("Content-Type", "application/json")
                    .header(header.0, &header.1)
                    .body(body.clone())
                    .send()
                    .await;
                match sent {
                    Ok(answer) => {
                        assert_ne!(answer.status(), 500, "{method} {:.80}", path);
                        broken += usize::from(answer.bytes().await.is_err());
                    }
                    Err(_) => broken += 1,
                }
            }
        })
    });
    let broken: usize =
        futures::future::join_all(clients).await.into_iter().map(Result::unwrap).sum();
    let peak = process.memory_kib("VmHWM");
    eprintln!("idle {idle} KiB, at most {peak} KiB");
    assert!(broken <= REQUESTS / 8, "{broken} requests were not answered");
    assert!(peak <= idle + MOST_KIB, "{} MiB more than idle", (peak - idle) / 1024);
    process.call(Method::GET, "/users").await.is(200);
}
