//! The read model rebuilt from the topics: the projectors' group is set back to their
//! beginning, and the projectors do the rest.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use shared::event::Domain;
use shared::process::KafkaSettings;

use super::ReplayError;
use crate::offsets::{Range, left};
use crate::patience::Patience;
use crate::servers::{self, PATIENCE};
use crate::terminal::Progress;

/// Between two looks at how far the projectors have come.
const LOOK: Duration = Duration::from_millis(500);

/// Sets the group back. Returns what it has to read again, as far as it is there by now:
/// of a system that is written to, the end is never reached. Blocks for some seconds.
///
/// # Errors
/// - [`ReplayError::NoLongerThere`]: the topics do not reach back to their first event.
/// - [`ReplayError::GroupIsActive`]: a projector runs; only an idle group can be set back.
pub fn rewind(settings: &KafkaSettings, group: &str) -> Result<Vec<Range>, ReplayError> {
    let consumer: BaseConsumer = servers::kafka(settings).set("group.id", group).create()?;
    let (mut beginning, mut ranges) = (TopicPartitionList::new(), Vec::new());
    for domain in Domain::ALL {
        let topic = settings.topic(domain.topic());
        let metadata = consumer.fetch_metadata(Some(&topic), PATIENCE)?;
        for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
            let partition = partition.id();
            let (low, end) = consumer.fetch_watermarks(&topic, partition, PATIENCE)?;
            if low > 0 {
                return Err(ReplayError::NoLongerThere { topic, partition, low });
            }
            beginning.add_partition_offset(&topic, partition, Offset::Offset(0))?;
            ranges.push(Range { topic: topic.clone(), partition, from: 0, to: end });
        }
    }
    match consumer.commit(&beginning, CommitMode::Sync) {
        Err(KafkaError::ConsumerCommit(
            RDKafkaErrorCode::UnknownMemberId
            | RDKafkaErrorCode::IllegalGeneration
            | RDKafkaErrorCode::RebalanceInProgress,
        )) => Err(ReplayError::GroupIsActive(group.to_owned())),
        other => {
            other?;
            Ok(ranges)
        }
    }
}

/// Returns once the group has read all of `ranges`.
///
/// # Errors
/// If the brokers stay away.
pub async fn follow(
    settings: &KafkaSettings,
    group: &str,
    ranges: Vec<Range>,
    progress: &Progress,
) -> Result<(), ReplayError> {
    let mut left = look(settings, group, &ranges).await?;
    progress.restart(left);
    progress.stage("waiting for a projector");
    while left > 0 {
        tokio::time::sleep(LOOK).await;
        let now = look(settings, group, &ranges).await?;
        if now < left {
            progress.stage("applied by the projectors");
            progress.advance(left - now);
        }
        left = now;
    }
    Ok(())
}

/// How many records the group has still to read.
async fn look(settings: &KafkaSettings, group: &str, ranges: &[Range]) -> Result<u64, ReplayError> {
    let mut patience = Patience::with("Kafka");
    loop {
        let (settings, group, ranges) = (settings.clone(), group.to_owned(), ranges.to_vec());
        let looking = tokio::task::spawn_blocking(move || left(&settings, &group, &ranges));
        match looking.await.unwrap_or(Err(KafkaError::Canceled)) {
            Ok(left) => return Ok(left),
            Err(error) => patience.wait(error).await?,
        }
    }
}
