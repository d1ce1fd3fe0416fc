//! Asks MySQL and Kafka where the partitions begin that were assigned to us.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use diesel_async::SimpleAsyncConnection;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::{Offset, TopicPartitionList};
use shared::process::MysqlSettings;

use crate::database::{self, Connection, DatabaseError};
use crate::group::Group;
use crate::places::Wanted;
use crate::positions::{Bounds, Start, start};
use crate::record::Partition;
use crate::tables::{LossRow, ProgressRow};
use crate::thread::detached;

/// For each of the three questions. Then all are asked anew.
const KAFKA_TIMEOUT: Duration = Duration::from_secs(3);

const MYSQL_TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) type Questions = BTreeMap<Partition, Wanted>;

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) start: Start,
    /// By the group.
    pub(crate) committed: Option<i64>,
}

#[derive(Debug)]
pub(crate) struct Answers {
    pub(crate) answers: BTreeMap<Partition, (Wanted, Answer)>,
    /// Of all partitions: those that nobody has acknowledged.
    pub(crate) losses: Vec<LossRow>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Unanswered {
    #[error("{0}")]
    Kafka(#[from] KafkaError),
    #[error("{0}")]
    Mysql(#[from] DatabaseError),
}

/// One attempt. What it finds lost is kept in MySQL before it returns, and rows that speak of
/// another log are gone.
pub(crate) async fn locate(
    consumer: Arc<StreamConsumer<Group>>,
    mysql: MysqlSettings,
    questions: Questions,
) -> Result<Answers, Unanswered> {
    let partitions: Vec<_> = questions.keys().cloned().collect();
    let asking = detached("kafka-positions", move || ask_kafka(&consumer, &partitions));
    let told = asking.await.unwrap_or(Err(KafkaError::Canceled))?;
    let asking = ask_mysql(&mysql, questions, &told);
    let timeout = tokio::time::timeout(MYSQL_TIMEOUT, asking);
    Ok(timeout.await.unwrap_or(Err(DatabaseError::Timeout))?)
}

/// What Kafka says of a partition.
struct Told {
    bounds: Bounds,
    committed: Option<i64>,
}

fn ask_kafka(
    consumer: &StreamConsumer<Group>,
    partitions: &[Partition],
) -> KafkaResult<BTreeMap<Partition, Told>> {
    // The protocol's own numbers for the two ends, in the place of a moment.
    let firsts = consumer.offsets_for_times(list(partitions, Offset::Beginning)?, KAFKA_TIMEOUT)?;
    let ends = consumer.offsets_for_times(list(partitions, Offset::End)?, KAFKA_TIMEOUT)?;
    let committed = list(partitions, Offset::Invalid)?;
    let committed = consumer.committed_offsets(committed, KAFKA_TIMEOUT)?;
    let mut told = BTreeMap::new();
    for partition in partitions {
        let bounds = Bounds { first: known(&firsts, partition)?, end: known(&ends, partition)? };
        let committed = known(&committed, partition).ok();
        told.insert(partition.clone(), Told { bounds, committed });
    }
    Ok(told)
}

fn list(partitions: &[Partition], offset: Offset) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition_offset(&partition.topic, partition.partition, offset)?;
    }
    Ok(list)
}

fn known(list: &TopicPartitionList, partition: &Partition) -> KafkaResult<i64> {
    let element = list.find_partition(&partition.topic, partition.partition);
    let element = element.ok_or(KafkaError::Canceled)?;
    element.error()?;
    match element.offset() {
        Offset::Offset(offset) => Ok(offset),
        _ => Err(KafkaError::Canceled),
    }
}

async fn ask_mysql(
    mysql: &MysqlSettings,
    questions: Questions,
    told: &BTreeMap<Partition, Told>,
) -> Result<Answers, DatabaseError> {
    let mut connection = database::connect(mysql).await?;
    let mut topics: Vec<_> = questions.keys().map(|partition| &*partition.topic).collect();
    topics.dedup();
    let rows = ProgressRow::of(&mut connection, &topics).await?;
    let mut answers = BTreeMap::new();
    for (partition, wanted) in questions {
        let Some(told) = told.get(&partition) else { continue };
        let row = rows.iter().find(|row| row.is_of(&partition));
        let start = settle(&mut connection, &partition, row, &wanted, told).await?;
        answers.insert(partition, (wanted, Answer { start, committed: told.committed }));
    }
    let losses = LossRow::open(&mut connection).await?;
    Ok(Answers { answers, losses })
}

/// Decides, and writes what follows.
async fn settle(
    connection: &mut Connection,
    partition: &Partition,
    row: Option<&ProgressRow>,
    wanted: &Wanted,
    told: &Told,
) -> Result<Start, DatabaseError> {
    let foreign = row.filter(|row| wanted.foreign == Some(row.offset));
    let known = if foreign.is_some() { None } else { row };
    let mut start = start(known, told.committed, told.bounds);
    start.is_another_log |= foreign.is_some();
    let mut statements = String::new();
    if let Some(row) = row.filter(|_| start.is_another_log) {
        statements += &row.forget();
    }
    if !start.lost.is_empty() {
        statements += &LossRow::keep(partition, &start.lost);
    }
    if !statements.is_empty() {
        let transaction = format!("START TRANSACTION; {statements} COMMIT");
        connection.batch_execute(&transaction).await?;
    }
    Ok(start)
}
