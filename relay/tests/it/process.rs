//! The real binary, to be killed.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::fixture::until;

pub struct Process {
    child: Child,
    port: u16,
    log: String,
}

fn log_of(port: u16) -> String {
    format!("{}/relay-{port}.log", env!("CARGO_TARGET_TMPDIR"))
}

impl Process {
    pub fn launch(settings: &BTreeMap<String, String>) -> Self {
        let port = free_port();
        // Of another test, which had the same port.
        std::fs::remove_file(log_of(port)).ok();
        Self::launch_at(port, settings)
    }

    /// With the same port it is the same relay, started again.
    pub fn launch_at(port: u16, settings: &BTreeMap<String, String>) -> Self {
        Self::launch_program(env!("CARGO_BIN_EXE_relay"), port, settings)
    }

    /// As it is shipped: a debug build is twice as large.
    #[cfg(feature = "chaos")]
    pub fn launch_release(settings: &BTreeMap<String, String>) -> Self {
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/release/relay");
        Self::launch_program(program, free_port(), settings)
    }

    fn launch_program(program: &str, port: u16, settings: &BTreeMap<String, String>) -> Self {
        let log = log_of(port);
        let lines = std::fs::File::options().create(true).append(true).open(&log).unwrap();
        let child = Command::new(program)
            .env_clear()
            .envs(settings)
            .env("RELAY_ADDR", format!("127.0.0.1:{port}"))
            .env("RUST_LOG", "info,relay=debug")
            .stdout(Stdio::from(lines))
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        Self { child, port, log }
    }

    /// SIGKILL: nothing is flushed, nothing is said goodbye to.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success(), "kill -{name}");
    }

    /// SIGTERM, and how it ended.
    pub async fn terminate(mut self, within: Duration) -> std::process::ExitStatus {
        self.signal("TERM");
        let deadline = std::time::Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(std::time::Instant::now() < deadline, "still running {within:?} after SIGTERM");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The most that was ever resident, in bytes, the program itself included.
    #[cfg(feature = "chaos")]
    pub fn highest_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }

    /// All that it has said, and what it said before it was started again.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    pub async fn get(&self, path: &str) -> Option<(u16, String)> {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let answer = reqwest::get(url).await.ok()?;
        Some((answer.status().as_u16(), answer.text().await.ok()?))
    }

    /// The value of a metric, labels included in its name; `None` where it is absent.
    pub async fn metric(&self, name: &str) -> Option<f64> {
        let (_, text) = self.get("/metrics").await?;
        let line = text.lines().find(|line| line.split(' ').next() == Some(name))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    /// Events acknowledged by Kafka since it was launched.
    pub async fn published(&self) -> f64 {
        self.sum("relay_published_total").await
    }

    /// Kafka transactions that were not committed, whatever the reason.
    pub async fn publish_failures(&self) -> f64 {
        self.sum("relay_publish_failures_total").await
    }

    /// Of a metric's values under all its labels.
    async fn sum(&self, name: &str) -> f64 {
        let text = self.get("/metrics").await.map(|(_, text)| text).unwrap_or_default();
        let prefix = format!("{name}{{");
        let lines = text.lines().filter(|line| line.starts_with(&prefix));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    pub async fn await_leading(&self) {
        until("it leads", || async { self.metric("relay_leader").await == Some(1.0) }).await;
    }

    pub async fn await_ready(&self) {
        until("/ready is 200", || async { matches!(self.get("/ready").await, Some((200, _))) })
            .await;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
