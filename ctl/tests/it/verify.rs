use std::collections::BTreeSet;
use std::time::Duration;

use projector::tables::{ProductRow, SupplierRow};
use serde_json::{Value, json};
use shared::document::{Document as _, Product, ProductStatus};
use shared::{Id, Timestamp};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;

use crate::documents::{order, post, product, stamp, stored, supplier, user};
use crate::stack::{Run, Stack};

/// One of each domain, in MongoDB and in MySQL; the product's id.
async fn fill(stack: &Stack) -> Product {
    let (supplier, mut user) = (supplier(), user());
    stack.store_with_user_row(&user).await;
    user.id = Id::new();
    user.deleted_at = Some(Timestamp::now());
    stack.store_with_user_row(&user).await;
    stack.store_with_supplier_row(&supplier).await;
    let product = product(supplier.id);
    stack.store_with_product_rows(&product).await;
    stack.store_with_order_rows(&order(user.id)).await;
    stack.store_with_post_row(&post(user.id)).await;
    product
}

fn counts(report: &Value, table: &str) -> Value {
    let tables = report["tables"].as_array().unwrap();
    let mut table = tables.iter().find(|it| it["table"] == table).unwrap().clone();
    table.as_object_mut().unwrap().retain(|key, count| key != "table" && count.as_u64() != Some(0));
    table.as_object_mut().unwrap().remove("differences");
    table
}

