//! Open transactions, as the leaders of the partitions know them.

use std::collections::BTreeMap;

use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::describe_producers_response::ProducerState;
use kafka_protocol::messages::{DescribeProducersRequest, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::cluster::{Layout, Partition};
use super::wire::{Brokers, refusal};

/// A transaction that holds back the readers of its partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    pub topic: String,
    pub partition: i32,
    pub leader: i32,
    pub first_offset: i64,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub coordinator_epoch: i32,
    /// When its newest record was written, by the writer's clock: milliseconds since 1970.
    pub last_record_at: i64,
}

impl Open {
    /// Whether it is the one that `other` was, at another time.
    pub fn is(&self, other: &Self) -> bool {
        let place = |it: &Self| (it.topic.clone(), it.partition, it.first_offset, it.producer_id);
        place(self) == place(other)
    }
}

/// What the leaders say, and which partitions none of them could tell of.
#[derive(Debug, Default)]
pub struct Described {
    pub open: Vec<Open>,
    pub unseen: Vec<String>,
}

const VERSION: i16 = 0;

/// Asks the leader of each partition that `wanted` accepts.
pub async fn describe(
    brokers: &mut Brokers,
    layout: &Layout,
    wanted: impl Fn(&str, i32) -> bool,
) -> Described {
    let mut described = Described::default();
    let mut by_leader: BTreeMap<i32, BTreeMap<&str, Vec<i32>>> = BTreeMap::new();
    for (topic, partitions) in &layout.topics {
        for Partition { id, leader } in partitions.iter().filter(|it| wanted(topic, it.id)) {
            match leader {
                Some(leader) => {
                    by_leader.entry(*leader).or_default().entry(topic).or_default().push(*id)
                }
                None => described.unseen.push(format!("{topic}-{id} has no leader")),
            }
        }
    }
    for (leader, topics) in by_leader {
        ask(brokers, leader, &topics, &mut described).await;
    }
    described
}

async fn ask(
    brokers: &mut Brokers,
    leader: i32,
    topics: &BTreeMap<&str, Vec<i32>>,
    described: &mut Described,
) {
    let topic = |(name, partitions): (&&str, &Vec<i32>)| {
        TopicRequest::default()
            .with_name(TopicName(StrBytes::from_string((*name).to_owned())))
            .with_partition_indexes(partitions.clone())
    };
    let request =
        DescribeProducersRequest::default().with_topics(topics.iter().map(topic).collect());
    let answer = match brokers.call(leader, &request, VERSION).await {
        Ok(answer) => answer,
        Err(error) => {
            let names: Vec<_> = topics.keys().copied().collect();
            described.unseen.push(format!("{error} (leader in {})", names.join(", ")));
            return;
        }
    };
    for topic in answer.topics {
        for partition in topic.partitions {
            let (topic, id) = (topic.name.to_string(), partition.partition_index);
            if let Err(error) = refusal(partition.error_code) {
                described.unseen.push(format!("{topic}-{id}: {error}"));
            }
            let producers = partition.active_producers.iter();
            described.open.extend(producers.filter_map(|it| open(&topic, id, leader, it)));
        }
    }
}

fn open(topic: &str, partition: i32, leader: i32, producer: &ProducerState) -> Option<Open> {
    (producer.current_txn_start_offset >= 0).then(|| Open {
        topic: topic.to_owned(),
        partition,
        leader,
        first_offset: producer.current_txn_start_offset,
        producer_id: producer.producer_id.0,
        // The protocol's own field is wider than an epoch.
        producer_epoch: i16::try_from(producer.producer_epoch).unwrap_or(0).max(0),
        // -1: no marker has come to this partition from this producer yet.
        coordinator_epoch: producer.coordinator_epoch.max(0),
        last_record_at: producer.last_timestamp,
    })
}
