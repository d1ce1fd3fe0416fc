//! Members of the group come, go, and are expelled; whatever the order, no row is missing.

use std::cell::Cell;
use std::time::Duration;

use rand::seq::IndexedRandom;
use shared::Id;
use shared::event::EventType;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{interval, sleep};

use crate::bed::{Bed, eventually};
use crate::documents::{event, user};
use crate::process::Process;

/// The broker forgets the member, who learns of it by its next heartbeat and joins again at
/// once: what an administrator's `removeMembersFromConsumerGroup` does, and what a pause
/// longer than the session amounts to.
async fn expel(bed: &Bed, member: &str) {
    let text = |text: &str| [&(text.len() as i16).to_be_bytes(), text.as_bytes()].concat();
    // LeaveGroup, version 0, correlation 7, no client id.
    let head = [0, 13, 0, 0, 0, 0, 0, 7, 255, 255];
    let request = [&head[..], &text(&bed.config.group.kafka_group_id), &text(member)].concat();
    let mut broker = TcpStream::connect(&bed.config.kafka.kafka_bootstrap_servers).await.unwrap();
    broker.write_all(&(request.len() as i32).to_be_bytes()).await.unwrap();
    broker.write_all(&request).await.unwrap();
    let mut answer = [0; 10];
    broker.read_exact(&mut answer).await.unwrap();
    let code = i16::from_be_bytes([answer[8], answer[9]]);
    // 25: it was not a member any more.
    assert!([0, 25].contains(&code), "LeaveGroup: error {code}");
}

/// Waits until the group has `count` members, none of them `expelled`.
async fn members_without(bed: &Bed, count: usize, expelled: &str) -> Vec<String> {
    eventually("the expelled member to be back", async || {
        let members = bed.group_members().await;
        let is_back = members.len() == count && members.iter().all(|member| member != expelled);
        if is_back { Ok(members) } else { Err(format!("{members:?}")) }
    })
    .await
}

/// Expels members one after the other, each once all are back.
async fn expel_some(bed: &Bed, members: usize, times: usize) {
    let mut known = members_without(bed, members, "").await;
    for _ in 0..times {
        let member = known.choose(&mut rand::rng()).unwrap().clone();
        expel(bed, &member).await;
        known = members_without(bed, members, &member).await;
        // Some quiet records through the new assignment.
        sleep(Duration::from_millis(300)).await;
    }
}

/// Sends users in this pace until `work` is done; returns how many.
async fn write_during(bed: &Bed, pace: Duration, work: impl Future<Output = ()>) -> i64 {
    let is_done = Cell::new(false);
    let writes = async {
        let (mut sent, mut pace) = (0, interval(pace));
        while !is_done.get() {
            pace.tick().await;
            bed.send([event(EventType::UserCreated, &user(Id::new(), 1))]).await;
            sent += 1;
        }
        sent
    };
    let work = async {
        work.await;
        is_done.set(true);
    };
    tokio::join!(writes, work).0
}

async fn assert_complete(bed: &Bed, sent: i64) {
    // What is behind the writes: once it is there, a row that is missing is lost.
    bed.await_count("users", "version >= 1", sent).await;
    assert_eq!(bed.dead_letters(0).await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_expelled_and_back_at_once_loses_nothing() {
    let bed = Bed::new(1).await;
    let process = Process::start(&bed.config);
    let pace = Duration::from_millis(100);
    let sent = write_during(&bed, pace, expel_some(&bed, 1, 5)).await;
    assert_complete(&bed, sent).await;
    process.terminate().await;
    bed.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_members_expelled_and_frozen_under_load_lose_nothing() {
    let bed = Bed::new(6).await;
    let processes: Vec<_> = (0..3).map(|_| Process::start(&bed.config)).collect();
    let frozen = async {
        members_without(&bed, 3, "").await;
        processes[0].signal("STOP").await;
        // Longer than its session of six seconds, so that it is expelled.
        members_without(&bed, 2, "").await;
        processes[0].signal("CONT").await;
        members_without(&bed, 3, "").await;
    };
    let mut sent = write_during(&bed, Duration::from_millis(2), frozen).await;
    sent += write_during(&bed, Duration::from_millis(10), expel_some(&bed, 3, 3)).await;
    assert_complete(&bed, sent).await;
    for process in processes {
        process.terminate().await;
    }
    bed.clear().await;
}
