//! `replay` over a MySQL that has rows: of the same version, of a later one, and of no
//! document any more.

use bson::{Document as Fields, doc};
use projector::tables::{ProductRow, SupplierRow};
use shared::Id;
use shared::document::{Document, Product};

use crate::documents::{order, post, product, stamp, stored, supplier, user};
use crate::stack::Stack;

async fn assert_clean(stack: &Stack) {
    let verify = stack.outboxctl(&["verify", "--wait", "0"]).await;
    assert_eq!(verify.code, Some(0), "{}{}", verify.stdout, verify.stderr);
}

async fn replace<D: Document>(stack: &Stack, document: &D) {
    let documents = stack.mongodb.collection(D::DOMAIN.collection());
    documents.replace_one(doc! {"_id": document.id()}, stored(document)).await.unwrap();
}

/// What one column of one row holds, as text; nothing if there is no row.
async fn cell(stack: &Stack, query: &str) -> Option<String> {
    #[derive(diesel::QueryableByName)]
    struct Cell {
        #[diesel(sql_type = diesel::sql_types::Text)]
        cell: String,
    }
    use diesel_async::RunQueryDsl as _;
    let found: Vec<Cell> = diesel::sql_query(query).load(&mut stack.mysql().await).await.unwrap();
    found.into_iter().next().map(|it| it.cell)
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_the_same_version_are_filled_again_without_an_event() {
    let stack = Stack::new().await;
    let (supplier, buyer) = (supplier(), user());
    stack.store_with_user_row(&buyer).await;
    stack.store_with_supplier_row(&supplier).await;
    stack.store_with_product_rows(&product(supplier.id)).await;
    stack.store_with_order_rows(&order(buyer.id)).await;
    stack.store_with_post_row(&post(buyer.id)).await;
    let event_id = cell(&stack, "SELECT event_id AS cell FROM users").await;
    stack.sql("UPDATE users SET bio = 'by hand'; UPDATE posts SET text_content = ''").await;
    stack.sql("UPDATE suppliers SET city = 'by hand'; UPDATE products SET brand = NULL").await;
    stack.sql("DELETE FROM product_variants WHERE variant_key = 'red'").await;
    stack.sql("UPDATE order_items SET quantity = -1 WHERE item_id = 'item_1'").await;

    assert_eq!(stack.outboxctl(&["replay"]).await.code, Some(0));
    let unchanged = cell(&stack, "SELECT bio AS cell FROM users").await;
    assert_eq!(unchanged.as_deref(), Some("by hand"), "the guard wants a later version");

    let run = stack.outboxctl(&["replay", "--same-version"]).await;
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_clean(&stack).await;
    assert_eq!(cell(&stack, "SELECT event_id AS cell FROM users").await, event_id);
    let users = stack.mongodb.collection::<Fields>("users");
    assert_eq!(users.find_one(doc! {}).await.unwrap().unwrap().get_i64("version").unwrap(), 3);
    let outbox = stack.mongodb.collection::<Fields>("outbox");
    assert_eq!(outbox.count_documents(doc! {}).await.unwrap(), 0);

    // A row that is ahead of its document stays as it is.
    stack.sql("UPDATE users SET version = 9, bio = 'later'").await;
    assert_eq!(stack.outboxctl(&["replay", "--same-version"]).await.code, Some(0));
    let later = cell(&stack, "SELECT bio AS cell FROM users").await;
    assert_eq!(later.as_deref(), Some("later"));
    stack.drop().await;
}

/// All rows that were replayed have the same event id, so it cannot tell which of two
/// replays wrote a row: children of the older document must not follow a refused row.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_document_leaves_the_children_of_a_later_row_alone() {
    let stack = Stack::new().await;
    let mut products: Vec<Product> = (0..3).map(|_| product(Id::new())).collect();
    for product in &mut products {
        product.version = 5;
        stack.store(product).await;
    }
    assert_eq!(stack.outboxctl(&["replay"]).await.code, Some(0));
    for product in &mut products[..2] {
        product.version = 4;
        product.variants.clear();
        replace(&stack, product).await;
    }
    // So that the batch changes something at all.
    products[2].version = 6;
    replace(&stack, &products[2]).await;
    assert_eq!(stack.outboxctl(&["replay"]).await.code, Some(0));
    let children =
        cell(&stack, "SELECT CAST(COUNT(*) AS CHAR) AS cell FROM product_variants").await;
    assert_eq!(children.as_deref(), Some("9"), "version 5 of each product has three variants");
    stack.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_whose_document_is_gone_are_removed_and_may_come_back_later() {
    let stack = Stack::new().await;
    let (kept, mut gone, gone_product) = (supplier(), supplier(), product(Id::new()));
    stack.store_with_supplier_row(&kept).await;
    stack.store_with_product_rows(&product(kept.id)).await;
    stack.insert_supplier(SupplierRow::from_document(&gone, stamp(&gone))).await;
    let mut row = ProductRow::from_document(&gone_product, stamp(&gone_product));
    row.supplier_id = Some(gone.id.to_string());
    stack.insert_product(row, &gone_product).await;
    stack.insert_supplier(SupplierRow::placeholder(&Id::new().to_string())).await;
    // MongoDB was restored to a time before these; others of their kind stay.
    let (buyer, lost) = (user(), user());
    stack.store_with_user_row(&buyer).await;
    stack.store_with_user_row(&lost).await;
    for author in [buyer.id, lost.id] {
        stack.store_with_order_rows(&order(author)).await;
        stack.store_with_post_row(&post(author)).await;
    }
    for (collection, field) in
        [("users", "_id"), ("orders", "customer.user_id"), ("posts", "author.user_id")]
    {
        let documents = stack.mongodb.collection::<Fields>(collection);
        let deleted = documents.delete_one(doc! {field: lost.id}).await.unwrap();
        assert_eq!(deleted.deleted_count, 1, "{collection}");
    }

    let run = stack.outboxctl(&["replay"]).await;
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stdout.contains("6 rows removed"), "{}", run.stdout);
    assert_clean(&stack).await;
    let remembered = "SELECT CAST(version AS CHAR) AS cell FROM tombstones WHERE entity_id = ";
    let tombstone = cell(&stack, &format!("{remembered}'{}'", gone.id)).await;
    assert_eq!(tombstone.as_deref(), Some("3"), "no later than the row, so that no event is lost");

    // The document is there after all: restored, or created under the same id.
    stack.store(&gone).await;
    assert_eq!(stack.outboxctl(&["replay"]).await.code, Some(0));
    assert_clean(&stack).await;
    gone.version = 4;
    gone.company_info.legal_name = "Later".to_owned();
    replace(&stack, &gone).await;
    assert_eq!(stack.outboxctl(&["replay"]).await.code, Some(0));
    assert_clean(&stack).await;
    stack.drop().await;
}

/// An empty database is more likely the wrong one than a shop that has lost everything.
#[tokio::test(flavor = "multi_thread")]
async fn an_empty_mongodb_removes_no_row() {
    let stack = Stack::new().await;
    let gone = supplier();
    stack.insert_supplier(SupplierRow::from_document(&gone, stamp(&gone))).await;
    let run = stack.outboxctl(&["replay"]).await;
    assert_eq!(run.code, Some(1), "{}", run.stdout);
    assert!(run.stderr.contains("no document"), "{}", run.stderr);
    let rows = cell(&stack, "SELECT CAST(COUNT(*) AS CHAR) AS cell FROM suppliers").await;
    assert_eq!(rows.as_deref(), Some("1"));
    stack.drop().await;
}
