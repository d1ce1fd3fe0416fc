//! The counts of `/status` after mongod was killed: the server's own are wrong then, for good.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use mongodb::Client;
use mongodb::bson::{Document, doc};
use reqwest::Method;

use crate::harness::Server;

/// A MongoDB of this test's own. Killed and wiped when dropped.
struct MongoDb {
    folder: PathBuf,
}

impl MongoDb {
    fn start() -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("status_counts");
        let mongodb = Self { folder };
        mongodb.stack("wipe");
        assert!(mongodb.stack("start"), "mongod of its own does not start");
        mongodb
    }

    fn url(&self) -> String {
        let env = std::fs::read_to_string(self.folder.join("env")).unwrap();
        let url = env.lines().find_map(|line| line.strip_prefix("MONGODB_URL="));
        url.unwrap().trim_matches(['\'', '"']).to_owned()
    }

    fn stack(&self, command: &str) -> bool {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut call = Command::new(root.join("deploy/local/stack"));
        // The shared set's variables are in our environment: they are not this set's.
        for name in ["MONGODB_PORT", "DATABASE_NAME"] {
            call.env_remove(name);
        }
        call.args([command, "mongodb"])
            .env("STACK_DIR", &self.folder)
            .env("STACK_SERVERS", root.join(".stack/servers"))
            .env("STACK_PORTS", "free")
            .env("MONGODB_CACHE_GB", "0.5")
            .stdout(Stdio::null());
        call.status().unwrap().success()
    }
}

impl Drop for MongoDb {
    fn drop(&mut self) {
        self.stack("kill");
        self.stack("wipe");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_are_right_after_mongod_was_killed() {
    let mongodb = MongoDb::start();
    let server = Server::start(&mongodb.url(), "counted").await;
    server.until_ready().await;
    let database = Client::with_uri_str(mongodb.url()).await.unwrap().database("counted");
    for (collection, documents) in [("posts", 300), ("outbox", 500), ("outbox_dead", 2)] {
        let documents = (0..documents).map(|_| doc! { "x": "y" });
        database.collection::<Document>(collection).insert_many(documents).await.unwrap();
    }
    assert!(mongodb.stack("kill") && mongodb.stack("start"), "mongod is back");

    server
        .until("the counts are right", async || {
            let status = server.call(Method::GET, "/status.json").await.json();
            let outbox = &status["outbox"];
            status["documents"]["posts"] == 300 && outbox["records"] == 500 && outbox["dead"] == 2
        })
        .await;
}
