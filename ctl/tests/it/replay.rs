use std::time::Instant;

use shared::document::ProductStatus;
use shared::event::Domain;
use shared::{Id, Timestamp};

use crate::documents::{order, post, product, supplier, user};
use crate::kafka::{
    TIMEOUT, age_out_one, commit, committed, create_topic, delete_topics, publish_created,
};
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
        (Some(0), "all events applied that the topics held at the start\n"),
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

/// What is written while the rows are rebuilt is not waited for: on a busy system there
/// would be no end.
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_from_the_topics_ends_although_writes_go_on() {
    let stack = Stack::new().await;
    let topics = Domain::ALL.map(|domain| format!("{}.{}", stack.name, domain.topic()));
    for topic in &topics {
        create_topic(topic, 1).await;
    }
    let users = &topics[0];
    for _ in 0..3 {
        publish_created(users, &user()).await;
    }
    commit(&stack.name, users, 3);
    let replay = stack.start(&["replay", "--from", "topics"], &[]);
    let started = Instant::now();
    while committed(&stack.name, users) != Some(0) {
        assert!(started.elapsed() < TIMEOUT, "the group was not set back");
    }
    for _ in 0..4 {
        publish_created(users, &user()).await;
    }
    // As a projector that has applied all that there was, and is not done with the rest.
    commit(&stack.name, users, 3);
    let ended = tokio::time::timeout(TIMEOUT, replay.wait_with_output()).await;
    let run = Run::from(ended.expect("it waits for records that came later").unwrap());
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    delete_topics(&topics.each_ref().map(String::as_str)).await;
    stack.drop().await;
}

/// A failover in the middle of a long replay: it waits, says so, and goes on where it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_outlasts_a_mongodb_that_steps_down() {
    let stack = Stack::new().await;
    stack.store(&user()).await;
    let admin = stack.mongodb.client().database("admin");
    // Of this test's database alone; PrimarySteppedDown, more often than the driver repeats it.
    let namespace = format!("{}.users", stack.name);
    let fail = bson::doc! {
        "configureFailPoint": "failCommand", "mode": {"times": 6},
        "data": {"failCommands": ["find"], "errorCode": 189, "namespace": namespace},
    };
    admin.run_command(fail).await.unwrap();
    let run = stack.outboxctl(&["replay"]).await;
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stderr.contains("trying again"), "{}", run.stderr);
    assert_eq!(run.stdout, "1 documents read, 0 refused\n");
    stack.drop().await;
}

/// What a failover takes back must not reach MySQL: the event that is given its version
/// afterwards would be refused.
#[tokio::test(flavor = "multi_thread")]
async fn only_what_a_majority_has_is_read() {
    let stack = Stack::new().await;
    stack.store(&user()).await;
    stack.mongodb.run_command(bson::doc! {"profile": 2}).await.unwrap();
    assert_eq!(stack.outboxctl(&["replay"]).await.code, Some(0));
    assert_eq!(stack.outboxctl(&["verify"]).await.code, Some(0));
    let profile = stack.mongodb.collection::<bson::Document>("system.profile");
    let reads = bson::doc! {"op": "query", "ns": {"$ne": format!("{}.system.profile", stack.name)}};
    let majority = bson::doc! {"command.readConcern.level": "majority"};
    let mut of_majority = reads.clone();
    of_majority.extend(majority);
    let all = profile.count_documents(reads).await.unwrap();
    assert!(all >= 10, "{all}");
    assert_eq!(profile.count_documents(of_majority).await.unwrap(), all);
    stack.drop().await;
}
