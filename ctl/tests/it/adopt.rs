use std::collections::BTreeMap;
use std::time::Duration;

use bson::{DateTime, Document as Fields, doc, oid::ObjectId};
use futures::TryStreamExt as _;
use serde_json::json;
use shared::Id;

use crate::documents::{order, post, product, stored, supplier, user};
use crate::projector::Projector;
use crate::relay::Relay;
use crate::stack::{Run, Stack};

const BCRYPT: &str = "$2b$12$abcdefghijklmnopqrstuv1234567890123456789012345678901";

/// As the Python system stored it: with a revision, without our version.
fn legacy(mut document: Fields) -> Fields {
    document.remove("version");
    document.insert("revision_id", ObjectId::new());
    document.insert("password_hash", BCRYPT);
    document
}

/// One of each domain; only users have a version, which never moves.
async fn leave_behind(stack: &Stack) {
    let (supplier, buyer) = (supplier(), user());
    let product = product(supplier.id);
    let mut python_user = legacy(stored(&buyer));
    python_user.insert("version", 1_i32);
    for (collection, document) in [
        ("User", python_user),
        ("suppliers", legacy(stored(&supplier))),
        ("products", legacy(stored(&product))),
        ("orders", legacy(stored(&order(buyer.id)))),
        ("posts", legacy(stored(&post(buyer.id)))),
    ] {
        stack.mongodb.collection(collection).insert_one(document).await.unwrap();
    }
}

async fn all(stack: &Stack, collection: &str) -> Vec<Fields> {
    let found = stack.mongodb.collection(collection).find(doc! {}).await.unwrap();
    found.try_collect().await.unwrap()
}

/// How many events each entity has, and the version of the last.
async fn events(stack: &Stack) -> BTreeMap<String, (usize, i64)> {
    let mut events = BTreeMap::new();
    for event in all(stack, "outbox").await {
        let entry = events.entry(event.get_str("entity_id").unwrap().to_owned()).or_insert((0, 0));
        *entry = (entry.0 + 1, entry.1.max(event.get_i64("version").unwrap()));
    }
    events
}

