//! Migrations that are cut short between any two steps, and run again.

use projector::database::{migrate, prepare};
use projector::migrate::Migration;

use crate::bed::Bed;
use crate::own_mysql::OwnMysql;

const STATEMENTS: [&str; 9] = [
    "CREATE TABLE readers (id INT PRIMARY KEY, name VARCHAR(50)) ENGINE = InnoDB",
    "ALTER TABLE users ADD COLUMN segment VARCHAR(20)",
    "UPDATE users SET segment = 'new' WHERE segment IS NULL",
    "ALTER TABLE users ADD INDEX idx_users_segment (segment)",
    "ALTER TABLE users RENAME COLUMN segment TO part",
    "ALTER TABLE readers ADD COLUMN user_id VARCHAR(24) CHARACTER SET utf8mb4",
    "ALTER TABLE readers ADD CONSTRAINT positive CHECK (id > 0)",
    "ALTER TABLE readers DROP COLUMN name",
    "RENAME TABLE readers TO audience",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_may_be_killed_anywhere() {
    cut_short_everywhere(Bed::without_topics).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_may_be_killed_anywhere_on_mariadb_too() {
    let mariadb = OwnMysql::mariadb().await;
    cut_short_everywhere(|| mariadb.instead(Bed::without_topics())).await;
}

async fn cut_short_everywhere(bed: impl Fn() -> Bed) {
    let up: String = STATEMENTS.iter().map(|statement| format!("{statement};\n")).collect();
    let own = Migration { version: "20990101000001", up: Box::leak(up.into_boxed_str()) };
    let last = Migration { version: "20990101000002", up: "ALTER TABLE audience ADD x INT;\n" };
    for executed in 0..=STATEMENTS.len() {
        let bed = bed();
        prepare(&bed.config.mysql).await.unwrap();
        for statement in &STATEMENTS[..executed] {
            bed.sql(statement).await;
        }
        let all = [projector::migrate::MIGRATIONS.as_slice(), &[own, last]].concat();
        if let Err(error) = migrate(&bed.config.mysql, &all).await {
            panic!("cut short after {executed} statements: {error}");
        }
        migrate(&bed.config.mysql, &all).await.unwrap();
        let recorded = "version LIKE '2099%'";
        assert_eq!(bed.count("__diesel_schema_migrations", recorded).await, 2);
        assert_eq!(bed.count("audience", "x IS NULL").await, 0);
        assert_eq!(bed.count("users", "part IS NULL").await, 0);
        // A later release's additions are nothing to an older projector.
        prepare(&bed.config.mysql).await.unwrap();
        bed.drop_database().await;
    }
}
