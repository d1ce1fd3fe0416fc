//! What a seed does, decided before the first request: pure and deterministic.
//!
//! A plan is a list of phases, one after the other. A phase is a list of chains
//! that may run side by side; the calls of a chain run in order. A call names
//! only entities of its own chain or of earlier phases, so whoever carries the
//! plan out never waits for an id in the middle of a phase.

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::Value;
use shared::document::ProductAction;
use shared::event::{Domain, EventType};

use super::catalogue::Catalogue;
use super::{activity, people};

pub struct Plan {
    pub phases: Vec<Phase>,
}

pub struct Phase {
    pub name: &'static str,
    pub chains: Vec<Vec<Call>>,
}

/// One REST call, with ids still open: only the server can make those.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    pub subject: Entity,
    pub action: Action,
    /// Whose id goes into X-User-ID or X-Supplier-ID.
    pub actor: Option<Entity>,
    /// The products of an order: their ids go into `items[i].product_id`.
    pub products: Vec<Entity>,
    /// The events that the call leaves in the outbox.
    pub events: Vec<EventType>,
}

/// The n-th user, supplier, … of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entity {
    pub domain: Domain,
    pub number: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    Create(Value),
    Update(Value),
    Delete,
    /// `POST /…/{id}/{verb}`.
    Transition {
        verb: &'static str,
        body: Option<Value>,
    },
}

/// How many of each there are at scale 1.
const USERS: usize = 100;
const SUPPLIERS: usize = 30;
const PRODUCTS: usize = 72;
const ORDERS: usize = 150;
const POSTS: usize = 150;

/// Enough of each that every fate, and so every type of event, occurs.
const AT_LEAST: usize = 16;

impl Plan {
    /// The same `seed`, `scale` and `run` give the same plan. `run` only enters
    /// the e-mail addresses, which must be new in every run.
    pub fn new(seed: u64, scale: f64, run: &str) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let users = people::plan(&mut rng, scaled(USERS, scale), run);
        let suppliers = scaled(SUPPLIERS, scale);
        let catalogue = Catalogue::plan(&mut rng, suppliers, scaled(PRODUCTS, scale), run);
        let orders =
            activity::orders(&mut rng, scaled(ORDERS, scale), &users.names, &catalogue.on_sale());
        let posts = activity::posts(&mut rng, scaled(POSTS, scale), users.names.len());
        let phase = |name, chains| Phase { name, chains };
        Self {
            phases: vec![
                phase("users", users.sign_ups),
                phase("suppliers", catalogue.sign_ups),
                phase("products", catalogue.launches),
                phase("orders", orders),
                phase("posts", posts),
                phase("changes", catalogue.changes),
                phase("departures", [users.departures, catalogue.departures].concat()),
            ],
        }
    }

    pub fn calls(&self) -> impl Iterator<Item = &Call> {
        self.phases.iter().flat_map(|phase| phase.chains.iter().flatten())
    }
}

fn scaled(count: usize, scale: f64) -> usize {
    // Bounded by the range of --scale: far below where an f64 loses integers.
    ((count as f64 * scale).round() as usize).max(AT_LEAST)
}

impl Entity {
    pub fn new(domain: Domain, number: usize) -> Self {
        Self { domain, number }
    }

    pub fn create(self, body: Value) -> Call {
        let event = match self.domain {
            Domain::User => EventType::UserCreated,
            Domain::Supplier => EventType::SupplierCreated,
            Domain::Product => EventType::ProductCreated,
            Domain::Order => EventType::OrderCreated,
            Domain::Post => EventType::PostCreated,
        };
        self.call(Action::Create(body), event)
    }

    pub fn transition(self, verb: &'static str, body: Option<Value>, event: EventType) -> Call {
        self.call(Action::Transition { verb, body }, event)
    }

    pub fn call(self, action: Action, event: EventType) -> Call {
        Call { subject: self, action, actor: None, products: Vec::new(), events: vec![event] }
    }
}

impl Call {
    pub fn by(self, actor: Entity) -> Self {
        Self { actor: Some(actor), ..self }
    }

    pub fn with_products(self, products: Vec<Entity>) -> Self {
        Self { products, ..self }
    }
}

/// A product's step as a call of the REST API.
pub fn product_step(product: Entity, action: ProductAction) -> Call {
    let verb = match action {
        ProductAction::Publish => "publish",
        ProductAction::Discontinue => "discontinue",
        ProductAction::MarkOutOfStock => "mark-out-of-stock",
        ProductAction::Restore => "restore",
        ProductAction::Delete => return product.call(Action::Delete, action.event_type()),
    };
    product.transition(verb, None, action.event_type())
}
