//! A MySQL or MariaDB of this binary's own, for what others must not suffer.

use std::path::{Path, PathBuf};

use tokio::process::Command;
use tokio::sync::{Mutex, MutexGuard};

use crate::bed::Bed;

/// One test at a time has it.
static FAULTY: Mutex<()> = Mutex::const_new(());

pub struct OwnMysql {
    stack_dir: PathBuf,
    port: u16,
    _turn: Option<MutexGuard<'static, ()>>,
}

impl OwnMysql {
    /// To be killed, stopped and set read-only.
    pub async fn for_faults() -> Self {
        let turn = FAULTY.lock().await;
        Self::start("projector-faults", "mysql", Some(turn)).await
    }

    pub async fn mariadb() -> Self {
        Self::start("projector-mariadb", "mariadb", None).await
    }

    async fn start(name: &str, flavour: &str, turn: Option<MutexGuard<'static, ()>>) -> Self {
        let shared = std::env::var_os("OUTBOX_TEST_STACK")
            .expect("run through `make test` or deploy/local/with-test-servers");
        let stack_dir = PathBuf::from(shared).with_file_name(name);
        let mut server = Self { stack_dir, port: 0, _turn: turn };
        let mut start = server.command();
        start.env("STACK_MYSQL", flavour).env("STACK_PORTS", "free");
        start.env("MYSQL_BUFFER_POOL", "64M").args(["start", "mysql"]);
        run(start).await;
        server.port = server.port_taken();
        server
    }

    /// `stack` chose it, and wrote it down.
    fn port_taken(&self) -> u16 {
        let env = std::fs::read_to_string(self.stack_dir.join("env")).unwrap();
        let port = env.lines().find_map(|line| line.strip_prefix("MYSQL_PORT=")).unwrap();
        port.parse().unwrap()
    }

    /// `bed`, with this server instead of the shared one.
    pub fn instead(&self, mut bed: Bed) -> Bed {
        bed.config.mysql.mysql_port = self.port;
        bed
    }

    /// `stack start`, `stop` or `kill`: returns once it is done.
    pub async fn control(&self, what: &str) {
        let mut command = self.command();
        command.args([what, "mysql"]);
        run(command).await;
    }

    /// As root.
    pub async fn sql(&self, statement: &str) {
        let mut command = self.command();
        command.args(["sql", "-e", statement]);
        run(command).await;
    }

    fn command(&self) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/local/stack");
        let mut command = Command::new(script);
        // The shared set's variables are not this one's.
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("MYSQL_")) {
                command.env_remove(name);
            }
        }
        command.env("STACK_DIR", &self.stack_dir);
        command.env("MYSQL_PASSWORD", std::env::var_os("MYSQL_PASSWORD").unwrap());
        command
    }
}

async fn run(mut command: Command) {
    let output = command.output().await.unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
