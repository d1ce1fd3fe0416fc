//! MySQL's disk is really full.

use shared::Id;
use shared::event::EventType;

use crate::bed::Bed;
use crate::documents::{event, post};
use crate::own_mysql::OwnMysql;
use crate::process::Process;

/// Rows of 60 KB, far more than fit, then room again.
///
/// The server has a file system of its own where this account may mount one, and else a
/// tablespace that may not grow: from there too the errors are the server's own.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_waited_out() {
    let server = OwnMysql::on_little_space().await;
    let bed = server.instead(Bed::without_topics());
    bed.create_topics(1).await;
    let process = Process::start(&bed.config);
    let long_post = |_| {
        let mut post = post(Id::new(), 1);
        post.text_content = "y".repeat(60_000);
        event(EventType::PostCreated, &post)
    };
    bed.send((0..10).map(long_post)).await;
    bed.await_count("posts", "TRUE", 10).await;
    process.await_ready(true).await;

    server.fill().await;
    bed.send((0..300).map(long_post)).await;
    process.await_ready(false).await;
    let retries = process.metric("projector_apply_retries_total", "away").await;
    assert!(retries.is_some_and(|retries| retries >= 1.0), "{retries:?} retries");
    let stored = bed.try_count("posts", "TRUE").await.unwrap_or_default();
    assert!(stored < 310, "it was not full");

    server.make_room().await;
    bed.await_count("posts", "TRUE", 310).await;
    process.await_ready(true).await;
    assert_eq!(bed.dead_letters(0).await.len(), 0);
    process.terminate().await;
    bed.clear().await;
    server.remove().await;
}
