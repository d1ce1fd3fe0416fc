//! Tables that somebody changed, rights that somebody took away, a packet limit: MySQL
//! then refuses good records, or would store something else. Nothing of it is a record's
//! fault: it is named, nothing is dead-lettered, and all is applied after the repair.

use shared::Id;
use shared::event::EventType;

use crate::bed::{Bed, Message, eventually};
use crate::documents::{event, order, post, product, supplier, user};
use crate::own_mysql::OwnMysql;
use crate::process::Process;

/// One event of each domain, with more characters than three bytes can hold.
fn one_of_each() -> Vec<Message> {
    let id = Id::new();
    let number = format!("ORD-{id}");
    let mut user = user(id, 1);
    user.contact_info.primary_email = format!("{id}@example.com");
    vec![
        event(EventType::UserCreated, &user),
        event(EventType::SupplierCreated, &supplier(id, 1)),
        event(EventType::ProductCreated, &product(id, id, 1, &["red", "blue"])),
        event(EventType::OrderCreated, &order(id, &number, 1, &["item_1"])),
        event(EventType::PostCreated, &post(id, 1)),
    ]
}

/// Waits until `/ready` says no, and says why.
async fn await_named(process: &Process, words: &[&str]) {
    eventually(&format!("/ready names {words:?}"), async || {
        let (status, body) = process.get("/ready").await?;
        let is_named = status == 503 && words.iter().all(|word| body.contains(word));
        if is_named { Ok(()) } else { Err(body) }
    })
    .await;
}

async fn await_rows(bed: &Bed, expected: i64) {
    for table in ["users", "suppliers", "products", "orders", "posts"] {
        bed.await_count(table, "version = 1", expected).await;
    }
}

struct Drift {
    change: &'static str,
    repair: &'static str,
    /// What `/ready` must name.
    named: &'static [&'static str],
    /// No statement notices: found at the next connection, or within half a minute.
    is_silent: bool,
}

