use std::sync::LazyLock;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde::Serialize;
use serde_json::Value;
use shared::document::{Product, Variant};

use super::guarded::{Insert, Upsert, last_wins};
use super::{Child, json};
use crate::database::Connection;
use crate::schema::product_variants;

/// The auto-increment `id` is left to MySQL: an unchanged variant keeps its own.
#[derive(Debug, Clone, PartialEq, Serialize, Queryable, Selectable, Insertable)]
#[diesel(table_name = product_variants, check_for_backend(diesel::mysql::Mysql), treat_none_as_default_value = false)]
pub struct ProductVariantRow {
    pub product_id: String,
    pub variant_key: String,
    pub variant_id: String,
    pub variant_name: String,
    pub attributes_json: Value,
    pub price_cents: i64,
    pub cost_cents: Option<i64>,
    pub quantity: i64,
    pub width_cm: f64,
    pub height_cm: f64,
    pub depth_cm: f64,
    pub image_url: Option<String>,
}

impl ProductVariantRow {
    /// The rows that show `document`; none where it has none.
    pub fn from_document(document: &Product) -> Vec<Self> {
        let row = |(key, variant): (&String, &Variant)| Self {
            product_id: document.id.to_string(),
            variant_key: key.clone(),
            variant_id: variant.variant_id.clone(),
            variant_name: variant.variant_name.clone(),
            attributes_json: json(&variant.attributes),
            price_cents: variant.price_cents,
            cost_cents: variant.cost_cents,
            quantity: variant.quantity,
            width_cm: variant.package_dimensions.width_cm,
            height_cm: variant.package_dimensions.height_cm,
            depth_cm: variant.package_dimensions.depth_cm,
            image_url: variant.image_url.clone(),
        };
        document.variants.iter().map(row).collect()
    }
}

static LAST_WINS: LazyLock<String> = LazyLock::new(|| {
    last_wins(&product_variants::all_columns, &["id", "product_id", "variant_key"])
});

/// With the `id` that it has, or 0: MySQL then gives it the next one. A row that comes
/// without its `id` would first be inserted, then found out and taken back.
#[derive(Insertable)]
#[diesel(table_name = product_variants, treat_none_as_default_value = false)]
pub(crate) struct NumberedVariant {
    id: i64,
    #[diesel(embed)]
    row: ProductVariantRow,
}

impl Upsert for NumberedVariant {
    fn on_duplicate() -> &'static str {
        &LAST_WINS
    }

    fn insert<const N: usize>(rows: &[Self; N]) -> impl Insert {
        diesel::insert_into(product_variants::table).values(rows)
    }
}

impl Child for ProductVariantRow {
    type Numbered = NumberedVariant;

    const PRESENT: &str = "SELECT id, product_id AS parent, variant_key AS name FROM product_variants \
                           FORCE INDEX (uq_product_variants_key) WHERE product_id IN";

    fn parent(&self) -> &str {
        &self.product_id
    }

    fn key(&self) -> &str {
        &self.variant_key
    }

    fn numbered(self, id: i64) -> Self::Numbered {
        NumberedVariant { id, row: self }
    }

    async fn delete(connection: &mut Connection, ids: &[i64]) -> QueryResult<usize> {
        let rows = product_variants::table.filter(product_variants::id.eq_any(ids));
        diesel::delete(rows).execute(connection).await
    }
}
