//! The api as a process of its own: what a test must not do to itself.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reqwest::Method;

use crate::call::Call;
use crate::documented::DOCUMENT;

/// Killed (-9) when dropped.
pub struct Process {
    pub url: String,
    client: reqwest::Client,
    child: Child,
}

impl Process {
    /// Ready to take requests.
    pub async fn start(mongodb_url: &str, database: &str, settings: &[&str]) -> Self {
        Self::start_by(Command::new(env!("CARGO_BIN_EXE_api")), mongodb_url, database, settings)
            .await
    }

    /// As [`Process::start`], by a command that runs the api with the arguments it is given.
    pub async fn start_by(
        mut command: Command,
        mongodb_url: &str,
        database: &str,
        settings: &[&str],
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        let child = command
            .args(["--addr", &address, "--mongodb-url", mongodb_url, "--database-name", database])
            .args(settings)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let process = Self { url: format!("http://{address}"), client, child };
        eventually("it is ready", async || {
            let asked = process.client.get(format!("{}/ready", process.url)).send().await;
            asked.is_ok_and(|answer| answer.status() == 200)
        })
        .await;
        process
    }

    pub fn call(&self, method: Method, path: &str) -> Call {
        let request = self.client.request(method.clone(), format!("{}{path}", self.url));
        Call::new(&DOCUMENT, method, path, request)
    }

    pub fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// A line of /proc/PID/status, in KiB.
    pub fn memory_kib(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.unwrap().trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// From now on `VmHWM` is the most since now.
    pub fn forget_peak(&self) {
        std::fs::write(format!("/proc/{}/clear_refs", self.id()), "5").unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

pub async fn eventually(what: &str, state: impl AsyncFn() -> bool) {
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    let waiting = async {
        while !state().await {
            ticks.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting)
        .await
        .unwrap_or_else(|_| panic!("{what}"));
}
