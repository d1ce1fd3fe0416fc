//! What is under way, and what is next with it.

use tokio::sync::{mpsc, oneshot};

use super::{Stage, UnderWay};
use crate::ahead::Waiting;
use crate::publish::{Outcome, Portion};
use crate::session::Ended;

/// What there is to be done with what is under way.
pub enum Turn {
    /// The oldest transaction is over.
    Ended(Box<Outcome>),
    /// The newest one takes another portion.
    Room,
    /// All of it is sent: the next one may begin.
    Delivered,
}

async fn has_room(more: Option<&mpsc::Sender<Portion>>) -> bool {
    match more {
        Some(more) => more.reserve().await.is_ok(),
        None => false,
    }
}

/// Whether it came to that; told once.
async fn delivered(told: &mut Option<oneshot::Receiver<()>>) -> bool {
    let Some(telling) = told else {
        return std::future::pending().await;
    };
    let done = telling.await.is_ok();
    *told = None;
    done
}

impl Stage<'_> {
    pub fn is_idle(&self) -> bool {
        self.under_way.is_none()
    }

    /// Whether the next transaction may begin. A backlog gains nothing by two at a time, and
    /// would need memory for both.
    pub(super) fn takes_next(&self, ahead: Waiting) -> bool {
        match (&self.under_way, ahead) {
            (_, Waiting::Nothing) => false,
            (None, _) => true,
            (Some(newest), Waiting::Events) => self.before.is_none() && newest.is_delivered,
            (Some(_), Waiting::Full) => false,
        }
    }

    pub(super) fn events_under_way(&self) -> usize {
        self.before.iter().chain(&self.under_way).map(|under_way| under_way.events).sum()
    }

    /// What is next with what is under way, so much being ahead; waits for ever where that
    /// is nothing. Dropping it loses nothing. An outcome must be given to
    /// [`Stage::settle`].
    ///
    /// # Errors
    /// Where a publishing thread panicked.
    pub async fn turn(&mut self, ahead: Waiting) -> Result<Turn, Ended> {
        let Some(UnderWay { running, is_delivered, more, .. }) = &mut self.under_way else {
            return std::future::pending().await;
        };
        let is_alone = self.before.is_none();
        let oldest = match &mut self.before {
            Some(before) => &mut before.running.outcome,
            None => &mut running.outcome,
        };
        tokio::select! {
            biased;
            outcome = oldest => {
                outcome.map(Box::new).map(Turn::Ended).map_err(|_| Ended::PublisherGone)
            }
            true = has_room(more.as_ref()), if ahead == Waiting::Full => Ok(Turn::Room),
            done = delivered(&mut running.delivered), if is_alone && ahead == Waiting::Events => {
                *is_delivered = done;
                Ok(Turn::Delivered)
            }
        }
    }

    /// Waits for what is under way. No portion is added to it.
    ///
    /// # Errors
    /// Where it was not committed.
    pub async fn finish(&mut self) -> Result<(), Ended> {
        while let Some(newest) = &mut self.under_way {
            newest.more = None;
            let outcome = self.outcome().await?;
            self.settle(outcome).await?;
        }
        Ok(())
    }

    /// Of the oldest transaction under way, of which there must be one.
    pub(super) async fn outcome(&mut self) -> Result<Outcome, Ended> {
        let oldest = self.before.as_mut().or(self.under_way.as_mut());
        let outcome = &mut oldest.ok_or(Ended::PublisherGone)?.running.outcome;
        outcome.await.map_err(|_| Ended::PublisherGone)
    }
}
