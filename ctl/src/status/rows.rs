use std::collections::BTreeMap;

use mysql_async::prelude::Queryable as _;
use shared::event::Domain;
use shared::process::MysqlSettings;

use crate::servers;

pub async fn read(settings: &MysqlSettings) -> mysql_async::Result<BTreeMap<Domain, u64>> {
    let mut connection = servers::mysql(settings).get_conn().await?;
    let mut rows = BTreeMap::new();
    for domain in Domain::ALL {
        let query = format!("SELECT COUNT(*) FROM {}", domain.collection());
        let count: Option<u64> = connection.query_first(query).await?;
        rows.insert(domain, count.unwrap_or(0));
    }
    Ok(rows)
}
