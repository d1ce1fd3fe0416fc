//! That MongoDB went back in time, as a relay has noted it: once a repair has brought all
//! documents above the versions that readers have seen, the note is removed.

use bson::{RawDocumentBuf, doc};
use mongodb::Database;
use mongodb::error::Result;
use mongodb::options::{ReadConcern, WriteConcern};
use shared::watermark::{COLLECTION, REWOUND, Rewound, field};

/// The note; `None` if there is none.
///
/// # Errors
/// If MongoDB is away or the note is damaged.
pub async fn noted(database: &Database) -> Result<Option<Rewound>> {
    let watermarks = database.collection::<RawDocumentBuf>(COLLECTION);
    let finding = watermarks.find_one(doc! { field::SHARD: REWOUND });
    let stored = finding.read_concern(ReadConcern::majority()).await?;
    let note = stored.map(|stored| bson::deserialize_from_slice(stored.as_bytes()));
    Ok(note.transpose()?)
}

/// Removes this note, and none that a relay has made since.
///
/// # Errors
/// If MongoDB is away.
pub async fn repaired(database: &Database, note: &Rewound) -> Result<()> {
    let watermarks = database.collection::<RawDocumentBuf>(COLLECTION);
    let same = doc! { field::SHARD: REWOUND, field::NOTICED_AT: note.noticed_at };
    let removing = watermarks.delete_one(same).write_concern(WriteConcern::majority());
    if removing.await?.deleted_count > 0 {
        tracing::info!("all documents outrank their rows again: MongoDbWentBack is over");
    }
    Ok(())
}
