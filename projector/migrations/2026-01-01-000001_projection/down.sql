DROP TABLE IF EXISTS order_items, orders, product_variants, products, suppliers, users, posts,
    tombstones, projection_progress;
