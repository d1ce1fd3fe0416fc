//! What users do: orders and posts.

use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use shared::document::{MediaType, OrderAction, PostType};
use shared::event::{Domain, EventType};

use super::catalogue::Listed;
use super::draw::{address, maybe, one_of, phone, town};
use super::plan::{Action, Call, Entity};
use super::words::{CANCEL_REASONS, POST_TEXTS};

/// Every n-th order is cancelled; of those, every second with a reason.
const CANCELLED: usize = 7;

pub fn orders(
    rng: &mut StdRng,
    count: usize,
    users: &[String],
    on_sale: &[Listed],
) -> Vec<Vec<Call>> {
    (0..count)
        .map(|number| {
            let buyer = rng.random_range(0..users.len());
            let order = Entity::new(Domain::Order, number);
            let mut chain = vec![place(rng, order, &users[buyer], on_sale)];
            if number % CANCELLED == CANCELLED - 1 {
                let reason = maybe(rng, 0.5, |rng| json!({"reason": one_of(rng, CANCEL_REASONS)}));
                let event = OrderAction::Cancel.event_type();
                chain.push(order.transition("cancel", reason, event));
            }
            by(Entity::new(Domain::User, buyer), chain)
        })
        .collect()
}

fn place(rng: &mut StdRng, order: Entity, buyer: &str, on_sale: &[Listed]) -> Call {
    let (mut items, mut products) = (Vec::new(), Vec::new());
    for _ in 0..rng.random_range(1..=4) {
        let product = one_of(rng, on_sale);
        items.push(item(rng, &product.variants));
        products.push(product.entity);
    }
    let shipping_address = shipping_address(rng, buyer);
    order
        .create(json!({"items": items, "shipping_address": shipping_address}))
        .with_products(products)
}

/// Without its product_id.
pub fn item(rng: &mut StdRng, variants: &[String]) -> Value {
    let choose = !variants.is_empty() && rng.random_bool(0.8);
    json!({
        "variant_name": choose.then(|| one_of(rng, variants)),
        "quantity": rng.random_range(1..=5),
    })
}

pub fn shipping_address(rng: &mut StdRng, recipient: &str) -> Value {
    let home = town(rng);
    let mut address = address(rng, home);
    address["recipient_name"] = json!(recipient);
    address["phone"] = json!(maybe(rng, 0.5, |rng| phone(rng, home)));
    address
}

/// What becomes of every n-th post, in turn.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Stays,
    Edited,
    Draft,
    DraftThenPublished,
    Deleted,
}

const FATES: [Fate; 10] = {
    use Fate::*;
    [Stays, DraftThenPublished, Stays, Edited, Stays, Deleted, Stays, Stays, Draft, Stays]
};

pub fn posts(rng: &mut StdRng, count: usize, users: usize) -> Vec<Vec<Call>> {
    (0..count)
        .map(|number| {
            let author = Entity::new(Domain::User, rng.random_range(0..users));
            let post = Entity::new(Domain::Post, number);
            let fate = FATES[number % FATES.len()];
            let is_draft = matches!(fate, Fate::Draft | Fate::DraftThenPublished);
            let mut chain = vec![post.create(write(rng, number, is_draft))];
            chain.extend(match fate {
                Fate::Stays | Fate::Draft => None,
                Fate::Edited => Some(post.call(edit(rng), EventType::PostUpdated)),
                Fate::DraftThenPublished => {
                    Some(post.transition("publish", None, EventType::PostPublished))
                }
                Fate::Deleted => Some(post.call(Action::Delete, EventType::PostDeleted)),
            });
            by(author, chain)
        })
        .collect()
}

fn by(user: Entity, chain: Vec<Call>) -> Vec<Call> {
    chain.into_iter().map(|call| call.by(user)).collect()
}

fn edit(rng: &mut StdRng) -> Action {
    Action::Update(json!({"text_content": format!("Edit: {}", one_of(rng, POST_TEXTS))}))
}

pub fn write(rng: &mut StdRng, number: usize, is_draft: bool) -> Value {
    let post_type = *one_of(
        rng,
        &[
            PostType::Text,
            PostType::Text,
            PostType::Image,
            PostType::Image,
            PostType::Video,
            PostType::Link,
            PostType::Poll,
        ],
    );
    json!({
        "post_type": post_type,
        "text_content": one_of(rng, POST_TEXTS),
        "media": media(rng, number, post_type),
        "link_preview": (post_type == PostType::Link).then(|| json!({
            "url": format!("https://magazine.example.com/stories/{number}"),
            "title": "What we learned from five winters outside",
            "description": "A long read about short days.",
            "image": maybe(rng, 0.5, |_| "https://magazine.example.com/winter.jpg"),
            "site_name": "Example Magazine",
        })),
        "is_draft": is_draft,
    })
}

fn media(rng: &mut StdRng, number: usize, post_type: PostType) -> Vec<Value> {
    let picture = |rng: &mut StdRng, index: i32| {
        json!({
            "media_type": MediaType::Image,
            "media_url": format!("https://cdn.example.com/posts/{number}-{index}.jpg"),
            "width": 1600, "height": 1200,
            "size_bytes": rng.random_range(80_000..2_500_000),
        })
    };
    match post_type {
        PostType::Image => {
            let count = rng.random_range(1..=3);
            (1..=count).map(|index| picture(rng, index)).collect()
        }
        PostType::Video => vec![json!({
            "media_type": MediaType::Video,
            "media_url": format!("https://cdn.example.com/posts/{number}.mp4"),
            "thumbnail_url": format!("https://cdn.example.com/posts/{number}.jpg"),
            "duration_seconds": rng.random_range(8..240),
        })],
        PostType::Text | PostType::Link | PostType::Poll => Vec::new(),
    }
}
