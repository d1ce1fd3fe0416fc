//! Records of `__transaction_state`, where the transaction coordinators keep what they
//! decide: <https://github.com/apache/kafka/tree/trunk/transaction-coordinator/src/main/resources/common/message>.

use bytes::{Buf as _, TryGetError};

/// Versions of the value that are known here. From 1 on (Kafka 4.0) it is flexible:
/// lengths are varints, and there are tagged fields, none of which matters here.
const FLEXIBLE: i16 = 1;

/// What a coordinator has written about a transactional id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub transactional_id: String,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub status: Status,
    /// Those of the transaction that is under way or being ended.
    pub partitions: Vec<(String, i32)>,
    /// Milliseconds since 1970.
    pub updated_at: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Empty,
    Ongoing,
    PrepareCommit,
    PrepareAbort,
    CompleteCommit,
    CompleteAbort,
    Dead,
    PrepareEpochFence,
}

#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    #[error("a record of __transaction_state is of version {0}, which this command does not know")]
    Version(i16),
    #[error("a record of __transaction_state has the state {0}, which this command does not know")]
    Status(i8),
    #[error("a record of __transaction_state is damaged: {0}")]
    Damaged(String),
}

/// Reads a record; nothing if it forgets an expired id, or is of another kind.
///
/// # Errors
/// [`Unreadable`].
pub fn decode(mut key: &[u8], value: Option<&[u8]>) -> Result<Option<Entry>, Unreadable> {
    if key.try_get_i16()? != 0 {
        return Ok(None);
    }
    let transactional_id = string(&mut key, false)?;
    let Some(mut value) = value else {
        return Ok(None);
    };
    let version = value.try_get_i16()?;
    if !(0..=FLEXIBLE).contains(&version) {
        return Err(Unreadable::Version(version));
    }
    let flexible = version >= FLEXIBLE;
    let producer_id = value.try_get_i64()?;
    let producer_epoch = value.try_get_i16()?;
    let _timeout = value.try_get_i32()?;
    let status = status(value.try_get_i8()?)?;
    let partitions = partitions(&mut value, flexible)?;
    let updated_at = value.try_get_i64()?;
    Ok(Some(Entry {
        transactional_id,
        producer_id,
        producer_epoch,
        status,
        partitions,
        updated_at,
    }))
}

fn status(code: i8) -> Result<Status, Unreadable> {
    Ok(match code {
        0 => Status::Empty,
        1 => Status::Ongoing,
        2 => Status::PrepareCommit,
        3 => Status::PrepareAbort,
        4 => Status::CompleteCommit,
        5 => Status::CompleteAbort,
        6 => Status::Dead,
        7 => Status::PrepareEpochFence,
        other => return Err(Unreadable::Status(other)),
    })
}

fn partitions(buffer: &mut &[u8], flexible: bool) -> Result<Vec<(String, i32)>, Unreadable> {
    let mut all = Vec::new();
    for _ in 0..count(buffer, flexible)? {
        let topic = string(buffer, flexible)?;
        for _ in 0..count(buffer, flexible)? {
            all.push((topic.clone(), buffer.try_get_i32()?));
        }
        if flexible {
            skip_tagged_fields(buffer)?;
        }
    }
    Ok(all)
}

/// Of an array; nothing stands for none. A count that is too large ends with the bytes.
fn count(buffer: &mut &[u8], flexible: bool) -> Result<usize, Unreadable> {
    let count = match flexible {
        true => varint(buffer)?.saturating_sub(1),
        false => u32::try_from(buffer.try_get_i32()?).unwrap_or(0),
    };
    Ok(count as usize)
}

fn string(buffer: &mut &[u8], flexible: bool) -> Result<String, Unreadable> {
    let length = match flexible {
        true => varint(buffer)?.saturating_sub(1) as usize,
        false => usize::try_from(buffer.try_get_i16()?).unwrap_or(0),
    };
    let (text, rest) = buffer
        .split_at_checked(length)
        .ok_or_else(|| Unreadable::Damaged(format!("{length} bytes of text are missing")))?;
    *buffer = rest;
    Ok(String::from_utf8_lossy(text).into_owned())
}

fn skip_tagged_fields(buffer: &mut &[u8]) -> Result<(), Unreadable> {
    for _ in 0..varint(buffer)? {
        let _tag = varint(buffer)?;
        let length = varint(buffer)? as usize;
        let rest = buffer.split_at_checked(length).map(|(_, rest)| rest);
        *buffer = rest.ok_or_else(|| Unreadable::Damaged("a field is cut off".to_owned()))?;
    }
    Ok(())
}

fn varint(buffer: &mut &[u8]) -> Result<u32, Unreadable> {
    let mut number = 0;
    for shift in (0..u32::BITS).step_by(7) {
        let byte = buffer.try_get_u8()?;
        number |= u32::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err(Unreadable::Damaged("a number does not end".to_owned()))
}

impl From<TryGetError> for Unreadable {
    fn from(error: TryGetError) -> Self {
        Self::Damaged(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use bytes::BufMut as _;

    use super::*;

    fn key() -> Vec<u8> {
        [&[0, 0, 0, 5], &b"relay"[..]].concat()
    }

    fn value(version: i16) -> Vec<u8> {
        let mut value = Vec::new();
        value.put_i16(version);
        value.put_i64(7);
        value.put_i16(18);
        value.put_i32(20_000);
        value.put_i8(2);
        match version {
            0 => value.put_slice(&[0, 0, 0, 1, 0, 4, b'p', b'o', b's', b't', 0, 0, 0, 2]),
            _ => value.put_slice(&[2, 5, b'p', b'o', b's', b't', 3]),
        }
        value.put_i32(4);
        value.put_i32(5);
        if version > 0 {
            // A tagged field: tag 9, two bytes.
            value.put_slice(&[1, 9, 2, 0xff, 0xff]);
        }
        value.put_i64(1_700_000_000_000);
        value.put_i64(1_600_000_000_000);
        value
    }

    #[test]
    fn both_versions_say_the_same() -> Result<(), Unreadable> {
        let entry = Entry {
            transactional_id: "relay".to_owned(),
            producer_id: 7,
            producer_epoch: 18,
            status: Status::PrepareCommit,
            partitions: vec![("post".to_owned(), 4), ("post".to_owned(), 5)],
            updated_at: 1_700_000_000_000,
        };
        for version in [0, 1] {
            assert_eq!(decode(&key(), Some(&value(version)))?.as_ref(), Some(&entry));
        }
        assert_eq!(decode(&key(), None)?, None, "forgotten");
        assert_eq!(decode(&[0, 9, 0, 0], Some(&value(0)))?, None, "of another kind");
        Ok(())
    }

    #[test]
    fn what_is_not_known_or_damaged_is_an_error() {
        assert!(matches!(decode(&key(), Some(&[0, 2])), Err(Unreadable::Version(2))));
        for version in [0, 1] {
            let whole = value(version);
            for length in 0..whole.len() - 8 {
                assert!(decode(&key(), Some(&whole[..length])).is_err(), "{version}, {length}");
            }
        }
    }
}
