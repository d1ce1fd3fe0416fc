use std::collections::BTreeMap;

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::document::{
    Category, FIRST_VERSION, Product, ProductMetadata, ProductStats, ProductStatus, StockLocation,
    Supplier, SupplierInfo, TopicDescription, UnitType, Variant,
};
use shared::{Id, Timestamp};

use super::rules::{
    MAX_LOCATIONS, MAX_TOPICS, MAX_VARIANTS, nullable, replace, storable_keys,
    storable_keys_if_given,
};

#[derive(Debug, Serialize, Deserialize, Validate, JsonSchema)]
pub struct CreateProduct {
    #[garde(length(chars, min = 1, max = 200))]
    pub name: String,
    #[garde(length(chars, max = 500))]
    pub short_description: Option<String>,
    #[garde(skip)]
    pub category: Category,
    #[serde(default)]
    #[garde(skip)]
    pub unit_type: UnitType,
    #[garde(length(chars, min = 1, max = 100))]
    pub base_sku: String,
    #[garde(length(chars, max = 100))]
    pub brand: Option<String>,
    #[garde(range(min = 0))]
    pub base_price_cents: i64,
    #[serde(default)]
    #[garde(length(max = MAX_TOPICS), dive)]
    pub topic_descriptions: Vec<TopicDescription>,
    #[serde(default)]
    #[garde(length(max = MAX_LOCATIONS), dive)]
    pub stock_locations: Vec<StockLocation>,
    #[serde(default)]
    #[schemars(extend("maxProperties" = MAX_VARIANTS))]
    #[garde(dive, custom(storable_keys))]
    pub variants: BTreeMap<String, Variant>,
}

impl CreateProduct {
    /// A draft of `supplier`'s.
    pub fn to_document(&self, supplier: &Supplier, now: Timestamp) -> Product {
        Product {
            id: Id::new(),
            version: FIRST_VERSION,
            supplier_id: supplier.id,
            supplier_info: SupplierInfo { name: supplier.company_info.legal_name.clone() },
            name: self.name.clone(),
            short_description: self.short_description.clone(),
            topic_descriptions: self.topic_descriptions.clone(),
            category: self.category,
            unit_type: self.unit_type,
            metadata: ProductMetadata {
                base_sku: self.base_sku.clone(),
                brand: self.brand.clone(),
            },
            stock_locations: self.stock_locations.clone(),
            variants: self.variants.clone(),
            base_price_cents: self.base_price_cents,
            stats: ProductStats::default(),
            status: ProductStatus::Draft,
            published_at: None,
            created_at: now,
            updated_at: now,
        }
    }
}

/// Only what is given changes. Null clears what may be empty and leaves the rest.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
pub struct UpdateProduct {
    #[garde(length(chars, min = 1, max = 200))]
    pub name: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    #[garde(length(chars, max = 500))]
    pub short_description: Option<Option<String>>,
    #[garde(skip)]
    pub category: Option<Category>,
    #[garde(skip)]
    pub unit_type: Option<UnitType>,
    #[garde(length(chars, min = 1, max = 100))]
    pub base_sku: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    #[garde(length(chars, max = 100))]
    pub brand: Option<Option<String>>,
    #[garde(range(min = 0))]
    pub base_price_cents: Option<i64>,
    #[garde(length(max = MAX_TOPICS), dive)]
    pub topic_descriptions: Option<Vec<TopicDescription>>,
    #[garde(length(max = MAX_LOCATIONS), dive)]
    pub stock_locations: Option<Vec<StockLocation>>,
    #[schemars(extend("maxProperties" = MAX_VARIANTS))]
    #[garde(dive, custom(storable_keys_if_given))]
    pub variants: Option<BTreeMap<String, Variant>>,
}

impl UpdateProduct {
    pub fn apply(&self, product: &mut Product) {
        replace(&mut product.name, &self.name);
        replace(&mut product.short_description, &self.short_description);
        replace(&mut product.category, &self.category);
        replace(&mut product.unit_type, &self.unit_type);
        replace(&mut product.metadata.base_sku, &self.base_sku);
        replace(&mut product.metadata.brand, &self.brand);
        replace(&mut product.base_price_cents, &self.base_price_cents);
        replace(&mut product.topic_descriptions, &self.topic_descriptions);
        replace(&mut product.stock_locations, &self.stock_locations);
        replace(&mut product.variants, &self.variants);
    }
}
