//! The marker that ends a transaction in one partition.

use std::time::Duration;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::write_txn_markers_request::{
    WritableTxnMarker, WritableTxnMarkerTopic,
};
use kafka_protocol::messages::{ProducerId, TopicName, WriteTxnMarkersRequest};
use kafka_protocol::protocol::StrBytes;
use rdkafka::error::KafkaResult;
use tokio::time::{Instant, sleep};

use super::cluster::Ends;
use super::coordinators;
use super::decision::Outcome;
use super::producers::{self, Open};
use super::survey::Surveyor;
use super::wire::{WireError, refusal};

const VERSION: i16 = 1;
/// A marker is seen by readers once the replicas have it.
const SEEN_LIMIT: Duration = Duration::from_secs(10);
const SEEN_PAUSE: Duration = Duration::from_millis(50);

/// Why a marker was not written.
#[derive(Debug)]
pub enum NotWritten {
    /// Something has changed meanwhile, or an answer is missing: look again.
    Changed(String),
    Refused(String),
}

impl Surveyor {
    /// Writes the marker, unless the transaction has changed or come to life in between.
    ///
    /// The coordinator is asked immediately before. A producer that takes the partition into
    /// a new transaction after that answer has the first of its records cut off from the rest.
    pub async fn write(&mut self, open: &Open, outcome: Outcome) -> Result<(), NotWritten> {
        let changed = |error: &dyn std::fmt::Display| NotWritten::Changed(error.to_string());
        let layout = self.cluster.layout().await.map_err(|error| changed(&error))?;
        self.brokers.know(layout.brokers.clone());
        let here = |topic: &str, partition| topic == open.topic && partition == open.partition;
        let now = producers::describe(&mut self.brokers, &layout, here).await;
        if !now.open.contains(open) {
            return Err(NotWritten::Changed("the transaction has changed".to_owned()));
        }
        let ids = [open.producer_id].into();
        let coordinators = coordinators::ask(&mut self.brokers, &layout, &ids).await;
        if let Some(reason) = coordinators.incomplete {
            return Err(NotWritten::Changed(reason));
        }
        let known = coordinators.known.get(&open.producer_id);
        if known.is_some_and(|it| it.holds(&open.topic, open.partition)) {
            return Err(NotWritten::Changed("the transaction is live".to_owned()));
        }
        let answer = self.brokers.call(open.leader, &request(open, outcome), VERSION).await;
        let answer = answer.map_err(|error| changed(&error))?;
        let topics = answer.markers.iter().flat_map(|it| &it.topics);
        let codes: Vec<i16> =
            topics.flat_map(|it| &it.partitions).map(|it| it.error_code).collect();
        match codes.as_slice() {
            [code] => refusal(*code).map_err(understood),
            _ => Err(NotWritten::Changed("the broker does not say what became of it".to_owned())),
        }
    }

    /// How far readers see: once they see more than `open` let them, or after a limit.
    ///
    /// # Errors
    /// If the leader does not answer.
    pub async fn ends_after(&self, open: &Open) -> KafkaResult<Ends> {
        let deadline = Instant::now() + SEEN_LIMIT;
        loop {
            let ends = self.cluster.ends(&open.topic, open.partition).await?;
            if ends.stable > open.first_offset || Instant::now() > deadline {
                return Ok(ends);
            }
            sleep(SEEN_PAUSE).await;
        }
    }
}

fn request(open: &Open, outcome: Outcome) -> WriteTxnMarkersRequest {
    let topic = WritableTxnMarkerTopic::default()
        .with_name(TopicName(StrBytes::from_string(open.topic.clone())))
        .with_partition_indexes(vec![open.partition]);
    let marker = WritableTxnMarker::default()
        .with_producer_id(ProducerId(open.producer_id))
        .with_producer_epoch(open.producer_epoch)
        .with_coordinator_epoch(open.coordinator_epoch)
        .with_transaction_result(outcome == Outcome::Commit)
        .with_topics(vec![topic]);
    WriteTxnMarkersRequest::default().with_markers(vec![marker])
}

fn understood(error: WireError) -> NotWritten {
    let code = match &error {
        WireError::Refused(code) => *code,
        _ => return NotWritten::Changed(error.to_string()),
    };
    match code {
        // Somebody has written with a newer epoch, or a newer coordinator has.
        ResponseError::InvalidProducerEpoch | ResponseError::TransactionCoordinatorFenced => {
            NotWritten::Changed(error.to_string())
        }
        ResponseError::ClusterAuthorizationFailed => NotWritten::Refused(format!(
            "{error}: this account needs the right Alter, or ClusterAction, on the cluster"
        )),
        code if code.is_retriable() => NotWritten::Changed(error.to_string()),
        _ => NotWritten::Refused(error.to_string()),
    }
}
