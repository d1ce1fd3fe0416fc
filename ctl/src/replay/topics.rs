//! The read model rebuilt from the topics: the projectors' group is set back to their
//! beginning, and the projectors do the rest.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use shared::event::Domain;
use shared::process::KafkaSettings;

use super::ReplayError;
use crate::offsets::Offsets;
use crate::servers::{self, PATIENCE};
use crate::terminal::Progress;

/// Between two looks at how far the projectors have come.
const LOOK: Duration = Duration::from_millis(500);

/// Sets the group back. Blocks for some seconds.
///
/// # Errors
/// - [`ReplayError::NoLongerThere`]: the topics do not reach back to their first event.
/// - [`ReplayError::GroupIsActive`]: a projector runs; only an idle group can be set back.
pub fn rewind(settings: &KafkaSettings, group: &str) -> Result<(), ReplayError> {
    let consumer: BaseConsumer = servers::kafka(settings).set("group.id", group).create()?;
    let mut beginning = TopicPartitionList::new();
    for domain in Domain::ALL {
        let topic = settings.topic(domain.topic());
        let metadata = consumer.fetch_metadata(Some(&topic), PATIENCE)?;
        for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
            let partition = partition.id();
            let (low, _) = consumer.fetch_watermarks(&topic, partition, PATIENCE)?;
            if low > 0 {
                return Err(ReplayError::NoLongerThere { topic, partition, low });
            }
            beginning.add_partition_offset(&topic, partition, Offset::Offset(0))?;
        }
    }
    match consumer.commit(&beginning, CommitMode::Sync) {
        Err(KafkaError::ConsumerCommit(
            RDKafkaErrorCode::UnknownMemberId
            | RDKafkaErrorCode::IllegalGeneration
            | RDKafkaErrorCode::RebalanceInProgress,
        )) => Err(ReplayError::GroupIsActive(group.to_owned())),
        other => Ok(other?),
    }
}

/// Returns once the group has read everything.
///
/// # Errors
/// Where the brokers do not answer.
pub async fn follow(
    settings: &KafkaSettings,
    group: &str,
    progress: &Progress,
) -> Result<(), ReplayError> {
    let mut left = look(settings, group).await?;
    progress.restart(left);
    progress.stage("waiting for a projector");
    while left > 0 {
        tokio::time::sleep(LOOK).await;
        let now = look(settings, group).await?;
        if now < left {
            progress.stage("applied by the projectors");
            progress.advance(left - now);
        }
        left = now;
    }
    Ok(())
}

async fn look(settings: &KafkaSettings, group: &str) -> Result<u64, ReplayError> {
    let (settings, group) = (settings.clone(), group.to_owned());
    let looking = tokio::task::spawn_blocking(move || left(&settings, &group));
    Ok(looking.await.unwrap_or(Err(KafkaError::Canceled))?)
}

fn left(settings: &KafkaSettings, group: &str) -> KafkaResult<u64> {
    let offsets = Offsets::open(settings, group)?;
    let lags = Domain::ALL.map(|domain| offsets.lag(&settings.topic(domain.topic())));
    lags.into_iter().try_fold(0, |sum, lag| Ok(sum + lag?.unwrap_or_default().records))
}
