//! Locked tables and transactions that take too long.

use std::time::Duration;

use diesel_async::SimpleAsyncConnection;
use shared::Id;
use shared::event::EventType;

use crate::bed::{Bed, Message, eventually};
use crate::documents::{event, post};
use crate::process::Process;

/// In characters that information_schema.processlist can compare.
fn plain_post() -> Message {
    let mut post = post(Id::new(), 1);
    post.text_content = "plain".to_owned();
    event(EventType::PostCreated, &post)
}

async fn sessions(bed: &Bed) -> i64 {
    let database = &bed.config.mysql.mysql_database;
    let others = format!("db = '{database}' AND id <> CONNECTION_ID()");
    bed.count("information_schema.processlist", &others).await
}

/// An ALTER waits for an analyst's open SELECT, and every write waits behind the ALTER.
#[tokio::test(flavor = "multi_thread")]
async fn a_locked_table_is_named_and_waited_out() {
    let bed = Bed::new(1).await;
    let process = Process::start(&bed.config);
    bed.send([plain_post()]).await;
    bed.await_count("posts", "TRUE", 1).await;
    let mut analyst = bed.connection().await;
    analyst.batch_execute("BEGIN; SELECT * FROM posts LIMIT 1").await.unwrap();
    let mut owner = bed.connection().await;
    let altering = tokio::spawn(async move {
        let alter = "SET lock_wait_timeout = 60; ALTER TABLE posts ADD COLUMN x INT";
        owner.batch_execute(alter).await.unwrap();
    });
    eventually("an ALTER that waits", async || {
        match bed.count("information_schema.processlist", "info LIKE '%ADD COLUMN x%'").await {
            2.. => Ok(()),
            found => Err(format!("{found}")),
        }
    })
    .await;
    bed.send([plain_post()]).await;
    eventually("/ready says that it is busy", async || {
        let (status, body) = process.get("/ready").await?;
        let is_said = status == 503 && body.contains("busy for") && body.contains("posts");
        if is_said { Ok(()) } else { Err(body) }
    })
    .await;
    assert_eq!(process.metric("projector_blocked", "busy").await, Some(1.0));
    analyst.batch_execute("COMMIT").await.unwrap();
    altering.await.unwrap();
    bed.await_count("posts", "TRUE", 2).await;
    process.await_ready(true).await;
    assert_eq!(bed.dead_letters(0).await.len(), 0);
    process.terminate().await;
    bed.clear().await;
}

/// Each row takes MySQL half a second: eight of them are never done within two seconds.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_always_times_out_gets_through_in_parts() {
    let bed = Bed::new(1).await;
    bed.sql("CREATE TRIGGER slow BEFORE INSERT ON posts FOR EACH ROW SET @slept = SLEEP(0.5)")
        .await;
    bed.send((0..8).map(|_| plain_post())).await;
    let process = Process::start_with(&bed.config, &[("PROJECTOR_APPLY_TIMEOUT_SECONDS", "2")]);
    bed.await_count("posts", "TRUE", 8).await;
    assert!(sessions(&bed).await <= 2, "sessions pile up");
    bed.sql("DROP TRIGGER slow").await;

    // One row alone that takes longer than that.
    bed.sql("CREATE TRIGGER slow BEFORE INSERT ON posts FOR EACH ROW SET @slept = SLEEP(100)")
        .await;
    bed.send([plain_post()]).await;
    eventually("/ready says that it is slow", async || {
        let (status, body) = process.get("/ready").await?;
        if status == 503 && body.contains("longer than 2 s") { Ok(()) } else { Err(body) }
    })
    .await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(sessions(&bed).await <= 3, "sessions pile up");
    bed.sql("DROP TRIGGER slow").await;
    bed.await_count("posts", "TRUE", 9).await;
    process.await_ready(true).await;
    assert_eq!(bed.dead_letters(0).await.len(), 0);
    process.terminate().await;
    bed.clear().await;
}
