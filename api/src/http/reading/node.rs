use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, Expected, IntoDeserializer, MapAccess,
    SeqAccess, Unexpected, VariantAccess, Visitor,
};
use serde_json::Value;

use super::notes::{Notes, Problem};

/// Stands in for text: it passes for an id too.
const TEXT: &str = "000000000000000000000000";

/// Whether text may stand for a number or a truth, as in a query string.
#[derive(Clone, Copy, PartialEq)]
pub enum Text {
    IsText,
    MayBeNumber,
}

/// One value of the tree; none stands in for whatever is wanted.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    value: Option<&'a Value>,
    text: Text,
    notes: &'a Notes,
}

impl<'a> Node<'a> {
    pub fn root(value: &'a Value, text: Text, notes: &'a Notes) -> Self {
        Self { value: Some(value), text, notes }
    }

    fn child(self, value: Option<&'a Value>) -> Self {
        Self { value: value.filter(|_| !self.notes.is_made_up()), ..self }
    }

    /// What `read` makes of the value; otherwise it is noted as wrong.
    fn read<T>(self, expected: &dyn Expected, read: impl Fn(&'a Value) -> Option<T>) -> Option<T> {
        let value = self.value?;
        let read = read(value);
        if read.is_none() {
            let problem = match (value, unexpected(value)) {
                (Value::Number(_), number) => Problem::invalid_value(number, expected),
                (_, other) => Problem::invalid_type(other, expected),
            };
            self.notes.wrong(&problem);
        }
        read
    }

    fn integer<T: TryFrom<i64> + TryFrom<u64> + std::str::FromStr>(
        self,
        expected: &dyn Expected,
    ) -> Option<T> {
        self.read(expected, |value| match value {
            Value::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(number), _) => number.try_into().ok(),
                (None, Some(number)) => number.try_into().ok(),
                (None, None) => None,
            },
            Value::String(text) if self.text == Text::MayBeNumber => text.parse().ok(),
            _ => None,
        })
    }

    fn float(self, expected: &dyn Expected) -> Option<f64> {
        self.read(expected, |value| match value {
            Value::String(text) if self.text == Text::MayBeNumber => text.parse().ok(),
            other => other.as_f64(),
        })
    }

    fn object<V: Visitor<'a>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        let entries = self.read(&visitor, Value::as_object);
        let stands_in = entries.is_none();
        let given = entries.into_iter().flatten().map(|(key, value)| (key.as_str(), Some(value)));
        let missing = fields.iter().copied().filter(|field| {
            let lacks = entries.is_none_or(|entries| !entries.contains_key(*field));
            stands_in || (lacks && self.is_field_made_up(field)) || self.is_field_refused(field)
        });
        let fields = given.chain(missing.map(|field| (field, None)));
        visitor.visit_map(Fields { node: self, fields, value: None })
    }

    /// Whether the field, which is not there, has to be made up.
    fn is_field_made_up(self, field: &str) -> bool {
        let before = self.notes.enter_field(field);
        let made_up = self.notes.is_made_up();
        self.notes.leave(before);
        made_up
    }

    /// Whether the field is there, is left out, and cannot be missing either.
    fn is_field_refused(self, field: &str) -> bool {
        let before = self.notes.enter_field(field);
        let refused = self.notes.is_left_out() && self.notes.is_made_up();
        self.notes.leave(before);
        refused
    }
}

fn unexpected(value: &Value) -> Unexpected<'_> {
    match value {
        Value::Null => Unexpected::Other("null"),
        Value::Bool(value) => Unexpected::Bool(*value),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => Unexpected::Unsigned(number),
            (None, Some(number)) => Unexpected::Signed(number),
            (None, None) => Unexpected::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(_) => Unexpected::Other("text"),
        Value::Array(_) => Unexpected::Other("a list"),
        Value::Object(_) => Unexpected::Other("an object"),
    }
}

macro_rules! integers {
    ($($method:ident $visit:ident $type:ty;)*) => {$(
        fn $method<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Problem> {
            let number: Option<$type> = self.integer(&visitor);
            visitor.$visit(number.unwrap_or(1))
        }
    )*};
}

