//! Reads a request whole, and tells everything that is wrong with it at once.
//!
//! A sound body is read once, straight into its type. Only a body that breaks a rule is
//! read again to find all that is wrong. serde stops at the first value of a wrong type, so
//! for this the values lie in a JSON tree: a wrong one is noted with its path, a stand-in is
//! put in its place, and reading goes on. What only the type itself can judge (an id that is
//! no id, a field that is missing) does end a reading; that is noted, and the next reading
//! leaves the field out or stands in for it.

mod node;
mod notes;
mod strict;

use garde::Validate;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{ApiError, Details};
use node::{Node, Text};
use notes::Notes;
use strict::Strict;

/// A request of the usual size is read as often as it needs; one that is large and wrong
/// all over is not worth more work than this, in bytes.
const WORK: usize = 2 * 1024 * 1024;
/// Each reading that ends names at least one field, and no more than fifty are named.
const MAX_READINGS: usize = 64;
/// Values of a body that is made a tree. A leaf takes up to 600 bytes there and six in the
/// body; of a body with more values only the first mistake is told.
const MAX_TREE_VALUES: usize = 10_000;

/// Reads a JSON body.
///
/// # Errors
/// Validation with every field that is of a wrong type or breaks a rule, as far as
/// [`Details`] go.
pub fn read_body<T>(bytes: &[u8]) -> Result<T, ApiError>
where
    T: DeserializeOwned + Validate<Context = ()>,
{
    // serde_json checks only the strings that are read, not those of ignored fields.
    let text = std::str::from_utf8(bytes)
        .map_err(|_| ApiError::invalid("body", "the body is not UTF-8"))?;
    let mut json = serde_json::Deserializer::from_str(text);
    let parsed = T::deserialize(Strict(&mut json));
    match parsed.and_then(|value| json.end().map(|()| value)) {
        Ok(value) => {
            let notes = Notes::default();
            notes.rules(&value);
            finish(Some(value), notes.into_details())
        }
        Err(_) if values(text) > MAX_TREE_VALUES => parse(text),
        Err(_) => {
            let (read, details) = read(&parse(text)?, Text::IsText, text.len());
            finish(read, details)
        }
    }
}

/// Reads query parameters: text that may stand for numbers.
pub fn read_query<T>(tree: &Value) -> (Option<T>, Details)
where
    T: DeserializeOwned + Validate<Context = ()>,
{
    read(tree, Text::MayBeNumber, 0)
}

/// # Errors
/// Validation with the details, if there are any.
pub fn finish<T>(read: Option<T>, details: Details) -> Result<T, ApiError> {
    match read {
        Some(value) if details.is_empty() => Ok(value),
        _ => Err(ApiError::Validation(details)),
    }
}

/// How many values the JSON has at most: what is text in it may look like more.
fn values(text: &str) -> usize {
    text.bytes().filter(|byte| matches!(byte, b',' | b'[' | b'{')).count()
}

/// Reads up to the first mistake, and names its field if it has one.
fn parse<T: DeserializeOwned>(text: &str) -> Result<T, ApiError> {
    let mut json = serde_json::Deserializer::from_str(text);
    let parsed = serde_path_to_error::deserialize(Strict(&mut json)).map_err(|error| {
        let path = error.path().to_string();
        let field = if matches!(path.as_str(), "." | "?") { "body".to_owned() } else { path };
        ApiError::invalid(field, error.into_inner().to_string())
    })?;
    json.end().map_err(|error| ApiError::invalid("body", error.to_string()))?;
    Ok(parsed)
}

