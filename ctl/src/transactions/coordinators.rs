//! What the transaction coordinators know of a producer.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_transactions_response::TransactionState;
use kafka_protocol::messages::{
    DescribeTransactionsRequest, ListTransactionsRequest, ListTransactionsResponse, ProducerId,
};
use tokio::time::{Instant, sleep};

use super::cluster::Layout;
use super::wire::{BrokerError, Brokers, WireError, refusal};

/// The transaction that a producer is in, or was in last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    pub transactional_id: String,
    pub state: String,
    pub timeout: Duration,
    partitions: BTreeSet<(String, i32)>,
}

impl Known {
    /// Whether the partition takes part in a transaction that has not ended.
    pub fn holds(&self, topic: &str, partition: i32) -> bool {
        let over = ["Empty", "CompleteCommit", "CompleteAbort", "Dead"];
        !over.contains(&self.state.as_str())
            && self.partitions.contains(&(topic.to_owned(), partition))
    }
}

/// By producer id. One that is missing is known to no coordinator, if all have answered.
#[derive(Debug, Default)]
pub struct Coordinators {
    pub known: BTreeMap<i64, Known>,
    /// Why a producer that is missing may be known all the same, if so.
    pub incomplete: Option<String>,
}

const VERSION: i16 = 0;
/// A coordinator that has just started reads its log first.
const LOADING_LIMIT: Duration = Duration::from_secs(5);
const LOADING_PAUSE: Duration = Duration::from_millis(200);

/// Asks every broker, since any may coordinate these producers.
pub async fn ask(
    brokers: &mut Brokers,
    layout: &Layout,
    producers: &BTreeSet<i64>,
) -> Coordinators {
    let incomplete = layout.without_coordinator.clone();
    let mut all = Coordinators { incomplete, ..Coordinators::default() };
    for broker in brokers.ids() {
        match one(brokers, broker, producers).await {
            Ok(known) => all.known.extend(known),
            Err(error) => all.incomplete = Some(error.to_string()),
        }
    }
    all
}

async fn one(
    brokers: &mut Brokers,
    broker: i32,
    producers: &BTreeSet<i64>,
) -> Result<BTreeMap<i64, Known>, BrokerError> {
    let listed = list(brokers, broker, producers).await?;
    let ids: Vec<_> = listed.transaction_states.into_iter().map(|it| it.transactional_id).collect();
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let request = DescribeTransactionsRequest::default().with_transactional_ids(ids);
    let answer = brokers.call(broker, &request, VERSION).await?;
    let mut known = BTreeMap::new();
    for state in answer.transaction_states {
        match ResponseError::try_from_code(state.error_code) {
            None => drop(known.insert(state.producer_id.0, Known::from(state))),
            // It has expired in between.
            Some(ResponseError::TransactionalIdNotFound) => {}
            Some(error) => {
                let error = WireError::Refused(error);
                return Err(BrokerError { broker, address: None, error });
            }
        }
    }
    Ok(known)
}

async fn list(
    brokers: &mut Brokers,
    broker: i32,
    producers: &BTreeSet<i64>,
) -> Result<ListTransactionsResponse, BrokerError> {
    let filter = producers.iter().map(|id| ProducerId(*id)).collect();
    let request = ListTransactionsRequest::default().with_producer_id_filters(filter);
    let deadline = Instant::now() + LOADING_LIMIT;
    loop {
        let answer = brokers.call(broker, &request, VERSION).await?;
        match refusal(answer.error_code) {
            Ok(()) => return Ok(answer),
            Err(WireError::Refused(error)) if error.is_retriable() && Instant::now() < deadline => {
                sleep(LOADING_PAUSE).await;
            }
            Err(error) => return Err(BrokerError { broker, address: None, error }),
        }
    }
}

impl From<TransactionState> for Known {
    fn from(state: TransactionState) -> Self {
        let partitions = state.topics.into_iter().flat_map(|topic| {
            let name = topic.topic.to_string();
            topic.partitions.into_iter().map(move |partition| (name.clone(), partition))
        });
        Self {
            transactional_id: state.transactional_id.to_string(),
            partitions: partitions.collect(),
            timeout: Duration::from_millis(state.transaction_timeout_ms.unsigned_abs().into()),
            state: state.transaction_state.to_string(),
        }
    }
}
