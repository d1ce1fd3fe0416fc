use mysql_async::Conn;
use mysql_async::prelude::Queryable as _;
use serde::Serialize;
use shared::event::Domain;
use shared::process::MysqlSettings;

use super::report::Event;
use super::topics::Place;
use crate::servers;

/// What MySQL has of the event's entity.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Replica {
    pub row: Option<Row>,
    /// Of a row that is gone.
    pub tombstone: Option<Row>,
    /// Offset of the last record applied in the event's partition.
    pub progress: Option<i64>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Row {
    pub version: i64,
    /// The event that it shows: this one, or a later one.
    pub event_id: String,
}

impl Replica {
    /// Whether it shows this version, or a later one.
    pub fn reaches(&self, version: i64) -> bool {
        [&self.row, &self.tombstone].into_iter().flatten().any(|row| row.version >= version)
    }

    pub fn is_past(&self, place: &Place) -> bool {
        self.progress.is_some_and(|progress| progress >= place.offset)
    }
}

pub async fn read(
    settings: &MysqlSettings,
    event: &Event,
    place: Option<&Place>,
) -> mysql_async::Result<Replica> {
    let mut connection = servers::mysql(settings).get_conn().await?;
    let Some(domain) = Domain::from_topic(&event.topic) else {
        return Ok(Replica::default());
    };
    let (table, key) = (domain.collection(), domain.id_key());
    let row = format!("SELECT version, event_id FROM {table} WHERE {key} = ?");
    let gone = "SELECT version, event_id FROM tombstones WHERE domain = ? AND entity_id = ?";
    let row = one(&mut connection, &row, (&event.entity_id,)).await?;
    let tombstone = one(&mut connection, gone, (domain.topic(), &event.entity_id)).await?;
    let mut progress = None;
    if let Some(place) = place {
        let query = "SELECT `offset` FROM projection_progress WHERE topic = ? AND `partition` = ?";
        progress = connection.exec_first(query, (&place.topic, place.partition)).await?;
    }
    Ok(Replica { row, tombstone, progress })
}

async fn one(
    connection: &mut Conn,
    query: &str,
    parameters: impl Into<mysql_async::Params> + Send,
) -> mysql_async::Result<Option<Row>> {
    let found: Option<(i64, String)> = connection.exec_first(query, parameters.into()).await?;
    Ok(found.map(|(version, event_id)| Row { version, event_id }))
}
