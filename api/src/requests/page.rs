use garde::Validate;
use serde::{Deserialize, Deserializer, de};
use shared::Id;
use shared::document::{Category, OrderStatus, ProductStatus};

/// A window on a list.
#[derive(Debug, Clone, Copy, Deserialize, Validate)]
pub struct Page {
    /// How many to leave out.
    #[serde(default)]
    #[garde(skip)]
    pub skip: u32,
    /// How many to answer.
    #[serde(default = "default_limit")]
    #[garde(range(min = 1, max = 100))]
    pub limit: u32,
}

fn default_limit() -> u32 {
    20
}

#[derive(Debug, Deserialize, Validate)]
pub struct ListProducts {
    #[serde(default, deserialize_with = "comma_separated")]
    #[garde(skip)]
    pub status: Vec<ProductStatus>,
    #[garde(skip)]
    pub category: Option<Category>,
    #[garde(skip)]
    pub supplier_id: Option<Id>,
}

#[derive(Debug, Deserialize, Validate)]
pub struct ListOrders {
    #[serde(default, deserialize_with = "comma_separated")]
    #[garde(skip)]
    pub status: Vec<OrderStatus>,
}

#[derive(Debug, Deserialize, Validate)]
pub struct ListPosts {
    #[garde(skip)]
    pub author_id: Option<Id>,
}

/// Reads `draft,active`. Nothing between two commas says nothing.
fn comma_separated<'de, T, D>(input: D) -> Result<Vec<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    let text = String::deserialize(input)?;
    let names = text
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty());
    names
        .map(|name| T::deserialize(de::value::StrDeserializer::<D::Error>::new(name)))
        .collect()
}
