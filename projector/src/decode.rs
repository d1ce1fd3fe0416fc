//! A record becomes a [`Change`], or poison with its reason. Pure.

use chrono::Datelike;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use shared::document::{Document, Order, Post, Product, ProductStatus, Supplier, User};
use shared::event::{Domain, Envelope, EventType};
use shared::{Id, Timestamp};

use crate::poison::{Poison, Reason};
use crate::record::Record;
use crate::tables::{Rank, Stamp};

/// What one event says of one entity.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    pub entity: Id,
    pub stamp: Stamp,
    pub content: Content,
}

impl Change {
    pub fn rank(&self) -> Rank {
        Rank::new(self.stamp.version, self.stamp.event_timestamp)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    User(Box<User>),
    Supplier(Box<Supplier>),
    Product(Box<Product>),
    Order(Box<Order>),
    Post(Box<Post>),
    Deleted(Domain),
    /// By the older producer, which did not send the order along.
    OrderCancelled,
}

impl Content {
    pub fn domain(&self) -> Domain {
        match self {
            Self::User(_) => Domain::User,
            Self::Supplier(_) => Domain::Supplier,
            Self::Product(_) => Domain::Product,
            Self::Order(_) | Self::OrderCancelled => Domain::Order,
            Self::Post(_) => Domain::Post,
            Self::Deleted(domain) => *domain,
        }
    }
}

/// # Errors
/// [`Poison`]: no later attempt would read the record differently.
pub fn decode(record: &Record) -> Result<Change, Poison> {
    let key =
        record.key.as_deref().ok_or_else(|| Reason::NoKey.because("the record has no key"))?;
    let value = record
        .value
        .as_deref()
        .ok_or_else(|| Reason::NoValue.because("the record has no value"))?;
    let text = std::str::from_utf8(value).map_err(|error| Reason::InvalidUtf8.because(error))?;
    let envelope: Envelope = serde_json::from_str(text).map_err(broken_envelope)?;
    let event_type: EventType =
        envelope.event_type.parse().map_err(|error| Reason::UnknownEventType.because(error))?;
    if event_type.domain() != record.domain {
        let topic = &record.partition.topic;
        return Err(Reason::WrongTopic.because(format!("{event_type} in the topic {topic}")));
    }
    let entity = entity_of(key, &envelope.entity_id)?;
    let moment = moment_of(&envelope.timestamp)?;
    let event_id = event_id_of(&envelope.event_id)?;
    let older = record.is_older_format();
    let (content, version) = content_of(event_type, entity, envelope.data, older)?;
    Ok(Change {
        entity,
        stamp: Stamp { event_id, event_timestamp: moment.naive(), version },
        content,
    })
}

fn broken_envelope(error: serde_json::Error) -> Poison {
    match error.classify() {
        serde_json::error::Category::Data => Reason::NotAnEnvelope.because(error),
        _ => Reason::NotJson.because(error),
    }
}

/// The key decides the partition, and so the order, so it must be the entity's id.
fn entity_of(key: &[u8], entity_id: &str) -> Result<Id, Poison> {
    let invalid = |error: &dyn ToString| Reason::InvalidId.because(error.to_string());
    let entity: Id = entity_id.parse().map_err(|error| invalid(&error))?;
    let key = std::str::from_utf8(key).map_err(|error| invalid(&error))?;
    if key.parse() == Ok(entity) {
        Ok(entity)
    } else {
        Err(invalid(&"the key is not the entity's id"))
    }
}

fn moment_of(text: &str) -> Result<Timestamp, Poison> {
    let moment: Timestamp =
        text.parse().map_err(|error| Reason::InvalidTimestamp.because(error))?;
    // The range of DATETIME.
    if (1000..=9999).contains(&moment.naive().year()) {
        Ok(moment)
    } else {
        Err(Reason::InvalidTimestamp.because("the year is out of range"))
    }
}

/// An empty one would pass for that of a placeholder.
fn event_id_of(text: &str) -> Result<String, Poison> {
    if (1..=36).contains(&text.chars().count()) {
        Ok(text.to_owned())
    } else {
        Err(Reason::InvalidId.because("event_id must have 1 to 36 characters"))
    }
}

fn content_of(
    event_type: EventType,
    entity: Id,
    data: &RawValue,
    older: bool,
) -> Result<(Content, i64), Poison> {
    let domain = event_type.domain();
    if event_type.is_deletion() {
        let version = if older { 0 } else { deletion_version(domain, entity, data)? };
        return Ok((Content::Deleted(domain), version));
    }
    if older && event_type == EventType::OrderCancelled && names_only_the_number(data) {
        return Ok((Content::OrderCancelled, 0));
    }
    match domain {
        Domain::User => document(entity, data, older, Content::User),
        Domain::Supplier => document(entity, data, older, Content::Supplier),
        Domain::Product => document(entity, data, older, product),
        Domain::Order => document(entity, data, older, Content::Order),
        Domain::Post => document(entity, data, older, Content::Post),
    }
}

/// A deleted product has no row, whichever event tells of it.
fn product(product: Box<Product>) -> Content {
    match product.status {
        ProductStatus::Deleted => Content::Deleted(Domain::Product),
        _ => Content::Product(product),
    }
}

fn document<D: Document>(
    entity: Id,
    data: &RawValue,
    older: bool,
    content: fn(Box<D>) -> Content,
) -> Result<(Content, i64), Poison> {
    let document: Box<D> = parse(data)?;
    if document.id() != entity {
        return Err(Reason::InvalidId.because("the document is not the entity's"));
    }
    let version = if older { 0 } else { usable(document.version())? };
    Ok((content(document), version))
}

fn deletion_version(domain: Domain, entity: Id, data: &RawValue) -> Result<i64, Poison> {
    let data: serde_json::Map<String, serde_json::Value> = parse(data)?;
    let id = data.get(domain.id_key()).and_then(serde_json::Value::as_str);
    if id.and_then(|id| id.parse().ok()) != Some(entity) {
        return Err(Reason::InvalidId.because("the data does not name the entity"));
    }
    usable(data.get("version").and_then(serde_json::Value::as_i64).unwrap_or_default())
}

fn usable(version: i64) -> Result<i64, Poison> {
    if version >= 1 {
        Ok(version)
    } else {
        Err(Reason::InvalidVersion.because(format!("{version} is not a version")))
    }
}

fn names_only_the_number(data: &RawValue) -> bool {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Number {
        #[serde(rename = "order_number")]
        _order_number: String,
    }
    serde_json::from_str::<Number>(data.get()).is_ok()
}

fn parse<T: DeserializeOwned>(data: &RawValue) -> Result<T, Poison> {
    serde_json::from_str(data.get()).map_err(|error| Reason::InvalidData.because(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::sample::{Sample, ids};

    fn reason(record: &Record) -> Reason {
        decode(record).unwrap_err().reason
    }

    #[test]
    fn the_newer_format_is_ranked_by_version_the_older_by_moment() {
        let [id, ..] = ids();
        let newer = decode(&Sample::user(id, 7).record()).unwrap();
        assert_eq!(newer.stamp.version, 7);
        let older = decode(&Sample::user(id, 7).older(3).record()).unwrap();
        assert_eq!(older.stamp.version, 0, "its version says nothing");
        assert!(newer.rank().outranks(older.rank()) && !older.rank().outranks(newer.rank()));
        assert!(!newer.rank().outranks(newer.rank()));
    }

    #[test]
    fn a_foreign_header_makes_no_newer_format() {
        let [id, ..] = ids();
        let mut record = Sample::user(id, 7).older(3).record();
        record.headers = [("uber-trace-id", None)].into_iter().collect();
        assert_eq!(decode(&record).unwrap().stamp.version, 0);
    }

    #[test]
    fn the_older_deletion_needs_nothing_but_the_envelope() {
        let [id, ..] = ids();
        for data in
            [serde_json::json!({}), serde_json::json!(id), serde_json::json!({"user_id": id})]
        {
            let mut sample = Sample::deletion(id, 1).older(3);
            sample.envelope["data"] = data;
            let change = decode(&sample.record()).unwrap();
            assert_eq!(change.content, Content::Deleted(Domain::User));
            assert_eq!(change.entity, id);
        }
    }

    #[test]
    fn the_newer_deletion_must_say_which_version() {
        let [id, other, ..] = ids();
        let mut sample = Sample::deletion(id, 1);
        sample.envelope["data"] = serde_json::json!({"user_id": id});
        assert_eq!(reason(&sample.record()), Reason::InvalidVersion);
        let mut sample = Sample::deletion(id, 1);
        sample.envelope["data"]["user_id"] = serde_json::json!(other);
        assert_eq!(reason(&sample.record()), Reason::InvalidId);
    }

    #[test]
    fn a_deleted_product_is_a_deletion_whatever_the_event_is_called() {
        let [id, ..] = ids();
        let mut sample = Sample::user(id, 4);
        sample.envelope["event_type"] = "product.updated".into();
        sample.envelope["data"] = serde_json::json!({
            "id": id, "version": 4, "supplier_id": id, "supplier_info": {"name": "S"}, "name": "P",
            "category": "other", "unit_type": "piece", "metadata": {"base_sku": "S"},
            "base_price_cents": 1, "status": "deleted",
            "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
        });
        let mut record = sample.record();
        record.domain = Domain::Product;
        let change = decode(&record).unwrap();
        assert_eq!(change.content, Content::Deleted(Domain::Product));
        assert_eq!(change.stamp.version, 4);
    }

    #[test]
    fn the_key_must_be_the_entity() {
        let [id, other, ..] = ids();
        let mut sample = Sample::user(id, 1);
        sample.key = Some(other.to_string().into_bytes());
        assert_eq!(reason(&sample.record()), Reason::InvalidId);
        let mut sample = Sample::user(id, 1);
        sample.key = None;
        assert_eq!(reason(&sample.record()), Reason::NoKey);
    }
}
