//! The API in this process, on a port and a database of its own.

use std::time::Duration;

use api::Config;
use clap::Parser;
use reqwest::Method;
use shared::process::Shutdown;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{interval, timeout};

use crate::call::Call;
use crate::database::{Database, mongodb_url};
use crate::documented;

/// Generous, because the machine is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Api {
    pub server: Server,
    pub database: Database,
}

/// The running API, without a word on what is behind it.
pub struct Server {
    pub address: String,
    document: &'static serde_json::Value,
    client: reqwest::Client,
    shutdown: Shutdown,
    running: JoinHandle<()>,
}

impl Api {
    /// Ready to take requests, on an empty database.
    pub async fn start() -> Self {
        Self::on(Database::fresh().await).await
    }

    /// Ready to take requests, on a database that may hold something already.
    pub async fn on(database: Database) -> Self {
        let server = Server::start(&mongodb_url(), &database.name).await;
        server.until_ready().await;
        Self { server, database }
    }

    /// As [`Api::start`], with settings of its own: `--auth=token` and the like.
    pub async fn with(settings: &[&str]) -> Self {
        Self::on_with(Database::fresh().await, settings).await
    }

    pub async fn on_with(database: Database, settings: &[&str]) -> Self {
        let server = Server::start_with(&mongodb_url(), &database.name, settings).await;
        server.until_ready().await;
        Self { server, database }
    }

    /// A second instance on the same database.
    pub async fn another(&self) -> Server {
        let server = Server::start(&mongodb_url(), &self.database.name).await;
        server.until_ready().await;
        server
    }

    pub fn get(&self, path: impl AsRef<str>) -> Call {
        self.server.call(Method::GET, path)
    }

    pub fn post(&self, path: impl AsRef<str>) -> Call {
        self.server.call(Method::POST, path)
    }

    pub fn patch(&self, path: impl AsRef<str>) -> Call {
        self.server.call(Method::PATCH, path)
    }

    pub fn delete(&self, path: impl AsRef<str>) -> Call {
        self.server.call(Method::DELETE, path)
    }

    pub fn call(&self, method: Method, path: impl AsRef<str>) -> Call {
        self.server.call(method, path)
    }

    /// Sends what must be refused, and proves that it left no trace.
    pub async fn refuses(&self, call: Call, status: u16, code: &str) -> serde_json::Value {
        let before = self.database.snapshot().await;
        let answer = call.await;
        let details = answer.refused(status, code);
        let after = self.database.snapshot().await;
        assert_eq!(after, before, "{} was refused but left a trace", answer.what);
        details
    }
}

impl Server {
    pub async fn start(mongodb_url: &str, database: &str) -> Self {
        Self::start_with(mongodb_url, database, &[]).await
    }

    pub async fn start_with(mongodb_url: &str, database: &str, settings: &[&str]) -> Self {
        let arguments = ["api", "--mongodb-url", mongodb_url, "--database-name", database];
        // Nobody stands in front who would have to learn that it stops.
        let at_once = ["--drain-delay=0"];
        let at_once = if settings.iter().any(|given| given.starts_with("--drain-delay")) {
            &[][..]
        } else {
            &at_once[..]
        };
        let arguments = arguments.iter().chain(at_once).chain(settings);
        let config = Config::parse_from(arguments);
        let document = documented::under(&config);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let shutdown = Shutdown::new();
        let serving = api::run(config, listener, shutdown.clone());
        let running = tokio::spawn(async move { serving.await.expect("the API runs") });
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        Self { address, document, client, shutdown, running }
    }

    pub fn call(&self, method: Method, path: impl AsRef<str>) -> Call {
        let url = format!("{}{}", self.address, path.as_ref());
        let request = self.client.request(method.clone(), url);
        Call::new(self.document, method, path.as_ref(), request)
    }

    /// One series of /metrics, by its name and labels as they are written there.
    pub async fn metric(&self, series: &str) -> f64 {
        let metrics = self.call(Method::GET, "/metrics").await;
        let value =
            metrics.text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().unwrap())
    }

    pub async fn until_ready(&self) {
        self.until("/ready answers 200", async || {
            self.call(Method::GET, "/ready").await.status == 200
        })
        .await;
    }

    /// Asks again and again until `state` holds: the tests wait for what they see,
    /// never for a time.
    pub async fn until(&self, what: &str, state: impl AsyncFn() -> bool) {
        let mut ticks = interval(Duration::from_millis(20));
        let waiting = async {
            while !state().await {
                assert!(!self.running.is_finished(), "the API stopped while waiting: {what}");
                ticks.tick().await;
            }
        };
        timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("waited in vain: {what}"));
    }

    pub fn begin_to_stop(&self) {
        self.shutdown.cancel();
    }

    /// Asks it to stop, and waits until it has.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        let stopped = timeout(PATIENCE, &mut self.running).await;
        stopped.expect("it stops when asked to").unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}
