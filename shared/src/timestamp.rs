use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use bson::RawBson;
use chrono::{DateTime, NaiveDateTime, SecondsFormat, SubsecRound, Timelike, Utc};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A moment in UTC: a date in BSON (milliseconds), RFC 3339 in JSON,
/// DATETIME(6) in MySQL.
///
/// Our own moments are whole milliseconds, so that the document, the event and
/// the row agree to the last digit. The older producer's events carry
/// microseconds; they are read as they are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(DateTime<Utc>);

/// The text is not an RFC 3339 moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an RFC 3339 timestamp")]
pub struct InvalidTimestamp;

impl Timestamp {
    /// Now, in whole milliseconds: the precision that BSON keeps.
    pub fn now() -> Self {
        Self(Utc::now().trunc_subsecs(3))
    }

    pub fn from_millis(millis: i64) -> Option<Self> {
        DateTime::from_timestamp_millis(millis).map(Self)
    }

    /// Milliseconds since 1970.
    pub fn millis(self) -> i64 {
        self.0.timestamp_millis()
    }

    pub fn datetime(self) -> DateTime<Utc> {
        self.0
    }

    /// As MySQL's DATETIME(6), which knows no zone: UTC by contract, whole microseconds.
    pub fn naive(self) -> NaiveDateTime {
        self.0.trunc_subsecs(6).naive_utc()
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(moment: DateTime<Utc>) -> Self {
        Self(moment)
    }
}

impl From<Timestamp> for bson::Bson {
    fn from(moment: Timestamp) -> Self {
        bson::Bson::DateTime(bson::DateTime::from_millis(moment.millis()))
    }
}

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    /// RFC 3339 with any offset. Without an offset it is read as UTC: some of the
    /// older producer's moments lack one.
    fn from_str(text: &str) -> Result<Self, InvalidTimestamp> {
        DateTime::parse_from_rfc3339(text)
            .map(|moment| moment.with_timezone(&Utc))
            .or_else(|_| text.parse::<NaiveDateTime>().map(|naive| naive.and_utc()))
            .map(Self)
            .map_err(|_| InvalidTimestamp)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole_millis = self.0.nanosecond().is_multiple_of(1_000_000);
        let digits = if whole_millis { SecondsFormat::Millis } else { SecondsFormat::Micros };
        f.write_str(&self.0.to_rfc3339_opts(digits, true))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            bson::DateTime::from_millis(self.millis()).serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = Cow::<str>::deserialize(deserializer)?;
            return text.parse().map_err(de::Error::custom);
        }
        // Raw: `bson::DateTime` would have the milliseconds written as text, and read it again.
        let RawBson::DateTime(date) = RawBson::deserialize(deserializer)? else {
            return Err(de::Error::custom("expected a date"));
        };
        Self::from_millis(date.timestamp_millis())
            .ok_or_else(|| de::Error::custom("date out of range"))
    }
}

/// As JSON writes it.
impl JsonSchema for Timestamp {
    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "date-time",
            "examples": ["2026-01-02T03:04:05.678Z"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Holder {
        at: Timestamp,
    }

    #[test]
    fn survives_json_and_bson_to_the_millisecond() {
        let holder = Holder { at: "2026-01-02T03:04:05.678Z".parse().unwrap() };
        let json = serde_json::to_string(&holder).unwrap();
        assert_eq!(json, r#"{"at":"2026-01-02T03:04:05.678Z"}"#);
        let raw = bson::serialize_to_raw_document_buf(&holder).unwrap();
        assert!(raw.get_datetime("at").is_ok());
        assert_eq!(bson::deserialize_from_slice::<Holder>(raw.as_bytes()).unwrap(), holder);
    }

    #[test]
    fn reads_the_older_producers_forms() {
        let expected: Timestamp = "2026-01-02T03:04:05.123456Z".parse().unwrap();
        for text in [
            "2026-01-02T03:04:05.123456+00:00",
            "2026-01-02T03:04:05.123456",
            "2026-01-02T05:04:05.123456+02:00",
        ] {
            assert_eq!(text.parse::<Timestamp>().unwrap(), expected, "{text}");
        }
        assert_eq!(expected.to_string(), "2026-01-02T03:04:05.123456Z");
    }
}
