use std::sync::LazyLock;

use chrono::NaiveDateTime;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde::Serialize;
use serde_json::Value;
use shared::Timestamp;
use shared::document::{Order, OrderItem};

use super::guarded::{Insert, Upsert, last_wins};
use super::{Child, json, text};
use crate::database::Connection;
use crate::schema::order_items;

/// The auto-increment `id` is left to MySQL: an unchanged item keeps its own.
#[derive(Debug, Clone, PartialEq, Serialize, Queryable, Selectable, Insertable)]
#[diesel(table_name = order_items, check_for_backend(diesel::mysql::Mysql), treat_none_as_default_value = false)]
pub struct OrderItemRow {
    pub order_id: String,
    pub item_id: String,
    pub product_id: String,
    pub supplier_id: String,
    pub product_name: String,
    pub variant_name: Option<String>,
    pub variant_attributes_json: Value,
    pub image_url: String,
    pub supplier_name: String,
    pub quantity: i64,
    pub unit_price_cents: i64,
    pub final_price_cents: i64,
    pub total_cents: i64,
    pub fulfillment_status: String,
    pub shipped_quantity: i64,
    pub tracking_number: Option<String>,
    pub carrier: Option<String>,
    pub shipped_at: Option<NaiveDateTime>,
    pub delivered_at: Option<NaiveDateTime>,
}

impl OrderItemRow {
    /// The rows that show `document`; none where it has none.
    pub fn from_document(document: &Order) -> Vec<Self> {
        let row = |item: &OrderItem| Self {
            order_id: document.id.to_string(),
            item_id: item.item_id.clone(),
            product_id: item.product_snapshot.product_id.to_string(),
            supplier_id: item.product_snapshot.supplier_id.to_string(),
            product_name: item.product_snapshot.product_name.clone(),
            variant_name: item.product_snapshot.variant_name.clone(),
            variant_attributes_json: json(&item.product_snapshot.variant_attributes),
            image_url: item.product_snapshot.image_url.clone(),
            supplier_name: item.product_snapshot.supplier_name.clone(),
            quantity: item.quantity,
            unit_price_cents: item.unit_price_cents,
            final_price_cents: item.final_price_cents,
            total_cents: item.total_cents,
            fulfillment_status: text(&item.fulfillment_status),
            shipped_quantity: item.shipped_quantity,
            tracking_number: item.tracking_number.clone(),
            carrier: item.carrier.clone(),
            shipped_at: item.shipped_at.map(Timestamp::naive),
            delivered_at: item.delivered_at.map(Timestamp::naive),
        };
        document.items.iter().map(row).collect()
    }
}

static LAST_WINS: LazyLock<String> =
    LazyLock::new(|| last_wins(&order_items::all_columns, &["id", "order_id", "item_id"]));

/// With the `id` that it has, or 0: MySQL then gives it the next one. A row that comes
/// without its `id` would first be inserted, then found out and taken back.
#[derive(Insertable)]
#[diesel(table_name = order_items, treat_none_as_default_value = false)]
pub(crate) struct NumberedItem {
    id: i64,
    #[diesel(embed)]
    row: OrderItemRow,
}

impl Upsert for NumberedItem {
    fn on_duplicate() -> &'static str {
        &LAST_WINS
    }

    fn insert<const N: usize>(rows: &[Self; N]) -> impl Insert {
        diesel::insert_into(order_items::table).values(rows)
    }
}

impl Child for OrderItemRow {
    type Numbered = NumberedItem;

    const PRESENT: &str = "SELECT id, order_id AS parent, item_id AS name FROM order_items \
                           FORCE INDEX (uq_order_items_item) WHERE order_id IN";

    fn parent(&self) -> &str {
        &self.order_id
    }

    fn key(&self) -> &str {
        &self.item_id
    }

    fn numbered(self, id: i64) -> Self::Numbered {
        NumberedItem { id, row: self }
    }

    async fn delete(connection: &mut Connection, ids: &[i64]) -> QueryResult<usize> {
        let rows = order_items::table.filter(order_items::id.eq_any(ids));
        diesel::delete(rows).execute(connection).await
    }
}
