//! Migrations: any number of instances, any number of times, and as `schema.rs` says.

use std::collections::BTreeMap;

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Nullable, Text};
use projector::database;

use crate::bed::Bed;
use crate::own_mysql::OwnMysql;

#[tokio::test(flavor = "multi_thread")]
async fn many_instances_may_migrate_at_once_and_again() {
    let bed = Bed::without_topics();
    let migrating: Vec<_> = (0..4)
        .map(|_| {
            let settings = bed.config.mysql.clone();
            tokio::spawn(async move { database::prepare(&settings).await })
        })
        .collect();
    for migrated in migrating {
        migrated.await.unwrap().unwrap();
    }
    database::prepare(&bed.config.mysql).await.unwrap();
    assert_eq!(bed.count("__diesel_schema_migrations", "TRUE").await, 2);
    bed.drop_database().await;
}

/// A crash half-way leaves some of the tables: DDL commits by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_was_cut_short_is_finished() {
    let bed = Bed::without_topics();
    database::prepare(&bed.config.mysql).await.unwrap();
    bed.sql("DROP TABLE posts, tombstones; DELETE FROM __diesel_schema_migrations").await;
    database::prepare(&bed.config.mysql).await.unwrap();
    assert_eq!(bed.count("posts", "TRUE").await, 0);
    bed.drop_database().await;
}

#[derive(QueryableByName)]
struct Column {
    #[diesel(sql_type = Text)]
    table_name: String,
    #[diesel(sql_type = Text)]
    column_name: String,
    #[diesel(sql_type = Text)]
    data_type: String,
    #[diesel(sql_type = Nullable<BigInt>)]
    max_length: Option<i64>,
    #[diesel(sql_type = Text)]
    is_nullable: String,
    #[diesel(sql_type = Text)]
    column_key: String,
}

const COLUMNS: &str = "SELECT table_name AS table_name, column_name AS column_name, \
    LOWER(data_type) AS data_type, CAST(character_maximum_length AS SIGNED) AS max_length, \
    is_nullable AS is_nullable, column_key AS column_key \
    FROM information_schema.columns WHERE table_schema = DATABASE() \
    AND table_name NOT LIKE '\\\\_\\\\_%' ORDER BY table_name, ordinal_position";

#[tokio::test(flavor = "multi_thread")]
async fn schema_rs_agrees_with_the_migrations() {
    assert_schema_agrees(Bed::without_topics()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn schema_rs_agrees_with_the_migrations_on_mariadb_too() {
    let mariadb = OwnMysql::mariadb().await;
    assert_schema_agrees(mariadb.instead(Bed::without_topics())).await;
}

async fn assert_schema_agrees(bed: Bed) {
    database::prepare(&bed.config.mysql).await.unwrap();
    let mut tables = BTreeMap::<String, Vec<Column>>::new();
    for column in bed.rows::<Column>(COLUMNS).await {
        tables.entry(column.table_name.clone()).or_default().push(column);
    }
    let written = include_str!("../../src/schema.rs");
    let (_, written) = written.split_once("diesel::table!").unwrap();
    let (written, _) = written.split_once("diesel::joinable!").unwrap();
    let generated: Vec<_> = tables.iter().map(|(name, columns)| table(name, columns)).collect();
    let generated = generated.join("\n");
    assert_eq!(format!("diesel::table!{written}").trim(), generated.trim());
    bed.drop_database().await;
}

fn table(name: &str, columns: &[Column]) -> String {
    let key: Vec<_> = columns
        .iter()
        .filter(|column| column.column_key == "PRI")
        .map(|column| column.column_name.as_str())
        .collect();
    let columns: String = columns.iter().map(column).collect();
    format!("diesel::table! {{\n    {name} ({}) {{\n{columns}    }}\n}}\n", key.join(", "))
}

fn column(column: &Column) -> String {
    let sql_type = match column.data_type.as_str() {
        "varchar" => "Varchar",
        "text" => "Text",
        "mediumtext" => "Mediumtext",
        "datetime" => "Datetime",
        "bigint" => "Bigint",
        "int" => "Integer",
        "double" => "Double",
        // MariaDB's JSON is a text with a check.
        "json" | "longtext" => "Json",
        other => panic!("{}.{} is {other}", column.table_name, column.column_name),
    };
    let length = match (sql_type, column.max_length) {
        ("Varchar", Some(length)) => format!("        #[max_length = {length}]\n"),
        _ => String::new(),
    };
    let sql_type = match column.is_nullable.as_str() {
        "YES" => format!("Nullable<{sql_type}>"),
        _ => sql_type.to_owned(),
    };
    format!("{length}        {} -> {sql_type},\n", column.column_name)
}
