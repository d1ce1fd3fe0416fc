use std::collections::BTreeMap;

use crate::pipeline::{free, logs, unique};
use crate::{Client, Process, Servers, Used};

/// The api without the rest of the pipeline, on a database of its own.
pub struct ApiAlone {
    process: Process,
    database: String,
}

impl ApiAlone {
    /// Starts it with `settings` on top of the servers' own, and waits until it is ready.
    pub async fn start(servers: &Servers, settings: &[(&str, &str)]) -> Self {
        Self::on(unique("api"), servers, settings).await
    }

    /// Starts another one on the same database.
    pub async fn beside(&self, servers: &Servers, settings: &[(&str, &str)]) -> Self {
        Self::on(self.database.clone(), servers, settings).await
    }

    async fn on(database: String, servers: &Servers, settings: &[(&str, &str)]) -> Self {
        let (name, address) = (unique("api"), free());
        let mut environment: BTreeMap<String, String> =
            servers.settings().map(|(name, value)| (name.clone(), value.clone())).collect();
        environment.insert("API_ADDR".to_owned(), address.to_string());
        environment.insert("DATABASE_NAME".to_owned(), database.clone());
        for (name, value) in settings {
            environment.insert((*name).to_owned(), (*value).to_owned());
        }
        let process = Process::start("api", address, environment, &logs(&name).join("api.log"));
        process.wait_until_ready().await;
        Self { process, database }
    }

    pub fn client(&self) -> Client {
        Client::new(self.process.url())
    }

    pub fn database(&self) -> &str {
        &self.database
    }

    /// What the process has used since it was started.
    pub fn used(&self) -> Used {
        self.process.used()
    }

    /// host:port.
    pub fn address(&self) -> String {
        self.process.address()
    }
}
