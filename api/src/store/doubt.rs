//! What a watermark proves of offsets and does not prove of rows.

use shared::watermark::{Loss, Rewound};

use super::Store;
use super::timeline::Recorded;
use super::watermarks::Watermarks;
use crate::http::ApiError;

/// Why the projector may have passed an event without applying it.
#[derive(Debug, Clone, PartialEq)]
pub enum Doubt {
    /// Its record may have been deleted from the topic unread.
    MayBeLost(Loss),
    /// MongoDB went back in time, and readers may have seen a newer version.
    MayBeOutranked(Rewound),
}

impl Store {
    /// Whether the projector, when it passed the event, may not have applied it.
    pub(super) async fn doubt(
        &self,
        recorded: &Recorded,
        watermarks: &Watermarks,
    ) -> Result<Option<Doubt>, ApiError> {
        let event = &recorded.event;
        for loss in watermarks.losses(&event.topic, &event.entity_id) {
            let is_later = event.inserted_at.is_some_and(|inserted| inserted > loss.through);
            if is_later {
                continue;
            }
            let was_applied = match loss.after {
                Some(after) => self.held(recorded, after).await?,
                None => false,
            };
            if !was_applied {
                return Ok(Some(Doubt::MayBeLost(loss.clone())));
            }
        }
        // Readers have never seen an entity's first version, whatever else they have seen.
        let rewound = watermarks.rewound().filter(|_| event.version > 1);
        Ok(rewound.map(|rewound| Doubt::MayBeOutranked(rewound.clone())))
    }
}
