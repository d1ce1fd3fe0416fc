use std::collections::BTreeMap;
use std::time::SystemTime;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use shared::Timestamp;
use shared::event::Domain;

use crate::pipeline::{free, logs, unique};
use crate::{Process, Rows, Servers};

/// As many as the relay creates by default.
const PARTITIONS: i32 = 6;

/// The projector without the rest of the pipeline: topics, a group and a database of its
/// own. It starts when it is told to, so that a backlog can wait for it.
pub struct ProjectorAlone {
    name: String,
    environment: BTreeMap<String, String>,
}

impl ProjectorAlone {
    /// Creates the topics, all empty.
    pub async fn prepare(servers: &Servers, name: &str) -> Self {
        let name = unique(name);
        let mut environment: BTreeMap<String, String> =
            servers.settings().map(|(name, value)| (name.clone(), value.clone())).collect();
        environment.insert("MYSQL_DATABASE".to_owned(), format!("analytics_{name}"));
        environment.insert("KAFKA_TOPIC_PREFIX".to_owned(), format!("{name}."));
        environment.insert("KAFKA_GROUP_ID".to_owned(), name.clone());
        let alone = Self { name, environment };
        let topics: Vec<_> = Domain::ALL.iter().map(|domain| alone.topic(*domain)).collect();
        let new = |name| NewTopic::new(name, PARTITIONS, TopicReplication::Fixed(1));
        let topics: Vec<_> = topics.iter().map(|name| new(name)).collect();
        let created = alone.admin().create_topics(&topics, &AdminOptions::new()).await;
        for result in created.expect("topics can be created") {
            result.expect("a new topic");
        }
        alone
    }

    /// The topic's name on this cluster.
    pub fn topic(&self, domain: Domain) -> String {
        format!("{}{}", self.setting("KAFKA_TOPIC_PREFIX"), domain.topic())
    }

    pub fn setting(&self, name: &str) -> &str {
        &self.environment[name]
    }

    pub fn rows(&self) -> Rows {
        Rows::new(&self.environment)
    }

    pub fn start(&self) -> Process {
        let address = free();
        let mut environment = self.environment.clone();
        environment.insert("PROJECTOR_ADDR".to_owned(), address.to_string());
        Process::start("projector", address, environment, &logs(&self.name).join("projector.log"))
    }

    /// Leaves nothing on the servers that others use too.
    pub async fn clear(&self) {
        let topics: Vec<_> = Domain::ALL.iter().map(|domain| self.topic(*domain)).collect();
        let topics: Vec<_> = topics.iter().map(String::as_str).collect();
        let deleted = self.admin().delete_topics(&topics, &AdminOptions::new()).await;
        deleted.expect("topics can be deleted");
        let drop = format!("DROP DATABASE IF EXISTS {}", self.setting("MYSQL_DATABASE"));
        self.rows().query(&drop).await.expect("the database can be dropped");
    }

    fn admin(&self) -> AdminClient<rdkafka::client::DefaultClientContext> {
        let servers = self.setting("KAFKA_BOOTSTRAP_SERVERS");
        ClientConfig::new().set("bootstrap.servers", servers).create().expect("an admin client")
    }
}

/// When a projector was given its partitions, as its log says; `None` before that.
pub fn assigned_at(projector: &Process) -> Option<SystemTime> {
    let log = projector.log();
    let line = log.lines().find(|line| line.contains("partitions assigned"))?;
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    let moment: Timestamp = line["timestamp"].as_str()?.parse().ok()?;
    Some(moment.datetime().into())
}
