//! The real binary, to be killed and measured.

use std::net::{Ipv4Addr, TcpListener};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use projector::config::Config;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::bed::{DEADLINE, eventually};

pub struct Process {
    child: Child,
    port: u16,
}

impl Process {
    pub fn start(config: &Config) -> Self {
        Self::start_with(config, &[])
    }

    pub fn start_with(config: &Config, environment: &[(&str, &str)]) -> Self {
        let port = free_port();
        let mysql = &config.mysql;
        let child = Command::new(env!("CARGO_BIN_EXE_projector"))
            .env("KAFKA_TOPIC_PREFIX", &config.kafka.kafka_topic_prefix)
            .env("KAFKA_GROUP_ID", &config.group.kafka_group_id)
            // The shortest that brokers allow by default.
            .env("KAFKA_SESSION_TIMEOUT_MS", "6000")
            .env("MYSQL_PORT", mysql.mysql_port.to_string())
            .env("MYSQL_DATABASE", &mysql.mysql_database)
            .env("PROJECTOR_ADDR", format!("127.0.0.1:{port}"))
            .env("RUST_LOG", "warn")
            .envs(environment.iter().copied())
            .stdout(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { child, port }
    }

    /// SIGKILL: nothing is finished, nothing committed, the group is not left.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// By name, as in `STOP` and `CONT`.
    pub async fn signal(&self, signal: &str) {
        let pid = self.child.id().unwrap().to_string();
        let sent = Command::new("kill").args([&format!("-{signal}"), &pid]).status().await.unwrap();
        assert!(sent.success());
    }

    /// Waits until it ends by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        tokio::time::timeout(DEADLINE, self.child.wait()).await.unwrap().unwrap()
    }

    /// SIGTERM, and a clean exit within ten seconds.
    pub async fn terminate(mut self) {
        self.signal("TERM").await;
        let exit = tokio::time::timeout(Duration::from_secs(10), self.child.wait()).await;
        assert!(exit.unwrap().unwrap().success());
    }

    /// The most memory it ever held, in MB.
    pub fn peak_memory_mb(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id().unwrap());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    }

    /// The sum of a metric over the label values that contain `labels`; `None` if there is none,
    /// or nobody serves it yet.
    pub async fn metric(&self, name: &str, labels: &str) -> Option<f64> {
        let (_, text) = self.get("/metrics").await.ok()?;
        let lines = text.lines().filter(|line| line.starts_with(name) && line.contains(labels));
        let values = lines.filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let is_it = series == name || series[name.len()..].starts_with('{');
            is_it.then(|| value.parse::<f64>().unwrap())
        });
        values.reduce(|sum, value| sum + value)
    }

    pub async fn await_ready(&self, expected: bool) {
        eventually(&format!("ready: {expected}"), async || {
            let (status, body) = self.get("/ready").await?;
            if (status == 200) == expected { Ok(()) } else { Err(body) }
        })
        .await;
    }

    pub async fn get(&self, path: &str) -> Result<(u16, String), String> {
        let asking = async {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await?;
            let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
            stream.write_all(request.as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            std::io::Result::Ok(answer)
        };
        let answer = asking.await.map_err(|error| error.to_string())?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or("no HTTP")?;
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or("no HTTP")?;
        Ok((status, body.to_owned()))
    }
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}
