//! Where the values of the columns come from: the contract's tables once more, on
//! purpose neither the projector's mapping nor `outboxctl verify`'s.

use mongodb::bson::{Bson, Document};
use shared::event::Domain;

/// A column and the dotted path of its value in the document.
pub type Column = (&'static str, &'static str);

/// The rows that a document's list or map becomes.
pub struct Children {
    pub table: &'static str,
    pub key: &'static str,
    pub path: &'static str,
    pub columns: &'static [Column],
}

pub fn columns(domain: Domain) -> &'static [Column] {
    match domain {
        Domain::User => &[
            ("email", "contact_info.primary_email"),
            ("phone", "contact_info.phone"),
            ("display_name", "profile.display_name"),
            ("bio", "profile.bio"),
            ("deleted_at", "deleted_at"),
            ("updated_at", "updated_at"),
        ],
        Domain::Supplier => &[
            ("email", "contact_info.primary_email"),
            ("legal_name", "company_info.legal_name"),
            ("dba_name", "company_info.dba_name"),
            ("country", "company_info.business_address.country"),
            ("support_email", "business_info.support_email"),
            ("updated_at", "updated_at"),
        ],
        Domain::Product => &[
            ("supplier_id", "supplier_id"),
            ("supplier_name", "supplier_info.name"),
            ("name", "name"),
            ("short_description", "short_description"),
            ("base_price_cents", "base_price_cents"),
            ("status", "status"),
            ("published_at", "published_at"),
            ("updated_at", "updated_at"),
        ],
        Domain::Order => &[
            ("order_number", "order_number"),
            ("customer_user_id", "customer.user_id"),
            ("shipping_recipient_name", "shipping_address.recipient_name"),
            ("status", "status"),
            ("created_at", "created_at"),
            ("updated_at", "updated_at"),
        ],
        Domain::Post => &[
            ("author_user_id", "author.user_id"),
            ("text_content", "text_content"),
            ("link_url", "link_preview.url"),
            ("deleted_at", "deleted_at"),
            ("published_at", "published_at"),
            ("updated_at", "updated_at"),
        ],
    }
}

pub fn children(domain: Domain) -> Option<&'static Children> {
    match domain {
        Domain::Product => Some(&Children {
            table: "product_variants",
            key: "variant_key",
            path: "variants",
            columns: &[
                ("variant_id", "variant_id"),
                ("variant_name", "variant_name"),
                ("price_cents", "price_cents"),
                ("quantity", "quantity"),
            ],
        }),
        Domain::Order => Some(&Children {
            table: "order_items",
            key: "item_id",
            path: "items",
            columns: &[
                ("product_id", "product_snapshot.product_id"),
                ("quantity", "quantity"),
                ("total_cents", "total_cents"),
                ("fulfillment_status", "fulfillment_status"),
                ("tracking_number", "tracking_number"),
                ("delivered_at", "delivered_at"),
            ],
        }),
        Domain::User | Domain::Supplier | Domain::Post => None,
    }
}

/// What stands at a dotted path, as MySQL would say it; nothing for null and absent.
pub fn text(document: &Document, path: &str) -> Option<String> {
    let (last, parents) = path.rsplit_once('.').map_or((path, None), |(up, last)| (last, Some(up)));
    let mut place = document;
    for name in parents.into_iter().flat_map(|parents| parents.split('.')) {
        place = place.get_document(name).ok()?;
    }
    match place.get(last)? {
        Bson::Null => None,
        Bson::String(text) => Some(text.clone()),
        Bson::ObjectId(id) => Some(id.to_hex()),
        Bson::DateTime(time) => Some(time.timestamp_millis().to_string()),
        Bson::Int32(number) => Some(number.to_string()),
        Bson::Int64(number) => Some(number.to_string()),
        other => Some(other.to_string()),
    }
}
