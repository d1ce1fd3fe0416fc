//! The relay's watermarks, and one reader of them for all who wait.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::TryStreamExt;
use mongodb::Collection;
use mongodb::bson::{self, RawDocumentBuf, Timestamp as ClusterTime, doc};
use shared::Shard;
use shared::process::RetryPolicy;
use shared::watermark::{Loss, Rewound, Watermark};
use tokio::sync::watch;

use super::Store;
use crate::http::ApiError;

/// How often the watermarks are read while somebody waits: half as long as the relay's
/// shortest time between two.
const EVERY: Duration = Duration::from_millis(25);

/// What the shards say, former divisions' included.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Watermarks {
    shards: Vec<Watermark>,
    rewound: Option<Rewound>,
}

/// What the relay's shards report, by their names and in their order; `None` of one that
/// has not reported yet. Empty where nobody ever has.
pub type Division = Vec<(String, Option<Watermark>)>;

impl Watermarks {
    /// The shards of the newest report's division: what a former one left says nothing of
    /// now.
    pub fn division(self) -> Division {
        let newest = self.shards.iter().max_by_key(|watermark| watermark.at);
        let newest = newest.and_then(|watermark| watermark.shard.parse::<Shard>().ok());
        let Some(count) = newest.map(Shard::count) else {
            return Vec::new();
        };
        let mut by_name: BTreeMap<String, Watermark> =
            self.shards.into_iter().map(|watermark| (watermark.shard.clone(), watermark)).collect();
        let names = (0..count).map(|index| format!("{index}/{count}"));
        names.map(|name| (name.clone(), by_name.remove(&name))).collect()
    }

    /// The one that knows most of what is published of this entity's shard. A shard of a
    /// former division says less than one of today's, but nothing untrue.
    pub fn published(&self, entity_id: &str) -> Option<&Watermark> {
        let concerned = self.shards.iter().filter(|watermark| watermark.concerns(entity_id));
        concerned.max_by_key(|watermark| watermark.published_through)
    }

    /// The one that knows most of what is applied, and up to when that is.
    pub fn applied(&self, entity_id: &str) -> Option<(&Watermark, ClusterTime)> {
        let concerned = self.shards.iter().filter(|watermark| watermark.concerns(entity_id));
        let known = concerned.filter_map(|it| it.applied_through.map(|through| (it, through)));
        known.max_by_key(|(_, through)| *through)
    }

    /// What was deleted unread of this entity's shard and topic, which is the contract's
    /// name: the name on the cluster ends with it.
    pub fn losses(&self, topic: &str, entity_id: &str) -> impl Iterator<Item = &Loss> {
        let concerned = self.shards.iter().filter(move |it| it.concerns(entity_id));
        let losses = concerned.flat_map(|watermark| &watermark.lost);
        losses.filter(move |loss| loss.topic.ends_with(topic))
    }

    /// That MongoDB went back in time, until that is repaired.
    pub fn rewound(&self) -> Option<&Rewound> {
        self.rewound.as_ref()
    }
}

/// Reads the watermarks again and again, as long as somebody waits. Cheap to clone.
#[derive(Clone)]
pub struct Watermarking {
    collection: Collection<RawDocumentBuf>,
    /// The reader's, while it runs.
    reader: Arc<Mutex<Option<watch::Sender<Watermarks>>>>,
}

impl Watermarking {
    pub(super) fn new(collection: Collection<RawDocumentBuf>) -> Self {
        Self { collection, reader: Arc::default() }
    }

    pub(super) async fn read(&self) -> mongodb::error::Result<Watermarks> {
        let stored: Vec<_> = self.collection.find(doc! {}).await?.try_collect().await?;
        let mut read = Watermarks::default();
        for stored in &stored {
            if Watermark::is_rewound(stored) {
                read.rewound = Some(bson::deserialize_from_slice(stored.as_bytes())?);
                continue;
            }
            match Watermark::parse(stored) {
                Ok(watermark) => read.shards.push(watermark),
                Err(error) => tracing::debug!(%error, "passed over"),
            }
        }
        Ok(read)
    }

    /// Told of every change from now on. Who asks first starts the reader, which ends when
    /// the last one has stopped listening.
    fn listen(&self) -> watch::Receiver<Watermarks> {
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = reader.as_ref() {
            let mut receiver = sender.subscribe();
            // What was read since the caller looked for himself is a change to him.
            receiver.mark_changed();
            return receiver;
        }
        let (sender, receiver) = watch::channel(Watermarks::default());
        *reader = Some(sender.clone());
        tokio::spawn(self.clone().report(sender));
        receiver
    }

    async fn report(self, sender: watch::Sender<Watermarks>) {
        let mut waits = RetryPolicy { initial: EVERY, max: Duration::from_secs(1) }.waits();
        while !self.is_over(&sender) {
            let wait = match self.read().await {
                Ok(read) => {
                    sender.send_if_modified(|known| {
                        let changed = *known != read;
                        *known = read;
                        changed
                    });
                    EVERY
                }
                Err(error) => {
                    // Whether MongoDB is there is said by whoever watches it.
                    tracing::debug!(%error, "watermarks not read");
                    waits.next().unwrap_or(EVERY)
                }
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// Nobody listens any more; whoever comes next starts another reader.
    fn is_over(&self, sender: &watch::Sender<Watermarks>) -> bool {
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let over = sender.receiver_count() == 0;
        if over {
            *reader = None;
        }
        over
    }
}

impl Store {
    /// # Errors
    /// Where MongoDB is away.
    pub async fn watermarks(&self) -> Result<Watermarks, ApiError> {
        let watermarking = self.watermarking.clone();
        self.in_time(async move { Ok(watermarking.read().await?) }).await
    }

    /// Told of every change of the watermarks from now on.
    pub fn watermark_changes(&self) -> watch::Receiver<Watermarks> {
        self.watermarking.listen()
    }
}
