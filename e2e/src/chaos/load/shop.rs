//! What one client owns, and what it may want to do with it next.

use std::collections::BTreeMap;

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use reqwest::Method;
use serde_json::json;
use shared::event::Domain;

use super::intent::{Aim, Done, Intent};
use crate::chaos::ledger::{Acknowledged, How};
use crate::sample;

/// A document as its last answer showed it.
#[derive(Debug, Clone)]
pub struct Thing {
    id: String,
    version: i64,
    status: String,
    /// Whom it belongs to: of a product, the supplier.
    owner: String,
}

/// Nobody else writes what is in here, so what to expect is always known.
pub struct Shop {
    name: String,
    made: u64,
    things: Belongings,
}

pub type Belongings = BTreeMap<Domain, Vec<Thing>>;

/// So many of the newest are drawn from, so that they grow many versions.
const RECENT: usize = 30;

impl Shop {
    pub fn new(name: String) -> Self {
        let things = Domain::ALL.map(|domain| (domain, Vec::new()));
        Self { name, made: 0, things: things.into() }
    }

    pub fn belongings(&self) -> Belongings {
        self.things.clone()
    }

    /// These again, each at the version that it has now. No name is used a second time.
    pub fn own(&mut self, belongings: Belongings, version: impl Fn(&str) -> Option<i64>) {
        self.things = belongings;
        for thing in self.things.values_mut().flatten() {
            thing.version = version(&thing.id).unwrap_or(thing.version);
        }
    }

    /// The next wish: at first what everything else rests on.
    pub fn wish(&mut self, rng: &mut StdRng) -> Intent {
        self.made += 1;
        let lacks = |domain: &Domain| self.things[domain].is_empty();
        let missing = [Domain::User, Domain::Supplier, Domain::Product].into_iter().find(lacks);
        if let Some(domain) = missing {
            return self.create(domain, rng);
        }
        let domain = *Domain::ALL.choose_weighted(rng, weight).expect("weights of ours");
        let changes = if lacks(&domain) { None } else { self.change(domain, rng) };
        match changes {
            Some(change) if rng.random_bool(0.65) => change,
            _ => self.create(domain, rng),
        }
    }

    fn create(&self, domain: Domain, rng: &mut StdRng) -> Intent {
        let tag = format!("{}-{}", self.name, self.made);
        let user = || self.first(Domain::User);
        let (caller, body, field) = match domain {
            Domain::User => {
                (String::new(), sample::user(&format!("{tag}@example.com")), "profile.display_name")
            }
            Domain::Supplier => {
                let body = sample::supplier(&format!("{tag}@example.com"));
                (String::new(), body, "company_info.legal_name")
            }
            Domain::Product => (self.any(Domain::Supplier, rng).id, sample::product(), "name"),
            Domain::Order => {
                let active = self.things[&Domain::Product].iter().rev();
                match active.clone().find(|product| product.status == "active") {
                    Some(product) => {
                        let quantity = rng.random_range(1..9);
                        let body = sample::order(&product.id, Some("red"), quantity);
                        (user(), body, "shipping_address.recipient_name")
                    }
                    // Nothing to buy yet.
                    None => return self.create(Domain::Post, rng),
                }
            }
            Domain::Post => {
                let mut body = sample::post("");
                body["is_draft"] = json!(rng.random_bool(0.3));
                (user(), body, "text_content")
            }
        };
        let mut intent = Intent {
            domain,
            method: Method::POST,
            path: format!("/{}", domain.collection()),
            caller,
            body,
            sets: BTreeMap::new(),
            aim: Aim::Create { key: tag.clone() },
        };
        intent.set(field, &tag);
        intent
    }

    /// Nothing where the one that was drawn is at its end.
    fn change(&self, domain: Domain, rng: &mut StdRng) -> Option<Intent> {
        let thing = self.any(domain, rng);
        let wishes = super::lives::wishes(domain, &thing.status);
        let (wish, _) = wishes.choose_weighted(rng, |(_, weight)| *weight).ok()?;
        // The first of them are what the others belong to.
        let is_root = thing.id == self.first(domain);
        let tag = format!("{}-{}", self.name, self.made);
        let rooted = matches!(domain, Domain::User | Domain::Supplier) && is_root;
        wish.intent(domain, &thing.id, thing.version, &thing.owner, &tag, rooted)
    }

    /// Takes note of what was done. The writes that the client may now rely on.
    pub fn note(&mut self, intent: &Intent, done: &Done) -> Vec<Acknowledged> {
        let write = intent.acknowledged(done);
        let mut writes = vec![write.clone()];
        let deleted = intent.method == Method::DELETE;
        if deleted && intent.domain == Domain::Supplier {
            writes.extend(self.close(&write.id));
        }
        let status = done.document["status"].as_str().map(str::to_owned);
        let status = status.or_else(|| intent.implied_status());
        let things = self.things.entry(intent.domain).or_default();
        match things.iter_mut().find(|thing| thing.id == write.id) {
            Some(_) if deleted => things.retain(|thing| thing.id != write.id),
            Some(thing) => {
                thing.version = write.version;
                thing.status = status.unwrap_or_else(|| thing.status.clone());
            }
            None => {
                let (id, version, owner) = (write.id, write.version, intent.caller.clone());
                things.push(Thing { id, version, status: status.unwrap_or_default(), owner });
            }
        }
        writes
    }

    /// Its products go with a supplier, one event each.
    fn close(&mut self, supplier: &str) -> Vec<Acknowledged> {
        let products = self.things.entry(Domain::Product).or_default();
        let (gone, left) = products.drain(..).partition(|product| product.owner == supplier);
        *products = left;
        let gone: Vec<Thing> = gone;
        gone.into_iter()
            .map(|product| Acknowledged {
                domain: Domain::Product.topic().to_owned(),
                id: product.id,
                version: product.version + 1,
                event_id: None,
                how: How::Implied,
                removed: false,
                sets: BTreeMap::from([("status".to_owned(), "deleted".to_owned())]),
            })
            .collect()
    }

    fn first(&self, domain: Domain) -> String {
        self.things[&domain].first().map(|thing| thing.id.clone()).unwrap_or_default()
    }

    fn any(&self, domain: Domain, rng: &mut StdRng) -> Thing {
        let things = &self.things[&domain];
        let recent = &things[things.len().saturating_sub(RECENT)..];
        recent.choose(rng).cloned().expect("looked before")
    }
}

fn weight(domain: &Domain) -> u32 {
    match domain {
        Domain::User => 2,
        Domain::Supplier => 1,
        Domain::Product => 4,
        Domain::Order => 5,
        Domain::Post => 4,
    }
}
