//! The edge: what comes in is parsed into types or refused, what goes out is one
//! envelope.

mod bounds;
pub(crate) mod browsers;
mod correlation;
mod details;
mod errors;
mod extract;
pub(crate) mod identity;
mod listed;
mod observe;
mod precondition;
mod reading;
mod respond;

pub use bounds::{AnswerBy, Bounds, bound};
pub use correlation::keep_well_formed;
pub use details::Details;
pub use errors::{ApiError, Envelope};
pub use extract::{Asked, Body, Creation, EntityId, EventId, OptionalBody, Query};
pub use identity::{CallingParty, CallingSupplier, CallingUser, MaybeCallingSupplier};
pub use listed::Listed;
pub use observe::observe;
pub use precondition::Expected;
pub use respond::{Created, Deleted, Found, Written};
