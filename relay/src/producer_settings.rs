//! The settings of the transactional producer.

use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use shared::Shard;

use crate::config::Config;
use crate::kafka::client_config;
use crate::properties::RefusedProperty;

/// Of the shard's producer number `turn`. The settings on which a promise rests come
/// last: nothing overrides them.
pub fn producer_config(config: &Config, shard: Shard, turn: usize) -> ClientConfig {
    let mut settings = client_config(config);
    // A batch is complete when it is handed over: nothing is gained by waiting.
    settings.set("linger.ms", "0");
    // In KiB. What is handed over is bounded more narrowly: see `transaction.rs`.
    settings.set("queue.buffering.max.kbytes", (held_back(config) / 1024).to_string());
    // A request points to the records that it holds back anyway, instead of copying them.
    settings.set("message.copy.max.bytes", "0");
    config.kafka_properties.apply(&mut settings);
    settings
        .set("transactional.id", transactional_id(config, shard, turn))
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("transaction.timeout.ms", config.transaction_timeout_ms.to_string())
        .set("compression.type", config.compression.codec())
        .set("message.max.bytes", config.largest_record().to_string())
        // The partition in which a Java client would look for the key.
        .set("partitioner", "murmur2_random")
        // Where each record lies: the watermark tells how far the projector has to come.
        .set("delivery.report.only.error", "false");
    settings
}

/// In bytes; a single record must have room.
fn held_back(config: &Config) -> u32 {
    (1 << 20).max(config.largest_record() + 4096)
}

/// Whether librdkafka takes the settings at all, to be found out at once.
///
/// # Errors
/// [`RefusedProperty`], without the value: it may be a password.
pub fn check(config: &Config) -> Result<(), RefusedProperty> {
    let settings = producer_config(config, config.shard, 0);
    let Err(error) = settings.create_native_config() else {
        return Ok(());
    };
    Err(match error {
        KafkaError::ClientConfig(_, why, property, _) => RefusedProperty::Invalid { property, why },
        error => {
            RefusedProperty::Invalid { property: "librdkafka".to_owned(), why: error.to_string() }
        }
    })
}

fn transactional_id(config: &Config, shard: Shard, turn: usize) -> String {
    let shard = match shard.index() {
        0 => String::new(),
        index => format!("-{index}"),
    };
    let turn = if turn == 0 { "" } else { "-alternate" };
    config.kafka.topic(&format!("outbox-relay{shard}{turn}"))
}
