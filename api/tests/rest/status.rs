//! `/status`: what it says of a pipeline whose state is known, and what it costs.

use std::time::{Duration, Instant};

use futures::future::join_all;
use mongodb::bson::{Timestamp as ClusterTime, doc};
use reqwest::Method;
use serde_json::{Value, json};
use shared::Timestamp;
use shared::watermark::{self, GroupReport, Loss, Obstacle, Partition, Watermark};

use crate::call::{Answer, keys};
use crate::database::Database;
use crate::fixtures::new_user;
use crate::harness::{Api, Server};
use crate::proxy::Proxy;

/// MongoDB gets 2 s; the rest is for a busy machine.
const AT_MOST: Duration = Duration::from_secs(4);

/// A relay that has just reported: all published, all applied.
fn report() -> Watermark {
    let partition = |topic: &str, partition, end, applied| Partition {
        topic: format!("shop.{topic}"),
        partition,
        end,
        applied: Some(applied),
    };
    let through = ClusterTime { time: 1_700_000_000, increment: 1 };
    Watermark {
        shard: "0/1".to_owned(),
        at: Timestamp::now(),
        proven_at: Some(Timestamp::now()),
        published_through: through,
        applied_through: Some(through),
        partitions: vec![partition("user", 0, 7, 5), partition("user", 1, 4, 4)],
        dead_letters: Some(0),
        obstacle: None,
        lost: Vec::new(),
        group: Some(GroupReport {
            members: Some(1),
            absent_since: None,
            behind_since: None,
            moved_at: Timestamp::now(),
        }),
    }
}

impl Database {
    async fn reported(&self, report: &Watermark) {
        let stored = report.to_bson().unwrap();
        let watermarks = self.collection(watermark::COLLECTION);
        watermarks.replace_one(doc! { "_id": &report.shard }, stored).upsert(true).await.unwrap();
    }
}

impl Server {
    async fn status(&self) -> Value {
        let answer = self.call(Method::GET, "/status.json").await;
        assert_eq!(answer.is(200).header("cache-control"), Some("no-store"));
        answer.json()
    }

    /// Its first answer of which `says` is true: the one before may be half a second old.
    async fn status_where(&self, what: &str, says: impl Fn(&Value) -> bool) -> Value {
        self.until(what, async || says(&self.status().await)).await;
        self.status().await
    }
}

#[tokio::test]
async fn it_says_what_mongodb_holds() {
    let api = Api::start().await;
    let (user, supplier) = (api.user().await, api.supplier().await);
    let product = api.active_product(&supplier).await;
    api.order(&user, &product).await;
    let events = api.database.events().await.len();
    api.database.collection("outbox_dead").insert_one(doc! { "reason": "x" }).await.unwrap();

    // Nobody has reported: what only the relay knows is unknown.
    let status = api.server.status().await;
    let documents = json!({ "users": 1, "suppliers": 1, "products": 1, "orders": 1, "posts": 0 });
    assert_eq!(status["documents"], documents);
    let outbox = &status["outbox"];
    assert_eq!((&outbox["records"], &outbox["dead"]), (&json!(events), &json!(1)));
    assert_eq!(outbox["events_per_second"], json!(events as f64 / 10.0), "{status:#}");
    assert_eq!((&status["state"], &status["held_up_at"]), (&json!("unknown"), &json!("relay")));
    for unknown in ["/topics", "/dead_letters", "/outbox/waiting", "/relay/lag_seconds"] {
        assert_eq!(status.pointer(unknown), Some(&Value::Null), "{unknown}: {status:#}");
    }

    api.database.reported(&Watermark { dead_letters: Some(3), ..report() }).await;
    let refused = |status: &Value| status["state"] == "refused";
    let status = api.server.status_where("some were refused", refused).await;
    let user_topic = json!({ "topic": "user", "end": 11, "applied": 9, "to_go": 2 });
    assert_eq!(status["topics"][0], user_topic);
    assert_eq!(status["topics"][1]["end"], Value::Null, "of others nothing was reported");
    assert_eq!(status["dead_letters"], 3);
    assert_eq!(
        (&status["outbox"]["waiting"], &status["relay"]["lag_seconds"]),
        (&json!(0), &json!(0.0))
    );
    let lag = &status["projector"]["lag_seconds"];
    assert_eq!((&status["projector"]["state"], lag), (&json!("ok"), &json!(0.0)));

    api.database.collection("outbox_dead").delete_many(doc! {}).await.unwrap();
    api.database.reported(&report()).await;
    api.server.status_where("it flows", |status| status["state"] == "flowing").await;
}

