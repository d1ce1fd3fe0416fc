//! MongoDB put back to an earlier copy: acknowledged writes are lost.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ::mongodb::Client;
use ::mongodb::bson::{Document, doc};
use futures::TryStreamExt;

use super::{Aftermath, NOTICE, noticed};
use crate::chaos::check::{Key, check_writes, key, versions};
use crate::chaos::fault::Server;
use crate::chaos::fleet::Fleet;
use crate::chaos::ledger::{Acknowledged, How, Ledger};
use crate::chaos::load::Load;
use crate::eventually;

impl Fleet {
    pub(super) async fn restore_mongodb(
        &self,
        after: Duration,
        load: Load,
        ledger: &Arc<Ledger>,
        aftermath: &mut Aftermath,
    ) -> (String, Option<String>, Load) {
        let mongodb = Server::Mongodb.name();
        let lines = || Ledger::read(ledger.path()).len();
        let paused = load.pause().await;
        let (owned, copied) = (paused.owned(), lines());
        self.servers.copy_data(mongodb).await;
        let load = paused.resume();
        tokio::time::sleep(after).await;
        let mut paused = load.pause().await;
        let restored = lines();
        self.servers.put_back(mongodb).await;
        self.wait_until_ready().await;

        // Exactly the writes since the copy are gone.
        aftermath.losses.roll_back(copied..restored);
        let lines = Ledger::read(ledger.path());
        let kept = aftermath.losses.kept(&lines);
        aftermath.findings.add(check_writes(&kept, self.environment()).await);
        let reported = noticed(async || {
            let said = self.watermarks(doc! { "_id": "rewound" }).await;
            Some(said.first()?.get_str("reason").unwrap_or("it went back").to_owned())
        });
        let reported = reported.await;
        self.wait_until_nothing_lags().await;
        aftermath.helps("replay", self.outboxctl(&["replay"]).await);
        let repair = ["verify", "--repair", "--wait", "60"];
        aftermath.helps("verify --repair", self.outboxctl(&repair).await);
        aftermath.losses.replay();

        let versions = versions(self.environment()).await;
        for write in stand(&kept, &versions) {
            ledger.append(&write);
        }
        let version = |id: &str| {
            versions.iter().find(|((_, known), _)| known == id).map(|(_, version)| *version)
        };
        paused.roll_back(owned, version);
        let lost = format!("{} acknowledged writes", restored - copied);
        (lost, reported, paused.resume())
    }

    /// What the topics still hold of lost writes would bring their rows back.
    async fn wait_until_nothing_lags(&self) {
        eventually("the projectors have no lag", NOTICE, async || {
            let mut lag = 0.0;
            for projector in &self.projectors {
                lag += projector.lock().await.metrics().await.sum("projector_consumer_lag");
            }
            if lag == 0.0 { Ok(()) } else { Err(lag.to_string()) }
        })
        .await;
    }

    pub(super) async fn watermarks(&self, filter: Document) -> Vec<Document> {
        let environment = self.environment();
        let Ok(client) = Client::with_uri_str(&environment["MONGODB_URL"]).await else {
            return Vec::new();
        };
        let database = client.database(&environment["DATABASE_NAME"]);
        let found = database.collection::<Document>("watermarks").find(filter).await;
        let Ok(found) = found else { return Vec::new() };
        found.try_collect().await.unwrap_or_default()
    }
}

/// Where each entity stands now, as a line of the ledger: what its last write set still
/// holds, at the version that the document has.
fn stand(kept: &[&Acknowledged], versions: &BTreeMap<Key, i64>) -> Vec<Acknowledged> {
    let mut last = BTreeMap::new();
    for &write in kept {
        let known = last.entry(key(write)).or_insert(write);
        if write.version >= known.version {
            *known = write;
        }
    }
    let moved = last.into_iter().filter_map(|(key, write)| {
        let version = *versions.get(&key)?;
        (version > write.version).then(|| Acknowledged {
            version,
            event_id: None,
            how: How::Restored,
            ..write.clone()
        })
    });
    moved.collect()
}
