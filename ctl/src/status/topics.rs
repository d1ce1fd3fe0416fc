use std::collections::BTreeMap;
use std::time::Duration;

use projector::dead_letter;
use rdkafka::error::KafkaResult;
use serde::Serialize;
use shared::event::Domain;
use shared::process::KafkaSettings;

use crate::offsets::{Offsets, Records};

#[derive(Debug, Clone, Copy, Serialize)]
pub struct Topic {
    pub events: Records,
    /// Events that the consumer group has not committed yet.
    pub consumer_lag: Records,
}

#[derive(Debug)]
pub struct Topics {
    /// Only those that exist.
    pub domains: BTreeMap<Domain, Topic>,
    pub dead_letters: Option<Records>,
}

/// For all topics together.
const READING: Duration = Duration::from_secs(2);

/// Blocks for some seconds.
///
/// # Errors
/// Where the brokers do not answer.
pub fn read(settings: &KafkaSettings, group: &str) -> KafkaResult<Topics> {
    let offsets = Offsets::open(settings, group)?.reading_for(READING);
    let mut domains = BTreeMap::new();
    for domain in Domain::ALL {
        let topic = settings.topic(domain.topic());
        if let (Some(events), Some(consumer_lag)) = (offsets.records(&topic)?, offsets.lag(&topic)?)
        {
            domains.insert(domain, Topic { events, consumer_lag });
        }
    }
    Ok(Topics { domains, dead_letters: offsets.records(&settings.topic(dead_letter::TOPIC))? })
}
