//! How the consumer of the five topics is set up.

use rdkafka::ClientConfig;

use crate::config::Config;
use crate::kafka::client;

/// librdkafka's properties.
pub(crate) fn properties(config: &Config) -> ClientConfig {
    let mut properties = client(&config.kafka);
    properties
        .set("group.id", &config.group.kafka_group_id)
        .set("session.timeout.ms", config.kafka_session_timeout_ms.to_string())
        .set("heartbeat.interval.ms", (config.kafka_session_timeout_ms / 3).to_string())
        .set(
            "max.poll.interval.ms",
            config.kafka_max_poll_interval_ms.max(config.kafka_session_timeout_ms).to_string(),
        )
        // Only the partitions that move are taken away in a rebalance.
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("isolation.level", "read_committed")
        // What was deleted before we had read it shall not be passed over in silence.
        .set("auto.offset.reset", "error")
        // Offsets follow MySQL's commit, nothing else.
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        // The relay creates the topics; we notice within a second.
        .set("allow.auto.create.topics", "false")
        .set("topic.metadata.refresh.interval.ms", "1000")
        // No fetch may wait in the kernel until the request before it is acknowledged.
        .set("socket.nagle.disable", "true")
        // What librdkafka may hold beside our own batches, and no pause once it is full.
        .set("queued.max.messages.kbytes", "1024")
        .set("queued.min.messages", "10000")
        .set("fetch.max.bytes", "1048576")
        .set("fetch.queue.backoff.ms", "5")
        .set("statistics.interval.ms", "1000");
    if let Some(instance) = &config.projector_instance_id {
        properties.set("group.instance.id", instance);
    }
    properties
}
