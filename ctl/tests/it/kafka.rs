//! Topics of a test's own.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;

pub const TIMEOUT: Duration = Duration::from_secs(20);

pub fn client() -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set(
        "bootstrap.servers",
        std::env::var("KAFKA_BOOTSTRAP_SERVERS").unwrap(),
    );
    config
}

fn admin() -> AdminClient<DefaultClientContext> {
    client().create().unwrap()
}

pub async fn create_topic(name: &str, partitions: i32) {
    let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    let options = AdminOptions::new().operation_timeout(Some(TIMEOUT));
    for created in admin().create_topics([&topic], &options).await.unwrap() {
        created.unwrap();
    }
}

pub async fn delete_topics(names: &[&str]) {
    admin()
        .delete_topics(names, &AdminOptions::new())
        .await
        .unwrap();
}