fn differences(report: &Value) -> Vec<&Value> {
    let tables = report["tables"].as_array().unwrap().iter();
    tables.flat_map(|table| table["differences"].as_array().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_sides_are_clean() {
    let stack = Stack::new().await;
    fill(&stack).await;
    let mut deleted = product(Id::new());
    deleted.status = ProductStatus::Deleted;
    stack.store(&deleted).await;

    let run = stack.outboxctl(&["verify", "--json"]).await;
    let report = run.json();
    assert_eq!((run.code, &report["clean"]), (Some(0), &json!(true)), "{report:#}");
    for (table, expected) in [
        ("users", json!({"documents": 2, "rows": 2})),
        ("suppliers", json!({"documents": 1, "rows": 1})),
        ("products", json!({"documents": 1, "rows": 1})),
        ("product_variants", json!({"documents": 3, "rows": 3})),
        ("orders", json!({"documents": 1, "rows": 1})),
        ("order_items", json!({"documents": 2, "rows": 2})),
        ("posts", json!({"documents": 1, "rows": 1})),
    ] {
        assert_eq!(counts(&report, table), expected, "{table}");
    }
    let text = stack.outboxctl(&["verify"]).await;
    assert_eq!(text.code, Some(0));
    assert!(text.stdout.contains("clean:"), "{}", text.stdout);
    stack.drop().await;
}

/// Whatever column the read model has or gets: changed in MySQL alone, it is named.
#[tokio::test(flavor = "multi_thread")]
async fn every_column_that_changes_is_found() {
    let stack = Stack::new().await;
    fill(&stack).await;
    let mut changed = BTreeSet::new();
    for (table, columns) in columns(&stack).await {
        let assignments = columns.iter().map(|(column, kind)| {
            let other = match kind.as_str() {
                "datetime" => "'2001-01-01 00:00:00.001'",
                "bigint" | "double" => "-77",
                "json" | "longtext" => "'{\"changed\": 1}'",
                _ => "'?'",
            };
            format!("{column} = {other}")
        });
        let assignments = assignments.collect::<Vec<_>>().join(", ");
        let update = format!("UPDATE {table} SET {assignments} LIMIT 1");
        stack.sql(&format!("SET FOREIGN_KEY_CHECKS = 0; {update}")).await;
        changed.extend(columns.into_iter().map(|(column, _)| format!("{table}.{column}")));
    }
    let run = stack.outboxctl(&["verify", "--json"]).await;
    let report = run.json();
    let mut found = BTreeSet::new();
    for difference in differences(&report) {
        let table = difference["table"].as_str().unwrap();
        let fields = difference["fields"].as_array().unwrap().iter();
        found.extend(fields.map(|it| format!("{table}.{}", it["field"].as_str().unwrap())));
    }
    assert_eq!(run.code, Some(1));
    assert_eq!(found, changed);
    stack.drop().await;
}

/// Every column of the seven tables, with its type, that shows a document and does
/// not identify it.
async fn columns(stack: &Stack) -> Vec<(String, Vec<(String, String)>)> {
    use mysql_async::prelude::Queryable as _;
    let settings = &stack.mysql;
    let options = mysql_async::OptsBuilder::default()
        .ip_or_hostname(&settings.mysql_host)
        .tcp_port(settings.mysql_port)
        .user(Some(&settings.mysql_user))
        .pass(Some(&settings.mysql_password));
    let mut conn = mysql_async::Conn::new(options).await.unwrap();
    let mut found = Vec::new();
    for table in
        ["users", "suppliers", "products", "product_variants", "orders", "order_items", "posts"]
    {
        let of_table: Vec<(String, String)> = conn
            .exec(
                "SELECT column_name, data_type FROM information_schema.columns \
                 WHERE table_schema = ? AND table_name = ? \
                 AND column_name NOT IN ('id', 'event_id', 'event_timestamp') \
                 AND column_key <> 'PRI' \
                 AND (table_name, column_name) NOT IN (('product_variants', 'product_id'), \
                      ('product_variants', 'variant_key'), ('order_items', 'order_id'), \
                      ('order_items', 'item_id'))",
                (&stack.name, table),
            )
            .await
            .unwrap();
        assert!(of_table.len() > 7, "{table}: {of_table:?}");
        found.push((table.to_owned(), of_table));
    }
    conn.disconnect().await.unwrap();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_extra_and_stale_are_told_apart() {
    let stack = Stack::new().await;
    let product = fill(&stack).await;
    stack.store(&user()).await;
    stack.sql("UPDATE users SET version = 2 WHERE deleted_at IS NULL").await;
    stack.sql("DELETE FROM product_variants WHERE variant_key = 'red'").await;
    stack.sql("UPDATE order_items SET item_id = 'item_9' WHERE item_id = 'item_2'").await;
    stack.mongodb.collection::<bson::Document>("posts").delete_many(bson::doc! {}).await.unwrap();

    let run = stack.outboxctl(&["verify", "--json"]).await;
    let report = run.json();
    assert_eq!(run.code, Some(1), "{report:#}");
    let users = json!({"documents": 3, "rows": 2, "missing": 1, "stale": 1});
    assert_eq!(counts(&report, "users"), users);
    assert_eq!(counts(&report, "products"), json!({"documents": 1, "rows": 1}));
    let variants = json!({"documents": 3, "rows": 2, "missing": 1});
    assert_eq!(counts(&report, "product_variants"), variants);
    let items = json!({"documents": 2, "rows": 2, "missing": 1, "extra": 1});
    assert_eq!(counts(&report, "order_items"), items);
    assert_eq!(counts(&report, "posts"), json!({"rows": 1, "extra": 1}));
    assert!(!run.stdout.contains("not for your eyes"), "a secret was printed");

    let text = stack.outboxctl(&["verify", "--first", "1"]).await;
    let expected = format!("product_variants {} \"red\": missing in MySQL", product.id);
    assert!(text.stdout.contains(&expected), "{}", text.stdout);
    assert!(text.stdout.contains("users: and 1 more"), "{}", text.stdout);
    stack.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_without_its_supplier_is_right_with_null_or_a_placeholder() {
    let stack = Stack::new().await;
    let (orphan, waiting) = (product(Id::new()), product(Id::new()));
    stack.store(&orphan).await;
    stack.store(&waiting).await;
    let without =
        ProductRow { supplier_id: None, ..ProductRow::from_document(&orphan, stamp(&orphan)) };
    stack.insert_product(without, &orphan).await;
    let placeholder = SupplierRow::placeholder(&waiting.supplier_id.to_string());
    stack.insert_supplier(placeholder).await;
    stack.insert_product(ProductRow::from_document(&waiting, stamp(&waiting)), &waiting).await;
    assert_eq!(stack.outboxctl(&["verify"]).await.code, Some(0));

    // With its supplier there, NULL is wrong; with nobody to need it, a placeholder is.
    let mut late = supplier();
    late.id = orphan.supplier_id;
    stack.store_with_supplier_row(&late).await;
    stack.insert_supplier(SupplierRow::placeholder(&Id::new().to_string())).await;
    let report = stack.outboxctl(&["verify", "--json"]).await.json();
    assert_eq!(counts(&report, "products")["different"], 1, "{report:#}");
    assert_eq!(differences(&report)[1]["fields"][0]["field"], "supplier_id", "{report:#}");
    assert_eq!(counts(&report, "suppliers")["extra"], 1, "{report:#}");
    stack.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_for_what_is_still_on_its_way() {
    let stack = Stack::new().await;
    fill(&stack).await;
    stack.sql("UPDATE users SET version = 2, bio = 'old' LIMIT 1").await;
    assert_eq!(stack.outboxctl(&["verify", "--wait", "1"]).await.code, Some(1), "never mended");

    let mut verify = stack.start(&["verify", "--json", "--wait", "60"], &[]);
    // The row is mended only once the difference has been seen.
    wait_for_line(&mut verify, "still differ").await;
    let bio = "UPDATE users SET version = 3, bio = '🍞 \\'quoted\\' \\\\ \"' WHERE version = 2";
    stack.sql(bio).await;
    let ended = Run::from(verify.wait_with_output().await.unwrap());
    assert_eq!(ended.code, Some(0));
    assert_eq!(counts(&ended.json(), "users"), json!({"documents": 2, "rows": 2}));
    stack.drop().await;
}

async fn wait_for_line(child: &mut Child, text: &str) {
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let seen = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains(text) {
                return true;
            }
        }
        false
    };
    let seen = tokio::time::timeout(Duration::from_secs(30), seen).await;
    assert_eq!(seen, Ok(true), "{text:?} was not said");
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_for_a_side_that_cannot_be_read_yet() {
    let stack = Stack::new().await;
    fill(&stack).await;
    stack.sql("RENAME TABLE posts TO posts_elsewhere").await;
    let mut verify = stack.start(&["verify", "--wait", "60"], &[]);
    wait_for_line(&mut verify, "MySQL cannot be read").await;
    stack.sql("RENAME TABLE posts_elsewhere TO posts").await;
    let ended = Run::from(verify.wait_with_output().await.unwrap());
    assert_eq!(ended.code, Some(0), "{}", ended.stdout);
    stack.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_of_another_shape_are_differences_and_not_crashes() {
    let stack = Stack::new().await;
    let users = stack.mongodb.collection::<bson::Document>("users");
    users.insert_one(bson::doc! {"_id": "by hand", "profile": 7}).await.unwrap();
    users.insert_one(bson::doc! {"profile": 7}).await.unwrap();
    let run = stack.outboxctl(&["verify", "--json"]).await;
    assert_eq!((run.code, &counts(&run.json(), "users")["unreadable"]), (Some(1), &json!(2)));
    stack.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_documents_than_a_page_are_all_compared() {
    let stack = Stack::new().await;
    let ids: Vec<Id> = (0..1_203).map(|_| Id::new()).collect();
    let template = post(Id::new());
    let documents = ids.iter().map(|id| {
        let mut document = stored(&template);
        document.insert("_id", *id);
        document
    });
    stack.mongodb.collection("posts").insert_many(documents).await.unwrap();
    let missing = stack.outboxctl(&["verify", "--json"]).await.json();
    assert_eq!(counts(&missing, "posts"), json!({"documents": 1_203, "missing": 1_203}));

    let mut connection = stack.mysql().await;
    let rows = ids.iter().map(|id| {
        let row = projector::tables::PostRow::from_document(&template, stamp(&template));
        projector::tables::PostRow { post_id: id.to_string(), ..row }
    });
    let insert =
        diesel::insert_into(projector::schema::posts::table).values(rows.collect::<Vec<_>>());
    diesel_async::RunQueryDsl::execute(insert, &mut connection).await.unwrap();
    let run = stack.outboxctl(&["verify", "--json"]).await;
    assert_eq!(
        (run.code, counts(&run.json(), "posts")),
        (Some(0), json!({"documents": 1_203, "rows": 1_203}))
    );
    assert_eq!(template.version(), 3);
    stack.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_cannot_be_read_are_exit_code_2() {
    let stack = Stack::new().await;
    for variables in [
        [("MYSQL_PORT", "1")],
        [("MYSQL_PASSWORD", "wrong-0ne")],
        [("MYSQL_DATABASE", "analytics_does_not_exist")],
        [("MONGODB_URL", "mongodb://127.0.0.1:1/?replicaSet=rs0")],
    ] {
        let ended = stack.start(&["verify"], &variables).wait_with_output().await.unwrap();
        let run = Run::from(ended);
        assert_eq!(run.code, Some(2), "{variables:?}: {}", run.stderr);
        assert!(run.stderr.contains("cannot be read"), "{}", run.stderr);
        assert!(!run.stderr.contains("wrong-0ne"), "{}", run.stderr);
    }
    stack.drop().await;
}
