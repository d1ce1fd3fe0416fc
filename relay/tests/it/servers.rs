//! Servers of a fault test's own: to be stopped, killed and restarted, while the other
//! tests' servers go on.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::process::free_port;

/// MongoDB and Kafka; killed when dropped.
pub struct Servers {
    /// Their folder, beside the other sets'.
    name: &'static str,
    mongodb: u16,
    kafka: u16,
    controller: u16,
    oplog_megabytes: u32,
}

/// What is special about a set of servers.
pub struct Kind {
    pub oplog_megabytes: u32,
    /// Added to Kafka's; `{port}` is the port for clients, `{controller}` its own.
    pub kafka_properties: String,
    pub mongodb_config: String,
}

impl Default for Kind {
    /// With the smallest oplog there is, so that it can be made to roll.
    fn default() -> Self {
        let (kafka_properties, mongodb_config) = (String::new(), String::new());
        Self { oplog_megabytes: 990, kafka_properties, mongodb_config }
    }
}

impl Servers {
    /// Empty and running.
    pub fn start(name: &'static str) -> Self {
        Self::of_kind(name, &Kind::default())
    }

    pub fn of_kind(name: &'static str, kind: &Kind) -> Self {
        let servers = Self {
            name,
            mongodb: free_port(),
            kafka: free_port(),
            controller: free_port(),
            oplog_megabytes: kind.oplog_megabytes,
        };
        let properties = kind
            .kafka_properties
            .replace("{port}", &servers.kafka.to_string())
            .replace("{controller}", &servers.controller.to_string());
        std::fs::create_dir_all(servers.folder()).unwrap();
        std::fs::write(servers.folder().join("kafka.properties"), properties).unwrap();
        std::fs::write(servers.folder().join("mongod.conf"), &kind.mongodb_config).unwrap();
        servers.stack("wipe", &["mongodb", "kafka"]);
        servers.stack("start", &["mongodb", "kafka"]);
        servers
    }

    pub fn mongodb_url(&self) -> String {
        format!("mongodb://127.0.0.1:{}/?replicaSet=rs0", self.mongodb)
    }

    pub fn kafka(&self) -> String {
        format!("127.0.0.1:{}", self.kafka)
    }

    /// `deploy/local/stack COMMAND NAME...` on this set.
    pub fn stack(&self, command: &str, names: &[&str]) {
        let done = self.call(command, names);
        assert!(done, "stack {command} {names:?}");
    }

    /// Stops MongoDB and keeps a copy of its data.
    pub fn save_mongodb(&self) {
        self.stack("stop", &["mongodb"]);
        copy(&self.folder().join("data/mongodb"), &self.folder().join("data/mongodb-earlier"));
        self.stack("start", &["mongodb"]);
    }

    /// Puts MongoDB back to the copy.
    pub fn restore_mongodb(&self) {
        self.stack("stop", &["mongodb"]);
        copy(&self.folder().join("data/mongodb-earlier"), &self.folder().join("data/mongodb"));
        self.stack("start", &["mongodb"]);
    }

    #[cfg(feature = "chaos")]
    pub fn signal(&self, name: &str, signal: &str) {
        let file = self.folder().join("run").join(format!("{name}.pid"));
        let pid = std::fs::read_to_string(file).unwrap();
        let sent = Command::new("kill").args([&format!("-{signal}"), pid.trim()]).status();
        assert!(sent.unwrap().success(), "kill -{signal} {name}");
    }

    fn folder(&self) -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../.stack").join(self.name)
    }

    fn call(&self, command: &str, names: &[&str]) -> bool {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut call = Command::new(root.join("deploy/local/stack"));
        call.arg(command)
            .args(names)
            .env("STACK_DIR", self.folder())
            .env("STACK_SERVERS", root.join(".stack/servers"))
            .env("MONGODB_PORT", self.mongodb.to_string())
            .env("KAFKA_PORT", self.kafka.to_string())
            .env("KAFKA_CONTROLLER_PORT", self.controller.to_string())
            .env("MONGODB_OPLOG_MB", self.oplog_megabytes.to_string())
            .env("KAFKA_PROPERTIES", self.folder().join("kafka.properties"))
            .env("MONGODB_CONFIG", self.folder().join("mongod.conf"))
            .env("MONGODB_CACHE_GB", "0.5")
            .stdout(Stdio::null());
        call.status().unwrap().success()
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::remove_dir_all(to).ok();
    let copied = Command::new("cp").arg("-a").args([from, to]).status().unwrap();
    assert!(copied.success(), "cp -a {from:?} {to:?}");
}

impl Drop for Servers {
    fn drop(&mut self) {
        std::fs::remove_dir_all(self.folder().join("data/mongodb-earlier")).ok();
        self.call("kill", &["mongodb", "kafka"]);
        self.call("wipe", &["mongodb", "kafka"]);
    }
}
