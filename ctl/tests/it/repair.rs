//! `verify` at size, beside writes, with `--repair` and with `--watch`.

use std::time::Duration;

use bson::{Document as Fields, doc};
use projector::tables::SupplierRow;
use serde_json::json;
use shared::event::{Domain, EventType};
use shared::outbox::OutboxRecord;
use shared::{Id, Timestamp};

use crate::documents::{post, product, stamp, stored, supplier, user};
use crate::kafka::{create_topic, delete_topics, publish_created};
use crate::projector::Projector;
use crate::relay::Relay;
use crate::stack::{Run, Stack};

#[tokio::test(flavor = "multi_thread")]
async fn what_differs_is_mended_by_the_pipeline() {
    let stack = Stack::new().await;
    let (supplier, buyer) = (supplier(), user());
    let product = product(supplier.id);
    stack.store_with_user_row(&buyer).await;
    stack.store_with_supplier_row(&supplier).await;
    stack.store_with_product_rows(&product).await;
    stack.store(&post(buyer.id)).await;
    // Behind, ahead of its document, without a document, without a child.
    stack.sql("UPDATE users SET version = 2, bio = 'old'").await;
    stack.sql("UPDATE suppliers SET version = 7, legal_name = 'new'").await;
    let gone = crate::documents::supplier();
    stack.insert_supplier(SupplierRow::from_document(&gone, stamp(&gone))).await;
    stack.sql("DELETE FROM product_variants WHERE variant_key = 'red'").await;
    assert_eq!(stack.outboxctl(&["verify"]).await.code, Some(1));

    let (relay, projector) = (Relay::start(&stack), Projector::start(&stack));
    let repaired = stack.outboxctl(&["verify", "--repair"]).await;
    assert_eq!(repaired.code, Some(0), "{}{}", repaired.stdout, repaired.stderr);
    assert_eq!(stack.outboxctl(&["verify"]).await.code, Some(0));
    let suppliers = stack.mongodb.collection::<Fields>("suppliers");
    let outranking = suppliers.find_one(doc! {}).await.unwrap().unwrap();
    assert_eq!(outranking.get_i64("version").unwrap(), 8, "the row was at 7");
    assert_eq!(outranking.get_str("password_hash").unwrap(), "not for your eyes");
    relay.stop().await;
    projector.stop().await;
    stack.drop().await;
}

/// The event of a later version waits in the outbox: that is lag, and no difference.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_on_its_way_is_no_difference() {
    let stack = Stack::new().await;
    let mut written = user();
    stack.store_with_user_row(&written).await;
    stack.sql("UPDATE users SET version = 2, bio = 'old'").await;
    let started = std::time::Instant::now();
    assert_eq!(stack.outboxctl(&["verify"]).await.code, Some(1), "no event can mend it");
    assert!(started.elapsed() < Duration::from_secs(30), "and it was not waited for");

    written.version = 3;
    let event =
        OutboxRecord::new(EventType::UserUpdated, written.id, 3, Timestamp::now(), None, &written);
    let outbox = stack.mongodb.collection::<bson::RawDocumentBuf>("outbox");
    outbox.insert_one(event.unwrap().to_bson()).await.unwrap();
    let verify = stack.start(&["verify"], &[]);
    let (relay, projector) = (Relay::start(&stack), Projector::start(&stack));
    let ended = Run::from(verify.wait_with_output().await.unwrap());
    assert_eq!(ended.code, Some(0), "{}", ended.stdout);
    relay.stop().await;
    projector.stop().await;
    stack.drop().await;
}

/// A million of them where time is given.
const POSTS: usize = if cfg!(feature = "chaos") { 1_000_000 } else { 20_000 };

