//! Readings and rules of single values. Readings (`deserialize_with`) bring a
//! value into the one form in which it is stored and never refuse; rules refuse,
//! and are checked only where a client's request comes in.

use serde::{Deserialize, Deserializer};

/// Reads an e-mail address in the form in which it is unique: trimmed, lower case.
pub fn email<'de, D: Deserializer<'de>>(input: D) -> Result<String, D::Error> {
    String::deserialize(input).map(|text| text.trim().to_lowercase())
}

/// Reads a country code in the form in which it is stored.
pub fn upper_case<'de, D: Deserializer<'de>>(input: D) -> Result<String, D::Error> {
    String::deserialize(input).map(|text| text.to_uppercase())
}

/// A rule for measures, which may be as small as they like but not nothing.
pub fn greater_than_zero(value: &f64, _: &()) -> garde::Result {
    if *value > 0.0 { Ok(()) } else { Err(garde::Error::new("must be greater than 0")) }
}
