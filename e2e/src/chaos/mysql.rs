//! A MySQL that refuses or delays what is written to it, for reasons that are not a
//! record's: tables that drifted from the projector's migrations, rights, limits, locks.

use std::time::Duration;

use mysql_async::prelude::Queryable;

use super::fault::{Drift, Hindrance};
use super::fleet::Fleet;
use crate::{Rows, eventually};

/// For a change to be made or undone: it waits for the statements that run, and for a
/// MySQL that is on its way up.
const SOON: Duration = Duration::from_secs(60);

impl Fleet {
    pub(super) async fn drift(&self, drift: Drift, lasts: Duration) {
        let rows = Rows::new(self.environment());
        eventually("the table is changed", SOON, async || {
            let statement = change(drift, &rows).await?;
            run(&rows, &statement).await
        })
        .await;
        tokio::time::sleep(lasts).await;
        eventually("the table is repaired", SOON, async || run(&rows, repair(drift)).await).await;
    }

    pub(super) async fn hinder(&self, hindrance: Hindrance, lasts: Duration) {
        let account = self.environment()["MYSQL_USER"].as_str();
        let (hinder, undo) = match hindrance {
            Hindrance::LockedTable => return self.lock_table(lasts).await,
            Hindrance::RevokedInsert => {
                let on = format!("INSERT ON `{}%`.*", self.servers.mysql_database());
                (
                    format!("REVOKE {on} FROM '{account}'@'%'"),
                    format!("GRANT {on} TO '{account}'@'%'"),
                )
            }
            Hindrance::ReadOnly => (global("read_only = 1"), global("read_only = 0")),
            Hindrance::SmallPacket => {
                (global("max_allowed_packet = 1024"), global("max_allowed_packet = DEFAULT"))
            }
        };
        self.as_root(&hinder).await;
        tokio::time::sleep(lasts).await;
        self.as_root(&undo).await;
    }

    /// Ends all connections of the account: what is known of its rights, and of the
    /// server's limits, is known for as long as a connection lives.
    async fn as_root(&self, statement: &str) {
        let account = &self.environment()["MYSQL_USER"];
        let connections =
            format!("SELECT id FROM information_schema.processlist WHERE user = '{account}'");
        eventually(statement, SOON, async || {
            self.servers.sql_as_root(statement).await?;
            for id in self.servers.sql_as_root(&connections).await?.lines() {
                // It may have ended by itself since.
                self.servers.sql_as_root(&format!("KILL {id}")).await.ok();
            }
            Ok(())
        })
        .await;
    }

    async fn lock_table(&self, lasts: Duration) {
        let rows = Rows::new(self.environment());
        let text = |error: mysql_async::Error| error.to_string();
        let connection = eventually("the table is locked", SOON, async || {
            let mut connection = rows.connect().await.map_err(text)?;
            connection.query_drop("LOCK TABLES users WRITE").await.map_err(text)?;
            Ok(connection)
        })
        .await;
        tokio::time::sleep(lasts).await;
        // The locks go with it, also where the server has ended it meanwhile.
        connection.disconnect().await.ok();
    }
}

fn global(assignment: &str) -> String {
    format!("SET GLOBAL {assignment}")
}

async fn run(rows: &Rows, statement: &str) -> Result<(), String> {
    let text = |error: mysql_async::Error| error.to_string();
    let mut connection = rows.connect().await.map_err(text)?;
    // The projector writes all the time: let it get its turn, and try again.
    connection.query_drop("SET SESSION lock_wait_timeout = 2").await.map_err(text)?;
    connection.query_drop(statement).await.map_err(text)?;
    connection.disconnect().await.map_err(text)
}

/// What is there obeys it; what comes does not.
async fn change(drift: Drift, rows: &Rows) -> Result<String, String> {
    Ok(match drift {
        Drift::AddedNotNullColumn => {
            "ALTER TABLE posts ADD COLUMN segment VARCHAR(20) NOT NULL".to_owned()
        }
        // Nothing of the load fills it, so nothing is lost with it.
        Drift::DroppedColumn => "ALTER TABLE suppliers DROP COLUMN facebook_url".to_owned(),
        Drift::NarrowedColumn => {
            let sql = "SELECT MAX(CHAR_LENGTH(display_name)) AS longest FROM users";
            let found = rows.query(sql).await?;
            let longest = found.first().and_then(|row| row.get("longest")).ok_or("no users")?;
            format!("ALTER TABLE users MODIFY display_name VARCHAR({longest}) NOT NULL")
        }
        Drift::RenamedTable => "RENAME TABLE products TO products_elsewhere".to_owned(),
        Drift::AddedCheck => {
            let found = rows.query("SELECT UTC_TIMESTAMP(6) AS now").await?;
            let now = found.first().and_then(|row| row.get("now")).ok_or("no time")?;
            format!("ALTER TABLE posts ADD CONSTRAINT early CHECK (updated_at < '{now}')")
        }
    })
}

fn repair(drift: Drift) -> &'static str {
    match drift {
        Drift::AddedNotNullColumn => "ALTER TABLE posts DROP COLUMN segment",
        Drift::DroppedColumn => {
            "ALTER TABLE suppliers ADD COLUMN facebook_url MEDIUMTEXT AFTER support_phone"
        }
        Drift::NarrowedColumn => "ALTER TABLE users MODIFY display_name VARCHAR(255) NOT NULL",
        Drift::RenamedTable => "RENAME TABLE products_elsewhere TO products",
        Drift::AddedCheck => "ALTER TABLE posts DROP CONSTRAINT early",
    }
}
