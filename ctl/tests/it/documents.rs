//! Documents with every field filled, each with a value of its own, so that two
//! columns that were swapped would show; and their rows, by the projector's mapping.

use diesel_async::RunQueryDsl as _;
use projector::schema;
use projector::tables::{
    OrderItemRow, OrderRow, PostRow, ProductRow, ProductVariantRow, Stamp, SupplierRow, UserRow,
};
use serde_json::{Value, json};
use shared::document::{Document, Order, Post, Product, Supplier, User};
use shared::{Id, Timestamp};

use crate::stack::Stack;

fn filled<D: Document>(id: Id, mut fields: Value) -> D {
    fields["id"] = json!(id);
    fields["version"] = json!(3);
    fields["created_at"] = json!("2026-01-02T03:04:05.678Z");
    fields["updated_at"] = json!("2026-02-03T04:05:06.789Z");
    serde_json::from_value(fields).unwrap()
}

pub fn user() -> User {
    filled(
        Id::new(),
        json!({
            "contact_info": {"primary_email": "zoë@example.com", "additional_emails": ["b@x.org"], "phone": "+49 1"},
            "profile": {"display_name": "Zoë Weiß", "avatar": "https://a/z.jpg", "bio": "🍞 'quoted' \\ \"", "date_of_birth": "1990-01-01T00:00:00Z"},
        }),
    )
}

pub fn supplier() -> Supplier {
    let address = |n: i32| {
        json!({
            "street_address_1": format!("s1-{n}"), "street_address_2": format!("s2-{n}"),
            "city": format!("c-{n}"), "state": format!("st-{n}"), "zip_code": format!("z-{n}"), "country": "DE",
        })
    };
    filled(
        Id::new(),
        json!({
            "contact_info": {
                "primary_email": "s@example.com", "primary_phone": "+49 2", "contact_person_name": "n",
                "contact_person_title": "t", "contact_person_email": "e", "contact_person_phone": "p",
            },
            "company_info": {
                "legal_name": "L GmbH", "dba_name": "D",
                "business_address": address(1), "shipping_address": address(2),
            },
            "business_info": {
                "facebook_url": "f", "instagram_handle": "i", "twitter_handle": "tw", "linkedin_url": "l",
                "timezone": "Europe/Berlin", "support_email": "se", "support_phone": "sp",
            },
            "product_ids": [Id::new()],
        }),
    )
}

pub fn product(supplier: Id) -> Product {
    let variant = |n: i32| {
        json!({
            "variant_id": format!("v-{n}"), "variant_name": format!("Variant {n}"),
            "attributes": [{"attribute_name": "Colour", "attribute_value": "Rot"}],
            "price_cents": 100 + n, "cost_cents": 50 + n, "quantity": n,
            "package_dimensions": {"width_cm": 0.1, "height_cm": 2.25, "depth_cm": 1e-7},
            "image_url": format!("https://i/{n}"),
        })
    };
    filled(
        Id::new(),
        json!({
            "supplier_id": supplier, "supplier_info": {"name": "L GmbH"}, "name": "Lamp",
            "short_description": "sd", "category": "home_garden", "unit_type": "box",
            "metadata": {"base_sku": "SKU", "brand": "B"}, "base_price_cents": 4_999,
            "stats": {"view_count": 1, "favorite_count": 2, "purchase_count": 3, "total_reviews": 4},
            "status": "active", "published_at": "2026-01-03T00:00:00.001Z",
            "variants": {"Red": variant(1), "red": variant(2), "Größe L": variant(3)},
        }),
    )
}

pub fn order(buyer: Id) -> Order {
    let item = |n: i64| {
        json!({
            "item_id": format!("item_{n}"), "quantity": n, "unit_price_cents": 10 + n,
            "final_price_cents": 20 + n, "total_cents": 30 + n, "fulfillment_status": "shipped",
            "shipped_quantity": 40 + n, "tracking_number": "tn", "carrier": "ca",
            "shipped_at": "2026-01-04T00:00:00.001Z", "delivered_at": "2026-01-05T00:00:00.001Z",
            "product_snapshot": {
                "product_id": Id::new(), "supplier_id": Id::new(), "product_name": "pn", "variant_name": "vn",
                "variant_attributes": {"Colour": "Rot", "Size": "L"}, "image_url": "https://i", "supplier_name": "sn",
            },
        })
    };
    let id = Id::new();
    filled(
        id,
        json!({
            "order_number": format!("ORD-20260102-{id}"),
            "customer": {"user_id": buyer, "display_name": "dn", "email": "em", "phone": "ph"},
            "items": [item(1), item(2)],
            "shipping_address": {
                "recipient_name": "rn", "phone": "sp", "street_address_1": "a1", "street_address_2": "a2",
                "city": "c", "state": "s", "zip_code": "z", "country": "DE",
            },
            "status": "pending",
        }),
    )
}

