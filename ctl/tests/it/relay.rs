use clap::Parser as _;
use shared::process::Shutdown;

use crate::stack::Stack;

/// The real relay, in this process.
pub struct Relay {
    shutdown: Shutdown,
    running: tokio::task::JoinHandle<Result<(), relay::RunError>>,
}

impl Relay {
    pub fn start(stack: &Stack) -> Self {
        let prefix = format!("{}.", stack.name);
        let config = relay::config::Config::parse_from([
            "relay",
            "--database-name",
            &stack.name,
            "--kafka-topic-prefix",
            &prefix,
            "--relay-addr",
            "127.0.0.1:0",
            "--topic-partitions",
            "2",
        ]);
        let shutdown = Shutdown::new();
        let running = tokio::spawn(relay::run(config, shutdown.clone()));
        Self { shutdown, running }
    }

    pub async fn stop(self) {
        self.shutdown.cancel();
        self.running.await.unwrap().unwrap();
    }
}
