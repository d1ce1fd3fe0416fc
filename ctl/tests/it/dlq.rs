use std::time::Instant;

use diesel::{ExpressionMethods as _, QueryDsl as _};
use diesel_async::RunQueryDsl as _;
use projector::schema::users;
use serde_json::{Value, json};
use shared::document::User;

use crate::documents::user;
use crate::kafka::{TIMEOUT, create_topic, delete_topics, publish, publish_created};
use crate::projector::Projector;
use crate::stack::Stack;

async fn letters(stack: &Stack) -> Vec<Value> {
    let run = stack.outboxctl(&["dlq", "list", "--json"]).await;
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn wait_for_letters(stack: &Stack, count: usize) -> Vec<Value> {
    let started = Instant::now();
    loop {
        let letters = letters(stack).await;
        if letters.len() >= count {
            return letters;
        }
        assert!(started.elapsed() < TIMEOUT, "only {letters:#?}");
    }
}

async fn names(stack: &Stack, user: &User) -> Vec<(String, i64)> {
    users::table
        .filter(users::user_id.eq(user.id.to_string()))
        .select((users::display_name, users::version))
        .load(&mut stack.mysql().await)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_is_listed_shown_sent_back_and_dropped() {
    let stack = Stack::new().await;
    assert!(letters(&stack).await.is_empty(), "no topic yet");
    let topic = format!("{}.user", stack.name);
    create_topic(&topic, 1).await;
    let projector = Projector::start(&stack);

    let mut too_long = user();
    too_long.profile.display_name = "ä".repeat(300);
    publish(&topic, "k", r#"{"data": {"password_hash": "$2b$12$hidden""#, None).await;
    publish_created(&topic, &too_long).await;

    let found = wait_for_letters(&stack, 2).await;
    assert_eq!(found[0]["origin"], json!({"topic": topic, "partition": 0, "offset": 0}));
    assert_eq!(found[0]["reason"], "not_json", "{found:#?}");
    let only = stack.outboxctl(&["dlq", "list", "--json", "--reason", "not_json"]).await;
    assert_eq!(only.stdout.lines().count(), 1, "{}", only.stdout);
    let listed = stack.outboxctl(&["dlq", "list"]).await;
    assert!(listed.stdout.contains(&too_long.id.to_string()), "{}", listed.stdout);

    let show = stack.outboxctl(&["dlq", "show", "0"]).await;
    assert!(!show.stdout.contains("hidden"), "{}", show.stdout);
    let raw = stack.outboxctl(&["dlq", "show", "--raw", "0"]).await;
    assert_eq!(raw.stdout, r#"{"data": {"password_hash": "$2b$12$hidden""#, "untouched");
    let show = stack.outboxctl(&["dlq", "show", "1"]).await;
    assert!(show.stdout.contains("header     event_type: user.created"), "{}", show.stdout);

    // Sent back without a remedy it comes again; with one it is applied, and once only.
    assert!(names(&stack, &too_long).await.is_empty());
    assert_eq!(stack.outboxctl(&["dlq", "redrive", "1"]).await.code, Some(0));
    wait_for_letters(&stack, 3).await;
    stack.sql("ALTER TABLE users MODIFY display_name VARCHAR(500) NOT NULL").await;
    let again = stack.outboxctl(&["dlq", "redrive", "1", "2"]).await;
    assert_eq!(again.stdout.lines().count(), 2, "{}{}", again.stdout, again.stderr);
    let started = Instant::now();
    while names(&stack, &too_long).await.is_empty() {
        assert!(started.elapsed() < TIMEOUT, "not applied");
    }
    let applied = vec![(too_long.profile.display_name.clone(), 3)];
    assert_eq!(names(&stack, &too_long).await, applied);

    let all = stack.outboxctl(&["dlq", "redrive", "--all", "--reason", "not_json"]).await;
    assert_eq!(all.stdout, "1 sent back\n");
    // Everything sent back before it has been read: no letter but its own is new.
    assert_eq!(wait_for_letters(&stack, 4).await.len(), 4);

    assert_eq!(stack.outboxctl(&["dlq", "drop", "--through", "1"]).await.code, Some(0));
    let kept: Vec<_> = letters(&stack).await.iter().map(|it| it["letter"].clone()).collect();
    assert_eq!(kept, ["2", "3"]);
    let gone = stack.outboxctl(&["dlq", "show", "1"]).await;
    assert_eq!((gone.code, gone.stderr.as_str()), (Some(1), "outboxctl: there is no letter 1\n"));
    assert_eq!(stack.outboxctl(&["dlq", "drop", "--all"]).await.code, Some(0));
    assert!(letters(&stack).await.is_empty());

    projector.stop().await;
    delete_topics(&[&topic, &format!("{}.dead-letter", stack.name)]).await;
    stack.drop().await;
}
