//! `If-Match`: the versions that a change may be made from.

use axum::http::{HeaderMap, header};
use serde_json::json;

use super::ApiError;
use crate::openapi::{Described, Operation, Schemas};

/// The versions that the caller names; none where any will do.
#[derive(Debug, Clone, Default)]
pub struct Expected(Option<Vec<i64>>);

impl Expected {
    /// # Errors
    /// Validation where the header is none of `*` and `"1", "2"`.
    pub fn from_headers(headers: &HeaderMap) -> Result<Self, ApiError> {
        let mut versions = Vec::new();
        for value in headers.get_all(header::IF_MATCH) {
            let text = value.to_str().unwrap_or_default().trim();
            if text == "*" {
                return Ok(Self(None));
            }
            for tag in text.split(',') {
                versions.push(version(tag).ok_or_else(|| {
                    ApiError::invalid("If-Match", "not an ETag of ours: expected \"<version>\"")
                })?);
            }
        }
        Ok(Self((!versions.is_empty()).then_some(versions)))
    }

    /// # Errors
    /// VersionConflict where `current` is none of the versions that were named.
    pub fn check(&self, current: i64) -> Result<(), ApiError> {
        match &self.0 {
            Some(versions) if !versions.contains(&current) => {
                Err(ApiError::VersionConflict(current))
            }
            _ => Ok(()),
        }
    }
}

impl Described for Expected {
    fn describe(operation: &mut Operation, _: &mut Schemas) {
        let schema = json!({ "type": "string", "examples": ["*"],
                             "pattern": r#"^(\*|"[0-9]{1,18}"(, *"[0-9]{1,18}")*)$"# });
        let about = "The ETag that the change was made from; `*`, or none, where any will do.";
        operation.takes_header("If-Match", about, &schema);
        operation.refuses(&ApiError::VersionConflict(8));
        operation.refuses(&ApiError::invalid("If-Match", "not an ETag of ours"));
    }
}

/// `"7"`, and for clients who are less strict `W/"7"` and `7`.
fn version(tag: &str) -> Option<i64> {
    let tag = tag.trim();
    let tag = tag.strip_prefix("W/").unwrap_or(tag);
    let quoted = tag.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    quoted.unwrap_or(tag).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn expected(value: &'static str) -> Result<Expected, ApiError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::IF_MATCH, HeaderValue::from_static(value));
        Expected::from_headers(&headers)
    }

    #[test]
    fn reads_versions_in_every_usual_form() {
        for (value, holds) in [
            ("\"7\"", true),
            ("W/\"7\"", true),
            ("7", true),
            ("\"1\", \"7\"", true),
            ("*", true),
            ("\"8\"", false),
            ("\"-7\"", false),
        ] {
            assert_eq!(expected(value).unwrap().check(7).is_ok(), holds, "{value}");
        }
        assert!(Expected::default().check(7).is_ok());
        for broken in ["", "seven", "\"7", "\"7\",", "\"*\""] {
            assert!(expected(broken).is_err(), "{broken}");
        }
    }
}
