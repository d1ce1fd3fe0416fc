//! Readings and rules that several requests share.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use shared::document::rules::storable_key;

/// In characters.
pub const MAX_VARIANT_NAME: usize = 200;
/// Limits where the contract names none, as in [`shared::document::rules`].
pub const MAX_TOPICS: usize = 100;
pub const MAX_LOCATIONS: usize = 1_000;
pub const MAX_VARIANTS: usize = 500;

/// Reads text without the blanks around it.
pub fn trimmed<'de, D: Deserializer<'de>>(input: D) -> Result<String, D::Error> {
    String::deserialize(input).map(|text| text.trim().to_owned())
}

/// As [`trimmed`], where null says nothing.
pub fn trimmed_if_given<'de, D: Deserializer<'de>>(input: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(input)?.map(|text| text.trim().to_owned()))
}

/// Tells "set to null" (`Some(None)`) from "not given" (`None`, by `serde(default)`).
pub fn nullable<'de, T, D>(input: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::deserialize(input).map(Some)
}

/// Changes a field only where the client gave a value.
pub fn replace<T: Clone>(field: &mut T, given: &Option<T>) {
    if let Some(value) = given {
        field.clone_from(value);
    }
}

/// The keys of the variants are their names, with the same limits. They become field
/// names in MongoDB, which cannot hold a NUL.
pub fn storable_keys<T>(map: &BTreeMap<String, T>, _: &()) -> garde::Result {
    if map.len() > MAX_VARIANTS {
        return Err(garde::Error::new(format!("has more than {MAX_VARIANTS} entries")));
    }
    for key in map.keys() {
        storable_key(key, &())?;
        if !(1..=MAX_VARIANT_NAME).contains(&key.chars().count()) {
            return Err(garde::Error::new("a key is not 1 to 200 characters long"));
        }
    }
    Ok(())
}

/// As [`storable_keys`], where the map may be absent.
pub fn storable_keys_if_given<T>(map: &Option<BTreeMap<String, T>>, context: &()) -> garde::Result {
    map.as_ref().map_or(Ok(()), |map| storable_keys(map, context))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_variants_name() {
        let allowed = |key: String| storable_keys(&BTreeMap::from([(key, ())]), &()).is_ok();
        for key in ["r".to_owned(), "$red.x".to_owned(), "é".repeat(200)] {
            assert!(allowed(key.clone()), "{key}");
        }
        for key in [String::new(), "a\0b".to_owned(), "é".repeat(201)] {
            assert!(!allowed(key.clone()), "{key:?}");
        }
    }
}