fn assert_clean(run: &Run) {
    assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_the_python_system_is_taken_over() {
    let stack = Stack::new().await;
    leave_behind(&stack).await;
    let adopted = stack.outboxctl(&["adopt", "--json"]).await;
    assert_clean(&adopted);
    assert_eq!(adopted.json()["moved_users"], 1);
    let names = stack.mongodb.list_collection_names().await.unwrap();
    assert!(!names.iter().any(|name| name == "User"), "{names:?}");
    for (collection, version) in
        [("users", 2), ("suppliers", 1), ("products", 1), ("orders", 1), ("posts", 1)]
    {
        let [document] = &all(&stack, collection).await[..] else { panic!("{collection}") };
        assert_eq!(document.get_i64("version").unwrap(), version, "{collection}");
        assert_eq!(document.get_str("password_hash").unwrap(), BCRYPT, "{collection}");
        assert!(document.get_object_id("revision_id").is_ok(), "{collection}");
        let moment = DateTime::parse_rfc3339_str("2026-02-03T04:05:06.789Z").unwrap();
        assert_eq!(*document.get_datetime("updated_at").unwrap(), moment, "{collection}");
    }
    let before = events(&stack).await;
    assert_eq!(before.len(), 5);

    // Again, before any event has reached MySQL: nobody gets a second one.
    let again = stack.outboxctl(&["adopt", "--json", "--wait", "0"]).await;
    assert_eq!(again.json()["on_their_way"], 5, "{}", again.stdout);
    assert_eq!(events(&stack).await, before);

    let (relay, projector) = (Relay::start(&stack), Projector::start(&stack));
    assert_clean(&stack.outboxctl(&["verify"]).await);
    assert_clean(&stack.outboxctl(&["adopt"]).await);
    assert_eq!(events(&stack).await, before);
    relay.stop().await;
    projector.stop().await;
    stack.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_around_the_api_is_named_and_healed() {
    let stack = Stack::new().await;
    let (relay, projector) = (Relay::start(&stack), Projector::start(&stack));
    leave_behind(&stack).await;
    assert_clean(&stack.outboxctl(&["adopt"]).await);
    assert_clean(&stack.outboxctl(&["verify"]).await);

    let around = user();
    stack.store(&around).await;
    let posts = stack.mongodb.collection::<Fields>("posts");
    let change = doc! {"$set": {"text_content": "by hand"}};
    posts.update_one(doc! {}, change).await.unwrap();
    let named = stack.outboxctl(&["verify"]).await;
    assert_eq!(named.code, Some(1));
    let missing = format!("users {}: missing in MySQL", around.id);
    assert!(named.stdout.contains(&missing), "{}", named.stdout);
    assert!(named.stdout.contains("text_content: document \"by hand\""), "{}", named.stdout);

    let healed = stack.outboxctl(&["adopt", "--json"]).await;
    assert_clean(&healed);
    assert_eq!(healed.json()["domains"]["users"]["adopted"], 1);
    assert_eq!(healed.json()["domains"]["posts"]["adopted"], 1);
    assert_clean(&stack.outboxctl(&["verify"]).await);
    relay.stop().await;
    projector.stop().await;
    stack.drop().await;
}

/// Killed at some moment and begun again: each document has its one event.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_adoption_goes_on_where_it_was() {
    const POSTS: usize = 4_000;
    let stack = Stack::new().await;
    let template = stored(&post(Id::new()));
    let documents = (0..POSTS).map(|_| {
        let mut document = legacy(template.clone());
        document.insert("_id", ObjectId::new());
        document
    });
    stack.mongodb.collection("posts").insert_many(documents).await.unwrap();
    let mut adopt = stack.start(&["adopt"], &[]);
    let some = async {
        // Only what is committed: an estimate would count an open transaction's events too.
        while events(&stack).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), some).await.unwrap();
    adopt.kill().await.unwrap();
    let half = events(&stack).await.len();
    assert!(0 < half && half < POSTS, "{half} were adopted before it was killed");

    let rest = stack.outboxctl(&["adopt", "--json", "--wait", "0"]).await.json();
    assert_eq!(
        rest["domains"]["posts"],
        json!({"documents": POSTS, "adopted": POSTS - half, "refused": 0})
    );
    let events = events(&stack).await;
    assert_eq!(events.len(), POSTS);
    assert!(events.values().all(|found| *found == (1, 1)), "{events:?}");
    for document in all(&stack, "posts").await {
        assert_eq!(document.get_i64("version").unwrap(), 1);
    }
    stack.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn users_join_those_who_are_there_unless_their_address_is_taken() {
    let stack = Stack::new().await;
    let unique = mongodb::options::IndexOptions::builder().unique(true).build();
    let by_email = doc! {"contact_info.primary_email": 1};
    let index = mongodb::IndexModel::builder().keys(by_email).options(unique).build();
    stack.mongodb.collection::<Fields>("users").create_index(index).await.unwrap();
    let (there, mut other) = (user(), user());
    other.contact_info.primary_email = "other@example.com".to_owned();
    let mut same = user();
    same.contact_info.primary_email.clone_from(&there.contact_info.primary_email);
    stack.store(&there).await;
    for old in [&other, &same] {
        stack.mongodb.collection("User").insert_one(legacy(stored(old))).await.unwrap();
    }
    let run = stack.outboxctl(&["adopt", "--json"]).await;
    assert_eq!(run.code, Some(1), "{}", run.stdout);
    let report = run.json();
    assert_eq!(report["moved_users"], 1);
    assert_eq!(report["refused"][0][0], format!("User {}", same.id));
    assert_eq!(all(&stack, "User").await.len(), 1, "who could not move is not lost");
    stack.drop().await;
}

/// The Python system changes a user, and signs another one up, while users move: neither
/// is lost.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_python_system_still_writes_is_not_lost() {
    const USERS: usize = 3_000;
    let stack = Stack::new().await;
    let legacy_users = stack.mongodb.collection::<Fields>("User");
    // One of ours is there already, so `User` cannot simply be renamed.
    stack.store(&user()).await;
    let python_user = |number: usize| {
        let mut document = legacy(stored(&user()));
        let email = format!("{number}@example.com");
        document.insert("_id", ObjectId::new());
        document.get_document_mut("contact_info").unwrap().insert("primary_email", email);
        document
    };
    legacy_users.insert_many((0..USERS).map(python_user)).await.unwrap();
    let ids: Vec<ObjectId> =
        all(&stack, "User").await.iter().map(|user| user.get_object_id("_id").unwrap()).collect();
    let adopt = stack.start(&["adopt", "--json", "--wait", "0"], &[]);
    let ending = tokio::spawn(adopt.wait_with_output());
    let mut last = BTreeMap::new();
    let mut late = (USERS..USERS + 300).map(python_user);
    for (round, ids) in ids.chunks(16).cycle().enumerate() {
        if ending.is_finished() {
            break;
        }
        let bio = format!("python {round}");
        let change = doc! {"$set": {"profile.bio": &bio}};
        let change = async |id: &ObjectId| {
            legacy_users.update_one(doc! {"_id": id}, change.clone()).await.unwrap().matched_count
        };
        let changed = futures::future::join_all(ids.iter().map(change)).await;
        let changed = ids.iter().zip(changed).filter(|(_, matched)| *matched == 1);
        last.extend(changed.map(|(id, _)| (*id, bio.clone())));
        if let Some(signed_up) = late.next() {
            last.insert(signed_up.get_object_id("_id").unwrap(), String::new());
            legacy_users.insert_one(signed_up).await.unwrap();
        }
    }
    let run = Run::from(ending.await.unwrap().unwrap());
    assert!(run.code.is_some(), "{}", run.stderr);
    assert!(last.len() > 100, "only {} writes met the adoption", last.len());
    let mut bios = BTreeMap::new();
    for collection in ["User", "users"] {
        for document in all(&stack, collection).await {
            let bio = document.get_document("profile").unwrap().get_str("bio").unwrap_or("");
            bios.insert(document.get_object_id("_id").unwrap(), bio.to_owned());
        }
    }
    for (id, bio) in last {
        let found = bios.get(&id);
        assert!(found.is_some(), "{id} is lost");
        assert!(bio.is_empty() || found == Some(&bio), "{id}: {found:?} instead of {bio:?}");
    }
    stack.drop().await;
}
