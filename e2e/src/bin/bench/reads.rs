//! Reads through REST, beside the same reads by the bare driver.

use std::time::Duration;

use e2e::{ApiAlone, Servers, sample};

use crate::cost::Cost;
use crate::figures::Figures;
use crate::{Settings, bare, http};

const CONNECTIONS: usize = 32;
const PRODUCTS: usize = 60;

struct Read {
    what: &'static str,
    paths: Vec<String>,
    /// In each answer.
    documents: usize,
}

pub async fn measure(servers: &Servers, settings: &Settings, figures: &mut Figures) {
    let api = ApiAlone::start(servers, &[("RUST_LOG", "warn")]).await;
    let products = fill(&api).await;
    let by_id = products.iter().map(|id| format!("/products/{id}")).collect();
    let page = vec!["/products?limit=20".to_owned()];
    let reads = [
        Read { what: "GET /products/{id}", paths: by_id, documents: 1 },
        Read { what: "GET /products?limit=20", paths: page, documents: 20 },
    ];
    for run in 1..=settings.runs {
        println!("reads: run {run} of {}", settings.runs);
        for read in &reads {
            read.measure(servers, &api, settings, figures).await;
        }
    }
}

impl Read {
    async fn measure(
        &self,
        servers: &Servers,
        api: &ApiAlone,
        settings: &Settings,
        figures: &mut Figures,
    ) {
        let Self { what, paths, documents } = self;
        let time = Duration::from_secs(settings.seconds);
        let against = format!("bare driver x{CONNECTIONS}, find of {documents}");
        if settings.wants(&against) {
            let url = servers.setting("MONGODB_URL");
            let rate = bare::finds(url, api.database(), CONNECTIONS, *documents, time).await;
            figures.add(&against, "/s", None, rate);
        }
        let name = format!("{what} x{CONNECTIONS}");
        if settings.wants(&name) {
            let requests: Vec<_> = paths.iter().map(|path| http::get(path)).collect();
            let cost = Cost::begin(servers, api);
            let latencies = http::drive(&api.address(), requests, CONNECTIONS, time).await;
            let rate = latencies.count() as f64 / time.as_secs_f64();
            figures.add(&name, "/s", Some(&against), rate);
            figures.add(&format!("{name}: p99"), "ms", None, latencies.percentile(99));
            cost.add(&name, latencies.count(), figures);
        }
    }
}

/// Published products: their ids.
async fn fill(api: &ApiAlone) -> Vec<String> {
    let client = api.client();
    let supplier = client.create("/suppliers", "", &sample::supplier("r@example.com")).await;
    let supplier = supplier["id"].as_str().expect("an id");
    let mut products = Vec::new();
    for _ in 0..PRODUCTS {
        products.push(client.publish_product(supplier).await);
    }
    products
}
