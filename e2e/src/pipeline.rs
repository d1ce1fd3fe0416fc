use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, SystemTime};

use tokio::process::Command;

use crate::process::binary;
use crate::{Client, EventLog, Process, Rows, Servers};

/// api, relay and projector on a set of servers, with names of their own for
/// everything that they share with others there.
pub struct Pipeline {
    pub api: Process,
    pub relay: Process,
    pub projector: Process,
    environment: BTreeMap<String, String>,
    logs: PathBuf,
}

impl Pipeline {
    /// Starts the three and waits until they are ready.
    pub async fn start(servers: &Servers, name: &str) -> Self {
        Self::start_with(servers, name, &[]).await
    }

    /// With further settings, for all three.
    pub async fn start_with(servers: &Servers, name: &str, settings: &[(&str, &str)]) -> Self {
        let pipeline = Self::launch_with(servers, name, settings);
        for process in [&pipeline.api, &pipeline.relay, &pipeline.projector] {
            process.wait_until_ready().await;
        }
        pipeline
    }

    /// Starts the three and waits for nothing.
    pub fn launch(servers: &Servers, name: &str) -> Self {
        Self::launch_with(servers, name, &[])
    }

    fn launch_with(servers: &Servers, name: &str, settings: &[(&str, &str)]) -> Self {
        let unique = unique(name);
        let logs = logs(&unique);
        let mut environment = environment(servers, &unique);
        environment
            .extend(settings.iter().map(|(name, value)| (name.to_string(), value.to_string())));
        let addresses = [("API", free()), ("RELAY", free()), ("PROJECTOR", free())];
        for (process, address) in addresses {
            environment.insert(format!("{process}_ADDR"), address.to_string());
            environment.insert(format!("{process}_URL"), format!("http://{address}"));
        }
        let [api, relay, projector] = addresses
            .map(|(process, address)| (process.to_lowercase(), address))
            .map(|(process, address)| {
                let log = logs.join(format!("{process}.log"));
                Process::start(&process, address, environment.clone(), &log)
            });
        Self { api, relay, projector, environment, logs }
    }

    /// One more of the same group.
    pub fn another_projector(&self) -> Process {
        let address = free();
        let mut environment = self.environment.clone();
        environment.insert("PROJECTOR_ADDR".to_owned(), address.to_string());
        let log = logs(self.setting("KAFKA_GROUP_ID"));
        let log = log.join(format!("projector-{}.log", address.port()));
        Process::start("projector", address, environment, &log)
    }

    pub fn client(&self) -> Client {
        Client::new(self.api.url())
    }

    pub fn rows(&self) -> Rows {
        Rows::new(&self.environment)
    }

    /// All events so far, as a read_committed reader sees them.
    pub async fn events(&self) -> EventLog {
        EventLog::read(self.environment.clone()).await
    }

    /// Where its processes log.
    pub fn logs(&self) -> &Path {
        &self.logs
    }

    /// What its processes were started with.
    pub fn environment(&self) -> &BTreeMap<String, String> {
        &self.environment
    }

    /// A value of this pipeline's environment, as in `KAFKA_TOPIC_PREFIX`.
    pub fn setting(&self, name: &str) -> &str {
        &self.environment[name]
    }

    /// `outboxctl verify`: every document equals its row, within the time given.
    ///
    /// # Panics
    /// With its report, where they differ.
    pub async fn verify(&self, within: Duration) {
        let seconds = within.as_secs().to_string();
        let output = self.outboxctl(&["verify", "--wait", &seconds]).await;
        assert!(
            output.status.success(),
            "verify: {}\n{}{}\nrelay {}\nprojector {}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
            self.relay,
            self.projector
        );
    }

    pub async fn outboxctl(&self, arguments: &[&str]) -> std::process::Output {
        Command::new(binary("outboxctl"))
            .args(arguments)
            .envs(&self.environment)
            .output()
            .await
            .expect("outboxctl runs")
    }
}

/// The servers' settings, with `unique` in every name that is shared there.
pub(crate) fn environment(servers: &Servers, unique: &str) -> BTreeMap<String, String> {
    let mut environment: BTreeMap<String, String> =
        servers.settings().map(|(name, value)| (name.clone(), value.clone())).collect();
    for (name, value) in [
        ("DATABASE_NAME", unique.to_owned()),
        ("MYSQL_DATABASE", format!("analytics_{unique}")),
        ("KAFKA_TOPIC_PREFIX", format!("{unique}.")),
        ("KAFKA_GROUP_ID", unique.to_owned()),
    ] {
        environment.insert(name.to_owned(), value);
    }
    environment
}

/// Short, since it becomes part of topic and database names.
pub(crate) fn unique(name: &str) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    format!("{name}_{:x}_{:x}", std::process::id(), now.subsec_nanos())
}

/// target/e2e/<unique>, where a failed run can be read afterwards.
pub(crate) fn logs(unique: &str) -> PathBuf {
    let folder = binary("api").with_file_name("e2e").join(unique);
    std::fs::create_dir_all(&folder).expect("the log folder can be made");
    folder
}

/// A port that nobody listens on at the moment, and that this process gives nobody else.
/// Below those that the kernel takes for outgoing connections (32768 and up): of these,
/// one may be gone before the process that it was meant for has started.
pub fn free() -> SocketAddr {
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    let first = std::process::id() % 10_000;
    loop {
        let number = u32::from(GIVEN.fetch_add(1, Ordering::Relaxed));
        let port = 20_000 + (first + number) % 12_000;
        let address = SocketAddr::from(([127, 0, 0, 1], u16::try_from(port).expect("a port")));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}
