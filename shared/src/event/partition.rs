/// The partition of a topic with `partitions` of them in which an entity's events lie:
/// murmur2 of the key, as Kafka's own Java clients choose it and the relay does.
pub fn partition_of(entity_id: &str, partitions: u32) -> Option<u32> {
    const WITHOUT_SIGN: u32 = 0x7fff_ffff;
    (murmur2(entity_id.as_bytes()) & WITHOUT_SIGN).checked_rem(partitions)
}

/// `org.apache.kafka.common.utils.Utils.murmur2`.
fn murmur2(bytes: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const MULTIPLIER: u32 = 0x5bd1_e995;
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let (words, rest) = bytes.as_chunks::<4>();
    let mut hash = words.iter().fold(SEED ^ length, |hash, word| {
        let word = u32::from_le_bytes(*word).wrapping_mul(MULTIPLIER);
        hash.wrapping_mul(MULTIPLIER) ^ (word ^ (word >> 24)).wrapping_mul(MULTIPLIER)
    });
    if !rest.is_empty() {
        let word = rest.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte));
        hash = (hash ^ word).wrapping_mul(MULTIPLIER);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(MULTIPLIER);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values of Kafka's own test, which librdkafka's repeats (rdmurmur2.c).
    #[test]
    fn hashes_as_kafka_does() {
        for (key, hash) in [
            ("kafka", 0xd067_cf64),
            ("giberish123456789", 0x8f55_2b0c),
            ("1234", 0x9fc9_7b14),
            ("234", 0xe7c0_09ca),
            ("34", 0x8739_30da),
            ("4", 0x5a4b_5ca1),
            ("", 0x106e_08d9),
        ] {
            assert_eq!(murmur2(key.as_bytes()), hash, "{key}");
        }
    }

    #[test]
    fn no_partition_is_none() {
        assert_eq!(partition_of("kafka", 0), None);
        assert_eq!(partition_of("kafka", 6), Some((0xd067_cf64_u32 & 0x7fff_ffff) % 6));
    }
}
