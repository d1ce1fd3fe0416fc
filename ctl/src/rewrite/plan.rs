//! A document as it is, under a new version, and the event that tells of it. Pure.

use bson::{RawDocument, RawDocumentBuf};
use shared::document::{Document, Order, OrderStatus, Post, Product, Supplier, User};
use shared::event::{Domain, Envelope, EventType, deletion_data};
use shared::outbox::{MAX_PAYLOAD_BYTES, OutboxRecord};
use shared::{Id, Timestamp};

use super::{Refusal, Target};

/// The event that says how `stored`, the document of `target`, looks. The document
/// itself changes nothing but its version, which is the event's.
///
/// # Errors
/// [`Refusal`]: it is not in the contract's shape, or its event would be too large.
pub fn present(
    domain: Domain,
    target: &Target,
    stored: &RawDocument,
) -> Result<OutboxRecord, Refusal> {
    match domain {
        Domain::User => of::<User>(target, stored, |_| EventType::UserUpdated),
        Domain::Supplier => of::<Supplier>(target, stored, |_| EventType::SupplierUpdated),
        Domain::Product => of::<Product>(target, stored, product),
        Domain::Order => of::<Order>(target, stored, order),
        Domain::Post => of::<Post>(target, stored, |_| EventType::PostUpdated),
    }
}

/// The event that takes away the row of a document that is gone.
///
/// # Errors
/// [`Refusal::NoSuchEvent`]: the rows of this domain are kept for ever.
pub fn absent(domain: Domain, target: &Target) -> Result<OutboxRecord, Refusal> {
    let event = match domain {
        Domain::Supplier => EventType::SupplierDeleted,
        Domain::Product => EventType::ProductDeleted,
        Domain::User | Domain::Order | Domain::Post => return Err(Refusal::NoSuchEvent),
    };
    let version = target.above + 1;
    let data = deletion_data(domain, target.id, version);
    record(event, target.id, version, &data)
}

fn product(product: &Product) -> EventType {
    match product.is_deleted() {
        true => EventType::ProductDeleted,
        false => EventType::ProductUpdated,
    }
}

/// Orders have no event that says no more than that one changed: the one that leads to
/// its state stands for it. No event leads to `failed`.
fn order(order: &Order) -> EventType {
    match order.status {
        OrderStatus::Pending | OrderStatus::Failed => EventType::OrderCreated,
        OrderStatus::Confirmed => EventType::OrderConfirmed,
        OrderStatus::Processing => EventType::OrderProcessing,
        OrderStatus::Shipped => EventType::OrderShipped,
        OrderStatus::Delivered => EventType::OrderDelivered,
        OrderStatus::Cancelled => EventType::OrderCancelled,
        OrderStatus::Refunded => EventType::OrderRefunded,
    }
}

fn of<D: Document>(
    target: &Target,
    stored: &RawDocument,
    event: impl FnOnce(&D) -> EventType,
) -> Result<OutboxRecord, Refusal> {
    let unreadable = |error: bson::error::Error| Refusal::Unreadable(error.to_string());
    let before: D = bson::deserialize_from_slice(stored.as_bytes()).map_err(unreadable)?;
    let version = before.version().max(target.above) + 1;
    let mut fields = bson::Document::try_from(stored).map_err(unreadable)?;
    fields.insert("version", version);
    let fields = RawDocumentBuf::try_from(&fields).map_err(unreadable)?;
    let document: D = bson::deserialize_from_slice(fields.as_bytes()).map_err(unreadable)?;
    let event = event(&document);
    match event.is_deletion() {
        true => record(event, target.id, version, &deletion_data(D::DOMAIN, target.id, version)),
        false => {
            let record = record(event, target.id, version, &document)?;
            // What BSON holds and JSON does not, as NaN, the projector could not read back.
            let read: Result<Envelope<'_, D>, _> = serde_json::from_str(&record.payload);
            read.map_err(|error| Refusal::Unreadable(error.to_string()))?;
            Ok(record)
        }
    }
}

