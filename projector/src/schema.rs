//! The tables as Diesel sees them. A test reads them back from a migrated
//! database and compares.

diesel::table! {
    order_items (id) {
        id -> Bigint,
        #[max_length = 24]
        order_id -> Varchar,
        #[max_length = 100]
        item_id -> Varchar,
        #[max_length = 24]
        product_id -> Varchar,
        #[max_length = 24]
        supplier_id -> Varchar,
        #[max_length = 255]
        product_name -> Varchar,
        #[max_length = 255]
        variant_name -> Nullable<Varchar>,
        variant_attributes_json -> Json,
        image_url -> Mediumtext,
        #[max_length = 255]
        supplier_name -> Varchar,
        quantity -> Bigint,
        unit_price_cents -> Bigint,
        final_price_cents -> Bigint,
        total_cents -> Bigint,
        #[max_length = 50]
        fulfillment_status -> Varchar,
        shipped_quantity -> Bigint,
        #[max_length = 255]
        tracking_number -> Nullable<Varchar>,
        #[max_length = 255]
        carrier -> Nullable<Varchar>,
        shipped_at -> Nullable<Datetime>,
        delivered_at -> Nullable<Datetime>,
    }
}

diesel::table! {
    orders (order_id) {
        #[max_length = 24]
        order_id -> Varchar,
        #[max_length = 50]
        order_number -> Varchar,
        #[max_length = 24]
        customer_user_id -> Varchar,
        #[max_length = 255]
        customer_display_name -> Varchar,
        #[max_length = 320]
        customer_email -> Varchar,
        #[max_length = 50]
        customer_phone -> Nullable<Varchar>,
        #[max_length = 255]
        shipping_recipient_name -> Varchar,
        #[max_length = 50]
        shipping_phone -> Nullable<Varchar>,
        #[max_length = 255]
        shipping_street_1 -> Varchar,
        #[max_length = 255]
        shipping_street_2 -> Nullable<Varchar>,
        #[max_length = 150]
        shipping_city -> Varchar,
        #[max_length = 150]
        shipping_state -> Varchar,
        #[max_length = 50]
        shipping_zip_code -> Varchar,
        #[max_length = 16]
        shipping_country -> Varchar,
        #[max_length = 50]
        status -> Varchar,
        created_at -> Datetime,
        updated_at -> Datetime,
        #[max_length = 36]
        event_id -> Varchar,
        event_timestamp -> Datetime,
        version -> Bigint,
    }
}

diesel::table! {
    posts (post_id) {
        #[max_length = 24]
        post_id -> Varchar,
        #[max_length = 50]
        post_type -> Varchar,
        #[max_length = 24]
        author_user_id -> Varchar,
        #[max_length = 255]
        author_display_name -> Varchar,
        author_avatar -> Mediumtext,
        #[max_length = 50]
        author_type -> Varchar,
        text_content -> Text,
        media_json -> Nullable<Json>,
        link_url -> Nullable<Mediumtext>,
        #[max_length = 255]
        link_title -> Nullable<Varchar>,
        link_description -> Nullable<Text>,
        link_image -> Nullable<Mediumtext>,
        link_site_name -> Nullable<Mediumtext>,
        view_count -> Bigint,
        like_count -> Bigint,
        comment_count -> Bigint,
        share_count -> Bigint,
        save_count -> Bigint,
        engagement_rate -> Double,
        last_comment_at -> Nullable<Datetime>,
        deleted_at -> Nullable<Datetime>,
        published_at -> Nullable<Datetime>,
        created_at -> Datetime,
        updated_at -> Datetime,
        #[max_length = 36]
        event_id -> Varchar,
        event_timestamp -> Datetime,
        version -> Bigint,
    }
}

diesel::table! {
    product_variants (id) {
        id -> Bigint,
        #[max_length = 24]
        product_id -> Varchar,
        #[max_length = 255]
        variant_key -> Varchar,
        #[max_length = 100]
        variant_id -> Varchar,
        #[max_length = 255]
        variant_name -> Varchar,
        attributes_json -> Json,
        price_cents -> Bigint,
        cost_cents -> Nullable<Bigint>,
        quantity -> Bigint,
        width_cm -> Double,
        height_cm -> Double,
        depth_cm -> Double,
        image_url -> Nullable<Mediumtext>,
    }
}