fn read<T>(tree: &Value, text: Text, size: usize) -> (Option<T>, Details)
where
    T: DeserializeOwned + Validate<Context = ()>,
{
    let notes = Notes::default();
    for _ in 0..(WORK / size.max(1)).clamp(1, MAX_READINGS) {
        match T::deserialize(Node::root(tree, text, &notes)) {
            Ok(value) => {
                notes.rules(&value);
                return (Some(value), notes.into_details());
            }
            Err(problem) => {
                if !notes.learn(problem) {
                    break;
                }
            }
        }
    }
    (None, notes.into_details())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::json;
    use shared::Id;
    use std::collections::BTreeMap;

    #[derive(Debug, PartialEq, Deserialize, Validate)]
    struct Outer {
        #[garde(length(chars, min = 2))]
        name: String,
        #[garde(skip)]
        owner: Id,
        #[garde(skip)]
        former: Option<Id>,
        #[garde(range(min = 0))]
        count: u32,
        #[garde(skip)]
        kind: Kind,
        #[serde(default)]
        #[garde(dive, length(max = 2))]
        list: Vec<Inner>,
        #[serde(default)]
        #[garde(dive)]
        map: BTreeMap<String, Inner>,
    }

    #[derive(Debug, PartialEq, Deserialize, Validate)]
    struct Inner {
        #[garde(range(min = 1))]
        size: i64,
        #[garde(range(min = 0.5))]
        weight: f64,
        #[garde(skip)]
        owner: Option<Id>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        Big,
        Small,
    }

    fn read(body: &Value) -> Result<Outer, Vec<String>> {
        read_body(body.to_string().as_bytes()).map_err(fields)
    }

    fn fields(error: ApiError) -> Vec<String> {
        match error {
            ApiError::Validation(details) => {
                details.fields().into_iter().map(str::to_owned).collect()
            }
            other => panic!("{other}"),
        }
    }

    fn sound() -> Value {
        let inner = json!({ "size": 1, "weight": 2 });
        json!({ "name": "ab", "owner": Id::new(), "count": 3, "kind": "small", "other": [{}],
                "list": [inner], "map": { "red": { "size": 1, "weight": 0.5, "owner": Id::new() } } })
    }

    #[test]
    fn what_is_sound_is_read_as_ever() {
        let body = sound();
        assert_eq!(read(&body).unwrap(), serde_json::from_value::<Outer>(body).unwrap());
    }

    #[test]
    fn everything_that_is_wrong_is_named_at_once() {
        let body = json!({
            "name": "a", "owner": "nobody", "former": 7, "count": -1, "kind": "huge",
            "list": [{ "size": 0, "weight": "x" }, 5, { "size": 1.5, "owner": "y" }],
            "map": { "red": { "weight": 0.1 }, "blue": [] },
        });
        let wrong = [
            "count",
            "former",
            "kind",
            "list",
            "list[0].size",
            "list[0].weight",
            "list[1]",
            "list[2].owner",
            "list[2].size",
            "list[2].weight",
            "map.blue",
            "map.red.size",
            "map.red.weight",
            "name",
            "owner",
        ];
        assert_eq!(read(&body).unwrap_err(), wrong);
    }

    #[test]
    fn an_empty_object_lacks_all_that_is_required() {
        assert_eq!(read(&json!({})).unwrap_err(), ["count", "kind", "name", "owner"]);
    }

    /// serde lets a list stand for a struct, its fields in order. No client means that.
    #[test]
    fn a_list_is_no_object_at_any_depth() {
        for body in [json!([]), json!(null), json!("text"), json!(7)] {
            assert_eq!(read(&body).unwrap_err(), ["body"], "{body}");
        }
        let mut body = sound();
        body["list"] = json!([[1, 2, null]]);
        assert_eq!(read(&body).unwrap_err(), ["list[0]"]);
    }

    #[test]
    fn numbers_that_a_field_cannot_hold_are_named() {
        for number in [json!(-1), json!(1u64 << 32), json!(1.0), json!("1"), json!(1e30)] {
            let mut body = sound();
            body["count"] = number.clone();
            assert_eq!(read(&body).unwrap_err(), ["count"], "{number}");
        }
    }

    /// serde reads an object with one field for the word that names it.
    #[test]
    fn an_object_is_no_word() {
        let mut body = sound();
        body["kind"] = json!({ "small": null });
        assert_eq!(read(&body).unwrap_err(), ["kind"]);
    }

    /// As often as a body of this size can be wrong, nested as deep as it can be.
    #[test]
    fn a_body_that_is_wrong_all_over_costs_little() {
        const MEBIBYTE: usize = 1024 * 1024;
        let list = |item: &str| {
            format!(
                "{{\"list\":[{item}0]}}",
                item = format!("{item},").repeat((MEBIBYTE - 12) / (item.len() + 1))
            )
        };
        for body in [list("1"), list("{}"), list("[]"), list("{\"\":0}"), list("\"\"")] {
            assert_eq!(
                read_body::<Outer>(body.as_bytes()).map_err(fields),
                Err(vec!["list[0]".to_owned()])
            );
        }
        let body = json!({ "list": vec![json!({ "size": 0, "weight": 0 }); 2_000] });
        assert_eq!(read(&body).unwrap_err().len(), 51, "fifty, and a word that it was not all");
        let key = "k".repeat(30_000);
        let many: serde_json::Map<_, _> = (0..4_000).map(|at| (at.to_string(), json!(0))).collect();
        let body = json!({ "map": { key: many } });
        assert!(!read(&body).unwrap_err().is_empty());
    }

    /// Nobody reads it, so it must not cost anything either.
    #[test]
    fn what_is_ignored_is_not_kept() {
        let mut body = sound().to_string();
        body.pop();
        let ignored = "[".repeat(1000) + &"]".repeat(1000);
        body += &format!(",\"ignored\":{ignored}}}");
        assert!(read_body::<Outer>(body.as_bytes()).is_ok());
    }
}
