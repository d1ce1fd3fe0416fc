use clap::Parser as _;
use shared::process::Shutdown;

use crate::stack::Stack;

/// The real projector, in this process.
pub struct Projector {
    shutdown: Shutdown,
    running: tokio::task::JoinHandle<Result<(), projector::Error>>,
}

impl Projector {
    pub fn start(stack: &Stack) -> Self {
        let prefix = format!("{}.", stack.name);
        let config = projector::config::Config::parse_from([
            "projector",
            "--mysql-database",
            &stack.name,
            "--kafka-group-id",
            &stack.name,
            "--kafka-topic-prefix",
            &prefix,
            "--addr",
            "127.0.0.1:0",
        ]);
        let shutdown = Shutdown::new();
        let running = tokio::spawn(projector::run(config, shutdown.clone()));
        Self { shutdown, running }
    }

    pub async fn stop(self) {
        self.shutdown.cancel();
        self.running.await.unwrap().unwrap();
    }
}
