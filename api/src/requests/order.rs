use std::collections::{BTreeMap, HashMap};

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::document::rules::{MAX_ATTRIBUTES, MAX_TEXT, MAX_URL};
use shared::document::{
    Customer, FIRST_VERSION, FulfillmentStatus, Order, OrderItem, OrderStatus, Product,
    ProductSnapshot, ProductStatus, ShippingAddress, User, Variant, VariantAttribute,
};
use shared::{Id, Timestamp};

use super::rules::MAX_VARIANT_NAME;
use crate::http::{ApiError, Details};

#[derive(Debug, Clone, Serialize, Deserialize, Validate, JsonSchema)]
pub struct CreateOrder {
    #[garde(length(min = 1, max = 20), dive)]
    pub items: Vec<OrderLine>,
    #[garde(dive)]
    pub shipping_address: ShippingAddress,
}

/// One line of an order as the buyer asks for it.
#[derive(Debug, Clone, Serialize, Deserialize, Validate, JsonSchema)]
pub struct OrderLine {
    #[garde(skip)]
    pub product_id: Id,
    #[garde(length(chars, max = MAX_VARIANT_NAME))]
    pub variant_name: Option<String>,
    #[garde(range(min = 1, max = 99))]
    pub quantity: i64,
}

impl CreateOrder {
    /// A pending order of `customer` under `number`, with customer and products frozen as
    /// they are now.
    ///
    /// # Errors
    /// NotFound for a product that is not in `products` or deleted, StateConflict for
    /// one that is not active, Validation for variants that products lack and sums
    /// beyond 64 bits.
    pub fn to_document(
        &self,
        number: String,
        customer: &User,
        products: &HashMap<Id, Product>,
        now: Timestamp,
    ) -> Result<Order, ApiError> {
        let mut items = Vec::with_capacity(self.items.len());
        let mut invalid = Details::default();
        for (index, line) in self.items.iter().enumerate() {
            let product = active(products.get(&line.product_id))?;
            match line.to_item(index, product) {
                Ok(item) => items.push(item),
                Err((field, problem)) => {
                    invalid.note(format!("items[{index}].{field}"), problem);
                }
            }
        }
        if !invalid.is_empty() {
            return Err(ApiError::Validation(invalid));
        }
        Ok(Order {
            id: Id::new(),
            version: FIRST_VERSION,
            order_number: number,
            customer: Customer {
                user_id: customer.id,
                display_name: customer.profile.display_name.clone(),
                email: customer.contact_info.primary_email.clone(),
                phone: customer.contact_info.phone.clone(),
            },
            items,
            shipping_address: self.shipping_address.clone(),
            status: OrderStatus::Pending,
            created_at: now,
            updated_at: now,
        })
    }
}

impl OrderLine {
    fn to_item(
        &self,
        index: usize,
        product: &Product,
    ) -> Result<OrderItem, (&'static str, String)> {
        let variant =
            match &self.variant_name {
                Some(name) => Some(variant(product, name).ok_or_else(|| {
                    ("variant_name", format!("the product has no variant {name:?}"))
                })?),
                None => None,
            };
        let unit_price_cents = variant.map_or(product.base_price_cents, |found| found.price_cents);
        let total_cents = unit_price_cents
            .checked_mul(self.quantity)
            .ok_or_else(|| ("quantity", "the total is too large".to_owned()))?;
        Ok(OrderItem {
            item_id: format!("item_{}", index + 1),
            product_snapshot: snapshot(product, self.variant_name.clone(), variant),
            quantity: self.quantity,
            unit_price_cents,
            final_price_cents: unit_price_cents,
            total_cents,
            fulfillment_status: FulfillmentStatus::Pending,
            shipped_quantity: 0,
            tracking_number: None,
            carrier: None,
            shipped_at: None,
            delivered_at: None,
        })
    }
}

fn active(product: Option<&Product>) -> Result<&Product, ApiError> {
    match product {
        None => Err(ApiError::NotFound("product")),
        Some(product) if product.status == ProductStatus::Deleted => {
            Err(ApiError::NotFound("product"))
        }
        Some(product) if product.status != ProductStatus::Active => {
            let (id, status) = (product.id, product.status.as_str());
            Err(ApiError::StateConflict(format!("product {id} is {status}, not active")))
        }
        Some(product) => Ok(product),
    }
}

/// By the key under which the supplier listed it, or by the name it gave it.
fn variant<'a>(product: &'a Product, name: &str) -> Option<&'a Variant> {
    let by_name = || product.variants.values().find(|variant| variant.variant_name == name);
    product.variants.get(name).or_else(by_name)
}

fn snapshot(
    product: &Product,
    variant_name: Option<String>,
    variant: Option<&Variant>,
) -> ProductSnapshot {
    let attributes = variant.map(|variant| variant.attributes.as_slice()).unwrap_or_default();
    let image_url = variant.and_then(|variant| variant.image_url.as_ref());
    let image_url = image_url.filter(|url| url.chars().count() <= MAX_URL);
    ProductSnapshot {
        product_id: product.id,
        supplier_id: product.supplier_id,
        product_name: product.name.clone(),
        variant_name,
        variant_attributes: copied(attributes),
        image_url: image_url.map_or(ProductSnapshot::DEFAULT_IMAGE, String::as_str).to_owned(),
        supplier_name: product.supplier_info.name.clone(),
    }
}

/// The attributes as an order keeps them. Those that were stored before there were rules may
/// be many, long, and called what no key in MongoDB can be.
fn copied(attributes: &[VariantAttribute]) -> BTreeMap<String, String> {
    let short = |text: &str| text.chars().filter(|c| *c != '\0').take(MAX_TEXT).collect();
    let first = attributes.iter().take(MAX_ATTRIBUTES);
    first.map(|each| (short(&each.attribute_name), short(&each.attribute_value))).collect()
}
