//! Writes through REST, grouped and one transaction each, beside the bare driver.

use std::time::Duration;

use e2e::{ApiAlone, Servers, sample};
use serde_json::Value;

use crate::cost::Cost;
use crate::figures::Figures;
use crate::{Settings, bare, clashes, http};

const CONCURRENCY: [usize; 5] = [1, 8, 32, 64, 128];

pub async fn measure(servers: &Servers, settings: &Settings, figures: &mut Figures) {
    for run in 1..=settings.runs {
        println!("api: run {run} of {}", settings.runs);
        raw_limits(servers, settings, figures).await;
        clashes::measure(servers, settings, figures).await;
        for mode in ["grouped", "one each"] {
            let each = [("RUST_LOG", "warn"), ("API_GROUP_COMMIT_MAX", "1")];
            // Grouped is the api's default, or what the bench's own environment says.
            let switches = if mode == "grouped" { &each[..1] } else { &each };
            let api = ApiAlone::start(servers, switches).await;
            for (path, body) in requests(&api).await {
                for connections in CONCURRENCY {
                    let name = format!("POST {path} x{connections}, {mode}");
                    if !settings.wants(&name) {
                        continue;
                    }
                    let request = http::post(path, &body.user, None, &body.text);
                    let time = Duration::from_secs(settings.seconds);
                    let cost = Cost::begin(servers, &api);
                    let latencies = http::drive(&api.address(), [request], connections, time).await;
                    let rate = latencies.count() as f64 / time.as_secs_f64();
                    let against = bare_name(connections, 1);
                    figures.add(&name, "/s", Some(&against), rate);
                    figures.add(&format!("{name}: p50"), "ms", None, latencies.percentile(50));
                    figures.add(&format!("{name}: p99"), "ms", None, latencies.percentile(99));
                    cost.add(&name, latencies.count(), figures);
                }
            }
        }
    }
}

async fn raw_limits(servers: &Servers, settings: &Settings, figures: &mut Figures) {
    let url = servers.setting("MONGODB_URL");
    let time = Duration::from_secs(settings.seconds);
    for (tasks, size) in [(1, 1), (8, 1), (32, 1), (64, 1), (128, 1), (1, 32), (2, 32)] {
        let name = bare_name(tasks, size);
        if settings.wants(&name) {
            let rate = bare::transactions(url, tasks, size, time).await;
            figures.add(&name, "/s", None, rate);
        }
    }
}

fn bare_name(tasks: usize, size: usize) -> String {
    format!("bare driver x{tasks}, {size} a transaction")
}

struct Body {
    user: String,
    text: String,
}

async fn requests(api: &ApiAlone) -> [(&'static str, Body); 2] {
    let client = api.client();
    let id = |document: Value| document["id"].as_str().expect("an id").to_owned();
    let user = id(client.create("/users", "", &sample::user("bench@example.com")).await);
    let supplier = id(client.create("/suppliers", "", &sample::supplier("b@example.com")).await);
    let product = client.publish_product(&supplier).await;
    let post = Body { user: user.clone(), text: sample::post("bench").to_string() };
    let order = Body { user, text: sample::order(&product, Some("red"), 2).to_string() };
    [("/posts", post), ("/orders", order)]
}
