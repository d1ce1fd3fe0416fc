//! What can be done with a thing in its state, and how often it is.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};
use shared::event::Domain;

use super::intent::{Aim, Intent};

/// A kind of change.
#[derive(Debug, Clone, Copy)]
pub enum Wish {
    Edit,
    Delete,
    /// A transition: its path, and the state after it where there is one.
    Step(&'static str, &'static str),
}

use Wish::{Delete, Edit, Step};

/// With weights. Nothing where its life is over.
pub fn wishes(domain: Domain, status: &str) -> &'static [(Wish, u32)] {
    match (domain, status) {
        (Domain::User | Domain::Supplier, _) => &[(Edit, 9), (Delete, 1)],
        (Domain::Post, _) => &[(Edit, 6), (Delete, 2)],
        (Domain::Product, "draft") => &[(Step("publish", "active"), 8), (Edit, 4), (Delete, 1)],
        (Domain::Product, "active") => &[
            (Edit, 8),
            (Step("mark-out-of-stock", "out_of_stock"), 2),
            (Step("discontinue", "discontinued"), 1),
        ],
        (Domain::Product, _) => &[(Step("restore", "draft"), 4), (Edit, 1), (Delete, 1)],
        (Domain::Order, "pending") => {
            &[(Step("confirm", "confirmed"), 4), (Step("cancel", "cancelled"), 1)]
        }
        (Domain::Order, "confirmed") => {
            &[(Step("process", "processing"), 4), (Step("cancel", "cancelled"), 1)]
        }
        (Domain::Order, "processing") => &[(Step("ship", "shipped"), 1)],
        (Domain::Order, "shipped") => &[(Step("deliver", "delivered"), 1)],
        (Domain::Order, "delivered") => &[(Step("refund", "refunded"), 1)],
        (Domain::Order, _) => &[],
    }
}

impl Wish {
    /// Nothing where it may not be wished for: what others belong to is not deleted.
    pub fn intent(
        self,
        domain: Domain,
        id: &str,
        version: i64,
        owner: &str,
        tag: &str,
        is_root: bool,
    ) -> Option<Intent> {
        let (id, path) = (id.to_owned(), format!("/{}/{id}", domain.collection()));
        let changes = Aim::Change { id: id.clone(), version };
        let sets = |path: &str, text: &str| BTreeMap::from([(path.to_owned(), text.to_owned())]);
        let (aim, method, path, body, sets) = match self {
            Edit => {
                let (body, field) = edit(domain, tag)?;
                (changes, Method::PATCH, path, body, sets(field, tag))
            }
            Delete if is_root => return None,
            Delete => {
                let after = if domain == Domain::Product {
                    sets("status", "deleted")
                } else {
                    BTreeMap::new()
                };
                // A supplier's document is gone for good, the others' stay, hidden.
                (Aim::Remove { id, version }, Method::DELETE, path, Value::Null, after)
            }
            Step(step, after) => {
                let body = match step {
                    "ship" => json!({ "tracking_number": tag, "carrier": "Post" }),
                    _ => Value::Null,
                };
                (changes, Method::POST, format!("{path}/{step}"), body, sets("status", after))
            }
        };
        Some(Intent { domain, aim, method, path, caller: owner.to_owned(), body, sets })
    }
}

/// The body of a PATCH, and where its text stands in the document.
fn edit(domain: Domain, tag: &str) -> Option<(Value, &'static str)> {
    match domain {
        Domain::User => Some((json!({ "bio": tag }), "profile.bio")),
        Domain::Supplier => Some((json!({ "dba_name": tag }), "company_info.dba_name")),
        Domain::Product => Some((
            json!({ "short_description": tag, "variants": {
                "red": crate::sample::variant(tag, "Red", 5100) } }),
            "short_description",
        )),
        Domain::Post => Some((json!({ "text_content": tag }), "text_content")),
        // An order has no PATCH.
        Domain::Order => None,
    }
}

impl Intent {
    /// The state after it, where the answer that would say so was lost.
    pub fn implied_status(&self) -> Option<String> {
        self.sets.get("status").cloned()
    }
}
