//! The tables of the database as they are, from the server's own catalogue.

use std::collections::BTreeMap;

use diesel::QueryResult;
use diesel::deserialize::QueryableByName;
use diesel::mysql::Mysql;
use diesel::sql_types::{BigInt, Bool, Nullable, Text};
use diesel_async::RunQueryDsl;

use crate::database::Connection;

#[derive(QueryableByName)]
pub(crate) struct FoundTable {
    #[diesel(sql_type = Text)]
    pub(crate) name: String,
    /// None: a view, or broken.
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) engine: Option<String>,
}

#[derive(QueryableByName)]
pub(crate) struct FoundColumn {
    #[diesel(sql_type = Text)]
    pub(crate) table_name: String,
    #[diesel(sql_type = Text)]
    pub(crate) name: String,
    /// As in `CREATE TABLE`: `varchar(20)`, `int unsigned`.
    #[diesel(sql_type = Text)]
    pub(crate) declared: String,
    #[diesel(sql_type = Text)]
    pub(crate) data_type: String,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub(crate) characters: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub(crate) bytes: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub(crate) fraction: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) character_set: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) collation: Option<String>,
    #[diesel(sql_type = Bool)]
    pub(crate) is_nullable: bool,
    /// By a default, a number of its own, or an expression.
    #[diesel(sql_type = Bool)]
    pub(crate) fills_itself: bool,
    #[diesel(sql_type = Bool)]
    pub(crate) is_numbered: bool,
    #[diesel(sql_type = Bool)]
    pub(crate) is_generated: bool,
}

#[derive(QueryableByName)]
pub(crate) struct FoundUnique {
    #[diesel(sql_type = Text)]
    pub(crate) table_name: String,
    #[diesel(sql_type = Text)]
    pub(crate) index_name: String,
    /// Separated by commas; a prefix with its length.
    #[diesel(sql_type = Text)]
    pub(crate) columns: String,
}

#[derive(QueryableByName)]
pub(crate) struct FoundForeignKey {
    #[diesel(sql_type = Text)]
    pub(crate) table_name: String,
    #[diesel(sql_type = Text)]
    pub(crate) name: String,
    #[diesel(sql_type = Text)]
    pub(crate) refers_to: String,
    #[diesel(sql_type = Text)]
    pub(crate) on_delete: String,
}

const FIND_TABLES: &str = "SELECT table_name AS name, engine AS engine \
    FROM information_schema.tables WHERE table_schema = DATABASE()";

const FIND_COLUMNS: &str = "SELECT table_name AS table_name, column_name AS name, \
    CAST(column_type AS CHAR) AS declared, LOWER(CAST(data_type AS CHAR)) AS data_type, \
    CAST(character_maximum_length AS SIGNED) AS characters, \
    CAST(character_octet_length AS SIGNED) AS bytes, \
    CAST(datetime_precision AS SIGNED) AS fraction, \
    character_set_name AS character_set, collation_name AS collation, \
    is_nullable = 'YES' AS is_nullable, \
    (column_default IS NOT NULL OR extra LIKE '%auto_increment%' \
        OR extra LIKE '%DEFAULT_GENERATED%' OR COALESCE(generation_expression, '') <> '') \
        AS fills_itself, extra LIKE '%auto_increment%' AS is_numbered, \
    COALESCE(generation_expression, '') <> '' AS is_generated \
    FROM information_schema.columns WHERE table_schema = DATABASE()";

const FIND_UNIQUE: &str = "SELECT table_name AS table_name, index_name AS index_name, \
    CAST(GROUP_CONCAT(CONCAT(COALESCE(column_name, '(expression)'), \
        COALESCE(CONCAT('(', sub_part, ')'), '')) ORDER BY seq_in_index SEPARATOR ', ') AS CHAR) \
        AS columns \
    FROM information_schema.statistics WHERE table_schema = DATABASE() AND non_unique = 0 \
    GROUP BY table_name, index_name";

const FIND_FOREIGN_KEYS: &str = "SELECT table_name AS table_name, constraint_name AS name, \
    referenced_table_name AS refers_to, delete_rule AS on_delete \
    FROM information_schema.referential_constraints WHERE constraint_schema = DATABASE()";

/// The database as it is.
pub(crate) struct Found {
    pub(crate) engines: BTreeMap<String, Option<String>>,
    pub(crate) columns: BTreeMap<String, Vec<FoundColumn>>,
    pub(crate) unique: Vec<FoundUnique>,
    pub(crate) foreign_keys: Vec<FoundForeignKey>,
}

async fn find<T>(connection: &mut Connection, query: &str) -> QueryResult<Vec<T>>
where
    T: QueryableByName<Mysql> + Send + 'static,
{
    diesel::sql_query(query).load(connection).await
}

impl Found {
    pub(crate) async fn read(connection: &mut Connection) -> QueryResult<Self> {
        let tables: Vec<FoundTable> = find(connection, FIND_TABLES).await?;
        let mut columns = BTreeMap::<String, Vec<FoundColumn>>::new();
        for column in find::<FoundColumn>(connection, FIND_COLUMNS).await? {
            columns.entry(column.table_name.clone()).or_default().push(column);
        }
        Ok(Self {
            engines: tables.into_iter().map(|table| (table.name, table.engine)).collect(),
            columns,
            unique: find(connection, FIND_UNIQUE).await?,
            foreign_keys: find(connection, FIND_FOREIGN_KEYS).await?,
        })
    }
}