/// Each of them red, and each with what an operator needs to know.
#[tokio::test]
async fn what_stands_still_and_what_is_damaged_is_said() {
    let api = Api::start().await;
    let since = Timestamp::from_millis(report().at.millis() - 60_000).unwrap();
    let is = |state: &'static str, hop: &'static str| {
        move |status: &Value| status["state"] == state && status["held_up_at"] == hop
    };

    let mut absent = report();
    absent.group = absent.group.map(|group| GroupReport {
        members: Some(0),
        absent_since: Some(since),
        ..group
    });
    api.database.reported(&absent).await;
    let status = api.server.status_where("no projector runs", is("stuck", "projector")).await;
    assert_eq!(status["projector"]["state"], "absent");

    let reason = "no broker answers".to_owned();
    let obstacle = Obstacle { server: "kafka".to_owned(), reason, since };
    api.database.reported(&Watermark { obstacle: Some(obstacle), ..report() }).await;
    let status = api.server.status_where("Kafka is away", is("stuck", "kafka")).await;
    assert_eq!(status["relay"]["obstacle"]["reason"], "no broker answers");
    assert_eq!(status["dead_letters"], Value::Null, "that is not known now");

    let lost = vec![Loss {
        topic: "shop.post".to_owned(),
        partition: 2,
        from_offset: 5,
        to_offset: 25,
        after: None,
        through: report().published_through,
    }];
    api.database.reported(&Watermark { lost, ..report() }).await;
    let damaged = |status: &Value| status["state"] == "damaged";
    let status = api.server.status_where("records are lost", damaged).await;
    assert_eq!(status["lost"][0]["to_offset"], 25);

    api.database.reported(&report()).await;
    api.server.status_where("it is idle", |status| status["state"] == "idle").await;
    let noticed_at = mongodb::bson::DateTime::now();
    let rewound =
        doc! { "_id": watermark::REWOUND, "noticed_at": noticed_at, "reason": "older than Kafka" };
    api.database.collection(watermark::COLLECTION).insert_one(rewound).await.unwrap();
    let status = api.server.status_where("MongoDB went back", damaged).await;
    assert_eq!(status["rewound"]["reason"], "older than Kafka");
}

/// The events that came since the last proof wait, and the oldest of them is the lag.
#[tokio::test]
async fn what_waits_is_counted_and_grows_old() {
    let api = Api::start().await;
    api.user().await;
    api.database.reported(&report()).await;
    let proven = Instant::now();
    for _ in 0..3 {
        api.user().await;
    }
    let waits = |status: &Value| status["outbox"]["waiting"] == 3;
    let status = api.server.status_where("three wait", waits).await;
    let lag = |status: &Value| status["relay"]["lag_seconds"].as_f64().unwrap();
    let seconds = lag(&status);
    assert!(seconds > 0.0 && seconds <= proven.elapsed().as_secs_f64(), "{seconds}");
    let grown = |status: &Value| lag(status) > seconds + 1.0;
    api.server.status_where("the lag grows by itself", grown).await;

    // The projector has come to where the first event was not yet, and no further.
    let mut report = report();
    report.proven_at = Some(Timestamp::from_millis(report.at.millis() + 1000).unwrap());
    report.published_through = ClusterTime { time: u32::MAX, increment: 1 };
    api.database.reported(&report).await;
    let behind = |status: &Value| status["projector"]["own_lag_seconds"].as_f64() > Some(1.0);
    let status = api.server.status_where("the projector is behind", behind).await;
    assert_eq!(status["outbox"]["waiting"], 0, "{status:#}");
}

#[tokio::test]
async fn a_silent_relay_and_a_former_division_are_told_apart() {
    let api = Api::start().await;
    let long_ago = Timestamp::from_millis(report().at.millis() - 60_000).unwrap();
    api.database.reported(&Watermark { at: long_ago, ..report() }).await;
    let status = api.server.status().await;
    assert_eq!((&status["state"], &status["held_up_at"]), (&json!("stuck"), &json!("relay")));
    assert_eq!(status["projector"]["lag_seconds"], Value::Null);

    let half = |shard: &str| Watermark { shard: shard.to_owned(), ..report() };
    api.database.reported(&half("1/2")).await;
    let shards = |status: &Value| status["relay"]["shards"].as_array().unwrap().len();
    let status = api.server.status_where("two shards", |status| shards(status) == 2).await;
    assert_eq!(status["relay"]["shards"][0]["reported_at"], Value::Null);
    assert_eq!(
        (&status["state"], &status["relay"]["state"]),
        (&json!("unknown"), &json!("unknown"))
    );
    api.database.reported(&half("0/2")).await;
    api.server.status_where("both have reported", |status| status["state"] == "idle").await;
}

#[tokio::test]
async fn a_damaged_watermark_is_none() {
    let api = Api::start().await;
    let damaged = doc! { "_id": "0/1", "at": "yesterday" };
    api.database.collection(watermark::COLLECTION).insert_one(damaged).await.unwrap();
    let status = api.server.status().await;
    assert_eq!((&status["state"], &status["held_up_at"]), (&json!("unknown"), &json!("relay")));
    assert_eq!((&status["mongodb"], &status["topics"]), (&json!("ok"), &Value::Null));
}

