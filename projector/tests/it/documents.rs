//! Documents with something in every field, and their events.

use std::collections::BTreeMap;

use shared::document::*;
use shared::event::{EventType, deletion_data};
use shared::{Id, Timestamp};

use crate::bed::Message;

/// `version` seconds after a fixed moment: so an entity's moments rise with its versions.
pub fn at(version: i64) -> Timestamp {
    Timestamp::from_millis(1_767_225_600_123 + version * 1_000).unwrap()
}

pub fn user(id: Id, version: i64) -> User {
    User {
        id,
        version,
        contact_info: UserContact {
            primary_email: format!("{id}@example.com"),
            additional_emails: vec!["second@example.com".to_owned()],
            phone: Some("+49 30 1234".to_owned()),
        },
        profile: Profile {
            display_name: format!("Zoë 🦀 {version}"),
            avatar: DEFAULT_AVATAR.to_owned(),
            bio: Some("'quoted'; -- and \\ escaped\n".to_owned()),
            date_of_birth: None,
        },
        deleted_at: None,
        created_at: at(1),
        updated_at: at(version),
    }
}

pub fn supplier(id: Id, version: i64) -> Supplier {
    let address = Address {
        street_address_1: "1 Main Street".to_owned(),
        street_address_2: Some("Floor 2".to_owned()),
        city: "Paris".to_owned(),
        state: "IDF".to_owned(),
        zip_code: "75001".to_owned(),
        country: "FR".to_owned(),
    };
    Supplier {
        id,
        version,
        contact_info: SupplierContact {
            primary_email: format!("{id}@supplier.example.com"),
            additional_emails: Vec::new(),
            primary_phone: "+33 1 2345".to_owned(),
            contact_person_name: Some("Jean".to_owned()),
            contact_person_title: Some("CEO".to_owned()),
            contact_person_email: Some("jean@example.com".to_owned()),
            contact_person_phone: Some("+33 2".to_owned()),
        },
        company_info: CompanyInfo {
            legal_name: format!("Société {version}"),
            dba_name: Some("Chez Jean".to_owned()),
            business_address: address,
            shipping_address: None,
        },
        business_info: BusinessInfo {
            facebook_url: Some("https://facebook.example.com/jean".to_owned()),
            instagram_handle: Some("@jean".to_owned()),
            twitter_handle: Some("@jean2".to_owned()),
            linkedin_url: Some("https://linkedin.example.com/jean".to_owned()),
            timezone: Some("Europe/Paris".to_owned()),
            support_email: Some("help@example.com".to_owned()),
            support_phone: Some("+33 3".to_owned()),
        },
        product_ids: vec![Id::new()],
        created_at: at(1),
        updated_at: at(version),
    }
}

/// With a variant for each of `keys`.
pub fn product(id: Id, supplier_id: Id, version: i64, keys: &[&str]) -> Product {
    Product {
        id,
        version,
        supplier_id,
        supplier_info: SupplierInfo { name: "Société".to_owned() },
        name: format!("Lamp {version}"),
        short_description: Some("Bright".to_owned()),
        topic_descriptions: Vec::new(),
        category: Category::HomeGarden,
        unit_type: UnitType::Piece,
        metadata: ProductMetadata { base_sku: "LAMP-1".to_owned(), brand: Some("Lux".to_owned()) },
        stock_locations: Vec::new(),
        variants: keys.iter().map(|key| ((*key).to_owned(), variant(key, version))).collect(),
        base_price_cents: 4_999 + version,
        stats: ProductStats {
            view_count: 1,
            favorite_count: 2,
            purchase_count: 3,
            total_reviews: 4,
        },
        status: ProductStatus::Draft,
        published_at: None,
        created_at: at(1),
        updated_at: at(version),
    }
}

fn variant(key: &str, version: i64) -> Variant {
    Variant {
        variant_id: format!("id-{key}"),
        variant_name: format!("name-{key}"),
        attributes: vec![VariantAttribute {
            attribute_name: "colour".to_owned(),
            attribute_value: key.to_owned(),
        }],
        price_cents: 100 + version,
        cost_cents: Some(50),
        quantity: 7,
        package_dimensions: PackageDimensions {
            // Doubles that a careless parser gets wrong in the last bit.
            width_cm: 0.1 + 0.2,
            height_cm: 25.999999999999996,
            depth_cm: 1.0,
        },
        image_url: None,
    }
}

/// With an item for each of `items`.
pub fn order(id: Id, number: &str, version: i64, items: &[&str]) -> Order {
    Order {
        id,
        version,
        order_number: number.to_owned(),
        customer: Customer {
            user_id: id,
            display_name: "Zoë".to_owned(),
            email: "zoe@example.com".to_owned(),
            phone: None,
        },
        items: items.iter().map(|item| order_item(item, version)).collect(),
        shipping_address: ShippingAddress {
            recipient_name: "Zoë".to_owned(),
            phone: Some("1".to_owned()),
            street_address_1: "1 Main Street".to_owned(),
            street_address_2: None,
            city: "Paris".to_owned(),
            state: "IDF".to_owned(),
            zip_code: "75001".to_owned(),
            country: "FR".to_owned(),
        },
        status: OrderStatus::Pending,
        created_at: at(1),
        updated_at: at(version),
    }
}

fn order_item(item_id: &str, version: i64) -> OrderItem {
    OrderItem {
        item_id: item_id.to_owned(),
        product_snapshot: ProductSnapshot {
            product_id: Id::new(),
            supplier_id: Id::new(),
            product_name: "Lamp".to_owned(),
            variant_name: Some("red".to_owned()),
            variant_attributes: BTreeMap::from([("colour".to_owned(), "red".to_owned())]),
            image_url: ProductSnapshot::DEFAULT_IMAGE.to_owned(),
            supplier_name: "Société".to_owned(),
        },
        quantity: version,
        unit_price_cents: 100,
        final_price_cents: 100,
        total_cents: 100 * version,
        fulfillment_status: FulfillmentStatus::Pending,
        shipped_quantity: 0,
        tracking_number: None,
        carrier: None,
        shipped_at: None,
        delivered_at: None,
    }
}

pub fn post(id: Id, version: i64) -> Post {
    Post {
        id,
        version,
        post_type: PostType::Image,
        author: Author {
            user_id: id,
            display_name: "Zoë".to_owned(),
            avatar: DEFAULT_AVATAR.to_owned(),
            author_type: AuthorType::User,
        },
        text_content: format!("Hello {version} 🦀"),
        media: vec![Media {
            media_type: MediaType::Image,
            media_url: "https://example.com/i.png".to_owned(),
            thumbnail_url: None,
            width: Some(640),
            height: Some(480),
            duration_seconds: None,
            size_bytes: Some(12_345),
        }],
        link_preview: Some(LinkPreview {
            url: "https://example.com".to_owned(),
            title: "Example".to_owned(),
            description: Some("An example".to_owned()),
            image: Some("https://example.com/i.png".to_owned()),
            site_name: Some("Example".to_owned()),
        }),
        stats: PostStats { engagement_rate: 0.1 + 0.2, like_count: 3, ..PostStats::default() },
        deleted_at: None,
        published_at: Some(at(1)),
        created_at: at(1),
        updated_at: at(version),
    }
}

/// The event of the write that made `document` what it is.
pub fn event<D: Document>(event_type: EventType, document: &D) -> Message {
    let version = document.version();
    Message::event(event_type, document.id(), version, at(version), document)
}

pub fn deletion(event_type: EventType, id: Id, version: i64) -> Message {
    let data = deletion_data(event_type.domain(), id, version);
    Message::event(event_type, id, version, at(version), &data)
}
