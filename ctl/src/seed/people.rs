use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use shared::event::{Domain, EventType};

use super::draw::{mailbox, maybe, one_of, phone, town};
use super::plan::{Action, Call, Entity};
use super::words::{BIOS, FIRST_NAMES, LAST_NAMES};

pub struct People {
    pub names: Vec<String>,
    pub sign_ups: Vec<Vec<Call>>,
    pub departures: Vec<Vec<Call>>,
}

/// What becomes of every n-th user, in turn.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Stays,
    Edits,
    Leaves,
}

const FATES: [Fate; 10] = {
    use Fate::*;
    [Stays, Edits, Stays, Edits, Stays, Stays, Edits, Stays, Leaves, Stays]
};

pub fn plan(rng: &mut StdRng, count: usize, run: &str) -> People {
    let mut people = People { names: Vec::new(), sign_ups: Vec::new(), departures: Vec::new() };
    for number in 0..count {
        let user = Entity::new(Domain::User, number);
        let name = name(rng);
        let mut chain = vec![user.create(sign_up(rng, &name, number, run))];
        match FATES[number % FATES.len()] {
            Fate::Stays => {}
            Fate::Edits => chain.push(user.call(edit(rng, &name), EventType::UserUpdated)),
            Fate::Leaves => {
                people.departures.push(vec![user.call(Action::Delete, EventType::UserDeleted)])
            }
        }
        people.sign_ups.push(chain);
        people.names.push(name);
    }
    people
}

pub fn name(rng: &mut StdRng) -> String {
    format!("{} {}", one_of(rng, FIRST_NAMES), one_of(rng, LAST_NAMES))
}

pub fn sign_up(rng: &mut StdRng, name: &str, number: usize, run: &str) -> Value {
    let home = town(rng);
    json!({
        "email": format!("{}.{number}+{run}@example.com", mailbox(name)),
        "password": format!("pass-{:016x}", rng.random::<u64>()),
        "display_name": name,
        "phone": maybe(rng, 0.7, |rng| phone(rng, home)),
        "bio": maybe(rng, 0.5, |rng| *one_of(rng, BIOS)),
    })
}

fn edit(rng: &mut StdRng, name: &str) -> Action {
    let picture = format!("https://cdn.example.com/avatars/{}.jpg", mailbox(name));
    let home = town(rng);
    Action::Update(json!({
        "bio": one_of(rng, BIOS),
        "avatar": picture,
        "phone": phone(rng, home),
    }))
}