#[tokio::test]
async fn mongodb_away_is_said_and_never_a_hang() {
    let database = Database::fresh().await;
    let proxy = Proxy::start().await;
    let server = Server::start(&proxy.url(), &database.name).await;
    server.until_ready().await;
    database.reported(&report()).await;
    server.status_where("it is known", |status| status["state"] == "idle").await;

    for away in [Proxy::stall, Proxy::cut] {
        away(&proxy);
        server.status_where("it notices", |status| status["mongodb"] == "away").await;
        let asked = Instant::now();
        let status = server.status().await;
        assert!(asked.elapsed() < AT_MOST, "{:?}", asked.elapsed());
        assert_eq!((&status["state"], &status["held_up_at"]), (&json!("stuck"), &json!("mongodb")));
        for unknown in ["documents", "outbox", "topics", "dead_letters"] {
            assert_eq!(status[unknown], Value::Null, "{status:#}");
        }
        server.call(Method::GET, "/status").await.is(200);
        proxy.cut();
        proxy.mend();
        server.status_where("it is back", |status| status["mongodb"] == "ok").await;
    }
}

/// However many look: MongoDB is read at most twice a second.
#[tokio::test]
async fn all_who_look_share_one_read() {
    let api = Api::start().await;
    api.database.profile(2).await;
    let begun = Instant::now();
    for _ in 0..5 {
        join_all((0..40).map(|_| api.server.status())).await;
    }
    let most = 1 + begun.elapsed().as_millis() / 500;
    api.database.profile(0).await;
    let reads = doc! { "op": "query", "ns": format!("{}.watermarks", api.database.name) };
    let reads = api.database.collection("system.profile").count_documents(reads).await.unwrap();
    assert!(u128::from(reads) <= most, "{reads} reads in {:?}", begun.elapsed());
    assert!(reads >= 1, "the read is not seen");
}

/// Also where everything else asks who calls: it tells counts and times, nobody's data.
#[tokio::test]
async fn it_needs_no_identity_and_tells_no_data() {
    let api = Api::believing_tokens().await;
    let user = new_user();
    api.post("/users").json(&user).await.is(201);
    let answer = api.get("/status.json").await;
    let known = [
        "at",
        "dead_letters",
        "dead_letters_are_capped",
        "documents",
        "documents_capped",
        "held_up_at",
        "lost",
        "mongodb",
        "outbox",
        "projector",
        "relay",
        "rewound",
        "state",
        "topics",
    ];
    assert_eq!(keys(&answer.is(200).json()), known);
    for secret in [&user["email"], &user["display_name"], &user["password"]] {
        assert!(!answer.text.contains(secret.as_str().unwrap()), "{}", answer.text);
    }
}

/// The values of all attributes of that name.
fn attributes<'a>(page: &'a str, name: &str) -> Vec<&'a str> {
    let begin = format!(" {name}=\"");
    page.split(begin.as_str()).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

#[tokio::test]
async fn the_page_is_small_and_asks_nobody_else() {
    let api = Api::start().await;
    let page = api.get("/status").await;
    assert_eq!(page.is(200).header("content-type"), Some("text/html; charset=utf-8"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    let inline = ["<style", "style=", "javascript:", " onload=", " onclick="];
    for inline in inline {
        assert!(!page.text.contains(inline), "{inline} is what the policy forbids");
    }
    for script in page.text.split("<script").skip(1) {
        let body = script.split('>').nth(1).unwrap();
        assert!(body.starts_with("</script"), "a script in the page: {body}");
    }

    let mut files: Vec<Answer> = Vec::new();
    for name in attributes(&page.text, "src").into_iter().chain(attributes(&page.text, "href")) {
        assert!(!name.contains(':') && !name.starts_with('/'), "{name} breaks behind a prefix");
        files.push(api.get(format!("/{name}")).await);
    }
    assert!(files.len() >= 4, "{} files", files.len());
    let mut bytes = page.text.len();
    for file in files {
        let text = file.is(200).text.replace("http://www.w3.org/2000/svg", "");
        assert!(!text.contains("://"), "{} asks somebody else", file.what);
        assert!(!file.header("content-type").unwrap().contains("octet"), "{}", file.what);
        if !file.what.ends_with(".json") {
            bytes += text.len();
        }
    }
    assert!(bytes < 32 * 1024, "{bytes} bytes");
    api.call(Method::POST, "/status").await.refused(405, "VALIDATION_ERROR");
}

/// Each element that the script looks for is there, and each state that the api knows has
/// its sign.
#[tokio::test]
async fn page_script_and_style_fit_together() {
    let api = Api::start().await;
    let page = api.get("/status").await.text;
    let script = api.get("/status/page.js").await.text;
    let ids = attributes(&page, "id");
    let mut wanted = Vec::new();
    for call in ["element(\"", "write(\"", "curve(\"", "hop(\"", "refused(\"", "table(\""] {
        wanted.extend(script.split(call).skip(1).filter_map(|rest| rest.split('"').next()));
    }
    assert!(wanted.len() > 25, "{wanted:?}");
    for id in wanted {
        assert!(ids.contains(&id), "{id} is not in the page");
    }
    let style = api.get("/status/page.css").await.text;
    let states = [
        "flowing", "idle", "refused", "late", "stuck", "damaged", "unknown", "ok", "away",
        "blocked", "silent", "absent",
    ];
    for state in states {
        assert!(style.contains(&format!("[data-state={state}]")), "{state} has no sign");
    }
}
