//! Rules of single fields as lists of what is just allowed and what is just refused.

use serde_json::{Value, json};

use crate::call::Call;

/// A field, by JSON pointer into the request, and the edges of its rule.
pub struct Field {
    pointer: &'static str,
    required: bool,
    allowed: Vec<Value>,
    refused: Vec<Value>,
}

/// `min..=max` characters. They are not bytes: each is two here.
pub fn text(pointer: &'static str, min: usize, max: usize) -> Field {
    let mut refused = vec![json!("é".repeat(max + 1)), json!(17), json!(["a"])];
    if min > 0 {
        refused.push(json!("é".repeat(min - 1)));
    }
    let allowed = vec![json!("é".repeat(min)), json!("é".repeat(max))];
    Field { pointer, required: true, allowed, refused }
}

/// Text of any length.
pub fn any_text(pointer: &'static str) -> Field {
    Field { pointer, required: true, allowed: vec![json!("")], refused: vec![json!(17), json!({})] }
}

/// Whole numbers from `min`, to `max` where there is one.
pub fn int(pointer: &'static str, min: i64, max: Option<i64>) -> Field {
    let mut refused = vec![json!(min - 1), json!(1.5), json!("1"), json!(1u64 << 63), json!(true)];
    refused.extend(max.map(|max| json!(max + 1)));
    let allowed = vec![json!(min), json!(max.unwrap_or(i64::MAX))];
    Field { pointer, required: true, allowed, refused }
}

/// Numbers greater than zero.
pub fn measure(pointer: &'static str) -> Field {
    let refused = vec![json!(0), json!(-0.1), json!("1")];
    Field { pointer, required: true, allowed: vec![json!(0.000_001), json!(1e9)], refused }
}

/// Exactly two characters.
pub fn country(pointer: &'static str) -> Field {
    let refused = vec![json!(""), json!("G"), json!("GBR"), json!(44)];
    Field { pointer, required: true, allowed: vec![json!("gb"), json!("GB")], refused }
}

/// One of the words, exactly as they are written.
pub fn word(pointer: &'static str, words: &[&str]) -> Field {
    let refused = vec![json!(""), json!("unknown"), json!(words[0].to_uppercase()), json!(0)];
    let allowed = words.iter().map(|word| json!(word)).collect();
    Field { pointer, required: true, allowed, refused }
}

pub fn email(pointer: &'static str) -> Field {
    let local = "a".repeat(300);
    let refused = [
        json!(""),
        json!("plain"),
        json!("a@"),
        json!("@b.example"),
        json!("a b@c.example"),
        json!("a@b@c.example"),
        json!(format!("{local}@b.example")),
        json!(1),
    ];
    let allowed = vec![json!("a@b.example"), json!(" First.Last+tag@sub.Domain.example ")];
    Field { pointer, required: true, allowed, refused: refused.to_vec() }
}

/// A list of `min` times `item`, or up to `max` times where there is a bound.
pub fn list(pointer: &'static str, min: usize, max: Option<usize>, item: &Value) -> Field {
    let mut refused = vec![json!({}), json!([17])];
    refused.extend(max.map(|max| json!(vec![item; max + 1])));
    if min > 0 {
        refused.push(json!(vec![item; min - 1]));
    }
    let allowed = vec![json!(vec![item; min]), json!(vec![item; max.unwrap_or(50)])];
    Field { pointer, required: true, allowed, refused }
}

impl Field {
    /// May be null or missing.
    pub fn optional(mut self) -> Self {
        self.required = false;
        self.allowed.push(Value::Null);
        self
    }

    /// May be missing, but not null.
    pub fn with_default(mut self) -> Self {
        self.required = false;
        self
    }

    pub fn refuses(mut self, value: Value) -> Self {
        self.refused.push(value);
        self
    }

    /// Has no edge that is allowed: `sound` is, everything else is refused.
    pub fn only(mut self, sound: &Value) -> Self {
        self.refused.append(&mut self.allowed);
        self.allowed = vec![sound.clone()];
        self
    }

    /// As the API names the field: `items[0].quantity`.
    fn path(&self) -> String {
        let mut path = String::new();
        for part in self.pointer.split('/').skip(1) {
            match part.parse::<usize>() {
                Ok(index) => path.push_str(&format!("[{index}]")),
                Err(_) if path.is_empty() => path.push_str(part),
                Err(_) => path.push_str(&format!(".{part}")),
            }
        }
        path
    }

    /// `body` with this value for the field, or without the field.
    fn within(&self, mut body: Value, value: Option<&Value>) -> Value {
        let (parent, key) = self.pointer.rsplit_once('/').unwrap();
        let parent = body.pointer_mut(parent).unwrap_or_else(|| panic!("no {}", self.pointer));
        match value {
            Some(value) => parent[key] = value.clone(),
            None => drop(parent.as_object_mut().unwrap().remove(key)),
        }
        body
    }
}

/// Sends every edge of every field, each in an otherwise sound request; answers how
/// many were accepted. `body` makes a fresh request, `send` a call that has it.
pub async fn probe(
    fields: &[Field],
    body: impl Fn() -> Value,
    send: impl Fn(&Value) -> Call,
    accepted: u16,
) -> usize {
    let mut count = 0;
    for field in fields {
        let absent = (!field.required).then_some(None);
        for value in field.allowed.iter().map(Some).chain(absent) {
            send(&field.within(body(), value)).await.is(accepted);
            count += 1;
        }
        let absent = field.required.then_some(None);
        for value in field.refused.iter().map(Some).chain(absent) {
            let answer = send(&field.within(body(), value)).await;
            let details = answer.refused(422, "VALIDATION_ERROR");
            let path = field.path();
            // What is wrong inside a list is named more closely.
            let named = details.as_object().unwrap().keys().any(|name| name.starts_with(&path));
            assert!(named, "{}: {path} is not named: {details}", answer.what);
        }
    }
    count
}
