//! MySQL away, busy or unwilling: everything waits, nothing is lost, nothing is taken
//! for poison, and the group does not take the projector for stuck.

use std::time::Duration;

use diesel::QueryableByName;
use diesel::sql_types::BigInt;
use diesel::sql_types::Unsigned;
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use projector::database::Connection;
use shared::Id;
use shared::event::EventType;

use crate::bed::{Bed, Message, eventually};
use crate::documents::{event, user};
use crate::own_mysql::OwnMysql;
use crate::process::Process;

/// In ASCII: the server's list of processes, where a test looks, knows no more than
/// three bytes a character.
fn some_events(ids: &[Id], version: i64) -> Vec<Message> {
    let user = |id: &Id| {
        let mut user = user(*id, version);
        user.profile.display_name = "Zoe".to_owned();
        user
    };
    ids.iter().map(|id| event(EventType::UserUpdated, &user(id))).collect()
}

/// Waits until a transaction was tried again for this cause.
async fn await_retry(process: &Process, cause: &str) {
    eventually(&format!("a retry because MySQL is {cause}"), async || {
        match process.metric("projector_apply_retries_total", cause).await {
            Some(retries) if retries >= 1.0 => Ok(()),
            retries => Err(format!("{retries:?} retries")),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_is_killed_for_longer_than_the_poll_interval() {
    let server = OwnMysql::for_faults().await;
    let bed = server.instead(Bed::without_topics());
    bed.create_topics(2).await;
    let ids: Vec<_> = (0..200).map(|_| Id::new()).collect();
    let process = Process::start_with(
        &bed.config,
        &[
            ("KAFKA_MAX_POLL_INTERVAL_MS", "6000"),
            // Small batches: the next one fills up, so that polling without receiving is tried too.
            ("PROJECTOR_BATCH_EVENTS", "50"),
        ],
    );
    bed.send(some_events(&ids, 1)).await;
    bed.await_count("users", "version = 1", 200).await;
    process.await_ready(true).await;
    let member = bed.group_members().await;
    assert_eq!(member.len(), 1);

    server.control("kill").await;
    bed.send(some_events(&ids, 2)).await;
    process.await_ready(false).await;
    // Not a state one could wait for: that nothing happens in this time is the test.
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert_eq!(bed.group_members().await, member, "taken for stuck");
    server.control("start").await;
    bed.await_count("users", "version = 2", 200).await;
    process.await_ready(true).await;
    assert_eq!(bed.group_members().await, member);

    server.control("stop").await;
    bed.send(some_events(&ids, 3)).await;
    process.await_ready(false).await;
    server.control("start").await;
    bed.await_count("users", "version = 3", 200).await;

    server.sql("SET GLOBAL super_read_only = ON").await;
    bed.send(some_events(&ids, 4)).await;
    process.await_ready(false).await;
    server.sql("SET GLOBAL super_read_only = OFF; SET GLOBAL read_only = OFF").await;
    bed.await_count("users", "version = 4", 200).await;
    assert_eq!(bed.dead_letters(0).await.len(), 0);
    process.terminate().await;
    bed.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_starts_before_its_servers_and_stops_while_they_are_away() {
    let bed = Bed::without_topics();
    let mut config = bed.config.clone();
    config.mysql.mysql_port = 1; // nobody listens there
    let process = Process::start_with(&config, &[("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")]);
    eventually("health", async || {
        let (status, body) = process.get("/ready").await?;
        if status == 503 && body.matches("\"down\"").count() == 2 { Ok(()) } else { Err(body) }
    })
    .await;
    assert_eq!(process.get("/live").await.unwrap().0, 200);
    process.terminate().await;
}

/// Errors that this machine cannot be brought to make are raised by a trigger, with the
/// server's own numbers.
#[tokio::test(flavor = "multi_thread")]
async fn no_error_of_the_server_is_taken_for_poison() {
    let bed = Bed::new(1).await;
    let process = Process::start(&bed.config);
    let errors = [
        (1021, "disk full"),
        (1114, "the table is full"),
        (1290, "read-only"),
        (1053, "shutting down"),
        (1205, "lock wait timeout"),
        (1213, "deadlock"),
        (1030, "error from the storage engine"),
        (1142, "command denied"),
        (4711, "never heard of"),
    ];
    for (version, (code, message)) in (1..).zip(errors) {
        let id = Id::new();
        bed.sql(&format!(
            "CREATE TRIGGER fault BEFORE INSERT ON users FOR EACH ROW \
             SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {code}, MESSAGE_TEXT = '{message}'"
        ))
        .await;
        let before = process.metric("projector_apply_retries_total", "").await.unwrap_or_default();
        bed.send(some_events(&[id], version)).await;
        eventually(&format!("a retry after {code}"), async || {
            match process.metric("projector_apply_retries_total", "").await {
                Some(retries) if retries >= before + 2.0 => Ok(()),
                retries => Err(format!("{retries:?}")),
            }
        })
        .await;
        bed.sql("DROP TRIGGER fault").await;
        bed.await_count("users", &format!("user_id = '{id}'"), 1).await;
    }
    assert_eq!(bed.dead_letters(0).await.len(), 0);
    process.terminate().await;
    bed.clear().await;
}

#[derive(QueryableByName)]
struct ConnectionId {
    #[diesel(sql_type = Unsigned<BigInt>)]
    id: u64,
}

/// The connections that wait for a lock in this test's database.
async fn blocked(bed: &Bed, connection: &mut Connection) -> u64 {
    let database = &bed.config.mysql.mysql_database;
    let query = format!(
        "SELECT CAST(id AS UNSIGNED) AS id FROM information_schema.processlist \
         WHERE db = '{database}' AND id <> CONNECTION_ID() AND info LIKE 'INSERT INTO `users`%'"
    );
    eventually("a blocked transaction", async || {
        let found: Result<ConnectionId, _> =
            diesel::sql_query(&query).get_result(&mut *connection).await;
        found.map(|found| found.id).map_err(|error| error.to_string())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_dropped_in_mid_transaction_is_replaced() {
    let bed = Bed::new(1).await;
    let id = Id::new();
    let process = Process::start(&bed.config);
    bed.send(some_events(&[id], 1)).await;
    bed.await_count("users", "version = 1", 1).await;
    let mut other = bed.connection().await;
    other.batch_execute("BEGIN; UPDATE users SET phone = 'held'").await.unwrap();
    bed.send(some_events(&[id], 2)).await;
    let projector = blocked(&bed, &mut other).await;
    other.batch_execute(&format!("KILL {projector}")).await.unwrap();
    await_retry(&process, "away").await;
    other.batch_execute("ROLLBACK").await.unwrap();
    bed.await_count("users", "version = 2", 1).await;
    assert_eq!(bed.dead_letters(0).await.len(), 0);
    process.terminate().await;
    bed.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_and_a_long_lock_are_waited_out() {
    let bed = Bed::new(1).await;
    let (first, second) = (Id::new(), Id::new());
    let process = Process::start(&bed.config);
    bed.send(some_events(&[first, second], 1)).await;
    bed.await_count("users", "version = 1", 2).await;
    process.terminate().await;
    let mut other = bed.connection().await;
    // The one that changed less is rolled back: that shall be the projector.
    other
        .batch_execute(&format!(
            "CREATE TABLE ballast (n INT PRIMARY KEY) ENGINE = InnoDB; BEGIN; \
             INSERT INTO ballast WITH RECURSIVE n AS \
             (SELECT 1 AS n UNION ALL SELECT n + 1 FROM n WHERE n < 900) SELECT n FROM n; \
             UPDATE users SET phone = 'held' WHERE user_id = '{second}'"
        ))
        .await
        .unwrap();
    // Both are there when it starts, so they come in one batch.
    bed.send(some_events(&[first, second], 2)).await;
    let process = Process::start(&bed.config);
    blocked(&bed, &mut other).await;
    // It holds the first and waits for the second; now the other way round.
    let crosswise = format!("UPDATE users SET phone = 'held' WHERE user_id = '{first}'");
    let begun = std::time::Instant::now();
    other.batch_execute(&crosswise).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(9), "a lock wait timeout, not a deadlock");
    await_retry(&process, "busy").await;
    // Longer than the ten seconds after which a lock wait is given up.
    eventually("a lock wait timeout", async || {
        match process.metric("projector_apply_retries_total", "busy").await {
            Some(retries) if retries >= 2.0 => Ok(()),
            retries => Err(format!("{retries:?}")),
        }
    })
    .await;
    process.await_ready(false).await;
    other.batch_execute("ROLLBACK").await.unwrap();
    bed.await_count("users", "version = 2", 2).await;
    process.await_ready(true).await;
    assert_eq!(bed.dead_letters(0).await.len(), 0);
    process.terminate().await;
    bed.clear().await;
}
