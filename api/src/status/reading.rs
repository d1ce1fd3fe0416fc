use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use shared::Timestamp;

/// Where the pipeline stands, as far as MongoDB tells: counts and times, no data. What is
/// null is not known, which is no zero.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "Pipeline")]
pub struct Reading {
    /// When it was read, by this api's clock.
    pub at: Timestamp,
    pub state: State,
    /// The first hop that is late, stuck or unknown.
    pub held_up_at: Option<Hop>,
    pub mongodb: Answers,
    /// Documents by collection, the soft-deleted ones included.
    pub documents: Option<BTreeMap<&'static str, u64>>,
    pub outbox: Option<Outbox>,
    pub relay: Relay,
    /// The five topics; null where no relay has reported.
    pub topics: Option<Vec<Topic>>,
    pub projector: Projector,
    /// Records in the dead-letter topic.
    pub dead_letters: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "PipelineState")]
pub enum State {
    /// Something was written in the last 10 seconds, and all hops keep up.
    Flowing,
    /// Nothing was; all hops have kept up.
    Idle,
    /// A hop is more than 10 seconds behind.
    Late,
    /// The relay has not reported for 20 seconds.
    Stuck,
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Hop {
    Mongodb,
    Relay,
    Projector,
}

/// Whether MongoDB answered in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Answers {
    Ok,
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Outbox {
    /// Records that it holds; published ones stay for a while.
    pub records: u64,
    /// Events since the moment up to which the relay has proved that all are in Kafka. Some
    /// of them may be there, too. Counted up to 10,000.
    pub waiting: Option<u64>,
    /// Whether there are so many, or more.
    pub waiting_is_capped: bool,
    /// Over the last 10 seconds.
    pub events_per_second: f64,
    pub last_event_at: Option<Timestamp>,
    /// Events that Kafka will never take.
    pub dead: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "RelayStatus")]
pub struct Relay {
    pub state: RelayState,
    /// The oldest of its shards' last reports; null where a shard has never reported.
    pub reported_at: Option<Timestamp>,
    /// Age of the oldest event that waits; 0 where none does.
    pub lag_seconds: Option<f64>,
    pub shards: Vec<ShardReport>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RelayState {
    Ok,
    /// More than 10 seconds behind.
    Late,
    /// It has not reported for 20 seconds.
    Silent,
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ShardReport {
    /// `i/n`.
    pub shard: String,
    pub reported_at: Option<Timestamp>,
    /// Everything committed before it is in Kafka.
    pub proven_at: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Topic {
    /// Without the prefix that it may have on the cluster.
    pub topic: &'static str,
    /// Offset after the last event, over all partitions. The markers that end Kafka's
    /// transactions have offsets, too: it is no number of events.
    pub end: Option<i64>,
    /// Offset that the projector has reached, over all partitions; null where its group has
    /// never committed one.
    pub applied: Option<i64>,
    /// Offsets between the two: no more events than that, and 0 where all are applied.
    pub to_go: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "ProjectorStatus")]
pub struct Projector {
    pub state: Timeliness,
    /// Age of the oldest event that is not in MySQL; 0 where there is none.
    pub lag_seconds: Option<f64>,
    /// What of it is not the relay's.
    pub own_lag_seconds: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Timeliness {
    Ok,
    /// More than 10 seconds behind what the relay has published.
    Late,
    Unknown,
}

impl Default for Relay {
    fn default() -> Self {
        Self {
            state: RelayState::Unknown,
            reported_at: None,
            lag_seconds: None,
            shards: Vec::new(),
        }
    }
}

impl Default for Projector {
    fn default() -> Self {
        Self { state: Timeliness::Unknown, lag_seconds: None, own_lag_seconds: None }
    }
}
