use std::time::Instant;

use shared::document::ProductStatus;
use shared::event::Domain;
use shared::{Id, Timestamp};

use crate::documents::{order, post, product, supplier, user};
use crate::kafka::{TIMEOUT, age_out_one, create_topic, delete_topics, publish_created};
use crate::projector::Projector;
use crate::stack::{Run, Stack};

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_mysql_is_rebuilt_from_the_documents() {
    let stack = Stack::new().await;
    let (supplier, mut user) = (supplier(), user());
    stack.store(&supplier).await;
    stack.store(&user).await;
    stack.store(&product(supplier.id)).await;
    stack.store(&product(Id::new())).await;
    stack.store(&order(user.id)).await;
    stack.store(&post(user.id)).await;
    user.id = Id::new();
    user.deleted_at = Some(Timestamp::now());
    stack.store(&user).await;
    let mut deleted = product(supplier.id);
    deleted.version = 4;
    deleted.status = ProductStatus::Deleted;
    stack.store(&deleted).await;
    stack.sql("DROP TABLE product_variants, products, suppliers, tombstones").await;
    stack.sql("DROP TABLE users, order_items, orders, posts, projection_progress").await;
    stack.sql("DROP TABLE __diesel_schema_migrations").await;

    let run = stack.outboxctl(&["replay"]).await;
    assert_eq!(
        (run.code, run.stdout.as_str()),
        (Some(0), "8 documents read, 0 refused\n"),
        "{}",
        run.stderr
    );
    let verify = stack.outboxctl(&["verify"]).await;
    assert_eq!(verify.code, Some(0), "{}", verify.stdout);
    stack.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_older_is_replaced_and_what_cannot_be_is_named() {
    let stack = Stack::new().await;
    let (ahead, behind, mut too_long) = (user(), user(), user());
    stack.store_with_user_row(&ahead).await;
    stack.store_with_user_row(&behind).await;
    stack
        .sql(&format!("UPDATE users SET version = 9, bio = 'kept' WHERE user_id = '{}'", ahead.id))
        .await;
    stack
        .sql(&format!("UPDATE users SET version = 2, bio = 'old' WHERE user_id = '{}'", behind.id))
        .await;
    too_long.profile.display_name = "ä".repeat(300);
    stack.store(&too_long).await;
    let users = stack.mongodb.collection::<bson::Document>("users");
    users.insert_one(bson::doc! {"_id": "by hand"}).await.unwrap();

    let run = stack.outboxctl(&["replay"]).await;
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert!(run.stdout.contains(&format!("users {}", too_long.id)), "{}", run.stdout);
    assert!(run.stdout.contains("by hand"), "{}", run.stdout);
    assert!(run.stdout.ends_with("4 documents read, 2 refused\n"), "{}", run.stdout);
    let report = stack.outboxctl(&["verify", "--json"]).await.stdout;
    assert!(report.contains("\"kept\"") && !report.contains("\"old\""), "{report}");
    stack.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_mysql_is_rebuilt_from_the_topics() {
    let stack = Stack::new().await;
    let topics = Domain::ALL.map(|domain| format!("{}.{}", stack.name, domain.topic()));
    for topic in &topics {
        create_topic(topic, 1).await;
    }
    let user = user();
    let (post, order) = (post(user.id), order(user.id));
    stack.store(&user).await;
    stack.store(&post).await;
    stack.store(&order).await;
    publish_created(&topics[0], &user).await;
    publish_created(&topics[3], &order).await;
    publish_created(&topics[4], &post).await;
    let projector = Projector::start(&stack);
    assert_eq!(stack.outboxctl(&["verify", "--wait", "20"]).await.code, Some(0));

    let refused = stack.outboxctl(&["replay", "--from", "topics"]).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("stop them first"), "{}", refused.stderr);
    projector.stop().await;
    stack.sql("DELETE FROM users; DELETE FROM posts; DELETE FROM orders").await;

    let replay = stack.start(&["replay", "--from", "topics"], &[]);
    let started = Instant::now();
    let is_rewound = async || {
        let status = stack.outboxctl(&["status", "--json"]).await.json();
        status["domains"][0]["topic"]["consumer_lag"]["records"] == 1
    };
    while !is_rewound().await {
        assert!(started.elapsed() < TIMEOUT, "the group was not set back");
    }
    let projector = Projector::start(&stack);
    let run = Run::from(replay.wait_with_output().await.unwrap());
    assert_eq!(
        (run.code, run.stdout.as_str()),
        (Some(0), "all events applied\n"),
        "{}",
        run.stderr
    );
    assert_eq!(stack.outboxctl(&["verify"]).await.code, Some(0));
    projector.stop().await;

    age_out_one(&topics[0]).await;
    age_out_one(&topics[3]).await;
    age_out_one(&topics[4]).await;
    let refused = stack.outboxctl(&["replay", "--from", "topics"]).await;
    assert!(refused.stderr.contains("older events are gone"), "{}", refused.stderr);
    delete_topics(&topics.each_ref().map(String::as_str)).await;
    delete_topics(&[&format!("{}.dead-letter", stack.name)]).await;
    stack.drop().await;
}
