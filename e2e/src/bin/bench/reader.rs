//! A read_committed consumer that notes when each event arrives.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use shared::event::{Domain, header};
use uuid::Uuid;

const CALL: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Reader(BaseConsumer);

impl Reader {
    /// At the present ends of the topics.
    pub fn open(kafka: &str, prefix: &str) -> Self {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", kafka)
            .set("group.id", "bench-reader")
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("fetch.wait.max.ms", "5")
            .create()
            .expect("a consumer");
        let mut assignment = TopicPartitionList::new();
        for domain in Domain::ALL {
            let topic = format!("{prefix}{}", domain.topic());
            let metadata = consumer.fetch_metadata(Some(&topic), CALL).expect("metadata");
            for partition in metadata.topics()[0].partitions() {
                let (_, end) =
                    consumer.fetch_watermarks(&topic, partition.id(), CALL).expect("watermarks");
                let end = Offset::Offset(end);
                assignment.add_partition_offset(&topic, partition.id(), end).expect("an offset");
            }
        }
        consumer.assign(&assignment).expect("the partitions can be assigned");
        Self(consumer)
    }

    /// Reads in the background; the first `count` events, each with its time.
    pub fn read(self, count: usize) -> tokio::task::JoinHandle<Vec<(Uuid, Instant)>> {
        tokio::task::spawn_blocking(move || {
            let deadline = Instant::now() + PATIENCE;
            let mut arrived = Vec::with_capacity(count);
            while arrived.len() < count {
                assert!(Instant::now() < deadline, "{} of {count} arrived", arrived.len());
                let Some(record) = self.0.poll(Duration::from_millis(100)) else {
                    continue;
                };
                let now = Instant::now();
                let record = record.expect("the broker answers");
                let mut headers = record.headers().expect("headers").iter();
                let id = headers.find(|header| header.key == header::EVENT_ID);
                let id = id.and_then(|id| Uuid::try_parse_ascii(id.value?).ok());
                arrived.push((id.expect("an event id"), now));
            }
            arrived
        })
    }
}
