//! The checker of `make chaos` finds what it exists to find: each promise is broken once
//! from outside, on the real servers, and exactly that is reported.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod records;
mod scene;

use std::time::Duration;

use e2e::chaos::{Breach, delete_unread};
use mongodb::bson::doc;
use mongodb::bson::oid::ObjectId;
use scene::Scene;
use serde_json::{Value, json};
use shared::event::Domain;

/// For a process to stop.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_were_tampered_with_are_told_apart() {
    let mut scene = Scene::start("rows").await;
    let ids = scene.ids("SELECT post_id AS id FROM posts ORDER BY post_id LIMIT 3").await;
    scene.sql(&format!("DELETE FROM posts WHERE post_id = '{}'", ids[0])).await;
    scene.expect("a row that was not written", &[(Breach::RowMissing, 1)]).await;

    let sql = format!("UPDATE posts SET post_id = REVERSE(post_id) WHERE post_id = '{}'", ids[1]);
    scene.sql(&sql).await;
    let moved = [(Breach::RowMissing, 1), (Breach::RowExtra, 1)];
    scene.expect("a row under another id", &moved).await;

    // As by a projector that has no guard and is given an older event again.
    let older = "SELECT order_id AS id FROM orders WHERE version > 1 ORDER BY order_id LIMIT 1";
    let order = scene.ids(older).await.remove(0);
    let set = "UPDATE orders SET version = version - 1, status = 'pending'";
    scene.sql(&format!("{set} WHERE order_id = '{order}'")).await;
    scene.expect("an older event applied over a newer", &[(Breach::RowStale, 1)]).await;

    let sql = format!("UPDATE posts SET text_content = 'x' WHERE post_id = '{}'", ids[2]);
    scene.sql(&sql).await;
    scene.expect("another value", &[(Breach::RowDifferent, 1)]).await;

    scene.sql(&format!("DELETE FROM order_items WHERE order_id <> '{order}' LIMIT 1")).await;
    scene.expect("an order without its item", &[(Breach::RowDifferent, 1)]).await;

    scene.sql("UPDATE users SET event_id = 'x' LIMIT 1").await;
    scene.expect("a row of another event", &[(Breach::RowDifferent, 1)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_that_were_tampered_with_are_told_apart() {
    let mut scene = Scene::start("docs").await;
    let newest = scene.ids("SELECT post_id AS id FROM posts WHERE deleted_at IS NULL").await;
    let posts = scene.collection(Domain::Post).await;
    let id = |number: usize| ObjectId::parse_str(&newest[number]).unwrap();

    posts.delete_one(doc! { "_id": id(0) }).await.unwrap();
    let dropped = [(Breach::WriteMissing, 1), (Breach::RowExtra, 1)];
    scene.expect("an acknowledged document dropped", &dropped).await;

    let change = doc! { "$set": { "text_content": "something else" } };
    posts.update_one(doc! { "_id": id(1) }, change).await.unwrap();
    let changed = [(Breach::WriteMissing, 1), (Breach::RowDifferent, 1)];
    scene.expect("an acknowledged change undone", &changed).await;

    let mut copy = posts.find_one(doc! { "_id": id(2) }).await.unwrap().unwrap();
    copy.insert("_id", ObjectId::new());
    copy.insert("version", 1_i64);
    posts.insert_one(copy).await.unwrap();
    let added = [(Breach::WriteUnasked, 1), (Breach::EventMissing, 1), (Breach::RowMissing, 1)];
    scene.expect("a document without an event that nobody asked for", &added).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_were_tampered_with_are_told_apart() {
    let mut scene = Scene::start("events").await;
    let first = scene.records("user").await.remove(0);
    scene.produce(&first).await;
    scene.expect("an event published twice", &[(Breach::EventDoubled, 1)]).await;

    scene.forget_first_record("post").await;
    scene.expect("an event that no reader sees", &[(Breach::EventMissing, 1)]).await;

    let (key, value) = (b"nobody".to_vec(), b"no event".to_vec());
    scene.produce(&records::Record { key, value, headers: Vec::new(), ..first }).await;
    scene.await_dead_letters(1).await;
    let strange = [(Breach::EventUnasked, 1), (Breach::DeadLetter, 1)];
    scene.expect("a record that is no event", &strange).await;
}

/// With the relay's and the projector's own doing: one is given an older position to
/// start from, the other two events in the wrong order.
#[tokio::test(flavor = "multi_thread")]
async fn a_skipped_checkpoint_and_a_broken_order_are_told_apart() {
    let mut scene = Scene::start("relay").await;
    let post = scene.create_post().await;
    // A clean stop writes down all there is.
    assert!(scene.pipeline.relay.stop(PATIENCE).await);
    scene.pipeline.relay.restart();
    let mut checkpoint = scene.records("outbox-relay-checkpoint").await.pop().unwrap();
    // As earlier versions wrote it: what was published behind it is not looked for.
    let mut said: Value = serde_json::from_slice(&checkpoint.value).unwrap();
    said["ends"] = Value::Null;
    checkpoint.value = said.to_string().into_bytes();
    scene.edit_post(&post, json!({ "text_content": "published twice" })).await;
    scene.await_row(&post, 2).await;
    scene.pipeline.relay.kill().await;
    scene.produce(&checkpoint).await;
    scene.pipeline.relay.restart();
    scene.edit_post(&post, json!({ "text_content": "published after all" })).await;
    scene.await_row(&post, 3).await;
    scene.expect("a checkpoint skipped", &[(Breach::EventDoubled, 1)]).await;

    scene.pipeline.relay.kill().await;
    let like = scene.records("post").await.into_iter().find(|it| it.key == post.as_bytes());
    let like = like.unwrap();
    for text in ["published second", "published first"] {
        scene.edit_post(&post, json!({ "text_content": text })).await;
    }
    let mut outbox = scene.outbox(&post, 4).await;
    outbox.reverse();
    for record in outbox {
        scene.produce(&record.into_record(&like)).await;
    }
    scene.await_row(&post, 5).await;
    scene.expect("two events swapped", &[(Breach::EventOutOfOrder, 1)]).await;
}

/// What the faults of a run take themselves is excused, and nothing beside it.
#[tokio::test(flavor = "multi_thread")]
async fn losses_excuse_no_more_than_they_took() {
    let mut scene = Scene::start("losses").await;
    // As if MongoDB had been restored to the moment before this post.
    let post = scene.create_post().await;
    let before = scene.lines() - 1;
    let id = ObjectId::parse_str(&post).unwrap();
    scene.collection(Domain::Post).await.delete_one(doc! { "_id": id }).await.unwrap();
    scene.forget_outbox(&post).await;
    let gone = [(Breach::WriteMissing, 1), (Breach::RowExtra, 1)];
    scene.expect("a write that MongoDB lacks", &gone).await;
    scene.losses.roll_back(before..before + 1);
    scene.forgive(Breach::WriteMissing);
    scene.expect("the same, by a restore", &[]).await;
    scene.sql(&format!("DELETE FROM posts WHERE post_id = '{post}'")).await;
    scene.forgive(Breach::RowExtra);
    scene.expect("and its row removed", &[]).await;

    // A write from before the restore, and one from after it.
    let posts = scene.ids("SELECT post_id AS id FROM posts WHERE deleted_at IS NULL").await;
    let id = ObjectId::parse_str(&posts[0]).unwrap();
    scene.collection(Domain::Post).await.delete_one(doc! { "_id": id }).await.unwrap();
    let more = [(Breach::WriteMissing, 1), (Breach::RowExtra, 1)];
    scene.expect("a write that the copy held", &more).await;
    let later = scene.create_post().await;
    let id = ObjectId::parse_str(&later).unwrap();
    scene.collection(Domain::Post).await.delete_one(doc! { "_id": id }).await.unwrap();
    scene.expect("a write that came after the restore", &more).await;

    // A row that was filled again must still be of its version.
    let nil = "SET event_id = '00000000-0000-0000-0000-000000000000'";
    scene.sql(&format!("UPDATE posts {nil} WHERE post_id = '{}'", posts[1])).await;
    scene.expect("a row that names no event", &[(Breach::RowDifferent, 1)]).await;
    scene.losses.replay();
    scene.forgive(Breach::RowDifferent);
    scene.expect("the same, after a replay", &[]).await;
    let older = format!("UPDATE posts SET version = 0 WHERE post_id = '{}'", posts[1]);
    scene.sql(&older).await;
    scene.expect("a row that was filled again, but older", &[(Breach::RowStale, 1)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_records_excuse_no_other_record() {
    let mut scene = Scene::start("deleted").await;
    let first = scene.records("user").await.remove(0);
    let deleted = delete_unread(scene.environment()).await;
    assert!(deleted.unread.is_empty(), "the projector has read all: {:?}", deleted.unread);
    scene.losses.delete(deleted.records);
    scene.expect("records that were deleted by the fault", &[]).await;

    scene.produce(&first).await;
    scene.expect("a deleted event published again", &[(Breach::EventDoubled, 1)]).await;
    let post = scene.create_post().await;
    let records = scene.records("post").await;
    let record = records.iter().find(|record| record.key == post.as_bytes()).unwrap();
    scene.forget_up_to(record).await;
    scene.expect("an event that no reader sees", &[(Breach::EventMissing, 1)]).await;
}
