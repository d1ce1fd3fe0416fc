//! Late, repeated and reordered events, one rule at a time. `histories` mixes them all.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use projector::schema::{order_items, orders, posts, product_variants, suppliers, users};
use projector::tables::*;
use shared::document::*;
use shared::event::EventType;
use shared::{Id, Timestamp};

use crate::bed::{Bed, Message};
use crate::documents::{at, deletion, event, order, post, product, supplier, user};
use crate::sink::{Sink, record};

async fn bed_and_sink() -> (Bed, Sink) {
    let bed = Bed::without_topics();
    projector::database::prepare(&bed.config.mysql).await.unwrap();
    let sink = Sink::new(&bed.config.mysql).await;
    (bed, sink)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_event_changes_nothing_and_is_counted() {
    let (bed, mut sink) = bed_and_sink().await;
    let id = Id::new();
    let [first, second, third] = [1, 2, 3].map(|v| event(EventType::UserUpdated, &user(id, v)));
    assert_eq!(sink.batch([second.clone()]).await.stale, 0);
    assert_eq!(sink.batch([first.clone()]).await.stale, 1, "late");
    assert_eq!(sink.batch([second]).await.stale, 1, "repeated");
    assert_eq!(bed.count("users", "version = 2").await, 1);
    sink.batch([third, first]).await;
    assert_eq!(bed.count("users", "version = 3").await, 1, "within a batch too");
    bed.drop_database().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_stays_deleted() {
    let (bed, mut sink) = bed_and_sink().await;
    let id = Id::new();
    let created = event(EventType::ProductCreated, &product(id, id, 1, &["red"]));
    let owner = event(EventType::SupplierCreated, &supplier(id, 1));
    sink.batch([deletion(EventType::ProductDeleted, id, 2)]).await;
    sink.one_by_one([owner.clone(), created.clone()]).await;
    assert_eq!(bed.count("products", "TRUE").await, 0, "late");
    sink.batch([created.clone(), deletion(EventType::ProductDeleted, id, 2)]).await;
    assert_eq!(bed.count("products", "TRUE").await, 0, "in one batch");
    sink.batch([deletion(EventType::SupplierDeleted, id, 2)]).await;
    sink.one_by_one([owner, created]).await;
    assert_eq!(bed.count("suppliers", "TRUE").await, 0, "not even as a placeholder");
    assert_eq!(bed.count("product_variants", "TRUE").await, 0);
    // An event that says otherwise, and is newer, is believed.
    sink.batch([event(EventType::SupplierUpdated, &supplier(id, 3))]).await;
    assert_eq!(bed.count("suppliers", "version = 3").await, 1);
    bed.drop_database().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_supplier_holds_nobody_up() {
    let (bed, mut sink) = bed_and_sink().await;
    let (id, owner) = (Id::new(), Id::new());
    sink.batch([event(EventType::ProductCreated, &product(id, owner, 1, &[]))]).await;
    let mut connection = bed.connection().await;
    let placeholder: SupplierRow =
        suppliers::table.select(SupplierRow::as_select()).first(&mut connection).await.unwrap();
    assert!(placeholder.is_placeholder());
    assert_eq!(placeholder, SupplierRow::placeholder(&owner.to_string()));
    sink.batch([event(EventType::SupplierCreated, &supplier(owner, 1))]).await;
    let filled: SupplierRow =
        suppliers::table.select(SupplierRow::as_select()).first(&mut connection).await.unwrap();
    assert_eq!(filled, SupplierRow::from_document(&supplier(owner, 1), filled.stamp()));
    // Its products' own deletions may come later, on another topic.
    sink.batch([deletion(EventType::SupplierDeleted, owner, 2)]).await;
    assert_eq!(bed.count("products", "supplier_id IS NULL").await, 1);
    sink.batch([event(EventType::ProductUpdated, &product(id, owner, 2, &[]))]).await;
    assert_eq!(bed.count("products", "supplier_id IS NULL AND version = 2").await, 1);
    assert_eq!(bed.count("suppliers", "TRUE").await, 0);
    sink.batch([deletion(EventType::ProductDeleted, id, 3)]).await;
    assert_eq!(bed.count("products", "TRUE").await, 0);
    bed.drop_database().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_older_producers_placeholder_is_filled_too() {
    let (bed, mut sink) = bed_and_sink().await;
    let (id, owner) = (Id::new(), Id::new());
    let created = product(id, owner, 1, &[]);
    sink.batch([Message::older(EventType::ProductCreated, id, at(1), &created)]).await;
    let data = supplier(owner, 0);
    sink.batch([Message::older(EventType::SupplierCreated, owner, at(1), &data)]).await;
    assert_eq!(bed.count("suppliers", "version = 0 AND event_id <> ''").await, 1);
    bed.drop_database().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn children_are_replaced_with_their_parent_and_keep_their_ids() {
    let (bed, mut sink) = bed_and_sink().await;
    let id = Id::new();
    let ids = async |key: &str| -> Vec<i64> {
        product_variants::table
            .filter(product_variants::variant_key.eq(key))
            .select(product_variants::id)
            .load(&mut bed.connection().await)
            .await
            .unwrap()
    };
    let product = |version, keys| event(EventType::ProductUpdated, &product(id, id, version, keys));
    sink.batch([product(1, &["red", "blue"])]).await;
    let red = ids("red").await;
    assert_eq!(red.len(), 1);
    sink.batch([product(2, &["red", "green"])]).await;
    assert_eq!(ids("red").await, red, "unchanged");
    assert_eq!(bed.count("product_variants", "variant_key IN ('red', 'green')").await, 2);
    assert_eq!(ids("blue").await, Vec::<i64>::new(), "gone");
    sink.batch([product(1, &["red", "blue"])]).await;
    assert_eq!(ids("blue").await, Vec::<i64>::new(), "the late parent brings no children");
    sink.batch([product(3, &[])]).await;
    assert_eq!(bed.count("product_variants", "TRUE").await, 0, "emptied");

    let order = |version, items| {
        event(EventType::OrderConfirmed, &order(id, "ORD-20260101-AAAA", version, items))
    };
    sink.batch([order(2, &["item_1", "item_2"])]).await;
    sink.batch([order(3, &["item_2"])]).await;
    sink.batch([order(1, &["item_1"])]).await;
    assert_eq!(bed.count("order_items", "item_id = 'item_2' AND quantity = 3").await, 1);
    assert_eq!(bed.count("order_items", "TRUE").await, 1);
    bed.drop_database().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clash_on_order_number_rewrites_nobody() {
    let (bed, mut sink) = bed_and_sink().await;
    let (first, second) = (Id::new(), Id::new());
    let number = "ORD-20260101-AAAA";
    sink.batch([event(EventType::OrderCreated, &order(first, number, 1, &["item_1"]))]).await;
    let clash = event(EventType::OrderConfirmed, &order(second, number, 7, &["item_1", "item_2"]));
    let refusal = sink.apply(vec![record(&clash, "", 0)]).await.unwrap_err();
    assert_eq!((refusal.code, refusal.table), (1062, "orders"));
    let other = event(EventType::OrderCreated, &order(second, "ORD-20260101-aaaa", 1, &["item_1"]));
    sink.batch([other]).await;
    let renamed = event(EventType::OrderConfirmed, &order(second, number, 2, &["item_1"]));
    let refusal = sink.apply(vec![record(&renamed, "", 0)]).await.unwrap_err();
    assert_eq!((refusal.code, refusal.table), (1062, "orders"), "the same by an update");
    let mut connection = bed.connection().await;
    let row: OrderRow = orders::table
        .find(first.to_string())
        .select(OrderRow::as_select())
        .first(&mut connection)
        .await
        .unwrap();
    let untouched = order(first, number, 1, &["item_1"]);
    assert_eq!(row, OrderRow::from_document(&untouched, row.stamp()));
    assert_eq!(bed.count("order_items", "TRUE").await, 2);
    bed.drop_database().await;
}

/// What came before the refusal, in the same transaction, is not there either, nor that it
/// was applied.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_batch_leaves_nothing_behind() {
    let (bed, mut sink) = bed_and_sink().await;
    let number = "ORD-20260101-AAAA";
    sink.batch([event(EventType::OrderCreated, &order(Id::new(), number, 1, &["item_1"]))]).await;
    let innocent = event(EventType::UserCreated, &user(Id::new(), 1));
    let clash = event(EventType::OrderCreated, &order(Id::new(), number, 1, &["item_1"]));
    let records = vec![record(&innocent, "", 0), record(&clash, "", 1)];
    sink.apply(records).await.unwrap_err();
    assert_eq!(bed.count("users", "TRUE").await, 0);
    assert_eq!(bed.count("projection_progress", "`offset` > 0 OR topic = 'user'").await, 0);
    sink.batch([innocent]).await;
    assert_eq!(bed.count("users", "TRUE").await, 1, "the next transaction is a whole one again");
    bed.drop_database().await;
}

/// More than a portion, a statement or a look-up takes: nothing is lost where they meet.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_batch_arrives_whole() {
    const MANY: usize = 1_101;
    let (bed, mut sink) = bed_and_sink().await;
    let ids: Vec<_> = (0..MANY).map(|_| Id::new()).collect();
    let created = |version| {
        let of_all = ids.iter().map(move |id| event(EventType::PostCreated, &post(*id, version)));
        of_all.collect::<Vec<_>>()
    };
    sink.batch(ids.iter().map(|id| deletion(EventType::PostDeleted, *id, 3))).await;
    assert_eq!(bed.count("tombstones", "TRUE").await, MANY as i64);
    sink.batch(created(1)).await;
    assert_eq!(bed.count("posts", "version = 3 AND deleted_at IS NOT NULL").await, MANY as i64);
    sink.batch(created(4)).await;
    assert_eq!(bed.count("posts", "version = 4").await, MANY as i64);
    assert_eq!(sink.batch(created(4)).await.stale, MANY as u64);
    bed.drop_database().await;
}

/// Whatever the order, the row shows the newest document, deleted.
#[tokio::test(flavor = "multi_thread")]
async fn a_soft_deletion_lies_over_whatever_document_comes() {
    let (bed, mut sink) = bed_and_sink().await;
    let mut connection = bed.connection().await;
    for arrival in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let id = Id::new();
        let users = [
            event(EventType::UserCreated, &user(id, 1)),
            event(EventType::UserUpdated, &user(id, 2)),
            deletion(EventType::UserDeleted, id, 3),
        ];
        let posts = [
            event(EventType::PostCreated, &post(id, 1)),
            event(EventType::PostUpdated, &post(id, 2)),
            deletion(EventType::PostDeleted, id, 3),
        ];
        for index in arrival {
            sink.batch([users[index].clone(), posts[index].clone()]).await;
        }
        let row: UserRow = users::table
            .find(id.to_string())
            .select(UserRow::as_select())
            .first(&mut connection)
            .await
            .unwrap();
        let document = User { deleted_at: Some(at(3)), updated_at: at(3), ..user(id, 2) };
        assert_eq!(row, UserRow::from_document(&document, row.stamp()), "{arrival:?}");
        assert_eq!(row.version, 3);
        let row: PostRow = posts::table
            .find(id.to_string())
            .select(PostRow::as_select())
            .first(&mut connection)
            .await
            .unwrap();
        let document = Post { deleted_at: Some(at(3)), updated_at: at(3), ..post(id, 2) };
        assert_eq!(row, PostRow::from_document(&document, row.stamp()), "{arrival:?}");
    }
    bed.drop_database().await;
}

/// Its events know no version; its cancellation knows only the order's number.
#[tokio::test(flavor = "multi_thread")]
async fn the_older_producers_events_are_ordered_by_their_moments() {
    let (bed, mut sink) = bed_and_sink().await;
    let mut connection = bed.connection().await;
    for arrival in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let id = Id::new();
        let number = format!("ORD-20260101-{}", &id.to_string()[16..]);
        let mut confirmed = order(id, &number, 2, &["item_1", "item_2"]);
        confirmed.status = OrderStatus::Confirmed;
        let events = [
            Message::older(EventType::OrderCreated, id, at(1), &order(id, &number, 1, &["item_1"])),
            Message::older(EventType::OrderConfirmed, id, at(2), &confirmed),
            Message::older(
                EventType::OrderCancelled,
                id,
                at(3),
                &serde_json::json!({"order_number": number}),
            ),
        ];
        for index in arrival {
            sink.batch([events[index].clone()]).await;
        }
        let row: OrderRow = orders::table
            .find(id.to_string())
            .select(OrderRow::as_select())
            .first(&mut connection)
            .await
            .unwrap();
        let cancelled = Order { status: OrderStatus::Cancelled, updated_at: at(3), ..confirmed };
        assert_eq!(row, OrderRow::from_document(&cancelled, row.stamp()), "{arrival:?}");
        let items: i64 = order_items::table
            .filter(order_items::order_id.eq(id.to_string()))
            .count()
            .get_result(&mut connection)
            .await
            .unwrap();
        assert_eq!(items, 2, "{arrival:?}");
        // The newer format outranks them all, also with a clock that is behind.
        let past = Timestamp::from_millis(1_000).unwrap();
        let refunded = order(id, &number, 1, &["item_1"]);
        let newer = Message::event(EventType::OrderRefunded, id, 1, past, &refunded);
        sink.batch([newer, events[2].clone()]).await;
        assert_eq!(bed.count("orders", &format!("order_id = '{id}' AND version = 1")).await, 1);
    }
    bed.drop_database().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_older_producer_adds_is_not_stored() {
    let (bed, mut sink) = bed_and_sink().await;
    let id = Id::new();
    let mut data = serde_json::to_value(user(id, 1)).unwrap();
    let extra = serde_json::json!({"password_hash": "$2b$12$secret", "revision_id": null});
    data.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    sink.batch([Message::older(EventType::UserCreated, id, at(1), &data)]).await;
    sink.batch([Message::older(EventType::UserDeleted, id, at(2), &id)]).await;
    let rows: Vec<UserRow> =
        users::table.select(UserRow::as_select()).load(&mut bed.connection().await).await.unwrap();
    assert_eq!(rows[0].version, 0, "its version says nothing");
    assert_eq!(rows[0].deleted_at, Some(at(2).naive()));
    assert!(!serde_json::to_string(&rows).unwrap().contains("secret"));
    bed.drop_database().await;
}
