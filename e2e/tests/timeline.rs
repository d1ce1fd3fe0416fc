//! What the API says of an event is true of the servers at that moment.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::time::{Duration, Instant};

use e2e::{Client, Pipeline, Servers, sample};
use reqwest::Method;
use serde_json::Value;

/// Signs somebody up: the id of the user, and of the event.
async fn sign_up(client: &Client, name: &str) -> (String, String) {
    let body = sample::user(&format!("{name}@example.com"));
    let answer = client.expect(201, Method::POST, "/users", "", &body).await;
    (answer.body["id"].as_str().unwrap().to_owned(), answer.event_id.unwrap())
}

async fn wait(client: &Client, event: &str, goal: &str, millis: u32) -> Value {
    client.get(&format!("/events/{event}?wait={goal}&timeout={millis}"), "").await.body
}

/// Who has been told "applied" finds the row, at once, every time.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_reads_its_own_writes_in_the_replica() {
    let pipeline = Pipeline::start(&Servers::shared(), "reads_own").await;
    let (client, rows) = (pipeline.client(), pipeline.rows());
    let mut waits = Vec::new();
    for number in 0..50 {
        let (user, event) = sign_up(&client, &format!("reader{number}")).await;
        let begun = Instant::now();
        let timeline = wait(&client, &event, "applied", 20_000).await;
        waits.push(begun.elapsed());
        assert_eq!(timeline["state"], "applied", "{number}: {timeline}\n{}", pipeline.relay);
        let sql = format!("SELECT * FROM users WHERE user_id = '{user}'");
        let found = rows.query(&sql).await.unwrap();
        let shown = found.first().and_then(|row| row.get("event_id"));
        assert_eq!(shown, Some(&event), "{number}: told applied, and no row of it");
    }
    waits.sort();
    println!("from the answer to applied: {:?} median, {:?} at most", waits[25], waits[49]);

    // Where it says that an event lies, it lies.
    let (_, event) = sign_up(&client, "placed").await;
    let published = wait(&client, &event, "published", 20_000).await;
    let log = pipeline.events().await;
    let record = log.of(&event);
    let place = &published["published"];
    assert_eq!(place["topic"], format!("{}user", pipeline.setting("KAFKA_TOPIC_PREFIX")));
    assert_eq!(place["partition"], record.partition, "{published}");
    assert!(record.offset < place["before_offset"].as_i64().unwrap(), "{published}");
}

/// Each state only when it is true, whoever is away.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_claimed_that_has_not_happened() {
    let mut pipeline = Pipeline::start(&Servers::shared(), "claims").await;
    let client = pipeline.client();
    let (_, first) = sign_up(&client, "first").await;
    assert_eq!(wait(&client, &first, "applied", 20_000).await["state"], "applied");

    pipeline.projector.terminate(Duration::from_secs(20)).await;
    let (_, second) = sign_up(&client, "second").await;
    assert_eq!(wait(&client, &second, "published", 20_000).await["state"], "published");
    assert_eq!(wait(&client, &second, "applied", 1_500).await["state"], "published");

    pipeline.relay.terminate(Duration::from_secs(20)).await;
    let (_, third) = sign_up(&client, "third").await;
    assert_eq!(wait(&client, &third, "published", 1_500).await["state"], "committed");
    assert_eq!(wait(&client, &first, "applied", 0).await["state"], "applied", "it stays so");

    // The relay is new, and has sent the second event in another life.
    pipeline.relay.restart();
    assert_eq!(wait(&client, &third, "published", 25_000).await["state"], "published");
    for event in [&second, &third] {
        assert_eq!(wait(&client, event, "applied", 500).await["state"], "published");
    }
    pipeline.projector.restart();
    for event in [&second, &third] {
        assert_eq!(wait(&client, event, "applied", 25_000).await["state"], "applied");
    }

    // Both are new, and nothing has come since: what lies behind the last events is theirs.
    pipeline.projector.kill().await;
    pipeline.relay.kill().await;
    pipeline.relay.restart();
    pipeline.projector.restart();
    let (_, last) = sign_up(&client, "last").await;
    assert_eq!(wait(&client, &last, "applied", 25_000).await["state"], "applied");
}
