use std::collections::BTreeMap;

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules::{self, MAX_ATTRIBUTES, MAX_URL};
use crate::event::{Domain, EventType};
use crate::{Id, Timestamp};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Product {
    #[serde(alias = "_id")]
    pub id: Id,
    #[serde(default)]
    pub version: i64,
    pub supplier_id: Id,
    pub supplier_info: SupplierInfo,
    pub name: String,
    #[serde(default)]
    pub short_description: Option<String>,
    #[serde(default)]
    pub topic_descriptions: Vec<TopicDescription>,
    pub category: Category,
    pub unit_type: UnitType,
    pub metadata: ProductMetadata,
    #[serde(default)]
    pub stock_locations: Vec<StockLocation>,
    /// Keyed by the variant's name as the supplier gave it.
    #[serde(default)]
    pub variants: BTreeMap<String, Variant>,
    pub base_price_cents: i64,
    #[serde(default)]
    pub stats: ProductStats,
    pub status: ProductStatus,
    #[serde(default)]
    pub published_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SupplierInfo {
    pub name: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate, JsonSchema)]
pub struct TopicDescription {
    #[garde(length(chars, min = 1, max = 100))]
    pub topic: String,
    #[garde(length(chars, min = 1, max = 5000))]
    pub description: String,
    #[serde(default)]
    #[garde(skip)]
    pub display_order: i64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProductMetadata {
    pub base_sku: String,
    #[serde(default)]
    pub brand: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate, JsonSchema)]
pub struct StockLocation {
    #[garde(length(chars, min = 1, max = 200))]
    pub location_name: String,
    #[serde(default)]
    #[garde(length(chars, max = 200))]
    pub street_address: Option<String>,
    #[garde(length(chars, min = 1, max = 100))]
    pub city: String,
    #[serde(default)]
    #[garde(length(chars, max = 100))]
    pub state: Option<String>,
    #[garde(length(chars, min = 1, max = 20))]
    pub zip_code: String,
    #[serde(deserialize_with = "rules::upper_case")]
    #[garde(length(chars, equal = 2))]
    pub country: String,
    #[serde(default)]
    #[garde(range(min = 0))]
    pub quantity: i64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate, JsonSchema)]
pub struct Variant {
    #[garde(length(chars, min = 1, max = 50))]
    pub variant_id: String,
    #[garde(length(chars, min = 1, max = 200))]
    pub variant_name: String,
    #[serde(default)]
    #[garde(length(max = MAX_ATTRIBUTES), dive)]
    pub attributes: Vec<VariantAttribute>,
    #[garde(range(min = 0))]
    pub price_cents: i64,
    #[serde(default)]
    #[garde(range(min = 0))]
    pub cost_cents: Option<i64>,
    #[serde(default)]
    #[garde(range(min = 0))]
    pub quantity: i64,
    #[garde(dive)]
    pub package_dimensions: PackageDimensions,
    #[serde(default)]
    #[garde(length(chars, max = MAX_URL))]
    pub image_url: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate, JsonSchema)]
pub struct VariantAttribute {
    /// Becomes a key of an order's `variant_attributes`.
    #[garde(length(chars, min = 1, max = 50), custom(rules::storable_key))]
    pub attribute_name: String,
    #[garde(length(chars, min = 1, max = 100))]
    pub attribute_value: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate, JsonSchema)]
pub struct PackageDimensions {
    #[garde(custom(rules::greater_than_zero))]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub width_cm: f64,
    #[garde(custom(rules::greater_than_zero))]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub height_cm: f64,
    #[garde(custom(rules::greater_than_zero))]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub depth_cm: f64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ProductStats {
    pub view_count: i64,
    pub favorite_count: i64,
    pub purchase_count: i64,
    pub total_reviews: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    Electronics,
    Fashion,
    Beauty,
    HomeGarden,
    SportsOutdoors,
    FoodBeverage,
    HealthWellness,
    ToysGames,
    BooksMedia,
    Automotive,
    Other,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnitType {
    #[default]
    Piece,
    Pair,
    Set,
    Box,
    Pack,
    Bundle,
    Kg,
    Gram,
    Liter,
    Ml,
    Meter,
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProductStatus {
    Draft,
    Active,
    OutOfStock,
    Discontinued,
    /// Terminal: no action leads out of it, and no reader sees it.
    Deleted,
}

/// What a supplier can do to the life of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProductAction {
    Publish,
    Discontinue,
    MarkOutOfStock,
    Restore,
    Delete,
}

impl ProductStatus {
    pub const ALL: [Self; 5] =
        [Self::Draft, Self::Active, Self::OutOfStock, Self::Discontinued, Self::Deleted];

    /// The product's state machine (contract §1): the state after `action`, or
    /// `None` where it does not allow the action.
    pub fn after(self, action: ProductAction) -> Option<Self> {
        use ProductAction as A;
        match (self, action) {
            (Self::Draft, A::Publish) => Some(Self::Active),
            (Self::Active | Self::OutOfStock, A::Discontinue) => Some(Self::Discontinued),
            (Self::Active, A::MarkOutOfStock) => Some(Self::OutOfStock),
            (Self::OutOfStock | Self::Discontinued, A::Restore) => Some(Self::Draft),
            (Self::Deleted, A::Delete) => None,
            (_, A::Delete) => Some(Self::Deleted),
            _ => None,
        }
    }

    /// As it is written in JSON, in BSON and in MySQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Active => "active",
            Self::OutOfStock => "out_of_stock",
            Self::Discontinued => "discontinued",
            Self::Deleted => "deleted",
        }
    }
}

impl ProductAction {
    pub const ALL: [Self; 5] =
        [Self::Publish, Self::Discontinue, Self::MarkOutOfStock, Self::Restore, Self::Delete];

    pub fn event_type(self) -> EventType {
        match self {
            Self::Publish => EventType::ProductPublished,
            Self::Discontinue => EventType::ProductDiscontinued,
            Self::MarkOutOfStock => EventType::ProductOutOfStock,
            Self::Restore => EventType::ProductRestored,
            Self::Delete => EventType::ProductDeleted,
        }
    }
}

super::aggregate!(Product, Domain::Product, |product| product.status == ProductStatus::Deleted);

#[cfg(test)]
mod tests {
    use super::*;

    /// Every state × action pair; what is not listed is refused.
    #[test]
    fn the_state_machine_allows_exactly_the_contracts_transitions() {
        use ProductAction::*;
        use ProductStatus::*;
        let allowed = [
            (Draft, Publish, Active),
            (Active, Discontinue, Discontinued),
            (OutOfStock, Discontinue, Discontinued),
            (Active, MarkOutOfStock, OutOfStock),
            (OutOfStock, Restore, Draft),
            (Discontinued, Restore, Draft),
            (Draft, Delete, Deleted),
            (Active, Delete, Deleted),
            (OutOfStock, Delete, Deleted),
            (Discontinued, Delete, Deleted),
        ];
        for state in ProductStatus::ALL {
            for action in ProductAction::ALL {
                let expected = allowed
                    .iter()
                    .find(|(from, by, _)| (*from, *by) == (state, action))
                    .map(|(_, _, to)| *to);
                assert_eq!(state.after(action), expected, "{state:?} by {action:?}");
            }
        }
    }

    #[test]
    fn status_text_is_what_serde_writes() {
        for status in ProductStatus::ALL {
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
    }
}
