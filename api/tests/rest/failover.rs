//! MongoDB fails in the middle of a transaction: the client sees one success, or a refusal
//! that tells nothing of what is inside.
//!
//! `failCommand` makes the server itself fail as it would when a primary steps down. It
//! concerns only connections with the name that a test gives its API.

use mongodb::Client;
use mongodb::bson::{Document, doc, oid::ObjectId};

use crate::database::{Database, mongodb_url};
use crate::fixtures::new_user;
use crate::harness::Server;

const NOT_WRITABLE_PRIMARY: i32 = 10107;
const INTERNAL_ERROR: i32 = 1;

struct Failing {
    server: Server,
    database: Database,
    admin: mongodb::Database,
    name: String,
}

impl Failing {
    async fn prepare() -> Self {
        let database = Database::fresh().await;
        let name = format!("api-{}", ObjectId::new());
        let url = format!("{}&appName={name}", mongodb_url());
        let server = Server::start(&url, &database.name).await;
        server.until_ready().await;
        let admin = Client::with_uri_str(mongodb_url()).await.unwrap().database("admin");
        Self { server, database, admin, name }
    }

    /// The next time that the API sends `command`, it fails so.
    async fn fail_once(&self, command: &str, failure: Document) {
        let mut data = doc! { "failCommands": [command], "appName": &self.name };
        data.extend(failure);
        let order =
            doc! { "configureFailPoint": "failCommand", "mode": { "times": 1 }, "data": data };
        self.admin.run_command(order).await.expect("mongod runs with enableTestCommands=1");
    }

    async fn one_success(&self) {
        let before = self.database.all("users").await.len();
        self.server.call(reqwest::Method::POST, "/users").json(&new_user()).await.is(201);
        assert_eq!(self.database.all("users").await.len(), before + 1);
        assert_eq!(self.database.events().await.len(), before + 1);
    }
}

/// One test, for a fail point is the server's, not the connection's.
#[tokio::test]
async fn a_failover_in_a_transaction_is_one_success_for_the_client() {
    let failing = Failing::prepare().await;
    let stepped_down =
        || doc! { "errorCode": NOT_WRITABLE_PRIMARY, "errorLabels": ["TransientTransactionError"] };
    for (command, failure) in [
        ("insert", stepped_down()),
        ("insert", doc! { "closeConnection": true }),
        (
            "commitTransaction",
            doc! { "errorCode": NOT_WRITABLE_PRIMARY, "errorLabels": ["RetryableWriteError"] },
        ),
        ("commitTransaction", doc! { "closeConnection": true }),
    ] {
        failing.fail_once(command, failure).await;
        failing.one_success().await;
    }
    let retries = failing.server.metric("api_transaction_retries_total").await;
    assert!(retries >= 2.0, "{retries} retries");

    // What cannot be mended is 500, without a word of what it was.
    failing.fail_once("insert", doc! { "errorCode": INTERNAL_ERROR }).await;
    let before = failing.database.snapshot().await;
    let answer = failing.server.call(reqwest::Method::POST, "/users").json(&new_user()).await;
    answer.refused(500, "INTERNAL_ERROR");
    for inside in ["Mongo", "mongo", "insert", "Command", "failpoint", "InternalError"] {
        assert!(!answer.text.contains(inside), "{inside} leaks into {}", answer.text);
    }
    assert_eq!(failing.database.snapshot().await, before);
}
