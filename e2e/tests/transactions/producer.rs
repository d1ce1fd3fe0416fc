//! A transactional producer that speaks the protocol itself, so that it can do what no
//! client library lets one do: write into a partition of which its coordinator knows nothing.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use e2e::eventually;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, DescribeTransactionsRequest, EndTxnRequest, InitProducerIdRequest,
    ProduceRequest, ProducerId, TopicName, TransactionalId,
};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{
    Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};

use crate::wire::{Wire, accepted};

const TIMEOUT: Duration = Duration::from_secs(20);

pub struct Producer {
    wire: Wire,
    transactional_id: String,
    pub id: i64,
    pub epoch: i16,
    /// Records so far, by topic.
    sequences: BTreeMap<String, i32>,
}

/// Always in partition 0.
#[derive(Debug, Default, Clone)]
pub struct Written {
    pub key: String,
    pub value: String,
    pub headers: BTreeMap<String, String>,
}

impl Producer {
    pub async fn begin(kafka: &str, transactional_id: &str) -> Self {
        let mut producer = Self {
            wire: Wire::connect(kafka),
            transactional_id: transactional_id.to_owned(),
            id: -1,
            epoch: -1,
            sequences: BTreeMap::new(),
        };
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(producer.transactional_id()))
            .with_transaction_timeout_ms(600_000)
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1);
        (producer.id, producer.epoch) = eventually("a producer id", TIMEOUT, async || {
            let answer = producer.wire.call(&request, 4);
            accepted(answer.error_code).map(|()| (answer.producer_id.0, answer.producer_epoch))
        })
        .await;
        producer
    }

    /// Takes the topic's partition into the transaction.
    pub async fn add(&mut self, topic: &str) {
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(self.transactional_id())
            .with_v3_and_below_producer_id(ProducerId(self.id))
            .with_v3_and_below_producer_epoch(self.epoch)
            .with_v3_and_below_topics(vec![
                AddPartitionsToTxnTopic::default().with_name(name(topic)).with_partitions(vec![0]),
            ]);
        eventually("the partition takes part", TIMEOUT, async || {
            let answer = self.wire.call(&request, 3);
            let result = &answer.results_by_topic_v3_and_below[0].results_by_partition[0];
            accepted(result.partition_error_code)
        })
        .await;
    }

    pub async fn end(&mut self, commit: bool) {
        let request = EndTxnRequest::default()
            .with_transactional_id(self.transactional_id())
            .with_producer_id(ProducerId(self.id))
            .with_producer_epoch(self.epoch)
            .with_committed(commit);
        eventually("the transaction has ended", TIMEOUT, async || {
            accepted(self.wire.call(&request, 3).error_code)
        })
        .await;
        // The coordinator answers when it has decided, and writes the markers afterwards.
        let ids = vec![self.transactional_id()];
        let request = DescribeTransactionsRequest::default().with_transactional_ids(ids);
        eventually("all markers are written", TIMEOUT, async || {
            let state = &self.wire.call(&request, 0).transaction_states[0].transaction_state;
            if state.starts_with("Complete") { Ok(()) } else { Err(state.to_string()) }
        })
        .await;
    }

    /// Writes a record, whether the coordinator knows that the partition takes part or not.
    /// Returns its offset.
    pub fn write(&mut self, topic: &str, written: &Written) -> i64 {
        let sequence = self.sequences.entry(topic.to_owned()).or_default();
        let record = record(written, self.id, self.epoch, *sequence);
        *sequence += 1;
        let mut batch = BytesMut::new();
        let options = RecordEncodeOptions { version: 2, compression: Compression::None };
        RecordBatchEncoder::encode(&mut batch, [&record], &options).unwrap();
        let data = PartitionProduceData::default().with_index(0).with_records(Some(batch.freeze()));
        let data =
            TopicProduceData::default().with_name(name(topic)).with_partition_data(vec![data]);
        let request = ProduceRequest::default()
            .with_transactional_id(Some(self.transactional_id()))
            .with_acks(-1)
            .with_timeout_ms(10_000)
            .with_topic_data(vec![data]);
        let answer = self.wire.call(&request, 9);
        let result = &answer.responses[0].partition_responses[0];
        accepted(result.error_code).unwrap_or_else(|error| panic!("{topic}: {error}"));
        result.base_offset
    }

    fn transactional_id(&self) -> TransactionalId {
        TransactionalId(StrBytes::from_string(self.transactional_id.clone()))
    }
}

fn record(written: &Written, producer_id: i64, producer_epoch: i16, sequence: i32) -> Record {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let headers = written.headers.iter().map(|(name, value)| {
        (StrBytes::from_string(name.clone()), Some(Bytes::from(value.clone())))
    });
    Record {
        transactional: true,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: -1,
        producer_id,
        producer_epoch,
        timestamp_type: TimestampType::Creation,
        offset: i64::from(sequence),
        sequence,
        timestamp: now.as_millis().try_into().unwrap(),
        key: Some(Bytes::from(written.key.clone())),
        value: Some(Bytes::from(written.value.clone())),
        headers: headers.collect(),
    }
}

fn name(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}
