use std::collections::BTreeMap;

use crate::pipeline::{free, logs, unique};
use crate::{Client, Process, Servers};

/// The api without the rest of the pipeline, on a database of its own.
pub struct ApiAlone {
    process: Process,
}

impl ApiAlone {
    /// Starts it with `settings` on top of the servers' own, and waits until it is ready.
    pub async fn start(servers: &Servers, settings: &[(&str, &str)]) -> Self {
        let (name, address) = (unique("api"), free());
        let mut environment: BTreeMap<String, String> =
            servers.settings().map(|(name, value)| (name.clone(), value.clone())).collect();
        environment.insert("API_ADDR".to_owned(), address.to_string());
        environment.insert("DATABASE_NAME".to_owned(), name.clone());
        for (name, value) in settings {
            environment.insert((*name).to_owned(), (*value).to_owned());
        }
        let process = Process::start("api", address, environment, &logs(&name).join("api.log"));
        process.wait_until_ready().await;
        Self { process }
    }

    pub fn client(&self) -> Client {
        Client::new(self.process.url())
    }

    /// host:port.
    pub fn address(&self) -> String {
        self.process.url().replace("http://", "")
    }
}
