//! Servers of a fault test's own: to be stopped, killed and restarted, while the other
//! tests' servers go on.

use std::path::PathBuf;
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

impl Servers {
    /// Empty and running, with the smallest oplog there is, so that it can be made to roll.
    pub fn start(name: &'static str) -> Self {
        Self::with_oplog(name, 990)
    }

    pub fn with_oplog(name: &'static str, oplog_megabytes: u32) -> Self {
        let servers = Self {
            name,
            mongodb: free_port(),
            kafka: free_port(),
            controller: free_port(),
            oplog_megabytes,
        };
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
            .env("MONGODB_CACHE_GB", "0.5")
            .stdout(Stdio::null());
        call.status().unwrap().success()
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.call("kill", &["mongodb", "kafka"]);
        self.call("wipe", &["mongodb", "kafka"]);
    }
}
