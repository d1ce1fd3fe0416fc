//! What Kafka loses: records that were not read, and the positions of those who read.

use std::time::Duration;

use ::mongodb::bson::{Document, doc};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;

use super::{Aftermath, NOTICE, noticed};
use crate::chaos::check::delete_unread;
use crate::chaos::fleet::Fleet;
use crate::eventually;

/// For a projector to stop by itself.
const GRACE: Duration = Duration::from_secs(30);

impl Fleet {
    pub(super) async fn delete_offsets(&self, lasts: Duration) {
        self.stop_projectors().await;
        let environment = self.environment();
        let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
            .set("bootstrap.servers", &environment["KAFKA_BOOTSTRAP_SERVERS"])
            .create()
            .expect("an admin client");
        let group = environment["KAFKA_GROUP_ID"].as_str();
        eventually("the group is deleted", NOTICE, async || {
            let deleted = admin.delete_groups(&[group], &AdminOptions::new()).await;
            let deleted = deleted.map_err(|error| error.to_string())?;
            deleted.into_iter().try_for_each(|it| it.map(drop).map_err(|it| format!("{it:?}")))
        })
        .await;
        tokio::time::sleep(lasts).await;
        self.start_projectors().await;
    }

    pub(super) async fn delete_records(
        &self,
        after: Duration,
        aftermath: &mut Aftermath,
    ) -> (String, Option<String>) {
        // What they have applied, they have committed, when they stop by themselves.
        self.stop_projectors().await;
        tokio::time::sleep(after).await;
        let deleted = delete_unread(self.environment()).await;
        self.start_projectors().await;
        let unread: usize = deleted.unread.values().sum();
        let lost = format!("{unread} records of {} partitions", deleted.unread.len());
        let places = deleted.unread.keys();
        let reported = noticed(async || {
            let named = self.losses_named().await;
            let all = places.clone().all(|place| named.contains(place));
            all.then(|| format!("{} losses, by topic and partition", named.len()))
        });
        let reported = reported.await;
        aftermath.losses.delete(deleted.records);
        let replay = ["replay", "--same-version"];
        aftermath.helps("replay --same-version", self.outboxctl(&replay).await);
        aftermath.losses.replay();
        (lost, reported)
    }

    /// Topics and partitions of which the product says that records were lost unread.
    async fn losses_named(&self) -> Vec<(String, i32)> {
        let watermarks = self.watermarks(doc! { "lost": { "$exists": true } }).await;
        let losses = watermarks.iter().filter_map(|it| it.get_array("lost").ok()).flatten();
        let losses = losses.filter_map(|loss| loss.as_document());
        let place = |loss: &Document| {
            let topic = loss.get_str("topic").ok()?.to_owned();
            Some((topic, loss.get_i32("partition").ok()?))
        };
        losses.filter_map(place).collect()
    }

    async fn stop_projectors(&self) {
        for projector in &self.projectors {
            projector.lock().await.stop(GRACE).await;
        }
    }

    async fn start_projectors(&self) {
        for projector in &self.projectors {
            projector.lock().await.restart();
        }
        self.wait_until_ready().await;
    }
}
