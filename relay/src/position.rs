//! Positions in a change stream.

use bson::Document;
use serde::{Deserialize, Serialize};

/// MongoDB's logical clock: seconds since 1970, and a counter within the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ClusterTime {
    pub seconds: u32,
    pub increment: u32,
}

impl ClusterTime {
    /// The last moment before this one: events that share a moment (a transaction's)
    /// may lie on both sides of a position.
    pub fn before(self) -> Self {
        match self.increment.checked_sub(1) {
            Some(increment) => Self { increment, ..self },
            None => Self { seconds: self.seconds.saturating_sub(1), increment: u32::MAX },
        }
    }
}

impl From<bson::Timestamp> for ClusterTime {
    fn from(time: bson::Timestamp) -> Self {
        Self { seconds: time.time, increment: time.increment }
    }
}

impl From<ClusterTime> for bson::Timestamp {
    fn from(time: ClusterTime) -> Self {
        Self { time: time.seconds, increment: time.increment }
    }
}

/// A place in the change stream from which it can go on: all before it is behind us.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Position {
    #[serde(with = "hex")]
    pub token: Document,
    pub time: ClusterTime,
}

/// A resume token in a form this relay does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unreadable resume token: {0}")]
pub struct UnreadableToken(String);

impl Position {
    /// # Errors
    /// Where the token is not of the form MongoDB has used since 4.0.
    pub fn of(token: Document) -> Result<Self, UnreadableToken> {
        let time = token_time(&token).ok_or_else(|| UnreadableToken(token.to_string()))?;
        Ok(Self { token, time })
    }
}

impl TryFrom<&bson::RawDocument> for Position {
    type Error = UnreadableToken;

    fn try_from(token: &bson::RawDocument) -> Result<Self, UnreadableToken> {
        let token =
            Document::try_from(token).map_err(|error| UnreadableToken(error.to_string()))?;
        Self::of(token)
    }
}

/// `_data` is a KeyString in hex. It begins with the cluster time: the type byte 0x82,
/// then seconds and increment, big-endian (MongoDB's src/mongo/db/pipeline/resume_token.h
/// and key_string.cpp). So tokens sort by time, and time can be read off them.
fn token_time(token: &Document) -> Option<ClusterTime> {
    let data = token.get_str("_data").ok()?;
    let digits = |range| u32::from_str_radix(data.get(range)?, 16).ok();
    (data.get(0..2)? == "82").then_some(())?;
    Some(ClusterTime { seconds: digits(2..10)?, increment: digits(10..18)? })
}

/// The token's BSON in hex: JSON has no binary, and a token may hold some.
mod hex {
    use bson::Document;
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer, ser};

    pub fn serialize<S: Serializer>(token: &Document, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes = token.to_vec().map_err(ser::Error::custom)?;
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        serializer.serialize_str(&digits)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Document, D::Error> {
        let digits = String::deserialize(deserializer)?;
        let byte = |at| {
            let pair = digits.get(at..at + 2);
            pair.and_then(|pair| u8::from_str_radix(pair, 16).ok())
        };
        let bytes: Option<Vec<u8>> = (0..digits.len()).step_by(2).map(byte).collect();
        let bytes = bytes.ok_or_else(|| D::Error::custom("not hex"))?;
        Document::from_reader(bytes.as_slice()).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use bson::doc;

    use super::*;

    #[test]
    fn the_time_is_read_off_the_token() {
        let token = doc! { "_data": "8265A1B2C30000000D2B0229296E04" };
        let position = Position::of(token.clone()).unwrap();
        assert_eq!(position.time.seconds, 0x65A1_B2C3);
        assert_eq!(position.time.increment, 13);
    }

    #[test]
    fn the_moment_before_is_earlier_and_nothing_lies_between() {
        let time = |seconds, increment| ClusterTime { seconds, increment };
        assert_eq!(time(7, 3).before(), time(7, 2));
        assert_eq!(time(7, 0).before(), time(6, u32::MAX));
        assert!(time(7, 0).before() < time(7, 0));
    }

    #[test]
    fn what_is_no_token_is_refused() {
        for token in
            [doc! {}, doc! { "_data": 3 }, doc! { "_data": "99" }, doc! { "_data": "82zz" }]
        {
            assert!(Position::of(token.clone()).is_err(), "{token}");
        }
    }
}
