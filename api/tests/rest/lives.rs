//! Every write of the contract once: status, document, event and what is stored.

use reqwest::Method;
use serde_json::{Value, json};

use crate::documents;
use crate::fixtures::{PASSWORD, new_order, new_post, new_product, new_supplier, new_user};
use crate::harness::Api;
use crate::life::{Caller, live, step};

#[tokio::test]
async fn a_user_is_created_updated_and_deleted() {
    let api = Api::start().await;
    let mut body = new_user();
    body["email"] = json!("  Ada.Lovelace@Example.COM ");
    body["display_name"] = json!("  Ada  ");
    let change = json!({ "display_name": " Countess ", "phone": "1", "bio": "New", "avatar": "https://a/b.png" });
    let steps = vec![
        step(Method::POST, "", "user.created")
            .body(body)
            .gives("/contact_info/primary_email", "ada.lovelace@example.com")
            .gives("/contact_info/additional_emails", json!([]))
            .gives("/contact_info/phone", "+44 20 7946 0000")
            .gives("/profile/display_name", "Ada")
            .gives("/profile/bio", "Counts.")
            .gives("/profile/avatar", "https://cdn.example.com/avatars/default.jpg")
            .gives("/profile/date_of_birth", Value::Null)
            .gives("/deleted_at", Value::Null),
        step(Method::PATCH, "", "user.updated")
            .body(change)
            .gives("/profile/display_name", "Countess")
            .gives("/contact_info/phone", "1")
            .gives("/profile/bio", "New")
            .gives("/profile/avatar", "https://a/b.png")
            .gives("/contact_info/primary_email", "ada.lovelace@example.com"),
        step(Method::PATCH, "", "user.updated")
            .body(json!({ "bio": "Only this" }))
            .gives("/profile/bio", "Only this")
            .gives("/profile/display_name", "Countess")
            .gives("/contact_info/phone", "1"),
        step(Method::DELETE, "", "user.deleted"),
    ];
    live(&api, documents::user(), Caller::Nobody, steps).await;

    let stored = &api.database.all("users").await[0];
    assert!(stored.get_datetime("deleted_at").is_ok(), "kept, but marked: {stored}");
    assert_eq!(stored.get_i64("version").unwrap(), 4);
    let hash = stored.get_str("password_hash").unwrap();
    assert!(hash.starts_with("$argon2id$") && !hash.contains(PASSWORD), "{hash}");
}

#[tokio::test]
async fn a_supplier_is_created_updated_and_deleted() {
    let api = Api::start().await;
    let mut body = new_supplier();
    body["contact_info"]["primary_email"] = json!(" Sales@TuringTools.example ");
    body["company_info"]["business_address"]["country"] = json!("gb");
    let change = json!({ "primary_phone": "2", "legal_name": "Turing & Co", "dba_name": "TC",
                         "support_email": "s@example.com", "support_phone": "3" });
    let steps = vec![
        step(Method::POST, "", "supplier.created")
            .body(body.clone())
            .gives("/contact_info/primary_email", "sales@turingtools.example")
            .gives("/contact_info/additional_emails", json!(["sales@example.com"]))
            .gives("/company_info/business_address/country", "GB")
            .gives(
                "/company_info/shipping_address",
                body["company_info"]["shipping_address"].clone(),
            )
            .gives("/business_info", body["business_info"].clone())
            .gives("/banking_info", body["banking_info"].clone())
            .gives("/product_ids", json!([])),
        step(Method::PATCH, "", "supplier.updated")
            .body(change)
            .gives("/contact_info/primary_phone", "2")
            .gives("/company_info/legal_name", "Turing & Co")
            .gives("/company_info/dba_name", "TC")
            .gives("/business_info/support_email", "s@example.com")
            .gives("/business_info/support_phone", "3")
            .gives("/business_info/timezone", "Europe/London"),
        step(Method::DELETE, "", "supplier.deleted"),
    ];
    live(&api, documents::supplier(), Caller::Itself, steps).await;
    assert!(api.database.all("suppliers").await.is_empty(), "the document is removed");
}

