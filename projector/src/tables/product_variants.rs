use diesel::prelude::*;
use serde::Serialize;
use serde_json::Value;
use shared::document::{Product, Variant};

use super::json;
use crate::schema::product_variants;

/// The auto-increment `id` is left to MySQL: an unchanged variant keeps its own.
#[derive(Debug, Clone, PartialEq, Serialize, Queryable, Selectable, Insertable)]
#[diesel(table_name = product_variants, check_for_backend(diesel::mysql::Mysql))]
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
