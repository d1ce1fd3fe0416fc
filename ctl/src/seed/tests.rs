use std::collections::{HashMap, HashSet};

use shared::event::{Domain, EventType};

use super::plan::{Action, Call, Entity, Plan};

/// The five that the API cannot cause yet.
const BEYOND_THE_API: [EventType; 5] = [
    EventType::OrderConfirmed,
    EventType::OrderProcessing,
    EventType::OrderShipped,
    EventType::OrderDelivered,
    EventType::OrderRefunded,
];

fn calls(seed: u64, scale: f64, run: &str) -> Vec<Call> {
    Plan::new(seed, scale, run)
        .phases
        .into_iter()
        .flat_map(|phase| phase.chains)
        .flatten()
        .collect()
}

#[test]
fn the_same_seed_gives_the_same_calls_and_another_seed_others() {
    assert_eq!(calls(7, 1.0, "a"), calls(7, 1.0, "a"));
    assert_ne!(calls(7, 1.0, "a"), calls(8, 1.0, "a"));
}

#[test]
fn two_runs_differ_in_nothing_but_the_addresses() {
    let text = |run: &str| format!("{:?}", calls(7, 0.3, run)).replace(&format!("+{run}@"), "+@");
    assert_eq!(text("first"), text("second"));
}

#[test]
fn every_event_of_the_api_occurs_at_any_scale() {
    for scale in [0.0, 0.1, 1.0, 3.0] {
        let events: HashSet<EventType> =
            calls(1, scale, "t").into_iter().flat_map(|call| call.events).collect();
        for event in EventType::ALL {
            let expected = !BEYOND_THE_API.contains(&event);
            assert_eq!(events.contains(&event), expected, "{event} at scale {scale}");
        }
    }
}

#[test]
fn addresses_are_unique_however_much_there_is() {
    let mut seen = HashSet::new();
    for call in calls(1, 5.0, "t") {
        let Action::Create(body) = call.action else {
            continue;
        };
        let email = body.get("email").or_else(|| body.pointer("/contact_info/primary_email"));
        if let Some(email) = email {
            let email = email.as_str().unwrap().to_owned();
            assert!(email.is_ascii() && !email.contains(".."), "{email}");
            assert!(seen.insert(email.clone()), "{email} twice");
        }
    }
    assert!(seen.len() > 500, "{}", seen.len());
}

#[test]
fn a_call_uses_only_what_its_chain_or_an_earlier_phase_has_created() {
    let mut known: HashSet<Entity> = HashSet::new();
    for phase in Plan::new(3, 1.0, "t").phases {
        let mut created = Vec::new();
        for chain in phase.chains {
            let mut own = None;
            for call in chain {
                let is_create = matches!(call.action, Action::Create(_));
                let subject = (!is_create).then_some(call.subject);
                for needed in subject.into_iter().chain(call.actor).chain(call.products) {
                    assert!(own == Some(needed) || known.contains(&needed), "{needed:?}");
                }
                if is_create {
                    own = Some(call.subject);
                    created.push(call.subject);
                }
            }
        }
        known.extend(created);
    }
}

/// Orders name only products that are on sale, and variants those then have.
#[test]
fn orders_fit_the_catalogue_as_it_is_then() {
    let plan = Plan::new(5, 1.0, "t");
    let mut variants: HashMap<Entity, HashSet<String>> = HashMap::new();
    let mut on_sale = HashSet::new();
    for phase in &plan.phases {
        for call in phase.chains.iter().flatten() {
            match (&call.action, call.subject.domain) {
                (Action::Create(body) | Action::Update(body), Domain::Product) => {
                    if let Some(given) = body.get("variants") {
                        let names = given.as_object().unwrap().keys().cloned().collect();
                        variants.insert(call.subject, names);
                    }
                }
                (Action::Transition { verb, .. }, Domain::Product) => {
                    match *verb {
                        "publish" => on_sale.insert(call.subject),
                        _ => on_sale.remove(&call.subject),
                    };
                }
                (Action::Create(body), Domain::Order) => {
                    for (item, product) in
                        body["items"].as_array().unwrap().iter().zip(&call.products)
                    {
                        assert!(on_sale.contains(product), "{product:?} is not on sale");
                        if let Some(name) = item["variant_name"].as_str() {
                            assert!(variants[product].contains(name), "{product:?} has no {name}");
                        }
                    }
                }
                _ => {}
            }
        }
    }
    assert!(variants.values().any(HashSet::is_empty) && variants.values().any(|v| v.len() > 2));
}
