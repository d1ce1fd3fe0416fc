//! One poll of the consumer: a record, or a change of the assignment.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use shared::event::Domain;

use crate::group::Group;
use crate::record::Record;

/// Waits for a record, or for a poll in which partitions came or went. librdkafka hands out
/// neither records nor callbacks but inside a poll, one after the other. A revoked partition's
/// records are gone from its queue before the callback returns. So a record out of the poll of
/// a revocation belongs behind it.
pub(crate) async fn receive(
    consumer: &StreamConsumer<Group>,
    topics: &[(Domain, Arc<str>)],
) -> Option<Record> {
    let mut receiving = pin!(consumer.recv());
    let received = poll_fn(|context| match receiving.as_mut().poll(context) {
        Poll::Ready(received) => Poll::Ready(Some(received)),
        Poll::Pending if consumer.context().has_changes() => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    });
    read(consumer.context(), topics, received.await?)
}

fn read(
    group: &Group,
    topics: &[(Domain, Arc<str>)],
    received: Result<BorrowedMessage<'_>, KafkaError>,
) -> Option<Record> {
    match received {
        Ok(message) => {
            let (domain, topic) = topics.iter().find(|(_, topic)| **topic == *message.topic())?;
            group.received();
            Some(Record::from_message(&message, *domain, topic.clone()))
        }
        Err(error) => {
            group.report(&error);
            None
        }
    }
}
