//! Drawing from the tables.

use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::words::{STREETS, TOWNS, Town};

pub fn one_of<'a, T>(rng: &mut StdRng, table: &'a [T]) -> &'a T {
    &table[rng.random_range(0..table.len())]
}

pub fn maybe<T>(
    rng: &mut StdRng,
    probability: f64,
    draw: impl FnOnce(&mut StdRng) -> T,
) -> Option<T> {
    rng.random_bool(probability).then(|| draw(rng))
}

pub fn town(rng: &mut StdRng) -> &'static Town {
    one_of(rng, TOWNS)
}

pub fn phone(rng: &mut StdRng, town: &Town) -> String {
    format!("{} {} {}", town.dial, rng.random_range(100..1000), rng.random_range(10_000..1_000_000))
}

/// The part that all addresses of the contract share.
pub fn address(rng: &mut StdRng, town: &Town) -> Value {
    let street = format!("{} {}", one_of(rng, STREETS), rng.random_range(1..180));
    let floor = maybe(rng, 0.2, |rng| format!("{}. floor", rng.random_range(1..6)));
    json!({
        "street_address_1": street,
        "street_address_2": floor,
        "city": town.city,
        "state": town.state,
        "zip_code": format!("{}{:03}", town.zip, rng.random_range(0..1000)),
        "country": town.country,
    })
}

/// A mailbox that reads like the name: ASCII letters, words joined by dots.
pub fn mailbox(name: &str) -> String {
    let mut ascii = String::new();
    for letter in name.to_lowercase().chars() {
        match letter {
            'a'..='z' | '0'..='9' => ascii.push(letter),
            'ä' => ascii.push_str("ae"),
            'ö' | 'ø' => ascii.push_str("oe"),
            'ü' => ascii.push_str("ue"),
            'ß' => ascii.push_str("ss"),
            'á' | 'ã' | 'à' | 'ą' => ascii.push('a'),
            'é' | 'è' | 'ë' => ascii.push('e'),
            'í' | 'ı' => ascii.push('i'),
            'ñ' => ascii.push('n'),
            'ó' => ascii.push('o'),
            'ł' => ascii.push('l'),
            ' ' if !ascii.ends_with('.') => ascii.push('.'),
            _ => {}
        }
    }
    ascii.trim_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mailbox_is_plain_ascii_without_empty_parts() {
        assert_eq!(mailbox("Søren Weiß"), "soeren.weiss");
        assert_eq!(mailbox("Grace O'Brien"), "grace.obrien");
        assert_eq!(mailbox("Halden & Söhne"), "halden.soehne");
        assert_eq!(mailbox("Łąka"), "laka");
    }
}
