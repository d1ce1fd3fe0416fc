//! Suppliers and what they sell.

use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use shared::document::{ProductAction, ProductStatus};
use shared::event::{Domain, EventType};

use super::draw::{address, mailbox, maybe, one_of, phone, town};
use super::people;
use super::plan::{Action, Call, Entity, product_step};
use super::product::{Draft, draft};
use super::words::{MAKERS, TITLES};

pub struct Catalogue {
    products: Vec<Listed>,
    pub sign_ups: Vec<Vec<Call>>,
    pub launches: Vec<Vec<Call>>,
    pub changes: Vec<Vec<Call>>,
    pub departures: Vec<Vec<Call>>,
}

/// A product as it stands once its supplier has launched it.
#[derive(Clone)]
pub struct Listed {
    pub entity: Entity,
    pub variants: Vec<String>,
    status: ProductStatus,
}

/// What becomes of every n-th product, in turn: before the orders, and after.
const FATES: [(&[ProductAction], &[ProductAction]); 12] = {
    use ProductAction::*;
    [
        (&[Publish], &[]),
        (&[Publish], &[]),
        (&[Publish], &[MarkOutOfStock]),
        (&[Publish], &[]),
        (&[], &[]),
        (&[Publish], &[Discontinue]),
        (&[Publish], &[]),
        (&[Publish], &[MarkOutOfStock, Restore, Publish]),
        (&[Publish], &[Discontinue, Restore]),
        (&[Publish], &[]),
        (&[Publish], &[Delete]),
        (&[], &[Delete]),
    ]
};

/// Every n-th supplier gives up in the end, and its products with it.
const LEAVES: usize = 15;
/// Every n-th supplier corrects its contact details.
const EDITS: usize = 4;

impl Catalogue {
    pub fn plan(rng: &mut StdRng, suppliers: usize, products: usize, run: &str) -> Self {
        let mut catalogue = Self {
            products: Vec::new(),
            sign_ups: (0..suppliers).map(|number| sign_up(rng, number, run)).collect(),
            launches: Vec::new(),
            changes: Vec::new(),
            departures: Vec::new(),
        };
        let mut alive = vec![0; suppliers];
        for number in 0..products {
            let supplier = number % suppliers;
            let status = catalogue.add_product(rng, number, supplier);
            alive[supplier] += usize::from(status != ProductStatus::Deleted);
        }
        catalogue.departures = (0..suppliers)
            .filter(|number| number % LEAVES == LEAVES - 1)
            .map(|number| vec![depart(number, alive[number])])
            .collect();
        catalogue
    }

    /// What can be ordered once all products are launched.
    pub fn on_sale(&self) -> Vec<Listed> {
        let active = |listed: &&Listed| listed.status == ProductStatus::Active;
        self.products.iter().filter(active).cloned().collect()
    }

    /// Plans one product's whole life; returns how it ends.
    fn add_product(&mut self, rng: &mut StdRng, number: usize, supplier: usize) -> ProductStatus {
        let entity = Entity::new(Domain::Product, number);
        let supplier = Entity::new(Domain::Supplier, supplier);
        let (launch, later) = FATES[number % FATES.len()];
        let Draft { body, variants, edit } = draft(rng, number, maker(supplier.number));

        let mut chain = vec![entity.create(body)];
        chain.extend(edit.map(|edit| entity.call(Action::Update(edit), EventType::ProductUpdated)));
        chain.extend(steps(entity, launch));
        self.launches.push(by(supplier, chain));
        if !later.is_empty() {
            self.changes.push(by(supplier, steps(entity, later).collect()));
        }
        let after =
            |status: ProductStatus, action: &ProductAction| status.after(*action).unwrap_or(status);
        let launched = launch.iter().fold(ProductStatus::Draft, after);
        self.products.push(Listed { entity, variants, status: launched });
        later.iter().fold(launched, after)
    }
}

fn steps(product: Entity, actions: &'static [ProductAction]) -> impl Iterator<Item = Call> {
    actions.iter().map(move |action| product_step(product, *action))
}

fn by(supplier: Entity, chain: Vec<Call>) -> Vec<Call> {
    chain.into_iter().map(|call| call.by(supplier)).collect()
}

fn depart(number: usize, alive: usize) -> Call {
    let mut call =
        Entity::new(Domain::Supplier, number).call(Action::Delete, EventType::SupplierDeleted);
    call.events.extend(std::iter::repeat_n(EventType::ProductDeleted, alive));
    call
}

/// The trade name; beyond the table, with a number.
pub fn maker(number: usize) -> String {
    let name = MAKERS[number % MAKERS.len()];
    match number / MAKERS.len() {
        0 => name.to_owned(),
        round => format!("{name} {}", round + 1),
    }
}

fn sign_up(rng: &mut StdRng, number: usize, run: &str) -> Vec<Call> {
    let supplier = Entity::new(Domain::Supplier, number);
    let mut chain = vec![supplier.create(company(rng, number, run))];
    if number % EDITS == 1 {
        let office = town(rng);
        let edit = json!({
            "primary_phone": phone(rng, office),
            "support_email": format!("help.{number}+{run}@example.com"),
        });
        chain.push(supplier.call(Action::Update(edit), EventType::SupplierUpdated));
    }
    chain
}

pub fn company(rng: &mut StdRng, number: usize, run: &str) -> Value {
    let name = maker(number);
    let seat = town(rng);
    let handle = mailbox(&name).replace('.', "_");
    let contact = people::name(rng);
    json!({
        "password": format!("pass-{:016x}", rng.random::<u64>()),
        "contact_info": {
            "primary_email": format!("office.{number}+{run}@{}.example.com", handle.replace('_', "-")),
            "additional_emails": [format!("billing.{number}+{run}@example.com")],
            "primary_phone": phone(rng, seat),
            "contact_person_name": contact,
            "contact_person_title": one_of(rng, TITLES),
            "contact_person_email": format!("{}.{number}+{run}@example.com", mailbox(&contact)),
        },
        "company_info": {
            "legal_name": format!("{name} {}", seat.legal_form),
            "dba_name": maybe(rng, 0.6, |_| name.clone()),
            "business_address": address(rng, seat),
            "shipping_address": maybe(rng, 0.3, |rng| address(rng, seat)),
        },
        "business_info": {
            "instagram_handle": maybe(rng, 0.7, |_| format!("@{handle}")),
            "linkedin_url": maybe(rng, 0.4, |_| format!("https://linkedin.example.com/{handle}")),
            "timezone": seat.timezone,
            "support_phone": maybe(rng, 0.5, |rng| phone(rng, seat)),
        },
        "banking_info": {
            "bank_name": "Example Savings Bank",
            "account_holder_name": name,
            "account_number_last4": format!("{:04}", rng.random_range(0..10_000)),
        },
    })
}
