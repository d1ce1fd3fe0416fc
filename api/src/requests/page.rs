use std::fmt;

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de};
use shared::Id;
use shared::document::{Category, OrderStatus, ProductStatus};

/// A window on a list.
#[derive(Debug, Clone, Copy, Deserialize, Validate, JsonSchema)]
pub struct Page {
    /// How many to leave out.
    #[serde(default)]
    #[garde(custom(without_cursor(self.cursor.is_some())))]
    pub skip: u32,
    /// How many to answer.
    #[serde(default = "default_limit")]
    #[garde(range(min = 1, max = 100))]
    pub limit: u32,
    /// Where to begin, as the Link header of the page before said.
    #[garde(skip)]
    #[schemars(with = "Option<String>", extend("examples" = ["65a1b2c3d4e5f60718293a4b"]))]
    pub cursor: Option<Cursor>,
}

/// A place in a list: behind the document with this id, and this moment where the list is
/// ordered by one. Clients take it for opaque text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cursor {
    pub id: Id,
    pub millis: Option<i64>,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.millis {
            Some(millis) => write!(f, "{}.{millis}", self.id),
            None => write!(f, "{}", self.id),
        }
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        let (id, millis) = match text.split_once('.') {
            Some((id, millis)) => (id, Some(millis.parse())),
            None => (text.as_str(), None),
        };
        let broken = |_| de::Error::custom("not a cursor");
        Ok(Self {
            id: id.parse().map_err(|_| de::Error::custom("not a cursor"))?,
            millis: millis.transpose().map_err(broken)?,
        })
    }
}

/// A cursor says already what to leave out.
fn without_cursor(has_cursor: bool) -> impl FnOnce(&u32, &()) -> garde::Result {
    move |skip, ()| {
        if has_cursor && *skip > 0 {
            return Err(garde::Error::new("cannot be combined with a cursor"));
        }
        Ok(())
    }
}

fn default_limit() -> u32 {
    20
}

/// For lists that have no filter.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
pub struct ListAll {}

#[derive(Debug, Deserialize, Validate, JsonSchema)]
pub struct ListProducts {
    #[serde(default, deserialize_with = "comma_separated")]
    #[garde(skip)]
    pub status: Vec<ProductStatus>,
    #[garde(skip)]
    pub category: Option<Category>,
    #[garde(skip)]
    pub supplier_id: Option<Id>,
}

#[derive(Debug, Deserialize, Validate, JsonSchema)]
pub struct ListOrders {
    #[serde(default, deserialize_with = "comma_separated")]
    #[garde(skip)]
    pub status: Vec<OrderStatus>,
}

#[derive(Debug, Deserialize, Validate, JsonSchema)]
pub struct ListPosts {
    #[garde(skip)]
    pub author_id: Option<Id>,
}

/// Reads `draft,active`. Nothing between two commas says nothing.
fn comma_separated<'de, T, D>(input: D) -> Result<Vec<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    let text = String::deserialize(input)?;
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    names.map(|name| T::deserialize(de::value::StrDeserializer::<D::Error>::new(name))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Cursor, de::value::Error> {
        Cursor::deserialize(de::value::StrDeserializer::new(text))
    }

    #[test]
    fn a_cursor_survives_its_way_through_the_client() {
        for millis in [None, Some(1_700_000_000_123), Some(-5)] {
            let cursor = Cursor { id: Id::new(), millis };
            assert_eq!(read(&cursor.to_string()).unwrap(), cursor);
        }
        for broken in ["", "x", ".5", "65a1b2c3d4e5f60718293a4b.", "65a1b2c3d4e5f60718293a4b.x"] {
            assert!(read(broken).is_err(), "{broken}");
        }
    }
}
