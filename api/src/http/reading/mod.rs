//! Reads a request whole, and tells everything that is wrong with it at once.
//!
//! serde stops at the first value of a wrong type. So the values here lie in a JSON tree,
//! and a wrong one is noted with its path and a stand-in put in its place: reading goes
//! on, and the rules of the other fields are checked too. What only the type itself can
//! judge (an id that is no id, a field that is missing) does end a reading; that is
//! noted, and the next reading leaves the field out or stands in for it.

mod node;
mod notes;

use garde::Validate;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{ApiError, Details};
use node::{Node, Text};
use notes::Notes;

/// A request of the usual size is read as often as it needs; one that is large and wrong
/// all over is not worth more work than this, in bytes.
const WORK: usize = 8 * 1024 * 1024;
const MAX_READINGS: usize = 200;

/// Reads a JSON body of `size` bytes.
///
/// # Errors
/// Validation with every field that is of a wrong type or breaks a rule.
pub fn read_body<T>(tree: &Value, size: usize) -> Result<T, ApiError>
where
    T: DeserializeOwned + Validate<Context = ()>,
{
    let (read, details) = read(tree, Text::IsText, size);
    finish(read, details)
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
        read_body(body, 100).map_err(|error| match error {
            ApiError::Validation(details) => details.into_keys().collect(),
            other => panic!("{other}"),
        })
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
}
