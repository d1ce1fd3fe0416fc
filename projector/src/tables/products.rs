use std::sync::LazyLock;

use chrono::NaiveDateTime;
use diesel::prelude::*;
use serde::Serialize;
use shared::Timestamp;
use shared::document::Product;
use shared::event::Domain;

use super::guarded::{Insert, Upsert, newer_wins};
use super::{Rank, Root, Stamp, text};
use crate::schema::products;

/// `supplier_id` is `None` in a row whose supplier is deleted, whatever the document says.
#[derive(Debug, Clone, PartialEq, Serialize, Queryable, Selectable, Insertable)]
#[diesel(table_name = products, check_for_backend(diesel::mysql::Mysql), treat_none_as_default_value = false)]
pub struct ProductRow {
    pub product_id: String,
    pub supplier_id: Option<String>,
    pub supplier_name: String,
    pub name: String,
    pub short_description: Option<String>,
    pub category: String,
    pub unit_type: String,
    pub base_sku: String,
    pub brand: Option<String>,
    pub base_price_cents: i64,
    pub status: String,
    pub view_count: i64,
    pub favorite_count: i64,
    pub purchase_count: i64,
    pub total_reviews: i64,
    pub published_at: Option<NaiveDateTime>,
    pub created_at: NaiveDateTime,
    pub updated_at: NaiveDateTime,
    pub event_id: String,
    pub event_timestamp: NaiveDateTime,
    pub version: i64,
}

impl ProductRow {
    /// The row that shows `document`, as of the event in `stamp`.
    pub fn from_document(document: &Product, stamp: Stamp) -> Self {
        Self {
            product_id: document.id.to_string(),
            supplier_id: Some(document.supplier_id.to_string()),
            supplier_name: document.supplier_info.name.clone(),
            name: document.name.clone(),
            short_description: document.short_description.clone(),
            category: text(&document.category),
            unit_type: text(&document.unit_type),
            base_sku: document.metadata.base_sku.clone(),
            brand: document.metadata.brand.clone(),
            base_price_cents: document.base_price_cents,
            status: document.status.as_str().to_owned(),
            view_count: document.stats.view_count,
            favorite_count: document.stats.favorite_count,
            purchase_count: document.stats.purchase_count,
            total_reviews: document.stats.total_reviews,
            published_at: document.published_at.map(Timestamp::naive),
            created_at: document.created_at.naive(),
            updated_at: document.updated_at.naive(),
            event_id: stamp.event_id,
            event_timestamp: stamp.event_timestamp,
            version: stamp.version,
        }
    }

    /// Which event the row shows.
    pub fn stamp(&self) -> Stamp {
        Stamp {
            event_id: self.event_id.clone(),
            event_timestamp: self.event_timestamp,
            version: self.version,
        }
    }
}

static NEWER_WINS: LazyLock<String> = LazyLock::new(|| newer_wins(&products::all_columns));

impl Upsert for ProductRow {
    fn on_duplicate() -> &'static str {
        &NEWER_WINS
    }

    fn insert<const N: usize>(rows: &[Self; N]) -> impl Insert {
        diesel::insert_into(products::table).values(rows)
    }
}

impl Root for ProductRow {
    const DOMAIN: Domain = Domain::Product;

    fn id(&self) -> &str {
        &self.product_id
    }

    fn rank(&self) -> Rank {
        Rank::new(self.version, self.event_timestamp)
    }

    fn event_id(&self) -> &str {
        &self.event_id
    }
}
