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
    /// Documents by collection, the soft-deleted ones included. Counted up to 100,000.
    pub documents: Option<BTreeMap<&'static str, u64>>,
    /// Collections that hold so many, or more.
    pub documents_capped: Vec<&'static str>,
    pub outbox: Option<Outbox>,
    pub relay: Relay,
    /// The five topics; null where no relay has reported.
    pub topics: Option<Vec<Topic>>,
    pub projector: Projector,
    /// Records in the dead-letter topic. Counted up to 10,000.
    pub dead_letters: Option<i64>,
    /// Whether there are so many, or more.
    pub dead_letters_are_capped: bool,
    /// Set while MongoDB lacks what Kafka holds, because it was put back to an earlier state.
    pub rewound: Option<Rewound>,
    /// Records that were deleted from Kafka before the projector had read them.
    pub lost: Vec<Lost>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "PipelineState")]
pub enum State {
    /// Something was written in the last 10 seconds, and all hops keep up.
    Flowing,
    /// Nothing was; all hops have kept up.
    Idle,
    /// All hops keep up, and some events were refused: see `dead_letters` and `outbox.dead`.
    Refused,
    /// A hop is more than 10 seconds behind.
    Late,
    /// A hop does not run, or a server is away, or nothing has moved for 20 seconds.
    Stuck,
    /// Rows are wrong or missing until an operator repairs them: see `rewound` and `lost`.
    Damaged,
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Hop {
    Mongodb,
    Relay,
    Kafka,
    Projector,
}

/// Whether MongoDB answered in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Answers {
    Ok,
    /// No answer within 2 seconds, or an error: writes are refused.
    Away,
    /// The api failed to read.
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Outbox {
    /// Records that it holds; published ones stay for a while. Counted up to 100,000.
    pub records: Option<u64>,
    /// Whether there are so many, or more.
    pub records_are_capped: bool,
    /// Events since the moment up to which the relay has proved that all are in Kafka. Some
    /// of them may be there, too. Counted up to 10,000.
    pub waiting: Option<u64>,
    /// Whether there are so many, or more.
    pub waiting_is_capped: bool,
    /// Over the last 10 seconds.
    pub events_per_second: f64,
    pub last_event_at: Option<Timestamp>,
    /// Events that Kafka will never take. Counted up to 100,000.
    pub dead: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "RelayStatus")]
pub struct Relay {
    pub state: RelayState,
    /// The oldest of its shards' last reports; null where a shard has never reported.
    pub reported_at: Option<Timestamp>,
    /// Age of the oldest event that waits; 0 where none does.
    pub lag_seconds: Option<f64>,
    /// What keeps it from publishing, by its own word.
    pub obstacle: Option<Obstacle>,
    pub shards: Vec<ShardReport>,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Obstacle {
    /// `kafka`.
    pub server: String,
    pub reason: String,
    pub since: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Rewound {
    pub noticed_at: Timestamp,
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Lost {
    /// As it is called on the cluster.
    pub topic: String,
    pub partition: i32,
    pub from_offset: i64,
    /// The first offset behind it.
    pub to_offset: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RelayState {
    Ok,
    /// More than 10 seconds behind.
    Late,
    /// It runs, and `obstacle` keeps it from publishing.
    Blocked,
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
    /// Instances that its consumer group knows.
    pub instances: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Timeliness {
    Ok,
    /// More than 10 seconds behind what the relay has published.
    Late,
    /// It has applied nothing for 20 seconds, and something waits for it.
    Stuck,
    /// Its consumer group has no member: none runs.
    Absent,
    Unknown,
}

impl Default for Relay {
    fn default() -> Self {
        Self {
            state: RelayState::Unknown,
            reported_at: None,
            lag_seconds: None,
            obstacle: None,
            shards: Vec::new(),
        }
    }
}

impl Default for Projector {
    fn default() -> Self {
        Self {
            state: Timeliness::Unknown,
            lag_seconds: None,
            own_lag_seconds: None,
            instances: None,
        }
    }
}
