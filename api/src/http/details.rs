use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

/// Fields that one refusal names. Without a limit, 1 MiB of small mistakes would be answered
/// with forty.
const MOST: usize = 50;

/// Characters of a field's path, and of what is wrong with it: both may quote the request.
const MOST_CHARACTERS: usize = 300;

/// Stands for the fields that are not named.
const MORE: &str = "…";

/// Each failing field, by its path (`variants.red.package_dimensions.width_cm`), and what
/// is wrong with it. Names at most 50 fields, and says so if more are wrong.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct Details(BTreeMap<String, String>);

impl Details {
    pub fn of(field: impl AsRef<str>, problem: impl AsRef<str>) -> Self {
        let mut details = Self::default();
        details.note(field, problem);
        details
    }

    /// Adds a field, unless it is there already.
    pub fn note(&mut self, field: impl AsRef<str>, problem: impl AsRef<str>) {
        let field = shortened(field.as_ref());
        if self.is_full() || self.0.contains_key(&*field) {
            return;
        }
        if self.0.len() == MOST {
            let more = format!("more is wrong: only {MOST} fields are named");
            self.0.insert(MORE.to_owned(), more);
        } else {
            self.0.insert(field.into_owned(), shortened(problem.as_ref()).into_owned());
        }
    }

    pub fn note_all(&mut self, more: Self) {
        more.0.iter().for_each(|(field, problem)| self.note(field, problem));
    }

    /// Whether nothing more will be named.
    pub fn is_full(&self) -> bool {
        self.0.len() > MOST
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn names(&self, field: &str) -> bool {
        self.0.contains_key(&*shortened(field))
    }

    #[cfg(test)]
    pub fn fields(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }
}

fn shortened(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(MOST_CHARACTERS) {
        None => Cow::Borrowed(text),
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fifty_fields_and_says_that_more_are_wrong() {
        let mut details = Details::default();
        for number in 0..50 {
            details.note(format!("list[{number}]"), "wrong");
            details.note(format!("list[{number}]"), "again");
        }
        assert!(!details.is_full(), "fifty are fifty");
        for number in 50..10_000 {
            details.note(format!("list[{number}]"), "wrong");
        }
        assert!(details.is_full() && details.names(MORE));
        assert_eq!(details.fields().len(), 51);
    }

    #[test]
    fn what_a_request_invents_is_quoted_in_part() {
        let (name, problem) = ("é".repeat(1_000_000), "ü".repeat(1_000_000));
        let details = Details::of(&name, &problem);
        assert!(details.names(&name));
        let json = serde_json::to_string(&details).unwrap();
        assert_eq!(json.chars().count(), 2 * (MOST_CHARACTERS + 1) + r#"{"":""}"#.len());
    }
}
