//! Where each column comes from: the contract's tables, as data.
//!
//! This is on purpose not the projector's own mapping. A verifier that shares
//! the code it verifies finds none of its mistakes.

use shared::event::Domain;

pub struct Shape {
    pub domain: Domain,
    pub table: Table,
    pub children: Option<Children>,
}

pub struct Table {
    pub name: &'static str,
    /// What identifies a row: alone in a parent table, beside the parent's id in a child's.
    pub key: &'static str,
    pub columns: &'static [Column],
}

/// A column and the JSON pointer of its value in the document.
pub type Column = (&'static str, &'static str);

/// The rows that a document's list or map becomes.
pub struct Children {
    pub table: Table,
    /// JSON pointer of the list or map in the document.
    pub source: &'static str,
}

impl Shape {
    pub const ALL: [&'static Self; 5] = [&USERS, &SUPPLIERS, &PRODUCTS, &ORDERS, &POSTS];

    pub fn tables(&self) -> impl Iterator<Item = &Table> {
        std::iter::once(&self.table).chain(self.children.iter().map(|children| &children.table))
    }
}

impl Table {
    pub fn position(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|(name, _)| *name == column)
    }
}

static USERS: Shape = Shape {
    domain: Domain::User,
    table: Table {
        name: "users",
        key: "user_id",
        columns: &[
            ("email", "/contact_info/primary_email"),
            ("phone", "/contact_info/phone"),
            ("display_name", "/profile/display_name"),
            ("avatar", "/profile/avatar"),
            ("bio", "/profile/bio"),
            ("deleted_at", "/deleted_at"),
            ("created_at", "/created_at"),
            ("updated_at", "/updated_at"),
        ],
    },
    children: None,
};

static SUPPLIERS: Shape = Shape {
    domain: Domain::Supplier,
    table: Table {
        name: "suppliers",
        key: "supplier_id",
        columns: &[
            ("email", "/contact_info/primary_email"),
            ("primary_phone", "/contact_info/primary_phone"),
            ("contact_person_name", "/contact_info/contact_person_name"),
            ("contact_person_title", "/contact_info/contact_person_title"),
            ("contact_person_email", "/contact_info/contact_person_email"),
            ("contact_person_phone", "/contact_info/contact_person_phone"),
            ("legal_name", "/company_info/legal_name"),
            ("dba_name", "/company_info/dba_name"),
            ("street_address_1", "/company_info/business_address/street_address_1"),
            ("street_address_2", "/company_info/business_address/street_address_2"),
            ("city", "/company_info/business_address/city"),
            ("state", "/company_info/business_address/state"),
            ("zip_code", "/company_info/business_address/zip_code"),
            ("country", "/company_info/business_address/country"),
            ("support_email", "/business_info/support_email"),
            ("support_phone", "/business_info/support_phone"),
            ("facebook_url", "/business_info/facebook_url"),
            ("instagram_handle", "/business_info/instagram_handle"),
            ("twitter_handle", "/business_info/twitter_handle"),
            ("linkedin_url", "/business_info/linkedin_url"),
            ("timezone", "/business_info/timezone"),
            ("created_at", "/created_at"),
            ("updated_at", "/updated_at"),
        ],
    },
    children: None,
};

static PRODUCTS: Shape = Shape {
    domain: Domain::Product,
    table: Table {
        name: "products",
        key: "product_id",
        columns: &[
            ("supplier_id", "/supplier_id"),
            ("supplier_name", "/supplier_info/name"),
            ("name", "/name"),
            ("short_description", "/short_description"),
            ("category", "/category"),
            ("unit_type", "/unit_type"),
            ("base_sku", "/metadata/base_sku"),
            ("brand", "/metadata/brand"),
            ("base_price_cents", "/base_price_cents"),
            ("status", "/status"),
            ("view_count", "/stats/view_count"),
            ("favorite_count", "/stats/favorite_count"),
            ("purchase_count", "/stats/purchase_count"),
            ("total_reviews", "/stats/total_reviews"),
            ("published_at", "/published_at"),
            ("created_at", "/created_at"),
            ("updated_at", "/updated_at"),
        ],
    },
    children: Some(Children {
        source: "/variants",
        table: Table {
            name: "product_variants",
            key: "variant_key",
            columns: &[
                ("variant_id", "/variant_id"),
                ("variant_name", "/variant_name"),
                ("attributes_json", "/attributes"),
                ("price_cents", "/price_cents"),
                ("cost_cents", "/cost_cents"),
                ("quantity", "/quantity"),
                ("width_cm", "/package_dimensions/width_cm"),
                ("height_cm", "/package_dimensions/height_cm"),
                ("depth_cm", "/package_dimensions/depth_cm"),
                ("image_url", "/image_url"),
            ],
        },
    }),
};

