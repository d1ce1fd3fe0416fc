//! What of a dead letter may be shown, and how.

use std::io::{self, Write};

use projector::dead_letter::DeadLetter;
use serde_json::{Value, json};

use super::letters::{Letter, Place};
use crate::table::Table;

/// Fields that never leave the pipeline. The older producer's records may hold them.
const SECRETS: [&str; 3] = ["password_hash", "password", "banking_info"];

/// Characters of an error in a list.
const ERROR_WIDTH: usize = 70;

pub fn table() -> Table {
    Table::new(["letter", "failed at", "origin", "key", "reason", "error"])
}

pub fn row(place: Place, letter: &Letter) -> Vec<String> {
    match letter {
        Ok(letter) => vec![
            place.to_string(),
            letter.failed_at.clone(),
            origin(letter),
            key(letter),
            letter.reason.clone(),
            shortened(&letter.error),
        ],
        Err(error) => vec![place.to_string(), shortened(&error.to_string())],
    }
}

pub fn origin(letter: &DeadLetter) -> String {
    format!("{}[{}]@{}", letter.origin_topic, letter.origin_partition, letter.origin_offset)
}

fn key(letter: &DeadLetter) -> String {
    letter.key.as_ref().map_or("-".to_owned(), |key| String::from_utf8_lossy(key).into_owned())
}

fn shortened(text: &str) -> String {
    let line: String = text.lines().next().unwrap_or_default().chars().take(ERROR_WIDTH).collect();
    if line.len() < text.len() { format!("{line}…") } else { line }
}

pub fn json(place: Place, letter: &Letter) -> Value {
    match letter {
        Ok(letter) => json!({
            "letter": place.to_string(),
            "failed_at": letter.failed_at,
            "origin": {
                "topic": letter.origin_topic,
                "partition": letter.origin_partition,
                "offset": letter.origin_offset,
            },
            "key": key(letter),
            "reason": letter.reason,
            "error": letter.error,
        }),
        Err(error) => json!({"letter": place.to_string(), "error": error.to_string()}),
    }
}

/// Everything about one letter; its value with secrets blanked.
pub fn show(place: Place, letter: &DeadLetter, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "letter     {place}")?;
    writeln!(out, "failed at  {}", letter.failed_at)?;
    writeln!(out, "origin     {}", origin(letter))?;
    writeln!(out, "reason     {}", letter.reason)?;
    writeln!(out, "error      {}", letter.error)?;
    writeln!(out, "key        {}", key(letter))?;
    for (name, value) in letter.headers.iter() {
        let value = value.map(String::from_utf8_lossy).unwrap_or_default();
        writeln!(out, "header     {name}: {value}")?;
    }
    writeln!(out, "\n{}", readable(letter.value.as_deref()))
}

fn readable(value: Option<&[u8]>) -> String {
    let Some(bytes) = value else {
        return "(no value)".to_owned();
    };
    match serde_json::from_slice::<Value>(bytes) {
        Ok(value) => format!("{:#}", without_secrets(value)),
        Err(_) => {
            let text = String::from_utf8_lossy(bytes);
            match SECRETS.iter().any(|secret| text.contains(secret)) {
                true => format!("({} bytes that may hold a secret: see --raw)", bytes.len()),
                false => text.into_owned(),
            }
        }
    }
}

fn without_secrets(value: Value) -> Value {
    match value {
        Value::Array(list) => list.into_iter().map(without_secrets).collect(),
        Value::Object(map) => map
            .into_iter()
            .map(|(key, member)| match SECRETS.contains(&key.as_str()) {
                true => (key, json!("(not shown)")),
                false => (key, without_secrets(member)),
            })
            .collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown_however_deep_or_broken_the_value() {
        let whole = br#"{"data": [{"password_hash": "$2b$12$abc", "name": "Ann"}]}"#;
        let text = readable(Some(whole));
        assert!(text.contains("Ann") && !text.contains("$2b$"), "{text}");
        let broken = &whole[..whole.len() - 1];
        assert!(!readable(Some(broken)).contains("$2b$"));
        assert_eq!(readable(Some(b"oops")), "oops");
        assert_eq!(readable(None), "(no value)");
    }
}
