use garde::Validate;
use schemars::JsonSchema;
use serde::Deserialize;

/// The longest wait, in milliseconds: less than a request may take by default.
const LONGEST: u32 = 25_000;

/// Whether to wait until an event has come further.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
pub struct WaitForEvent {
    /// Answer once the event is that far, or the time is over.
    #[garde(skip)]
    pub wait: Option<Goal>,
    /// Longest wait in milliseconds.
    #[serde(default = "default_timeout")]
    #[garde(range(max = LONGEST))]
    pub timeout: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    Published,
    Applied,
}

fn default_timeout() -> u32 {
    5_000
}