const DRIFTS: [Drift; 16] = [
    Drift {
        change: "ALTER TABLE posts ADD COLUMN segment VARCHAR(20) NOT NULL",
        repair: "ALTER TABLE posts DROP COLUMN segment",
        named: &["posts.segment", "NOT NULL without a default"],
        is_silent: false,
    },
    Drift {
        change: "ALTER TABLE users DROP COLUMN bio",
        repair: "ALTER TABLE users ADD COLUMN bio TEXT",
        named: &["users.bio", "missing"],
        is_silent: false,
    },
    Drift {
        change: "ALTER TABLE users MODIFY display_name VARCHAR(2) NOT NULL",
        repair: "ALTER TABLE users MODIFY display_name VARCHAR(255) NOT NULL",
        named: &["users.display_name", "varchar(2)"],
        is_silent: false,
    },
    Drift {
        change: "ALTER TABLE products MODIFY base_price_cents TINYINT NOT NULL",
        repair: "ALTER TABLE products MODIFY base_price_cents BIGINT NOT NULL",
        named: &["products.base_price_cents", "tinyint"],
        is_silent: false,
    },
    Drift {
        change: "ALTER TABLE posts MODIFY text_content VARCHAR(100) CHARACTER SET latin1 NOT NULL",
        repair: "ALTER TABLE posts MODIFY text_content TEXT CHARACTER SET utf8mb4 NOT NULL",
        named: &["posts.text_content"],
        is_silent: true,
    },
    Drift {
        change: "ALTER TABLE users CONVERT TO CHARACTER SET utf8mb3",
        repair: "ALTER TABLE users CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci; \
                 ALTER TABLE users MODIFY user_id VARCHAR(24) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin NOT NULL",
        named: &["users.", "utf8mb3"],
        is_silent: false,
    },
    Drift {
        change: "ALTER TABLE product_variants MODIFY variant_key VARCHAR(255) \
                 CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci NOT NULL",
        repair: "ALTER TABLE product_variants MODIFY variant_key VARCHAR(255) \
                 CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin NOT NULL",
        named: &["product_variants.variant_key", "utf8mb4_unicode_ci"],
        is_silent: true,
    },
    Drift {
        change: "ALTER TABLE posts MODIFY last_comment_at DATETIME NOT NULL, \
                 MODIFY created_at TIMESTAMP NOT NULL",
        repair: "ALTER TABLE posts MODIFY last_comment_at DATETIME(6), \
                 MODIFY created_at DATETIME(6) NOT NULL",
        named: &["posts.last_comment_at", "posts.created_at"],
        is_silent: true,
    },
    Drift {
        change: "ALTER TABLE users MODIFY phone VARCHAR(50) NOT NULL",
        repair: "ALTER TABLE users MODIFY phone VARCHAR(50)",
        named: &["users.phone", "NOT NULL"],
        is_silent: true,
    },
    Drift {
        change: "ALTER TABLE posts ADD CONSTRAINT liked CHECK (post_id <= '{last}')",
        repair: "ALTER TABLE posts DROP CONSTRAINT liked",
        named: &["posts", "liked"],
        is_silent: false,
    },
    Drift {
        change: "CREATE TRIGGER narrow BEFORE INSERT ON posts FOR EACH ROW \
                 SIGNAL SQLSTATE '22001' SET MYSQL_ERRNO = 1406, MESSAGE_TEXT = 'too long'",
        repair: "DROP TRIGGER narrow",
        named: &["posts", "fits the tables"],
        is_silent: false,
    },
    Drift {
        change: "ALTER TABLE users ADD UNIQUE INDEX one_email (email)",
        repair: "ALTER TABLE users DROP INDEX one_email",
        named: &["users", "one_email"],
        is_silent: true,
    },
    Drift {
        change: "ALTER TABLE orders DROP INDEX uq_orders_order_number",
        repair: "ALTER TABLE orders ADD UNIQUE INDEX uq_orders_order_number (order_number)",
        named: &["orders", "order_number"],
        is_silent: true,
    },
    Drift {
        change: "ALTER TABLE order_items DROP FOREIGN KEY fk_order_items_order",
        repair: "ALTER TABLE order_items ADD CONSTRAINT fk_order_items_order \
                 FOREIGN KEY (order_id) REFERENCES orders (order_id) ON DELETE CASCADE",
        named: &["order_items", "foreign key"],
        is_silent: true,
    },
    Drift {
        change: "RENAME TABLE posts TO posts_old",
        repair: "RENAME TABLE posts_old TO posts",
        named: &["posts", "missing"],
        is_silent: false,
    },
    Drift {
        change: "RENAME TABLE tombstones TO old; CREATE TABLE tombstones (id INT PRIMARY KEY)",
        repair: "DROP TABLE tombstones; RENAME TABLE old TO tombstones",
        named: &["tombstones.domain", "missing"],
        is_silent: false,
    },
];

/// While it is connected, or, where no statement notices, before it connects.
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_table_is_an_outage_with_a_name() {
    let bed = Bed::new(1).await;
    let mut process = Process::start(&bed.config);
    let mut sent = 0;
    for Drift { change, repair, named, is_silent } in DRIFTS {
        bed.send(one_of_each()).await;
        sent += 1;
        await_rows(&bed, sent).await;
        let change = change.replace("{last}", &Id::new().to_string());
        bed.sql(&format!("SET SESSION sql_mode = ''; {change}")).await;
        if is_silent {
            process.terminate().await;
            process = Process::start(&bed.config);
        }
        bed.send(one_of_each()).await;
        sent += 1;
        await_named(&process, named).await;
        let blocked = process.metric("projector_blocked", "").await;
        assert!(is_silent || blocked == Some(1.0), "{change}: blocked {blocked:?}");
        bed.sql(&format!("SET SESSION sql_mode = ''; {repair}")).await;
        await_rows(&bed, sent).await;
        process.await_ready(true).await;
        assert_eq!(bed.dead_letters(0).await.len(), 0, "{change}");
    }
    assert_eq!(process.metric("projector_blocked", "").await, Some(0.0));
    process.terminate().await;
    bed.clear().await;
}