pub fn post(author: Id) -> Post {
    filled(
        Id::new(),
        json!({
            "post_type": "link", "text_content": "tc",
            "author": {"user_id": author, "display_name": "dn", "avatar": "av", "author_type": "leader"},
            "media": [{"media_type": "gif", "media_url": "mu", "width": 3}],
            "link_preview": {"url": "u", "title": "t", "description": "d", "image": "i", "site_name": "sn"},
            "stats": {
                "view_count": 1, "like_count": 2, "comment_count": 3, "share_count": 4, "save_count": 5,
                "engagement_rate": 0.1, "last_comment_at": "2026-01-06T00:00:00.001Z",
            },
            "published_at": "2026-01-07T00:00:00.001Z",
        }),
    )
}

impl Stack {
    /// With a secret beside it, as with the API.
    pub async fn store<D: Document>(&self, document: &D) {
        let mut stored = stored(document);
        stored.insert("password_hash", "not for your eyes");
        let documents = self.mongodb.collection(D::DOMAIN.collection());
        documents.insert_one(stored).await.unwrap();
    }

    pub async fn store_with_user_row(&self, user: &User) {
        self.store(user).await;
        let row = UserRow::from_document(user, stamp(user));
        let insert = diesel::insert_into(schema::users::table).values(row);
        insert.execute(&mut self.mysql().await).await.unwrap();
    }

    pub async fn store_with_supplier_row(&self, supplier: &Supplier) {
        self.store(supplier).await;
        self.insert_supplier(SupplierRow::from_document(supplier, stamp(supplier))).await;
    }

    pub async fn insert_supplier(&self, row: SupplierRow) {
        let insert = diesel::insert_into(schema::suppliers::table).values(row);
        insert.execute(&mut self.mysql().await).await.unwrap();
    }

    pub async fn store_with_product_rows(&self, product: &Product) {
        self.store(product).await;
        self.insert_product(ProductRow::from_document(product, stamp(product)), product).await;
    }

    pub async fn insert_product(&self, row: ProductRow, product: &Product) {
        let mut connection = self.mysql().await;
        let insert = diesel::insert_into(schema::products::table).values(row);
        insert.execute(&mut connection).await.unwrap();
        let variants = ProductVariantRow::from_document(product);
        let insert = diesel::insert_into(schema::product_variants::table).values(variants);
        insert.execute(&mut connection).await.unwrap();
    }

    pub async fn store_with_order_rows(&self, order: &Order) {
        self.store(order).await;
        let mut connection = self.mysql().await;
        let row = OrderRow::from_document(order, stamp(order));
        let insert = diesel::insert_into(schema::orders::table).values(row);
        insert.execute(&mut connection).await.unwrap();
        let items = OrderItemRow::from_document(order);
        let insert = diesel::insert_into(schema::order_items::table).values(items);
        insert.execute(&mut connection).await.unwrap();
    }

    pub async fn store_with_post_row(&self, post: &Post) {
        self.store(post).await;
        let row = PostRow::from_document(post, stamp(post));
        let insert = diesel::insert_into(schema::posts::table).values(row);
        insert.execute(&mut self.mysql().await).await.unwrap();
    }
}

/// As the API stores it. By way of raw BSON: the other way would make text of ids and dates.
pub fn stored<D: Document>(document: &D) -> bson::Document {
    let raw = bson::serialize_to_raw_document_buf(document).unwrap();
    let mut stored = bson::Document::try_from(raw).unwrap();
    let id = stored.remove("id").unwrap();
    stored.insert("_id", id);
    stored
}

pub fn stamp<D: Document>(document: &D) -> Stamp {
    Stamp {
        event_id: uuid::Uuid::now_v7().to_string(),
        event_timestamp: Timestamp::now().naive(),
        version: document.version(),
    }
}
