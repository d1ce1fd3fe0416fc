-- The read model: seven tables for analysts, two of the projector's own.
--
-- Runs on MySQL 8.0 and later and on MariaDB 10.11. DDL commits by itself, so every
-- statement must bear being run again after a crash half-way.
--
-- Text that decides identity (ids, order_number, variant_key, item_id) is compared byte
-- for byte, trailing blanks included: 'Red' and 'red' are two variants. Each server has
-- its own name for that collation; the comments are executed by one of them each. It is
-- quick, too: to compare ids as a language would took a third of MySQL's time.
-- Fields that the REST API does not bound are MEDIUMTEXT: they can be as long as a
-- request, which TEXT's 65,535 bytes are not.

CREATE TABLE IF NOT EXISTS users (
    user_id VARCHAR(24) CHARACTER SET utf8mb4
        /*!80017 COLLATE utf8mb4_0900_bin */ /*M! COLLATE utf8mb4_nopad_bin */ NOT NULL PRIMARY KEY,
    email VARCHAR(320) NOT NULL,
    phone VARCHAR(50),
    display_name VARCHAR(255) NOT NULL,
    avatar MEDIUMTEXT NOT NULL,
    bio TEXT,
    deleted_at DATETIME(6),
    created_at DATETIME(6) NOT NULL,
    updated_at DATETIME(6) NOT NULL,
    event_id VARCHAR(36) NOT NULL,
    event_timestamp DATETIME(6) NOT NULL,
    version BIGINT NOT NULL,
    INDEX idx_users_email (email),
    INDEX idx_users_created_at (created_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

-- version 0 without an event_id: a placeholder. A product referred to the supplier
-- before the supplier's own event came, which will fill the row.
CREATE TABLE IF NOT EXISTS suppliers (
    supplier_id VARCHAR(24) CHARACTER SET utf8mb4
        /*!80017 COLLATE utf8mb4_0900_bin */ /*M! COLLATE utf8mb4_nopad_bin */ NOT NULL PRIMARY KEY,
    email VARCHAR(320) NOT NULL,
    primary_phone MEDIUMTEXT NOT NULL,
    contact_person_name MEDIUMTEXT,
    contact_person_title MEDIUMTEXT,
    contact_person_email MEDIUMTEXT,
    contact_person_phone MEDIUMTEXT,
    legal_name VARCHAR(255) NOT NULL,
    dba_name VARCHAR(255),
    street_address_1 VARCHAR(255) NOT NULL,
    street_address_2 VARCHAR(255),
    city VARCHAR(150) NOT NULL,
    state VARCHAR(150) NOT NULL,
    zip_code VARCHAR(50) NOT NULL,
    country VARCHAR(16) NOT NULL,
    support_email MEDIUMTEXT,
    support_phone MEDIUMTEXT,
    facebook_url MEDIUMTEXT,
    instagram_handle MEDIUMTEXT,
    twitter_handle MEDIUMTEXT,
    linkedin_url MEDIUMTEXT,
    timezone MEDIUMTEXT,
    created_at DATETIME(6) NOT NULL,
    updated_at DATETIME(6) NOT NULL,
    event_id VARCHAR(36) NOT NULL,
    event_timestamp DATETIME(6) NOT NULL,
    version BIGINT NOT NULL,
    INDEX idx_suppliers_email (email),
    INDEX idx_suppliers_legal_name (legal_name),
    INDEX idx_suppliers_place (country, state, city)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

-- supplier_id is NULL once the supplier is deleted; the product's own event follows.
CREATE TABLE IF NOT EXISTS products (
    product_id VARCHAR(24) CHARACTER SET utf8mb4
        /*!80017 COLLATE utf8mb4_0900_bin */ /*M! COLLATE utf8mb4_nopad_bin */ NOT NULL PRIMARY KEY,
    supplier_id VARCHAR(24) CHARACTER SET utf8mb4
        /*!80017 COLLATE utf8mb4_0900_bin */ /*M! COLLATE utf8mb4_nopad_bin */,
    supplier_name VARCHAR(255) NOT NULL,
    name VARCHAR(255) NOT NULL,
    short_description TEXT,
    category VARCHAR(50) NOT NULL,
    unit_type VARCHAR(50) NOT NULL,
    base_sku VARCHAR(255) NOT NULL,
    brand VARCHAR(255),
    base_price_cents BIGINT NOT NULL,
    status VARCHAR(50) NOT NULL,
    view_count BIGINT NOT NULL,
    favorite_count BIGINT NOT NULL,
    purchase_count BIGINT NOT NULL,
    total_reviews BIGINT NOT NULL,
    published_at DATETIME(6),
    created_at DATETIME(6) NOT NULL,
    updated_at DATETIME(6) NOT NULL,
    event_id VARCHAR(36) NOT NULL,
    event_timestamp DATETIME(6) NOT NULL,
    version BIGINT NOT NULL,
    INDEX idx_products_supplier_id (supplier_id),
    INDEX idx_products_category (category),
    INDEX idx_products_status (status),
    INDEX idx_products_created_at (created_at),
    CONSTRAINT fk_products_supplier FOREIGN KEY (supplier_id)
        REFERENCES suppliers (supplier_id) ON DELETE SET NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

CREATE TABLE IF NOT EXISTS product_variants (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    product_id VARCHAR(24) CHARACTER SET utf8mb4
        /*!80017 COLLATE utf8mb4_0900_bin */ /*M! COLLATE utf8mb4_nopad_bin */ NOT NULL,
    variant_key VARCHAR(255) CHARACTER SET utf8mb4
        /*!80017 COLLATE utf8mb4_0900_bin */ /*M! COLLATE utf8mb4_nopad_bin */ NOT NULL,
    variant_id VARCHAR(100) NOT NULL,
    variant_name VARCHAR(255) NOT NULL,
    attributes_json JSON NOT NULL,
    price_cents BIGINT NOT NULL,
    cost_cents BIGINT,
    quantity BIGINT NOT NULL,
    width_cm DOUBLE NOT NULL,
    height_cm DOUBLE NOT NULL,
    depth_cm DOUBLE NOT NULL,
    image_url MEDIUMTEXT,
    UNIQUE INDEX uq_product_variants_key (product_id, variant_key),
    CONSTRAINT fk_product_variants_product FOREIGN KEY (product_id)
        REFERENCES products (product_id) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

CREATE TABLE IF NOT EXISTS orders (
    order_id VARCHAR(24) CHARACTER SET utf8mb4
        /*!80017 COLLATE utf8mb4_0900_bin */ /*M! COLLATE utf8mb4_nopad_bin */ NOT NULL PRIMARY KEY,
    order_number VARCHAR(50) CHARACTER SET utf8mb4
        /*!80017 COLLATE utf8mb4_0900_bin */ /*M! COLLATE utf8mb4_nopad_bin */ NOT NULL,
    customer_user_id VARCHAR(24) CHARACTER SET utf8mb4
        /*!80017 COLLATE utf8mb4_0900_bin */ /*M! COLLATE utf8mb4_nopad_bin */ NOT NULL,
    customer_display_name VARCHAR(255) NOT NULL,
    customer_email VARCHAR(320) NOT NULL,
    customer_phone VARCHAR(50),
    shipping_recipient_name VARCHAR(255) NOT NULL,
    shipping_phone VARCHAR(50),
    shipping_street_1 VARCHAR(255) NOT NULL,
    shipping_street_2 VARCHAR(255),
    shipping_city VARCHAR(150) NOT NULL,
    shipping_state VARCHAR(150) NOT NULL,
    shipping_zip_code VARCHAR(50) NOT NULL,
    shipping_country VARCHAR(16) NOT NULL,
    status VARCHAR(50) NOT NULL,
    created_at DATETIME(6) NOT NULL,
    updated_at DATETIME(6) NOT NULL,
    event_id VARCHAR(36) NOT NULL,
    event_timestamp DATETIME(6) NOT NULL,
    version BIGINT NOT NULL,
    UNIQUE INDEX uq_orders_order_number (order_number),
    INDEX idx_orders_customer_user_id (customer_user_id),
    INDEX idx_orders_status (status),
    INDEX idx_orders_created_at (created_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

CREATE TABLE IF NOT EXISTS order_items (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    order_id VARCHAR(24) CHARACTER SET utf8mb4
        /*!80017 COLLATE utf8mb4_0900_bin */ /*M! COLLATE utf8mb4_nopad_bin */ NOT NULL,
    item_id VARCHAR(100) CHARACTER SET utf8mb4
        /*!80017 COLLATE utf8mb4_0900_bin */ /*M! COLLATE utf8mb4_nopad_bin */ NOT NULL,
    product_id VARCHAR(24) CHARACTER SET utf8mb4
        /*!80017 COLLATE utf8mb4_0900_bin */ /*M! COLLATE utf8mb4_nopad_bin */ NOT NULL,
    supplier_id VARCHAR(24) CHARACTER SET utf8mb4
        /*!80017 COLLATE utf8mb4_0900_bin */ /*M! COLLATE utf8mb4_nopad_bin */ NOT NULL,
    product_name VARCHAR(255) NOT NULL,
    variant_name VARCHAR(255),
    variant_attributes_json JSON NOT NULL,
    image_url MEDIUMTEXT NOT NULL,
    supplier_name VARCHAR(255) NOT NULL,
    quantity BIGINT NOT NULL,
    unit_price_cents BIGINT NOT NULL,
    final_price_cents BIGINT NOT NULL,
    total_cents BIGINT NOT NULL,
    fulfillment_status VARCHAR(50) NOT NULL,
    shipped_quantity BIGINT NOT NULL,
    tracking_number VARCHAR(255),
    carrier VARCHAR(255),
    shipped_at DATETIME(6),
    delivered_at DATETIME(6),
    UNIQUE INDEX uq_order_items_item (order_id, item_id),
    INDEX idx_order_items_product_id (product_id),
    CONSTRAINT fk_order_items_order FOREIGN KEY (order_id)
        REFERENCES orders (order_id) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

CREATE TABLE IF NOT EXISTS posts (
    post_id VARCHAR(24) CHARACTER SET utf8mb4
        /*!80017 COLLATE utf8mb4_0900_bin */ /*M! COLLATE utf8mb4_nopad_bin */ NOT NULL PRIMARY KEY,
    post_type VARCHAR(50) NOT NULL,
    author_user_id VARCHAR(24) CHARACTER SET utf8mb4
        /*!80017 COLLATE utf8mb4_0900_bin */ /*M! COLLATE utf8mb4_nopad_bin */ NOT NULL,
    author_display_name VARCHAR(255) NOT NULL,
    author_avatar MEDIUMTEXT NOT NULL,
    author_type VARCHAR(50) NOT NULL,
    text_content TEXT NOT NULL,
    media_json JSON,
    link_url MEDIUMTEXT,
    link_title VARCHAR(255),
    link_description TEXT,
    link_image MEDIUMTEXT,
    link_site_name MEDIUMTEXT,
    view_count BIGINT NOT NULL,
    like_count BIGINT NOT NULL,
    comment_count BIGINT NOT NULL,
    share_count BIGINT NOT NULL,
    save_count BIGINT NOT NULL,
    engagement_rate DOUBLE NOT NULL,
    last_comment_at DATETIME(6),
    deleted_at DATETIME(6),
    published_at DATETIME(6),
    created_at DATETIME(6) NOT NULL,
    updated_at DATETIME(6) NOT NULL,
    event_id VARCHAR(36) NOT NULL,
    event_timestamp DATETIME(6) NOT NULL,
    version BIGINT NOT NULL,
    INDEX idx_posts_author_user_id (author_user_id),
    INDEX idx_posts_post_type (post_type),
    INDEX idx_posts_published_at (published_at),
    INDEX idx_posts_created_at (created_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

-- What an event that carries no document said last about an entity: that it was deleted
-- (or, by the older producer, an order cancelled). It outlives the row, so that a late or
-- repeated older event cannot undo it. content_*: the rank of the document that the
-- statement was laid over, where the row is kept; NULL while no document has come.
CREATE TABLE IF NOT EXISTS tombstones (
    domain VARCHAR(16) CHARACTER SET utf8mb4
        /*!80017 COLLATE utf8mb4_0900_bin */ /*M! COLLATE utf8mb4_nopad_bin */ NOT NULL,
    entity_id VARCHAR(24) CHARACTER SET utf8mb4
        /*!80017 COLLATE utf8mb4_0900_bin */ /*M! COLLATE utf8mb4_nopad_bin */ NOT NULL,
    version BIGINT NOT NULL,
    event_id VARCHAR(36) NOT NULL,
    event_timestamp DATETIME(6) NOT NULL,
    content_version BIGINT,
    content_timestamp DATETIME(6),
    PRIMARY KEY (domain, entity_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

-- How far each partition is applied: written in the transaction of the rows themselves.
-- `offset` is of the last record applied, event_timestamp its moment.
CREATE TABLE IF NOT EXISTS projection_progress (
    topic VARCHAR(249) CHARACTER SET utf8mb4
        /*!80017 COLLATE utf8mb4_0900_bin */ /*M! COLLATE utf8mb4_nopad_bin */ NOT NULL,
    `partition` INT NOT NULL,
    `offset` BIGINT NOT NULL,
    event_timestamp DATETIME(6),
    PRIMARY KEY (topic, `partition`)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;
