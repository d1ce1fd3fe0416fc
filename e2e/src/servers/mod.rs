mod stack;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::process::Command;

use self::stack::{pid, read_variables, run_stack, thaw, try_stack};
use crate::Used;
use crate::process::send;

const SERVERS: [&str; 3] = ["mongodb", "kafka", "mysql"];

/// A running set of MongoDB, Kafka and MySQL, started by the project's own scripts.
#[derive(Debug, Clone)]
pub struct Servers {
    stack_dir: PathBuf,
    settings: BTreeMap<String, String>,
}

/// A way to Kafka, beside the one that it has anyway.
#[derive(Debug, Clone, Copy)]
pub struct Listener {
    pub name: &'static str,
    pub address: SocketAddr,
    /// Where it tells clients that it is.
    pub advertised: SocketAddr,
    /// As in `SASL_PLAINTEXT`.
    pub protocol: &'static str,
}

impl Servers {
    /// The set that all tests share: none of them may stop it. `make chaos` has it alone.
    ///
    /// # Panics
    /// Outside of `deploy/local/with-test-servers`.
    pub fn shared() -> Self {
        let stack_dir = std::env::var_os("OUTBOX_TEST_STACK")
            .expect("run through `make test`, or `deploy/local/with-test-servers cargo test …`");
        Self::open(PathBuf::from(stack_dir))
    }

    /// A set of its own for tests that stop servers, next to the shared one. It stays
    /// up for the next test binary, as the shared set does.
    pub async fn for_faults() -> Self {
        let stack_dir = Self::shared().stack_dir.with_file_name("faults");
        for server in SERVERS {
            thaw(&stack_dir, server).await;
        }
        let settings = [
            ("STACK_PORTS", "free"),
            ("MONGODB_CACHE_GB", "0.5"),
            ("MONGODB_OPLOG_MB", "990"),
            ("MYSQL_BUFFER_POOL", "128M"),
            // What a test has added to it does not outlive the test.
            ("KAFKA_PROPERTIES", "/dev/null"),
        ];
        run_stack(&stack_dir, &[&["start"], &SERVERS[..]].concat(), &settings).await;
        Self::open(stack_dir)
    }

    /// `stack start|stop|kill NAME`: returns once it is done.
    pub async fn control(&self, command: &str, server: &str) {
        run_stack(&self.stack_dir, &[command, server], &[]).await;
    }

    /// What MySQL's root is answered to statements, one line for each row.
    ///
    /// # Errors
    /// What MySQL says.
    pub async fn sql_as_root(&self, statements: &str) -> Result<String, String> {
        let arguments = ["sql", "--skip-column-names", "--execute", statements];
        try_stack(&self.stack_dir, &arguments, &[]).await
    }

    /// The account may do everything in the databases whose names begin so.
    ///
    /// # Panics
    /// Where the set was never started.
    pub fn mysql_database(&self) -> String {
        read_variables(&self.stack_dir.join("settings"))["MYSQL_DATABASE"].clone()
    }

    /// Restarts Kafka with further listeners, and what else they need in its properties. They
    /// stay when it is restarted again.
    ///
    /// # Panics
    /// Where it does not start.
    pub async fn restart_kafka_with(&self, further: &[Listener], properties: &str) {
        // Not for clients, so not in the env file.
        let controller = &read_variables(&self.stack_dir.join("settings"))["KAFKA_CONTROLLER_PORT"];
        let own = self.setting("KAFKA_BOOTSTRAP_SERVERS");
        let mut listeners = format!("PLAINTEXT://{own},CONTROLLER://127.0.0.1:{controller}");
        let mut advertised = format!("PLAINTEXT://{own}");
        let mut protocols = "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT".to_owned();
        for Listener { name, address, advertised: given, protocol } in further {
            listeners += &format!(",{name}://{address}");
            advertised += &format!(",{name}://{given}");
            protocols += &format!(",{name}:{protocol}");
        }
        let text = format!(
            "listeners={listeners}\nadvertised.listeners={advertised}\n\
             listener.security.protocol.map={protocols}\n{properties}"
        );
        let file = self.stack_dir.join("listeners.properties");
        std::fs::write(&file, text).expect("the set's folder can be written");
        let file = file.to_str().expect("a path in UTF-8");
        self.control("stop", "kafka").await;
        run_stack(&self.stack_dir, &["start", "kafka"], &[("KAFKA_PROPERTIES", file)]).await;
    }

    /// SIGSTOP: it keeps its connections and answers nothing.
    pub async fn freeze(&self, server: &str) {
        let pid = pid(&self.stack_dir, server).expect("a server that runs has a pid file");
        send("STOP", &pid).await;
    }

    /// SIGCONT. Nothing happens where it does not run.
    pub async fn thaw(&self, server: &str) {
        thaw(&self.stack_dir, server).await;
    }

    /// Copies a server's data as they are at one moment, as a snapshot of a volume does.
    ///
    /// # Panics
    /// Where it does not run, or the disk is full.
    pub async fn copy_data(&self, server: &str) {
        let (data, copy) = self.data(server);
        tokio::fs::remove_dir_all(&copy).await.ok();
        self.freeze(server).await;
        let copied = Command::new("cp").arg("-a").args([&data, &copy]).status().await;
        self.thaw(server).await;
        assert!(copied.is_ok_and(|status| status.success()), "{server}'s data cannot be copied");
    }

    /// Replaces a server's data by the copy, and starts it again.
    ///
    /// # Panics
    /// Where there is no copy, or it does not start.
    pub async fn put_back(&self, server: &str) {
        let (data, copy) = self.data(server);
        self.control("kill", server).await;
        tokio::fs::remove_dir_all(&data).await.expect("the data can be removed");
        tokio::fs::rename(&copy, &data).await.expect("there is a copy");
        self.control("start", server).await;
    }

    fn data(&self, server: &str) -> (PathBuf, PathBuf) {
        let data = self.stack_dir.join("data").join(server);
        let copy = data.with_extension("copy");
        (data, copy)
    }

    /// What a server has used since it was started.
    ///
    /// # Panics
    /// Where it does not run.
    pub fn used(&self, server: &str) -> Used {
        Used::by(&pid(&self.stack_dir, server).expect("a server that runs has a pid file"))
    }

    /// A value of the set's env file, as in `KAFKA_BOOTSTRAP_SERVERS`.
    pub fn setting(&self, name: &str) -> &str {
        self.settings.get(name).unwrap_or_else(|| panic!("the stack's env file lacks {name}"))
    }

    pub fn settings(&self) -> impl Iterator<Item = (&String, &String)> {
        self.settings.iter()
    }

    fn open(stack_dir: PathBuf) -> Self {
        let env = stack_dir.join("env");
        Self { settings: read_variables(&env), stack_dir }
    }
}