static ORDERS: Shape = Shape {
    domain: Domain::Order,
    table: Table {
        name: "orders",
        key: "order_id",
        columns: &[
            ("order_number", "/order_number"),
            ("customer_user_id", "/customer/user_id"),
            ("customer_display_name", "/customer/display_name"),
            ("customer_email", "/customer/email"),
            ("customer_phone", "/customer/phone"),
            ("shipping_recipient_name", "/shipping_address/recipient_name"),
            ("shipping_phone", "/shipping_address/phone"),
            ("shipping_street_1", "/shipping_address/street_address_1"),
            ("shipping_street_2", "/shipping_address/street_address_2"),
            ("shipping_city", "/shipping_address/city"),
            ("shipping_state", "/shipping_address/state"),
            ("shipping_zip_code", "/shipping_address/zip_code"),
            ("shipping_country", "/shipping_address/country"),
            ("status", "/status"),
            ("created_at", "/created_at"),
            ("updated_at", "/updated_at"),
        ],
    },
    children: Some(Children {
        source: "/items",
        table: Table {
            name: "order_items",
            key: "item_id",
            columns: &[
                ("product_id", "/product_snapshot/product_id"),
                ("supplier_id", "/product_snapshot/supplier_id"),
                ("product_name", "/product_snapshot/product_name"),
                ("variant_name", "/product_snapshot/variant_name"),
                ("variant_attributes_json", "/product_snapshot/variant_attributes"),
                ("image_url", "/product_snapshot/image_url"),
                ("supplier_name", "/product_snapshot/supplier_name"),
                ("quantity", "/quantity"),
                ("unit_price_cents", "/unit_price_cents"),
                ("final_price_cents", "/final_price_cents"),
                ("total_cents", "/total_cents"),
                ("fulfillment_status", "/fulfillment_status"),
                ("shipped_quantity", "/shipped_quantity"),
                ("tracking_number", "/tracking_number"),
                ("carrier", "/carrier"),
                ("shipped_at", "/shipped_at"),
                ("delivered_at", "/delivered_at"),
            ],
        },
    }),
};

static POSTS: Shape = Shape {
    domain: Domain::Post,
    table: Table {
        name: "posts",
        key: "post_id",
        columns: &[
            ("post_type", "/post_type"),
            ("author_user_id", "/author/user_id"),
            ("author_display_name", "/author/display_name"),
            ("author_avatar", "/author/avatar"),
            ("author_type", "/author/author_type"),
            ("text_content", "/text_content"),
            ("media_json", "/media"),
            ("link_url", "/link_preview/url"),
            ("link_title", "/link_preview/title"),
            ("link_description", "/link_preview/description"),
            ("link_image", "/link_preview/image"),
            ("link_site_name", "/link_preview/site_name"),
            ("view_count", "/stats/view_count"),
            ("like_count", "/stats/like_count"),
            ("comment_count", "/stats/comment_count"),
            ("share_count", "/stats/share_count"),
            ("save_count", "/stats/save_count"),
            ("engagement_rate", "/stats/engagement_rate"),
            ("last_comment_at", "/stats/last_comment_at"),
            ("deleted_at", "/deleted_at"),
            ("published_at", "/published_at"),
            ("created_at", "/created_at"),
            ("updated_at", "/updated_at"),
        ],
    },
    children: None,
};
