//! A MySQL or MariaDB of this binary's own, for what others must not suffer.

use std::path::{Path, PathBuf};

use tokio::process::Command;
use tokio::sync::{Mutex, MutexGuard};

use crate::bed::Bed;

/// One test at a time has it.
static FAULTY: Mutex<()> = Mutex::const_new(());

static STARTING: Mutex<()> = Mutex::const_new(());

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

    /// Shared by all that ask for it, and started by the first.
    pub async fn mariadb() -> Self {
        let _first = STARTING.lock().await;
        Self::start("projector-mariadb", "mariadb", None).await
    }

    /// To be filled up.
    pub async fn on_little_space() -> Self {
        let name = "projector-full-disk";
        let data = stack_dir(name).join("data");
        std::fs::create_dir_all(&data).unwrap();
        // What a run left behind that was cut short.
        let _ = Command::new("umount").arg(&data).output().await;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=320m,mode=755", "tmpfs"]).arg(&data);
        let mounted = mount.output().await.is_ok_and(|output| output.status.success());
        let options = if mounted {
            println!("MySQL has a file system of 320 MB");
            "--innodb-redo-log-capacity=64M"
        } else {
            println!("no file system can be mounted: MySQL has a tablespace of 40 MB instead");
            "--innodb-file-per-table=OFF --innodb-data-file-path=ibdata1:12M:autoextend:max:40M"
        };
        Self::start_with(name, "mysql", None, options).await
    }

    /// Takes all that is left of it.
    pub async fn fill(&self) {
        if let Some(ballast) = self.ballast() {
            let mut fill = Command::new("dd");
            fill.args(["if=/dev/zero", "bs=64k"]).arg(format!("of={}", ballast.display()));
            let output = fill.output().await.unwrap();
            assert!(!output.status.success(), "it was to end for lack of space");
        } else {
            self.sql("CREATE TABLE mysql.ballast (bytes LONGBLOB)").await;
            while self.try_sql("INSERT INTO mysql.ballast VALUES (REPEAT('x', 500000))").await {}
        }
    }

    pub async fn make_room(&self) {
        match self.ballast() {
            Some(ballast) => std::fs::remove_file(ballast).unwrap(),
            None => self.sql("DROP TABLE mysql.ballast").await,
        }
    }

    /// Stops it, with all its data gone.
    pub async fn remove(self) {
        self.control("wipe").await;
        let data = self.stack_dir.join("data");
        let _ = Command::new("umount").arg(&data).output().await;
    }

    /// Where a file fills the file system, if it is one of its own.
    fn ballast(&self) -> Option<PathBuf> {
        let data = self.stack_dir.join("data");
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
        mounts.contains(&format!(" {} ", data.display())).then(|| data.join("ballast"))
    }

    async fn start(name: &str, flavour: &str, turn: Option<MutexGuard<'static, ()>>) -> Self {
        Self::start_with(name, flavour, turn, "").await
    }

    async fn start_with(
        name: &str,
        flavour: &str,
        turn: Option<MutexGuard<'static, ()>>,
        options: &str,
    ) -> Self {
        let mut server = Self { stack_dir: stack_dir(name), port: 0, _turn: turn };
        let mut start = server.command();
        start.env("STACK_MYSQL_OPTIONS", options);
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

    /// Puts its data aside, as a backup of this moment. It must be stopped.
    pub async fn back_up(&self) {
        let _ = std::fs::remove_dir_all(self.stack_dir.join("backup"));
        self.copy("data", "backup").await;
    }

    /// Goes back to the backup. It must be stopped.
    pub async fn restore(&self) {
        std::fs::remove_dir_all(self.stack_dir.join("data")).unwrap();
        self.copy("backup", "data").await;
    }

    async fn copy(&self, from: &str, to: &str) {
        let mut copy = Command::new("cp");
        copy.arg("-a").args([self.stack_dir.join(from), self.stack_dir.join(to)]);
        run(copy).await;
    }

    /// As root.
    pub async fn sql(&self, statement: &str) {
        let mut command = self.command();
        command.args(["sql", "-e", statement]);
        run(command).await;
    }

    /// As [`Self::sql`]; whether the server took it.
    async fn try_sql(&self, statement: &str) -> bool {
        let mut command = self.command();
        command.args(["sql", "-e", statement]);
        command.output().await.unwrap().status.success()
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

/// Beside the set that all tests share.
fn stack_dir(name: &str) -> PathBuf {
    let shared = std::env::var_os("OUTBOX_TEST_STACK")
        .expect("run through `make test` or deploy/local/with-test-servers");
    PathBuf::from(shared).with_file_name(name)
}

async fn run(mut command: Command) {
    let output = command.output().await.unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