diesel::table! {
    products (product_id) {
        #[max_length = 24]
        product_id -> Varchar,
        #[max_length = 24]
        supplier_id -> Nullable<Varchar>,
        #[max_length = 255]
        supplier_name -> Varchar,
        #[max_length = 255]
        name -> Varchar,
        short_description -> Nullable<Text>,
        #[max_length = 50]
        category -> Varchar,
        #[max_length = 50]
        unit_type -> Varchar,
        #[max_length = 255]
        base_sku -> Varchar,
        #[max_length = 255]
        brand -> Nullable<Varchar>,
        base_price_cents -> Bigint,
        #[max_length = 50]
        status -> Varchar,
        view_count -> Bigint,
        favorite_count -> Bigint,
        purchase_count -> Bigint,
        total_reviews -> Bigint,
        published_at -> Nullable<Datetime>,
        created_at -> Datetime,
        updated_at -> Datetime,
        #[max_length = 36]
        event_id -> Varchar,
        event_timestamp -> Datetime,
        version -> Bigint,
    }
}

diesel::table! {
    projection_losses (topic, partition, from_offset, to_offset) {
        #[max_length = 249]
        topic -> Varchar,
        partition -> Integer,
        from_offset -> Bigint,
        to_offset -> Bigint,
        noticed_at -> Datetime,
        acknowledged_at -> Nullable<Datetime>,
    }
}

diesel::table! {
    projection_progress (topic, partition) {
        #[max_length = 249]
        topic -> Varchar,
        partition -> Integer,
        offset -> Bigint,
        event_timestamp -> Nullable<Datetime>,
        #[max_length = 36]
        event_id -> Nullable<Varchar>,
        next_offset -> Nullable<Bigint>,
    }
}

diesel::table! {
    suppliers (supplier_id) {
        #[max_length = 24]
        supplier_id -> Varchar,
        #[max_length = 320]
        email -> Varchar,
        primary_phone -> Mediumtext,
        contact_person_name -> Nullable<Mediumtext>,
        contact_person_title -> Nullable<Mediumtext>,
        contact_person_email -> Nullable<Mediumtext>,
        contact_person_phone -> Nullable<Mediumtext>,
        #[max_length = 255]
        legal_name -> Varchar,
        #[max_length = 255]
        dba_name -> Nullable<Varchar>,
        #[max_length = 255]
        street_address_1 -> Varchar,
        #[max_length = 255]
        street_address_2 -> Nullable<Varchar>,
        #[max_length = 150]
        city -> Varchar,
        #[max_length = 150]
        state -> Varchar,
        #[max_length = 50]
        zip_code -> Varchar,
        #[max_length = 16]
        country -> Varchar,
        support_email -> Nullable<Mediumtext>,
        support_phone -> Nullable<Mediumtext>,
        facebook_url -> Nullable<Mediumtext>,
        instagram_handle -> Nullable<Mediumtext>,
        twitter_handle -> Nullable<Mediumtext>,
        linkedin_url -> Nullable<Mediumtext>,
        timezone -> Nullable<Mediumtext>,
        created_at -> Datetime,
        updated_at -> Datetime,
        #[max_length = 36]
        event_id -> Varchar,
        event_timestamp -> Datetime,
        version -> Bigint,
    }
}

diesel::table! {
    tombstones (domain, entity_id) {
        #[max_length = 16]
        domain -> Varchar,
        #[max_length = 24]
        entity_id -> Varchar,
        version -> Bigint,
        #[max_length = 36]
        event_id -> Varchar,
        event_timestamp -> Datetime,
        content_version -> Nullable<Bigint>,
        content_timestamp -> Nullable<Datetime>,
    }
}

diesel::table! {
    users (user_id) {
        #[max_length = 24]
        user_id -> Varchar,
        #[max_length = 320]
        email -> Varchar,
        #[max_length = 50]
        phone -> Nullable<Varchar>,
        #[max_length = 255]
        display_name -> Varchar,
        avatar -> Mediumtext,
        bio -> Nullable<Text>,
        deleted_at -> Nullable<Datetime>,
        created_at -> Datetime,
        updated_at -> Datetime,
        #[max_length = 36]
        event_id -> Varchar,
        event_timestamp -> Datetime,
        version -> Bigint,
    }
}

diesel::joinable!(order_items -> orders (order_id));
diesel::joinable!(product_variants -> products (product_id));
diesel::joinable!(products -> suppliers (supplier_id));

diesel::allow_tables_to_appear_in_same_query!(
    order_items,
    orders,
    posts,
    product_variants,
    products,
    projection_losses,
    projection_progress,
    suppliers,
    tombstones,
    users,
);
