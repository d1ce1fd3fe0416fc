use schemars::JsonSchema;
use serde::Serialize;
use shared::watermark::Loss;

use crate::store::Doubt;

/// Why an event is not called applied although the projector is past it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct NotApplied {
    reason: DoubtReason,
    /// For people.
    detail: String,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DoubtReason {
    /// Records of its topic were deleted before the projector had read them, perhaps its own.
    /// It stays like that: look at the row.
    MayBeLost,
    /// MongoDB was put back to an earlier state, and readers may have seen a newer version of
    /// the entity, so that they drop this one. It is applied once the operator has repaired
    /// that.
    MayBeOutranked,
}

impl NotApplied {
    pub fn by(doubt: &Doubt) -> Self {
        match doubt {
            Doubt::MayBeLost(Loss { topic, partition, from_offset, to_offset, .. }) => Self {
                reason: DoubtReason::MayBeLost,
                detail: format!(
                    "offsets {from_offset} to {} of partition {partition} of {topic} were deleted unread",
                    to_offset - 1
                ),
            },
            Doubt::MayBeOutranked(rewound) => {
                Self { reason: DoubtReason::MayBeOutranked, detail: rewound.reason.clone() }
            }
        }
    }
}
