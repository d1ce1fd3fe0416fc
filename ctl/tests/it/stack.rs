//! Databases of a test's own on the servers of the test set.

use std::process::Output;

use clap::Parser;
use diesel_async::AsyncMysqlConnection;
use mongodb::{Client, Database};
use shared::process::{MongoSettings, MysqlSettings};

#[derive(Parser)]
struct Settings {
    #[command(flatten)]
    mongodb: MongoSettings,
    #[command(flatten)]
    mysql: MysqlSettings,
}

pub struct Stack {
    pub name: String,
    pub mongodb: Database,
    pub mysql: MysqlSettings,
}

/// What a run of the binary left behind.
pub struct Run {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Stack {
    /// A MongoDB database, and a MySQL database with the projector's schema.
    pub async fn new() -> Self {
        assert!(
            std::env::var_os("OUTBOX_TEST_STACK").is_some(),
            "run through make test or deploy/local/with-test-servers"
        );
        let name = format!("analytics_ctl_{}", uuid::Uuid::now_v7().simple());
        let settings =
            Settings::parse_from(["test", "--database-name", &name, "--mysql-database", &name]);
        projector::database::prepare(&settings.mysql).await.unwrap();
        let client = Client::with_uri_str(&settings.mongodb.mongodb_url).await.unwrap();
        Self { mongodb: client.database(&name), mysql: settings.mysql, name }
    }

    pub async fn mysql(&self) -> AsyncMysqlConnection {
        projector::database::connect(&self.mysql).await.unwrap()
    }

    /// Runs one SQL statement.
    pub async fn sql(&self, statement: &str) {
        use diesel_async::SimpleAsyncConnection as _;
        self.mysql().await.batch_execute(statement).await.unwrap();
    }

    /// The real binary, on this stack's databases, with `variables` on top.
    pub fn start(&self, arguments: &[&str], variables: &[(&str, &str)]) -> tokio::process::Child {
        tokio::process::Command::new(env!("CARGO_BIN_EXE_outboxctl"))
            .args(arguments)
            .env("DATABASE_NAME", &self.name)
            .env("MYSQL_DATABASE", &self.name)
            .env("KAFKA_TOPIC_PREFIX", format!("{}.", self.name))
            .env("KAFKA_GROUP_ID", &self.name)
            .envs(variables.iter().copied())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }

    pub async fn outboxctl(&self, arguments: &[&str]) -> Run {
        self.start(arguments, &[]).wait_with_output().await.unwrap().into()
    }

    pub async fn drop(self) {
        self.sql(&format!("DROP DATABASE {}", self.name)).await;
        self.mongodb.drop().await.unwrap();
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Run {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| {
            panic!("{error} in {:?}; stderr {:?}", self.stdout, self.stderr)
        })
    }
}
