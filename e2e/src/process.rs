use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

use crate::metrics::Metrics;
use crate::{Used, eventually};

/// One of our binaries, running. Killed (-9) when dropped.
pub struct Process {
    name: String,
    environment: BTreeMap<String, String>,
    address: SocketAddr,
    log: PathBuf,
    child: Child,
}

impl Process {
    /// Starts `target/<profile>/<name>`, its output appended to `log`.
    pub fn start(
        name: &str,
        address: SocketAddr,
        environment: BTreeMap<String, String>,
        log: &Path,
    ) -> Self {
        let mut environment = environment;
        if name == "projector" {
            // As in production: it keeps its name when it is started again.
            let instance = format!("projector-{}", address.port());
            environment.entry("PROJECTOR_INSTANCE_ID".to_owned()).or_insert(instance);
        }
        let child = launch(name, &environment, log);
        Self { name: name.to_owned(), environment, address, log: log.to_owned(), child }
    }

    /// `kill -9`, and gone when this returns.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("the process is ours to kill");
    }

    /// Sends it a signal, as in "STOP".
    ///
    /// # Panics
    /// Where it does not run.
    pub async fn signal(&self, signal: &str) {
        let pid = self.child.id().unwrap_or_else(|| panic!("{} does not run {self}", self.name));
        send(signal, &pid.to_string()).await;
    }

    /// SIGTERM, and SIGKILL where it is still there at the deadline. Whether it ended
    /// by itself.
    pub async fn stop(&mut self, deadline: Duration) -> bool {
        self.signal("TERM").await;
        let ended = tokio::time::timeout(deadline, self.child.wait()).await.is_ok();
        if !ended {
            self.kill().await;
        }
        ended
    }

    /// SIGTERM.
    ///
    /// # Panics
    /// Where it does not end with exit code 0 in time.
    pub async fn terminate(&mut self, deadline: Duration) {
        self.signal("TERM").await;
        let ended = tokio::time::timeout(deadline, self.child.wait()).await;
        let ended = ended.unwrap_or_else(|_| panic!("{} outlives SIGTERM {self}", self.name));
        let status = ended.expect("its status can be read");
        assert!(status.success(), "{} ended with {status} {self}", self.name);
    }

    /// Starts it again, after a kill or a stop, with the settings it had.
    pub fn restart(&mut self) {
        self.child = launch(&self.name, &self.environment, &self.log);
    }

    pub async fn wait_until_ready(&self) {
        let url = format!("{}/ready", self.url());
        let what = format!("{} is ready (log {})", self.name, self.log.display());
        eventually(&what, Duration::from_secs(60), async || match reqwest::get(&url).await {
            Ok(answer) if answer.status() == 200 => Ok(()),
            Ok(answer) => Err(answer.text().await.unwrap_or_default()),
            Err(error) => Err(error.to_string()),
        })
        .await;
    }

    /// Host and port.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// # Panics
    /// Where it does not answer.
    pub async fn metrics(&self) -> Metrics {
        let answer = reqwest::get(format!("{}/metrics", self.url())).await;
        Metrics(answer.expect("it answers").text().await.expect("metrics are text"))
    }

    /// What it has used since it was started or restarted.
    pub fn used(&self) -> Used {
        Used::by(&self.child.id().expect("it runs").to_string())
    }

    /// All that it has said so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// `kill -SIGNAL PID`.
///
/// # Panics
/// Where there is no such process.
pub(crate) async fn send(signal: &str, pid: &str) {
    let arguments = [&format!("-{signal}"), pid];
    let sent = Command::new("kill").args(arguments).status().await.expect("kill runs");
    assert!(sent.success(), "SIG{signal} did not reach {pid}");
}

/// Where to look when it misbehaves: the end of its log.
impl std::fmt::Display for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(20)..].join("\n");
        write!(f, "(log {}):\n{tail}", self.log.display())
    }
}

fn launch(name: &str, environment: &BTreeMap<String, String>, log: &Path) -> Child {
    let log = File::options().create(true).append(true).open(log).expect("the log can be written");
    let errors = log.try_clone().expect("a second handle of the log");
    Command::new(binary(name))
        .envs(environment)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// target/<profile>/<name>: where a bench lies itself, and a test one folder below.
///
/// # Panics
/// Where it was not built.
pub fn binary(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("the path of this program");
    let folder = own.parent().expect("a program lies in a folder");
    let profile = if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder };
    let binary = profile.join(name);
    assert!(binary.exists(), "{} is missing: run `make build`", binary.display());
    binary
}
