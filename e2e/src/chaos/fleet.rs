//! What the faults are done to: two of each process, their servers, and the proxies
//! between them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::Mutex;

use super::Relays;
use super::fault::Link;
use crate::pipeline::{environment, free, logs, unique};
use crate::process::binary;
use crate::proxy::Proxy;
use crate::{Client, Listener, Process, Servers};

type Environment = BTreeMap<String, String>;

/// Two apis, two relays and two projectors. Any of them can be down at any time.
pub struct Fleet {
    pub(super) servers: Servers,
    pub(super) apis: Vec<Mutex<Process>>,
    pub(super) relays: Vec<Mutex<Process>>,
    pub(super) projectors: Vec<Mutex<Process>>,
    relay_urls: Vec<String>,
    /// What the clients talk to: a proxy before each api.
    client_urls: Vec<String>,
    pub(super) proxies: BTreeMap<Link, Vec<Proxy>>,
    environment: Environment,
    logs: PathBuf,
}

impl Fleet {
    /// Starts all, and waits until all are ready.
    pub async fn start(servers: &Servers, name: &str, relays: Relays) -> Self {
        let unique = unique(name);
        let direct = environment(servers, &unique);
        let logs = logs(&unique);
        let to_mongodb = || Proxy::start(mongodb_address(&direct));
        let (for_api, for_relay) = (to_mongodb().await, to_mongodb().await);
        let mysql = format!("{}:{}", direct["MYSQL_HOST"], direct["MYSQL_PORT"]);
        let for_projector = Proxy::start(mysql).await;
        let [relay_to_kafka, projector_to_kafka] = ways_to_kafka(servers).await;

        let with = |changes: &[(&str, String)]| {
            let mut environment = direct.clone();
            environment
                .extend(changes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
            environment
        };
        let api = with(&[("MONGODB_URL", mongodb_url(&for_api))]);
        let relay = with(&[
            ("MONGODB_URL", mongodb_url(&for_relay)),
            ("KAFKA_BOOTSTRAP_SERVERS", relay_to_kafka.address().to_string()),
        ]);
        let projector = with(&[
            ("MYSQL_PORT", for_projector.address().port().to_string()),
            ("KAFKA_BOOTSTRAP_SERVERS", projector_to_kafka.address().to_string()),
        ]);
        let shards = [with_shard(&relay, "0/2"), with_shard(&relay, "1/2")];
        let apis = pair("api", [&api; 2], &logs);
        let relays = match relays {
            Relays::Standby => pair("relay", [&relay; 2], &logs),
            Relays::Shards => pair("relay", shards.each_ref(), &logs),
        };
        let projectors = pair("projector", [&projector; 2], &logs);
        for process in apis.iter().chain(&relays).chain(&projectors) {
            process.wait_until_ready().await;
        }
        let mut for_clients = Vec::new();
        for api in &apis {
            for_clients.push(Proxy::start(api.address()).await);
        }
        Self {
            servers: servers.clone(),
            relay_urls: relays.iter().map(Process::url).collect(),
            client_urls: for_clients
                .iter()
                .map(|proxy| format!("http://{}", proxy.address()))
                .collect(),
            apis: apis.into_iter().map(Mutex::new).collect(),
            relays: relays.into_iter().map(Mutex::new).collect(),
            projectors: projectors.into_iter().map(Mutex::new).collect(),
            proxies: BTreeMap::from([
                (Link::ClientToApi, for_clients),
                (Link::ApiToMongodb, vec![for_api]),
                (Link::RelayToMongodb, vec![for_relay]),
                (Link::ProjectorToMysql, vec![for_projector]),
                (Link::RelayToKafka, vec![relay_to_kafka]),
                (Link::ProjectorToKafka, vec![projector_to_kafka]),
            ]),
            environment: direct,
            logs,
        }
    }

    /// Waits until all of them say that they are ready.
    pub async fn wait_until_ready(&self) {
        for process in self.apis.iter().chain(&self.relays).chain(&self.projectors) {
            process.lock().await.wait_until_ready().await;
        }
    }

    /// The number of the relay that says it leads: the second where both do, the first where
    /// none does.
    pub async fn leader(&self) -> usize {
        let leads = |url: &String| {
            let metrics = reqwest::Client::new().get(format!("{url}/metrics"));
            let metrics = metrics.timeout(Duration::from_millis(500));
            async move {
                let text = metrics.send().await.ok()?.text().await.ok()?;
                text.lines().any(|line| line == "relay_leader 1").then_some(())
            }
        };
        usize::from(leads(&self.relay_urls[1]).await.is_some())
    }

    /// What the operator's tool says, which talks to the servers themselves.
    ///
    /// # Errors
    /// Likewise, where it fails.
    pub async fn outboxctl(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = tokio::process::Command::new(binary("outboxctl"));
        let output = command.args(arguments).envs(self.environment()).output().await;
        let output = output.expect("outboxctl runs");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        if output.status.success() { Ok(said) } else { Err(said) }
    }

    pub fn client_urls(&self) -> &[String] {
        &self.client_urls
    }

    /// One that goes through no proxy but the first api's.
    pub fn client(&self) -> Client {
        Client::new(self.client_urls[0].clone())
    }

    /// The servers themselves, without the proxies.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Where the processes log, and the clients note what was acknowledged.
    pub fn logs(&self) -> &Path {
        &self.logs
    }
}

/// Two ways, through proxies. A client goes where the broker says it is, so the broker gets
/// two more addresses, each of which it gives out as that of a proxy.
async fn ways_to_kafka(servers: &Servers) -> [Proxy; 2] {
    let far: [SocketAddr; 2] = [free(), free()];
    let [relay, projector] = far.map(|far| Proxy::start(far.to_string()));
    let proxies = [relay.await, projector.await];
    let near = proxies.each_ref().map(Proxy::address);
    let way = |name, side: usize| Listener {
        name,
        address: far[side],
        advertised: near[side],
        protocol: "PLAINTEXT",
    };
    servers.restart_kafka_with(&[way("RELAY", 0), way("PROJECTOR", 1)], "").await;
    proxies
}

fn with_shard(environment: &Environment, shard: &str) -> Environment {
    let mut environment = environment.clone();
    environment.insert("RELAY_SHARD".to_owned(), shard.to_owned());
    environment
}

fn pair(name: &str, environments: [&Environment; 2], logs: &Path) -> Vec<Process> {
    let start = |number: usize| {
        let address: SocketAddr = free();
        let mut environment = environments[number].clone();
        environment.insert(format!("{}_ADDR", name.to_uppercase()), address.to_string());
        Process::start(name, address, environment, &logs.join(format!("{name}{number}.log")))
    };
    (0..2).map(start).collect()
}

fn mongodb_address(environment: &Environment) -> String {
    let url = environment["MONGODB_URL"].trim_start_matches("mongodb://");
    url.split('/').next().unwrap_or_default().to_owned()
}

/// Direct, or the driver would learn the server's own address and go past the proxy.
fn mongodb_url(proxy: &Proxy) -> String {
    format!("mongodb://{}/?directConnection=true", proxy.address())
}