/// An account that may only read and write rows is enough, and a right that is taken away
/// is an outage.
#[tokio::test(flavor = "multi_thread")]
async fn rights_that_are_taken_away_are_an_outage() {
    let server = OwnMysql::for_faults().await;
    let bed = server.instead(Bed::new_without_schema().await);
    projector::database::prepare(&bed.config.mysql).await.unwrap();
    let database = &bed.config.mysql.mysql_database;
    let account = "'rows'@'%'";
    // A table's rights hold from the next statement on; a database's, from the next `USE`.
    let mut grants = format!(
        "CREATE USER IF NOT EXISTS {account} IDENTIFIED BY 'rows'; \
         GRANT SELECT, UPDATE, DELETE ON {database}.* TO {account}"
    );
    for table in [
        "users",
        "suppliers",
        "products",
        "product_variants",
        "orders",
        "order_items",
        "posts",
        "tombstones",
        "projection_progress",
    ] {
        grants.push_str(&format!("; GRANT INSERT ON {database}.{table} TO {account}"));
    }
    server.sql(&grants).await;
    let rows_only = [("MYSQL_USER", "rows"), ("MYSQL_PASSWORD", "rows")];
    let process = Process::start_with(&bed.config, &rows_only);
    bed.send(one_of_each()).await;
    await_rows(&bed, 1).await;
    server.sql(&format!("REVOKE INSERT ON {database}.posts FROM {account}")).await;
    bed.send(one_of_each()).await;
    await_named(&process, &["posts", "INSERT command denied"]).await;
    server.sql(&format!("GRANT INSERT ON {database}.posts TO {account}")).await;
    await_rows(&bed, 2).await;
    assert_eq!(bed.dead_letters(0).await.len(), 0);
    process.terminate().await;
    bed.clear().await;
}

/// Together they are too large for a statement; one alone is too large as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_small_packet_limit_splits_the_batch_or_is_named() {
    let server = OwnMysql::for_faults().await;
    let bed = server.instead(Bed::new_without_schema().await);
    server.sql("SET GLOBAL max_allowed_packet = 1048576").await;
    let with_avatar = |bytes: usize| {
        let mut user = user(Id::new(), 1);
        user.profile.avatar = "a".repeat(bytes);
        event(EventType::UserCreated, &user)
    };
    bed.send((0..4).map(|_| with_avatar(600_000))).await;
    let process = Process::start(&bed.config);
    bed.await_count("users", "TRUE", 4).await;
    bed.send([with_avatar(900_000), with_avatar(200), with_avatar(900_000)]).await;
    bed.await_count("users", "TRUE", 7).await;

    server.sql("SET GLOBAL max_allowed_packet = 524288").await;
    process.terminate().await;
    let process = Process::start(&bed.config);
    bed.send([with_avatar(300), with_avatar(600_000), with_avatar(300)]).await;
    await_named(&process, &["max_allowed_packet", "too small for a record of"]).await;
    server.sql("SET GLOBAL max_allowed_packet = 67108864").await;
    bed.await_count("users", "TRUE", 10).await;
    process.await_ready(true).await;
    assert_eq!(bed.dead_letters(0).await.len(), 0);
    process.terminate().await;
    bed.clear().await;
}

/// The analytics database of another system: nothing is created beside its tables.
#[tokio::test(flavor = "multi_thread")]
async fn tables_of_somebody_else_are_left_alone() {
    let bed = Bed::new(1).await;
    bed.sql(
        "SET FOREIGN_KEY_CHECKS = 0; DROP TABLE users, posts, __diesel_schema_migrations; \
         CREATE TABLE users (id INT PRIMARY KEY, name TEXT NOT NULL)",
    )
    .await;
    let process = Process::start(&bed.config);
    await_named(&process, &["users", "not the projector's", "MYSQL_DATABASE"]).await;
    let tables = "information_schema.tables";
    let posts = "table_schema = DATABASE() AND table_name = 'posts'";
    assert_eq!(bed.count(tables, posts).await, 0);
    process.terminate().await;
    bed.clear().await;
}

/// Record after record that is too long: at some point that is no coincidence.
#[tokio::test(flavor = "multi_thread")]
async fn refusals_without_end_are_an_outage() {
    let bed = Bed::new(1).await;
    let long = |_| {
        let mut user = user(Id::new(), 1);
        user.profile.display_name = "x".repeat(256);
        event(EventType::UserCreated, &user)
    };
    let environment = [("PROJECTOR_REFUSALS_IN_A_ROW", "20")];
    let process = Process::start_with(&bed.config, &environment);
    bed.send((0..30).map(long)).await;
    await_named(&process, &["20 records in a row", "1406", "display_name"]).await;
    bed.dead_letters(20).await;
    bed.sql("ALTER TABLE users MODIFY display_name VARCHAR(300) NOT NULL").await;
    bed.await_count("users", "TRUE", 10).await;
    process.await_ready(true).await;
    process.terminate().await;
    bed.clear().await;
}
