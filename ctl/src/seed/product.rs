use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Map, Value, json};

use super::draw::{address, maybe, one_of, town};
use super::words::{KINDS, Kind, PROMISES, QUALITIES, TOPICS};

/// A product before the server knows it.
pub struct Draft {
    pub body: Value,
    /// The names that an order can choose from, after `edit`.
    pub variants: Vec<String>,
    pub edit: Option<Value>,
}

/// Every n-th product is edited once, and every m-th of all loses its variants by that.
const EDITED: usize = 3;
const EMPTIED: usize = 4;

pub fn draft(rng: &mut StdRng, number: usize, maker: String) -> Draft {
    // Coprime to the table's length, so that neighbours are of different kinds.
    let kind = &KINDS[(number * 5) % KINDS.len()];
    let price = price(rng, kind);
    let sku = format!("{}-{number:04}", initials(kind.noun));
    let variants = variants(rng, kind, &sku, price);
    let edit = (number % EDITED == 1).then(|| edit(rng, number, price));
    let emptied = edit.as_ref().is_some_and(|edit| edit.get("variants").is_some());
    let names = if emptied { Vec::new() } else { variants.keys().cloned().collect() };
    let body = json!({
        "name": format!("{maker} {} {}", one_of(rng, QUALITIES), kind.noun),
        "short_description": one_of(rng, PROMISES),
        "category": kind.category,
        "unit_type": kind.unit,
        "base_sku": sku,
        "brand": maybe(rng, 0.8, |_| maker),
        "base_price_cents": price,
        "topic_descriptions": topics(rng),
        "stock_locations": stock(rng),
        "variants": variants,
    });
    Draft { body, variants: names, edit }
}

fn edit(rng: &mut StdRng, number: usize, price: i64) -> Value {
    let mut edit = json!({
        "base_price_cents": price * rng.random_range(80..120) / 100,
        "stock_locations": stock(rng),
    });
    if number % EMPTIED == EMPTIED - 1 {
        edit["variants"] = json!({});
    }
    edit
}

/// Ends in 90 or 99 cents, as prices do; small ones stay as they are.
fn price(rng: &mut StdRng, kind: &Kind) -> i64 {
    let cents = rng.random_range(kind.cents.clone());
    if cents < 1_000 { cents } else { cents / 100 * 100 + *one_of(rng, &[90, 99]) }
}

fn initials(noun: &str) -> String {
    noun.split([' ', '-']).filter_map(|word| word.chars().next()).collect::<String>().to_uppercase()
}

fn variants(rng: &mut StdRng, kind: &Kind, sku: &str, price: i64) -> Map<String, Value> {
    let (attribute, values) = kind.varies_in.unwrap_or(("", &[]));
    let mut variants = Map::new();
    for (step, value) in (0..).zip(values) {
        let dear = price + price * step / 12;
        variants.insert((*value).to_owned(), json!({
            "variant_id": format!("{sku}-{}", step + 1),
            "variant_name": format!("{attribute}: {value}"),
            "attributes": [{"attribute_name": attribute, "attribute_value": value}],
            "price_cents": dear,
            "cost_cents": maybe(rng, 0.6, |rng| dear * rng.random_range(40..70) / 100),
            "quantity": rng.random_range(0..250),
            "package_dimensions": {
                "width_cm": tenths(rng), "height_cm": tenths(rng), "depth_cm": tenths(rng),
            },
            "image_url": maybe(rng, 0.7, |_| {
                format!("https://cdn.example.com/products/{}-{}.jpg", sku.to_lowercase(), step + 1)
            }),
        }));
    }
    variants
}

fn tenths(rng: &mut StdRng) -> f64 {
    f64::from(rng.random_range(20..900)) / 10.0
}

fn topics(rng: &mut StdRng) -> Vec<Value> {
    let count = rng.random_range(1..=TOPICS.len());
    let topic = |(order, (topic, text)): (usize, &(&str, &str))| json!({"topic": topic, "description": text, "display_order": order});
    TOPICS.iter().take(count).enumerate().map(topic).collect()
}

fn stock(rng: &mut StdRng) -> Vec<Value> {
    (0..rng.random_range(1..=2))
        .map(|_| {
            let town = town(rng);
            let address = address(rng, town);
            json!({
                "location_name": format!("Warehouse {}", town.city),
                "street_address": address["street_address_1"],
                "city": address["city"],
                "state": address["state"],
                "zip_code": address["zip_code"],
                "country": address["country"],
                "quantity": rng.random_range(0..500),
            })
        })
        .collect()
}
