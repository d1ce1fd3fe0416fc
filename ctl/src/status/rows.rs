use std::collections::BTreeMap;
use std::time::Duration;

use mysql_async::prelude::Queryable as _;
use shared::event::Domain;
use shared::process::MysqlSettings;
use tokio::time::{Instant, timeout_at};

use crate::servers;

/// For all tables together. Those that are not counted by then are absent.
const COUNTING: Duration = Duration::from_secs(2);

/// # Errors
/// Where MySQL does not answer, or refuses.
pub async fn read(settings: &MysqlSettings) -> mysql_async::Result<BTreeMap<Domain, u64>> {
    let mut connection = servers::mysql(settings).get_conn().await?;
    let deadline = Instant::now() + COUNTING;
    let mut rows = BTreeMap::new();
    for domain in Domain::ALL {
        let query = format!("SELECT COUNT(*) FROM {}", domain.collection());
        match timeout_at(deadline, connection.query_first(query)).await {
            Ok(count) => rows.insert(domain, count?.unwrap_or(0)),
            Err(_) => break,
        };
    }
    Ok(rows)
}
