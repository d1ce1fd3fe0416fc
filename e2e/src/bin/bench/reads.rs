//! Reads through REST, beside the same reads by the bare driver.

use std::time::Duration;

use e2e::{ApiAlone, Servers, sample};
use serde_json::Value;

use crate::cost::Cost;
use crate::figures::Figures;
use crate::{Settings, bare, http};

const CONNECTIONS: usize = 32;
const PRODUCTS: usize = 60;

pub async fn measure(servers: &Servers, settings: &Settings, figures: &mut Figures) {
    let time = Duration::from_secs(settings.seconds);
    let api = ApiAlone::start(servers, &[("RUST_LOG", "warn")]).await;
    let product = fill(&api).await;
    let url = servers.setting("MONGODB_URL");
    let requests = [
        ("GET /products/{id}", format!("/products/{product}"), 1),
        ("GET /products?limit=20", "/products?limit=20".to_owned(), 20),
    ];
    for (name, path, documents) in requests {
        let against = format!("bare driver x{CONNECTIONS}, find of {documents}");
        if settings.wants(&against) {
            let rate = bare::finds(url, api.database(), CONNECTIONS, documents, time).await;
            figures.add(&against, "/s", None, rate);
        }
        let name = format!("{name} x{CONNECTIONS}");
        if settings.wants(&name) {
            let request = http::get(&path);
            let cost = Cost::begin(servers, &api);
            let latencies = http::drive(&api.address(), request, CONNECTIONS, time).await;
            let rate = latencies.count() as f64 / time.as_secs_f64();
            figures.add(&name, "/s", Some(&against), rate);
            figures.add(&format!("{name}: p99"), "ms", None, latencies.percentile(99));
            cost.add(&name, latencies.count(), figures);
        }
    }
}

/// Published products; returns the id of one.
async fn fill(api: &ApiAlone) -> String {
    let client = api.client();
    let id = |document: &Value| document["id"].as_str().expect("an id").to_owned();
    let supplier = id(&client.create("/suppliers", "", &sample::supplier("r@example.com")).await);
    let mut last = String::new();
    for _ in 0..PRODUCTS {
        last = client.publish_product(&supplier).await;
    }
    last
}