fn record<T: serde::Serialize>(
    event: EventType,
    id: Id,
    version: i64,
    data: &T,
) -> Result<OutboxRecord, Refusal> {
    let record = OutboxRecord::new(event, id, version, Timestamp::now(), None, data)
        .map_err(|error| Refusal::Unreadable(error.to_string()))?;
    match record.payload.len() > MAX_PAYLOAD_BYTES {
        true => Err(Refusal::TooLarge(record.payload.len())),
        false => Ok(record),
    }
}

#[cfg(test)]
mod tests {
    use bson::{doc, oid::ObjectId};

    use super::*;

    fn user(version: Option<i64>) -> RawDocumentBuf {
        let now = bson::DateTime::now();
        let mut user = doc! {
            "_id": ObjectId::new(), "created_at": now, "updated_at": now,
            "password_hash": "$2b$12$secret", "revision_id": ObjectId::new(),
            "contact_info": {"primary_email": "a@example.com"},
            "profile": {"display_name": "Ann"},
        };
        user.extend(version.map(|version| ("version".to_owned(), version.into())));
        RawDocumentBuf::try_from(&user).unwrap()
    }

    fn target(above: i64) -> Target {
        Target { id: Id::new(), above }
    }

    #[test]
    fn the_new_version_outranks_whatever_was_there() {
        for (stored, above, version) in
            [(None, 0, 1), (Some(1), 0, 2), (Some(3), 3, 4), (Some(2), 7, 8)]
        {
            let record = present(Domain::User, &target(above), &user(stored)).unwrap();
            assert_eq!(record.version, version, "{stored:?} {above}");
            let payload: serde_json::Value = serde_json::from_str(&record.payload).unwrap();
            assert_eq!(payload["data"]["version"], version);
            assert!(!record.payload.contains("secret"), "{}", record.payload);
            assert!(!record.payload.contains("revision_id"), "{}", record.payload);
        }
    }

    #[test]
    fn a_row_without_a_document_goes_only_where_rows_go() {
        for (domain, event) in [
            (Domain::Supplier, EventType::SupplierDeleted),
            (Domain::Product, EventType::ProductDeleted),
        ] {
            let record = absent(domain, &target(4)).unwrap();
            assert_eq!((record.event_type, record.version), (event, 5));
        }
        for domain in [Domain::User, Domain::Order, Domain::Post] {
            assert!(matches!(absent(domain, &target(4)), Err(Refusal::NoSuchEvent)));
        }
    }

    /// The Python system stored such a rate for a post without views.
    #[test]
    fn a_number_that_json_lacks_is_refused_before_it_becomes_a_dead_letter() {
        let now = bson::DateTime::now();
        let post = |rate: f64| {
            bson::rawdoc! {
                "_id": ObjectId::new(), "created_at": now, "updated_at": now, "version": 1_i64,
                "post_type": "text", "text_content": "tc",
                "author": {
                    "user_id": ObjectId::new(), "display_name": "dn", "avatar": "av",
                    "author_type": "user",
                },
                "stats": {
                    "view_count": 0_i64, "like_count": 0_i64, "comment_count": 0_i64,
                    "share_count": 0_i64, "save_count": 0_i64, "engagement_rate": rate,
                },
            }
        };
        present(Domain::Post, &target(0), &post(0.5)).unwrap();
        let refused = present(Domain::Post, &target(0), &post(f64::NAN));
        assert!(matches!(refused, Err(Refusal::Unreadable(_))), "{refused:?}");
    }

    #[test]
    fn what_is_no_document_of_the_contract_is_refused() {
        let raw = bson::rawdoc! {"_id": ObjectId::new(), "profile": 7};
        let refused = present(Domain::User, &target(0), &raw);
        assert!(matches!(refused, Err(Refusal::Unreadable(_))));
    }
}