impl<'a> Deserializer<'a> for Node<'a> {
    type Error = Problem;

    integers! {
        deserialize_i8 visit_i8 i8;
        deserialize_i16 visit_i16 i16;
        deserialize_i32 visit_i32 i32;
        deserialize_i64 visit_i64 i64;
        deserialize_u8 visit_u8 u8;
        deserialize_u16 visit_u16 u16;
        deserialize_u32 visit_u32 u32;
        deserialize_u64 visit_u64 u64;
    }

    fn deserialize_f32<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Problem> {
        let number = self.float(&visitor);
        visitor.visit_f64(number.unwrap_or(1.0))
    }

    fn deserialize_bool<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Problem> {
        let truth = self.read(&visitor, |value| match value {
            Value::String(text) if self.text == Text::MayBeNumber => text.parse().ok(),
            other => other.as_bool(),
        });
        visitor.visit_bool(truth.unwrap_or_default())
    }

    fn deserialize_str<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Problem> {
        let text = self.read(&visitor, Value::as_str);
        visitor.visit_borrowed_str(text.unwrap_or(TEXT))
    }

    fn deserialize_string<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Problem> {
        match self.value {
            None | Some(Value::Null) => visitor.visit_none(),
            Some(_) => visitor.visit_some(self),
        }
    }

    fn deserialize_seq<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Problem> {
        let items = self.read(&visitor, Value::as_array);
        let items = items.map(Vec::as_slice).unwrap_or_default().iter().enumerate();
        visitor.visit_seq(Items { node: self, items })
    }

    fn deserialize_map<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.object(&[], visitor)
    }

    fn deserialize_struct<V: Visitor<'a>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        self.object(fields, visitor)
    }

    /// The enums of requests are words.
    fn deserialize_enum<V: Visitor<'a>>(
        self,
        _: &'static str,
        words: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        let word = self.read(&visitor, Value::as_str);
        let known = word.filter(|word| words.contains(word));
        if let (Some(word), None) = (word, known) {
            self.notes.wrong(&Problem::unknown_variant(word, words));
        }
        let word = known.or_else(|| words.first().copied()).unwrap_or_default();
        visitor.visit_enum(Word(word))
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Problem> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_ignored_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Problem> {
        visitor.visit_unit()
    }

    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Problem> {
        match self.value {
            None | Some(Value::Null) => visitor.visit_unit(),
            Some(Value::Bool(_)) => self.deserialize_bool(visitor),
            Some(Value::Number(number)) if number.is_f64() => self.deserialize_f64(visitor),
            Some(Value::Number(number)) if number.is_i64() => self.deserialize_i64(visitor),
            Some(Value::Number(_)) => self.deserialize_u64(visitor),
            Some(Value::String(_)) => self.deserialize_str(visitor),
            Some(Value::Array(_)) => self.deserialize_seq(visitor),
            Some(Value::Object(_)) => self.deserialize_map(visitor),
        }
    }

    serde::forward_to_deserialize_any! {
        <V: Visitor<'a>>
        char bytes byte_buf unit unit_struct tuple tuple_struct identifier
    }
}

struct Items<'a> {
    node: Node<'a>,
    items: std::iter::Enumerate<std::slice::Iter<'a, Value>>,
}

impl<'a> SeqAccess<'a> for Items<'a> {
    type Error = Problem;

    fn next_element_seed<T: DeserializeSeed<'a>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Problem> {
        let Some((index, item)) = self.items.next() else {
            return Ok(None);
        };
        let before = self.node.notes.enter_item(index);
        let read = seed.deserialize(self.node.child(Some(item)))?;
        self.node.notes.leave(before);
        Ok(Some(read))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

struct Fields<'a, I> {
    node: Node<'a>,
    fields: I,
    /// Of the key that was read last.
    value: Option<(&'a str, Option<&'a Value>)>,
}

impl<'a, I: Iterator<Item = (&'a str, Option<&'a Value>)>> MapAccess<'a> for Fields<'a, I> {
    type Error = Problem;

    fn next_key_seed<K: DeserializeSeed<'a>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Problem> {
        for (key, value) in self.fields.by_ref() {
            let before = self.node.notes.enter_field(key);
            let left_out = value.is_some() && self.node.notes.is_left_out();
            self.node.notes.leave(before);
            if left_out {
                continue;
            }
            self.value = Some((key, value));
            let key: StrDeserializer<'a, Problem> = key.into_deserializer();
            return seed.deserialize(key).map(Some);
        }
        Ok(None)
    }

    fn next_value_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<T::Value, Problem> {
        let (key, value) = self.value.take().ok_or_else(|| Problem::custom("no value"))?;
        let before = self.node.notes.enter_field(key);
        let read = seed.deserialize(self.node.child(value))?;
        self.node.notes.leave(before);
        Ok(read)
    }
}

/// A word of an enum.
struct Word<'a>(&'a str);

impl<'a> EnumAccess<'a> for Word<'a> {
    type Error = Problem;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'a>>(self, seed: T) -> Result<(T::Value, Self), Problem> {
        let word: StrDeserializer<'a, Problem> = self.0.into_deserializer();
        Ok((seed.deserialize(word)?, self))
    }
}

impl<'a> VariantAccess<'a> for Word<'_> {
    type Error = Problem;

    fn unit_variant(self) -> Result<(), Problem> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'a>>(self, _: T) -> Result<T::Value, Problem> {
        Err(Problem::custom("expected a word"))
    }

    fn tuple_variant<V: Visitor<'a>>(self, _: usize, _: V) -> Result<V::Value, Problem> {
        Err(Problem::custom("expected a word"))
    }

    fn struct_variant<V: Visitor<'a>>(
        self,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Problem> {
        Err(Problem::custom("expected a word"))
    }
}
