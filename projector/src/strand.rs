//! A task that watches whether the consumer has lost its brokers for good.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use shared::process::Stranded;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

const EVERY: Duration = Duration::from_secs(1);

/// Ends with the value.
pub(crate) struct Watch {
    is_stranded: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Watch {
    /// `has_broker` is kept by whoever hears of the consumer's connections.
    pub(crate) fn start(servers: &str, has_broker: Arc<AtomicBool>) -> Self {
        let is_stranded = Arc::<AtomicBool>::default();
        let (mut stranded, verdict) = (Stranded::new(servers), is_stranded.clone());
        let task = tokio::spawn(async move {
            let mut tick = interval(EVERY);
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tick.tick().await;
                if stranded.is_stranded(has_broker.load(Ordering::Relaxed)).await {
                    verdict.store(true, Ordering::Relaxed);
                }
            }
        });
        Self { is_stranded, task }
    }

    /// Whether the consumer is to be replaced. Says so once.
    pub(crate) fn is_stranded(&self) -> bool {
        self.is_stranded.swap(false, Ordering::Relaxed)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}
