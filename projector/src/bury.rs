//! Dead letters, sent for as long as it takes.

use shared::process::RetryPolicy;

use crate::blockade::Cause;
use crate::dead_letter::Kept;
use crate::poison::Poison;
use crate::record::Record;
use crate::settle::{Settler, Unsettled};

impl Settler {
    pub(crate) async fn bury(&mut self, record: &Record, poison: &Poison) -> Result<(), Unsettled> {
        let mut waits = RetryPolicy::default().waits();
        let kept = loop {
            let error = match self.dead_letters.send(record, poison).await {
                Ok(kept) => break kept,
                Err(error) => error,
            };
            let reason = format!("the dead-letter topic does not take a letter: {error}");
            self.blockade.stand(Cause::DeadLetter, &self.kafka, &reason);
            self.pause(waits.next().unwrap_or_default()).await?;
            // Somebody may have deleted it.
            if let Err(error) = self.dead_letters.ensure_topic().await {
                let reason = format!("the dead-letter topic is not there: {error}");
                self.blockade.stand(Cause::DeadLetter, &self.kafka, &reason);
            }
        };
        self.blockade.lift(&self.kafka);
        self.metrics.dead_letters.with_label_values(&[poison.reason.as_str()]).inc();
        // Not the error: it may quote the record.
        tracing::warn!(
            reason = poison.reason.as_str(),
            topic = &*record.partition.topic,
            partition = record.partition.partition,
            offset = record.offset,
            is_whole = kept == Kept::Whole,
            "dead letter"
        );
        Ok(())
    }
}
