use std::collections::HashSet;
use std::sync::LazyLock;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde::Serialize;
use serde_json::Value;
use shared::document::{Product, Variant};

use super::guarded::{Guarded, IDS_A_STATEMENT, ROWS_A_STATEMENT, last_wins};
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

impl Child for ProductVariantRow {
    fn parent(&self) -> &str {
        &self.product_id
    }

    async fn replace(
        connection: &mut Connection,
        parents: &[&str],
        rows: &[Self],
    ) -> QueryResult<()> {
        let kept: HashSet<_> =
            rows.iter().map(|row| (row.product_id.as_str(), row.variant_key.as_str())).collect();
        let mut gone = Vec::new();
        for parents in parents.chunks(IDS_A_STATEMENT) {
            let query = product_variants::table
                .filter(product_variants::product_id.eq_any(parents))
                .select((
                    product_variants::id,
                    product_variants::product_id,
                    product_variants::variant_key,
                ));
            let present = query.load::<(i64, String, String)>(connection).await?;
            let is_gone = |(_, parent, key): &(i64, String, String)| {
                !kept.contains(&(parent.as_str(), key.as_str()))
            };
            gone.extend(present.into_iter().filter(is_gone).map(|(id, _, _)| id));
        }
        for ids in gone.chunks(IDS_A_STATEMENT) {
            let obsolete = product_variants::table.filter(product_variants::id.eq_any(ids));
            diesel::delete(obsolete).execute(connection).await?;
        }
        for rows in rows.chunks(ROWS_A_STATEMENT) {
            let insert = diesel::insert_into(product_variants::table).values(rows);
            Guarded::new(insert, &LAST_WINS).execute(connection).await?;
        }
        Ok(())
    }
}
