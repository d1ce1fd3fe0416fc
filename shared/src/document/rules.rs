//! Readings and rules of single values. Readings (`deserialize_with`) bring a
//! value into the one form in which it is stored and never refuse; rules refuse,
//! and are checked only where a client's request comes in.

use serde::{Deserialize, Deserializer};

/// Limits where the contract names none, for what clients send. They are far above what
/// anybody means; without them, one field is as long as a request.
pub const MAX_URL: usize = 2_048;
pub const MAX_TEXT: usize = 1_000;
pub const MAX_EMAILS: usize = 100;
/// Of one variant. An order copies them once for each of its lines.
pub const MAX_ATTRIBUTES: usize = 50;

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

/// A rule for text that becomes a field's name in MongoDB, which cannot hold a NUL.
pub fn storable_key(value: &str, _: &()) -> garde::Result {
    if value.contains('\0') {
        return Err(garde::Error::new("contains a NUL character"));
    }
    Ok(())
}
