//! Each of the 24 events reaches its rows.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use projector::schema::{order_items, orders, posts, product_variants, products, suppliers, users};
use projector::tables::*;
use shared::Id;
use shared::document::*;
use shared::event::EventType;

use crate::bed::{Bed, eventually};
use crate::documents::{at, deletion, event, order, post, product, supplier, user};

#[tokio::test(flavor = "multi_thread")]
async fn users_and_posts_are_written_changed_and_soft_deleted() {
    let bed = Bed::new(3).await;
    let running = bed.start();
    let (gone, kept) = (Id::new(), Id::new());
    bed.send([
        event(EventType::UserCreated, &user(gone, 1)),
        event(EventType::UserUpdated, &user(gone, 2)),
        deletion(EventType::UserDeleted, gone, 3),
        event(EventType::UserCreated, &user(kept, 1)),
        event(EventType::PostCreated, &post(gone, 1)),
        event(EventType::PostUpdated, &post(gone, 2)),
        deletion(EventType::PostDeleted, gone, 3),
        event(
            EventType::PostCreated,
            &Post { published_at: None, media: vec![], link_preview: None, ..post(kept, 1) },
        ),
        event(
            EventType::PostPublished,
            &Post { media: vec![], link_preview: None, ..post(kept, 2) },
        ),
    ])
    .await;
    bed.await_count("users", "version IN (1, 3)", 2).await;
    bed.await_count("posts", "version IN (2, 3)", 2).await;

    let mut connection = bed.connection().await;
    let rows: Vec<UserRow> =
        users::table.select(UserRow::as_select()).load(&mut connection).await.unwrap();
    for row in rows {
        let document = if row.user_id == gone.to_string() {
            User { deleted_at: Some(at(3)), updated_at: at(3), ..user(gone, 2) }
        } else {
            user(kept, 1)
        };
        assert_eq!(row, UserRow::from_document(&document, row.stamp()));
    }
    let rows: Vec<PostRow> =
        posts::table.select(PostRow::as_select()).load(&mut connection).await.unwrap();
    for row in rows {
        let document = if row.post_id == gone.to_string() {
            Post { deleted_at: Some(at(3)), updated_at: at(3), ..post(gone, 2) }
        } else {
            assert_eq!(row.media_json, None, "empty media are NULL");
            Post { media: vec![], link_preview: None, ..post(kept, 2) }
        };
        assert_eq!(row, PostRow::from_document(&document, row.stamp()));
    }
    running.stop().await;
    bed.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn suppliers_and_products_are_written_changed_and_removed() {
    let bed = Bed::new(3).await;
    let running = bed.start();
    let (gone, kept) = (Id::new(), Id::new());
    let life = [
        (EventType::ProductCreated, ProductStatus::Draft),
        (EventType::ProductUpdated, ProductStatus::Draft),
        (EventType::ProductPublished, ProductStatus::Active),
        (EventType::ProductOutOfStock, ProductStatus::OutOfStock),
        (EventType::ProductDiscontinued, ProductStatus::Discontinued),
        (EventType::ProductRestored, ProductStatus::Draft),
    ];
    bed.send([
        event(EventType::SupplierCreated, &supplier(gone, 1)),
        event(EventType::SupplierCreated, &supplier(kept, 1)),
        event(EventType::SupplierUpdated, &supplier(kept, 2)),
    ])
    .await;
    for (version, (event_type, status)) in (1..).zip(life) {
        let now = Product { status, ..product(kept, kept, version, &["red", "Red", "red "]) };
        bed.send([event(event_type, &now)]).await;
        let condition = format!("version = {version} AND status = '{}'", status.as_str());
        bed.await_count("products", &condition, 1).await;
    }
    bed.send([event(EventType::ProductCreated, &product(gone, gone, 1, &["a", "b"]))]).await;
    bed.await_count("product_variants", "variant_key IN ('a', 'b')", 2).await;
    bed.send([
        deletion(EventType::SupplierDeleted, gone, 2),
        deletion(EventType::ProductDeleted, gone, 2),
    ])
    .await;
    bed.await_count("suppliers", "TRUE", 1).await;
    bed.await_count("products", "TRUE", 1).await;

    let mut connection = bed.connection().await;
    let row: SupplierRow =
        suppliers::table.select(SupplierRow::as_select()).first(&mut connection).await.unwrap();
    assert_eq!(row, SupplierRow::from_document(&supplier(kept, 2), row.stamp()));
    let row: ProductRow =
        products::table.select(ProductRow::as_select()).first(&mut connection).await.unwrap();
    let document = product(kept, kept, 6, &["red", "Red", "red "]);
    assert_eq!(row, ProductRow::from_document(&document, row.stamp()));
    let mut rows: Vec<ProductVariantRow> = product_variants::table
        .select(ProductVariantRow::as_select())
        .load(&mut connection)
        .await
        .unwrap();
    rows.sort_by(|a, b| a.variant_key.cmp(&b.variant_key));
    assert_eq!(rows, ProductVariantRow::from_document(&document), "letters and blanks count");
    running.stop().await;
    bed.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_goes_through_its_life() {
    let bed = Bed::new(3).await;
    let running = bed.start();
    let id = Id::new();
    let life = [
        (EventType::OrderCreated, OrderStatus::Pending),
        (EventType::OrderConfirmed, OrderStatus::Confirmed),
        (EventType::OrderProcessing, OrderStatus::Processing),
        (EventType::OrderShipped, OrderStatus::Shipped),
        (EventType::OrderDelivered, OrderStatus::Delivered),
        (EventType::OrderRefunded, OrderStatus::Refunded),
    ];
    let mut last = None;
    for (version, (event_type, status)) in (1..).zip(life) {
        let now =
            Order { status, ..order(id, "ORD-20260101-AAAA", version, &["item_1", "item_2"]) };
        bed.send([event(event_type, &now)]).await;
        let condition = format!("version = {version} AND status = '{}'", status.as_str());
        bed.await_count("orders", &condition, 1).await;
        last = Some(now);
    }
    let other = Id::new();
    let cancelled = Order {
        status: OrderStatus::Cancelled,
        ..order(other, "ORD-20260101-BBBB", 2, &["item_1"])
    };
    bed.send([
        event(EventType::OrderCreated, &order(other, "ORD-20260101-BBBB", 1, &["item_1"])),
        event(EventType::OrderCancelled, &cancelled),
    ])
    .await;
    bed.await_count("orders", "status = 'cancelled' AND version = 2", 1).await;

    let mut connection = bed.connection().await;
    for document in [last.unwrap(), cancelled] {
        let id = document.id.to_string();
        let row: OrderRow = orders::table
            .find(&id)
            .select(OrderRow::as_select())
            .first(&mut connection)
            .await
            .unwrap();
        assert_eq!(row, OrderRow::from_document(&document, row.stamp()));
        let mut rows: Vec<OrderItemRow> = order_items::table
            .filter(order_items::order_id.eq(&id))
            .select(OrderItemRow::as_select())
            .load(&mut connection)
            .await
            .unwrap();
        rows.sort_by(|a, b| a.item_id.cmp(&b.item_id));
        assert_eq!(rows, OrderItemRow::from_document(&document));
    }
    running.stop().await;
    bed.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_that_appear_later_are_picked_up_and_progress_is_told() {
    let bed = Bed::without_topics();
    let running = bed.start();
    // Created by the projector itself, which is then ready but for the topics.
    eventually("the database", async || {
        projector::database::connect(&bed.config.mysql).await.map(drop).map_err(|e| e.to_string())
    })
    .await;
    bed.create_topics(2).await;
    bed.send((0..20).map(|_| event(EventType::UserCreated, &user(Id::new(), 1)))).await;
    bed.await_count("users", "TRUE", 20).await;
    let progress = format!(
        "topic = '{}' AND event_timestamp = '2026-01-01 00:00:01.123'",
        bed.config.kafka.topic("user")
    );
    bed.await_count("projection_progress", &progress, 2).await;
    running.stop().await;
    bed.clear().await;
}
