//! When do the answered writes show in MySQL?

use std::collections::BTreeMap;
use std::time::Duration;

use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Params, Pool, Value as Sql};
use shared::event::Domain;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Between two looks: no figure is truer than this.
const LOOK: Duration = Duration::from_millis(2);
/// How long a row is waited for.
const LONGEST: Duration = Duration::from_secs(30);
/// At most so many are looked for in one statement.
const AT_ONCE: usize = 100;

/// A write that was answered and shall show as this version of its row, or a later one.
#[derive(Debug, Clone)]
pub struct Awaited {
    domain: Domain,
    id: String,
    version: i64,
    due: Instant,
    answered: Instant,
}

#[derive(Debug, Default)]
pub struct Arrivals {
    /// From the HTTP answer to the first look that saw the row.
    pub after_answer: Vec<Duration>,
    /// From when the request was due to that look.
    pub end_to_end: Vec<Duration>,
    /// Not seen within 30 s.
    pub unseen: u64,
}

impl Awaited {
    /// From the document in an answer; nothing where there is none.
    pub fn read(domain: Domain, body: &str, due: Instant, answered: Instant) -> Option<Self> {
        let document: serde_json::Value = serde_json::from_str(body).ok()?;
        Some(Self {
            domain,
            id: document["id"].as_str()?.to_owned(),
            version: document["version"].as_i64()?,
            due,
            answered,
        })
    }
}

/// Looks until all senders are gone and everything was seen or waited for in vain.
///
/// # Errors
/// Where MySQL cannot be asked.
pub async fn watch(
    pool: Pool,
    mut incoming: mpsc::Receiver<Awaited>,
) -> mysql_async::Result<Arrivals> {
    let mut connection = pool.get_conn().await?;
    let mut arrivals = Arrivals::default();
    let mut pending: Vec<Awaited> = Vec::new();
    loop {
        if pending.is_empty() {
            match incoming.recv().await {
                Some(awaited) => pending.push(awaited),
                None => return Ok(arrivals),
            }
        }
        while let Ok(awaited) = incoming.try_recv() {
            pending.push(awaited);
        }
        for domain in Domain::ALL {
            let found = look(&mut connection, domain, &pending).await?;
            let now = Instant::now();
            pending.retain(|it| {
                let is_there = it.domain == domain
                    && found.get(&it.id).is_some_and(|version| *version >= it.version);
                if is_there {
                    arrivals.after_answer.push(now - it.answered);
                    arrivals.end_to_end.push(now - it.due);
                }
                !is_there
            });
        }
        let before = pending.len();
        pending.retain(|it| it.answered.elapsed() < LONGEST);
        arrivals.unseen += (before - pending.len()) as u64;
        tokio::time::sleep(LOOK).await;
    }
}

async fn look(
    connection: &mut Conn,
    domain: Domain,
    pending: &[Awaited],
) -> mysql_async::Result<BTreeMap<String, i64>> {
    let wanted = pending.iter().filter(|it| it.domain == domain).take(AT_ONCE);
    let ids: Vec<Sql> = wanted.map(|it| Sql::from(it.id.as_str())).collect();
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let (table, key) = (domain.collection(), domain.id_key());
    let places = vec!["?"; ids.len()].join(", ");
    let query = format!("SELECT {key}, version FROM {table} WHERE {key} IN ({places})");
    let rows: Vec<(String, i64)> = connection.exec(query, Params::Positional(ids)).await?;
    Ok(rows.into_iter().collect())
}
