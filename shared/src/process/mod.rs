//! What every process needs to run: settings, logs, health, metrics, a clean
//! stop, and patience with servers that are away.

mod health;
mod metrics;
mod ops;
mod retry;
mod serve;
mod settings;
mod shutdown;
mod stranded;
mod telemetry;
mod transport;

pub use health::{Dependency, DependencyState, Health};
pub use metrics::registry;
pub use ops::{listen, ops_router, serve_ops};
pub use retry::{Failure, Interrupted, RetryPolicy, retry};
pub use serve::{ConnectionLimits, Stopping, serve};
pub use settings::{
    GroupSettings, KafkaSettings, LogFormat, LogSettings, MongoSettings, MysqlSettings, MysqlTls,
};
pub use shutdown::{Shutdown, shutdown_on_signal};
pub use stranded::Stranded;
pub use telemetry::start_telemetry;
pub use transport::{KafkaTransport, property_of};