#[tokio::test]
async fn a_product_goes_through_all_its_states() {
    let api = Api::start().await;
    let supplier = api.supplier().await;
    let body = new_product();
    let mut change = json!({ "name": "Pot", "short_description": "Cooks.", "category": "other",
        "unit_type": "pair", "base_price_cents": 0, "base_sku": "POT-1", "brand": "T",
        "topic_descriptions": [], "stock_locations": [], "variants": {} });
    change["status"] = json!("active"); // no field of this request, so it is ignored
    let steps = vec![
        step(Method::POST, "", "product.created")
            .body(body.clone())
            .gives("/supplier_id", supplier["id"].clone())
            .gives("/supplier_info/name", "Turing Tools Ltd")
            .gives("/metadata", json!({ "base_sku": "KET-1", "brand": "Turing" }))
            .gives("/variants", body["variants"].clone())
            .gives("/topic_descriptions", body["topic_descriptions"].clone())
            .gives("/stock_locations", body["stock_locations"].clone())
            .gives(
                "/stats",
                json!({ "view_count": 0, "favorite_count": 0, "purchase_count": 0,
                                     "total_reviews": 0 }),
            )
            .gives("/status", "draft")
            .gives("/published_at", Value::Null),
        step(Method::PATCH, "", "product.updated")
            .body(change)
            .gives("/name", "Pot")
            .gives("/category", "other")
            .gives("/unit_type", "pair")
            .gives("/metadata", json!({ "base_sku": "POT-1", "brand": "T" }))
            .gives("/variants", json!({}))
            .gives("/stock_locations", json!([]))
            .gives("/status", "draft"),
        step(Method::POST, "/publish", "product.published").gives("/status", "active"),
        step(Method::POST, "/mark-out-of-stock", "product.out_of_stock")
            .gives("/status", "out_of_stock"),
        step(Method::POST, "/restore", "product.restored").gives("/status", "draft"),
        step(Method::POST, "/publish", "product.published").gives("/status", "active"),
        step(Method::POST, "/discontinue", "product.discontinued").gives("/status", "discontinued"),
        step(Method::POST, "/restore", "product.restored").gives("/status", "draft"),
        step(Method::DELETE, "", "product.deleted"),
    ];
    live(&api, documents::product(), Caller::Supplier(supplier), steps).await;
    let stored = &api.database.all("products").await[0];
    assert_eq!(stored.get_str("status").unwrap(), "deleted", "kept, but terminal");
}

#[tokio::test]
async fn an_order_is_placed_and_cancelled() {
    let api = Api::start().await;
    let (user, supplier) = (api.user().await, api.supplier().await);
    let product = api.active_product(&supplier).await;
    let steps = vec![
        step(Method::POST, "", "order.created")
            .body(new_order(&product))
            .gives("/status", "pending")
            .gives("/customer/user_id", user["id"].clone())
            .gives("/customer/email", user["contact_info"]["primary_email"].clone())
            .gives("/customer/display_name", "Ada Lovelace")
            .gives("/items/0/item_id", "item_1"),
        step(Method::POST, "/cancel", "order.cancelled")
            .body(json!({ "reason": "changed my mind" }))
            .gives("/status", "cancelled"),
    ];
    live(&api, documents::order(), Caller::User(user), steps).await;
}

#[tokio::test]
async fn a_post_is_drafted_changed_published_and_deleted() {
    let api = Api::start().await;
    let user = api.user().await;
    let mut body = new_post();
    body["is_draft"] = json!(true);
    let change = json!({ "text_content": "Better", "media": [], "link_preview": { "url": "u", "title": "t" } });
    let steps = vec![
        step(Method::POST, "", "post.created")
            .body(body.clone())
            .gives(
                "/author",
                json!({ "user_id": user["id"], "display_name": "Ada Lovelace",
                "avatar": user["profile"]["avatar"], "author_type": "user" }),
            )
            .gives("/media", body["media"].clone())
            .gives("/link_preview", body["link_preview"].clone())
            .gives("/stats/engagement_rate", 0.0)
            .gives("/published_at", Value::Null),
        step(Method::PATCH, "", "post.updated")
            .body(change)
            .gives("/text_content", "Better")
            .gives("/media", json!([]))
            .gives("/link_preview/title", "t"),
        step(Method::POST, "/publish", "post.published"),
        step(Method::DELETE, "", "post.deleted"),
    ];
    live(&api, documents::post(), Caller::User(user), steps).await;
    let stored = &api.database.all("posts").await[0];
    assert!(
        stored.get_datetime("deleted_at").is_ok() && stored.get_datetime("published_at").is_ok()
    );
}