/// The most memory that the process has had, in kB, once it has ended.
async fn peak(pid: u32) -> u64 {
    let mut peak = 0;
    while let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) {
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        // A process that has ended has none any more.
        let Some(now) = line.and_then(|it| it.trim().strip_suffix(" kB")?.parse().ok()) else {
            break;
        };
        peak = now;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    peak
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_side_by_side_leave_nothing_out() {
    let stack = Stack::new().await;
    let template = post(Id::new());
    let ids: Vec<Id> = (0..POSTS).map(|_| Id::new()).collect();
    for ids in ids.chunks(2_000) {
        let documents = ids.iter().map(|id| {
            let mut document = stored(&template);
            document.insert("_id", *id);
            document
        });
        stack.mongodb.collection("posts").insert_many(documents).await.unwrap();
        let row = projector::tables::PostRow::from_document(&template, stamp(&template));
        let rows: Vec<_> = ids
            .iter()
            .map(|id| projector::tables::PostRow { post_id: id.to_string(), ..row.clone() })
            .collect();
        let insert = diesel::insert_into(projector::schema::posts::table).values(rows);
        diesel_async::RunQueryDsl::execute(insert, &mut stack.mysql().await).await.unwrap();
    }
    let by_hand = doc! {"_id": "by hand"};
    stack.mongodb.collection("posts").insert_one(by_hand).await.unwrap();
    let missing = [ids[0], ids[POSTS / 3], ids[POSTS - 1]];
    for id in missing {
        stack.sql(&format!("DELETE FROM posts WHERE post_id = '{id}'")).await;
    }
    stack.sql("UPDATE posts SET post_id = 'zzz' ORDER BY post_id LIMIT 1").await;
    let verify = stack.start(&["verify", "--json"], &[]);
    let watching = tokio::spawn(peak(verify.id().unwrap()));
    let report = Run::from(verify.wait_with_output().await.unwrap()).json();
    let peak = watching.await.unwrap();
    assert!((1..100_000).contains(&peak), "{peak} kB");
    eprintln!("{POSTS} posts compared in {} s, VmHWM {peak} kB", report["seconds"]);
    let posts = &report["tables"].as_array().unwrap()[6];
    let counts = ["documents", "rows", "missing", "extra", "unreadable"].map(|it| &posts[it]);
    let (documents, rows) = (POSTS + 1, POSTS - 3);
    assert_eq!(
        counts,
        [&json!(documents), &json!(rows), &json!(4), &json!(1), &json!(1)],
        "{posts}"
    );
    stack.drop().await;
}

/// After a restore of MongoDB the topics may hold versions that MySQL has not seen yet: the
/// repair outranks those, too.
#[tokio::test(flavor = "multi_thread")]
async fn a_repair_outranks_what_only_the_topics_have_seen() {
    let stack = Stack::new().await;
    let restored = user();
    stack.store_with_user_row(&restored).await;
    let topics = Domain::ALL.map(|domain| format!("{}.{}", stack.name, domain.topic()));
    for topic in &topics {
        create_topic(topic, 2).await;
    }
    let mut lost = restored.clone();
    lost.version = 4;
    lost.profile.display_name = "Lost".to_owned();
    publish_created(&topics[0], &lost).await;

    let behind = stack.outboxctl(&["verify", "--repair", "--wait", "1"]).await;
    assert_eq!(behind.code, Some(2), "{}", behind.stdout);
    assert!(behind.stderr.contains("do they run?"), "{}", behind.stderr);
    let repair = stack.start(&["verify", "--repair"], &[]);
    let (relay, projector) = (Relay::start(&stack), Projector::start(&stack));
    let repaired = Run::from(repair.wait_with_output().await.unwrap());
    assert_eq!(repaired.code, Some(0), "{}{}", repaired.stdout, repaired.stderr);
    let users = stack.mongodb.collection::<Fields>("users");
    let document = users.find_one(doc! {}).await.unwrap().unwrap();
    assert_eq!(document.get_i64("version").unwrap(), 5);
    assert_eq!(stack.outboxctl(&["verify"]).await.code, Some(0));
    relay.stop().await;
    projector.stop().await;
    delete_topics(&topics.each_ref().map(String::as_str)).await;
    stack.drop().await;
}

/// Memory and time are bounded where everything is missing: the rest needs no listing.
#[tokio::test(flavor = "multi_thread")]
async fn an_empty_replica_is_told_from_the_first_of_its_differences() {
    let stack = Stack::new().await;
    let template = stored(&post(Id::new()));
    let documents = (0..3_000).map(|_| {
        let mut document = template.clone();
        document.insert("_id", Id::new());
        document
    });
    stack.mongodb.collection("posts").insert_many(documents).await.unwrap();
    let few = stack.outboxctl(&["verify", "--most", "1000", "--json"]).await;
    let report = few.json();
    assert_eq!(
        (few.code, &report["clean"], &report["more"]),
        (Some(1), &json!(false), &json!(true))
    );
    assert_eq!(report["tables"][6]["missing"], 1_000, "{report}");
    let told = stack.outboxctl(&["verify", "--most", "1000"]).await.stdout;
    assert!(told.contains("more than 1,000 differ") && told.contains("outboxctl replay"), "{told}");

    let all = stack.outboxctl(&["verify", "--json"]).await.json();
    assert_eq!((&all["more"], &all["tables"][6]["missing"]), (&json!(false), &json!(3_000)));

    // What it cannot look at in one go is mended in several.
    let (relay, projector) = (Relay::start(&stack), Projector::start(&stack));
    let repaired = stack.outboxctl(&["verify", "--repair", "--most", "1000"]).await;
    assert_eq!(repaired.code, Some(0), "{}{}", repaired.stdout, repaired.stderr);
    relay.stop().await;
    projector.stop().await;
    stack.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_latest_comparison_is_shown_to_prometheus() {
    let stack = Stack::new().await;
    stack.store(&user()).await;
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let address = port.to_string();
    let began = Timestamp::now();
    let mut watch = stack.start(&["verify", "--watch", "--every", "1", "--addr", &address], &[]);
    let metric = async |name: &str| -> Option<f64> {
        let text =
            reqwest::get(format!("http://{address}/metrics")).await.ok()?.text().await.ok()?;
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    };
    let until = async |name: &str, expected: f64| {
        let shown = async {
            while metric(name).await.is_none_or(|value| value != expected) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let shown = tokio::time::timeout(Duration::from_secs(30), shown).await;
        assert!(shown.is_ok(), "{name} did not become {expected}");
    };
    until("verify_differences{kind=\"missing\",table=\"users\"}", 1.0).await;
    assert!(metric("verify_through_seconds").await.unwrap() * 1_000.0 >= began.millis() as f64);
    stack.mongodb.collection::<Fields>("users").delete_many(doc! {}).await.unwrap();
    until("verify_differences{kind=\"missing\",table=\"users\"}", 0.0).await;
    watch.kill().await.unwrap();
    stack.drop().await;
}
