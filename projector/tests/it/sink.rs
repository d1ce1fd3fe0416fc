//! Batches straight into MySQL, without Kafka: the order of arrival is the test's to choose.

use projector::apply::{Applied, apply};
use projector::batch::Batch;
use projector::database::Writer;
use projector::record::{Partition, Record};
use projector::refusal::{ApplyError, Refusal};
use shared::event::Domain;
use shared::process::MysqlSettings;

use crate::bed::Message;

pub struct Sink {
    writer: Writer,
}

impl Sink {
    pub async fn new(settings: &MysqlSettings) -> Self {
        let writer = Writer::connect(settings).await.unwrap();
        Self { writer }
    }

    /// One transaction, again after a deadlock. Panics at a record that does not decode.
    pub async fn apply(&mut self, records: Vec<Record>) -> Result<Applied, Refusal> {
        let mut batch = Batch::default();
        for record in records {
            batch.push(record);
        }
        assert_eq!(batch.poisoned().count(), 0, "{:?}", batch.poisoned().next());
        loop {
            match apply(&mut self.writer, batch.writes(), &batch.progress()).await {
                Ok(applied) => return Ok(applied),
                Err(ApplyError::Refused(refusal)) => return Err(refusal),
                Err(ApplyError::Busy(_)) => tokio::task::yield_now().await,
                Err(ApplyError::Away(error) | ApplyError::Drift(error)) => panic!("{error}"),
            }
        }
    }

    /// As [`Self::apply`]: all in one batch.
    pub async fn batch(&mut self, messages: impl IntoIterator<Item = Message>) -> Applied {
        let records = (0..).zip(messages).map(|(offset, message)| record(&message, "", offset));
        self.apply(records.collect()).await.unwrap()
    }

    /// As [`Self::apply`]: each in a batch of its own.
    pub async fn one_by_one(&mut self, messages: impl IntoIterator<Item = Message>) {
        for message in messages {
            self.batch([message]).await;
        }
    }
}

pub fn record(message: &Message, prefix: &str, offset: i64) -> Record {
    let headers = message.headers.iter();
    Record {
        partition: Partition { topic: format!("{prefix}{}", message.topic).into(), partition: 0 },
        offset,
        after: None,
        domain: Domain::from_topic(&message.topic).unwrap(),
        key: message.key.clone(),
        value: message.value.clone(),
        headers: headers.map(|(key, value)| (*key, Some(&value[..]))).collect(),
    }
}
