//! Single request bodies of the seed's kind, for whoever writes without a plan.

use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::{activity, catalogue, people, product};

/// A user's name and sign-up.
pub fn user(rng: &mut StdRng, number: usize, run: &str) -> (String, Value) {
    let name = people::name(rng);
    let body = people::sign_up(rng, &name, number, run);
    (name, body)
}

pub fn supplier(rng: &mut StdRng, number: usize, run: &str) -> Value {
    catalogue::company(rng, number, run)
}

/// A product, and the names of its variants.
pub fn product(rng: &mut StdRng, number: usize) -> (Value, Vec<String>) {
    let draft = product::draft(rng, number, catalogue::maker(number));
    (draft.body, draft.variants)
}

/// An order of one product.
pub fn order(rng: &mut StdRng, buyer: &str, product_id: &str, variants: &[String]) -> Value {
    let mut item = activity::item(rng, variants);
    item["product_id"] = json!(product_id);
    json!({"items": [item], "shipping_address": activity::shipping_address(rng, buyer)})
}

pub fn post(rng: &mut StdRng, number: usize) -> Value {
    activity::write(rng, number, false)
}
