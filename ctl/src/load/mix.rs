//! What is asked for, and how often.

use std::str::FromStr;

use rand::Rng as _;
use rand::rngs::StdRng;
use reqwest::Method;
use serde_json::{Value, json};
use shared::event::Domain;

use super::cast::Cast;
use crate::rest::Request;
use crate::seed::bodies;
use crate::seed::draw::one_of;

/// One kind of write a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// PATCH: a sign-up would measure password hashing.
    EditUser,
    EditSupplier,
    EditProduct,
    PlaceOrder,
    WritePost,
}

impl Operation {
    const ALL: [Self; 5] =
        [Self::EditUser, Self::EditSupplier, Self::EditProduct, Self::PlaceOrder, Self::WritePost];

    pub fn domain(self) -> Domain {
        match self {
            Self::EditUser => Domain::User,
            Self::EditSupplier => Domain::Supplier,
            Self::EditProduct => Domain::Product,
            Self::PlaceOrder => Domain::Order,
            Self::WritePost => Domain::Post,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::EditUser => "edit user",
            Self::EditSupplier => "edit supplier",
            Self::EditProduct => "edit product",
            Self::PlaceOrder => "place order",
            Self::WritePost => "write post",
        }
    }

    pub fn request(self, rng: &mut StdRng, number: usize, cast: &Cast) -> Request {
        match self {
            Self::EditUser => {
                let user = one_of(rng, &cast.users);
                patch("users", &user.id, None, json!({"bio": format!("Edit {number}")}))
            }
            Self::EditSupplier => {
                let phone = format!("+1 {:07}", rng.random_range(0..10_000_000));
                let supplier: &String = one_of(rng, &cast.suppliers);
                patch("suppliers", supplier, None, json!({"support_phone": phone}))
            }
            Self::EditProduct => {
                let product = one_of(rng, &cast.products);
                let body = json!({"base_price_cents": rng.random_range(100..100_000)});
                patch(
                    "products",
                    &product.id,
                    Some(("X-Supplier-ID", product.supplier.clone())),
                    body,
                )
            }
            Self::PlaceOrder => {
                let buyer = one_of(rng, &cast.users);
                let product = one_of(rng, &cast.products);
                let body = bodies::order(rng, &buyer.name, &product.id, &product.variants);
                post("/orders", &buyer.id, body)
            }
            Self::WritePost => {
                post("/posts", &one_of(rng, &cast.users).id, bodies::post(rng, number))
            }
        }
    }
}

fn patch(
    collection: &str,
    id: &str,
    actor: Option<(&'static str, String)>,
    body: Value,
) -> Request {
    Request {
        method: Method::PATCH,
        path: format!("/{collection}/{id}"),
        headers: actor.into_iter().collect(),
        body: Some(body),
        settled_by: None,
    }
}

fn post(path: &str, user: &str, body: Value) -> Request {
    Request {
        method: Method::POST,
        path: path.to_owned(),
        headers: vec![("X-User-ID", user.to_owned())],
        body: Some(body),
        settled_by: None,
    }
}

/// The operations, each with its share.
#[derive(Debug, Clone, PartialEq)]
pub struct Mix(Vec<(Operation, u32)>);

impl Mix {
    pub fn draw(&self, rng: &mut StdRng) -> Operation {
        let mut left = rng.random_range(0..self.total());
        for (operation, share) in &self.0 {
            if left < *share {
                return *operation;
            }
            left -= share;
        }
        // Unreachable: the shares add up to the total.
        Operation::WritePost
    }

    fn total(&self) -> u32 {
        self.0.iter().map(|(_, share)| share).sum()
    }
}

impl FromStr for Mix {
    type Err = String;

    /// `post=4,order=2`: a domain's share of all.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut shares = Vec::new();
        for part in text.split(',') {
            let share = part.split_once('=').and_then(|(domain, share)| {
                let domain = Domain::from_topic(domain.trim())?;
                let operation = Operation::ALL.into_iter().find(|it| it.domain() == domain)?;
                Some((operation, share.trim().parse::<u16>().ok()?.into()))
            });
            shares.push(share.ok_or_else(|| format!("{part:?} is not like post=4"))?);
        }
        let mix = Self(shares);
        match mix.total() {
            0 => Err("all shares are 0".to_owned()),
            _ => Ok(mix),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn operations_come_in_their_shares() {
        let mix: Mix = "post=3, order=1,user=0".parse().unwrap();
        let mut rng = StdRng::seed_from_u64(1);
        let mut drawn = BTreeMap::new();
        for _ in 0..4_000 {
            *drawn.entry(mix.draw(&mut rng)).or_insert(0) += 1;
        }
        assert_eq!(drawn.len(), 2, "{drawn:?}");
        assert!((2_800..3_200).contains(&drawn[&Operation::WritePost]), "{drawn:?}");
    }

    #[test]
    fn a_mix_of_nothing_or_of_something_else_is_refused() {
        for text in ["", "post", "post=", "post=-1", "payment=1", "post=0,order=0"] {
            assert!(text.parse::<Mix>().is_err(), "{text:?}");
        }
    }
}
