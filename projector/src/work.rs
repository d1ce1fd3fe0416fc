//! The task beside the loop: what it is given, one after the other, and what it answers.

use std::collections::BTreeMap;

use tokio::sync::mpsc;

use crate::batch::{Batch, Position};
use crate::checkup::Checkup;
use crate::record::Partition;
use crate::settle::{Settler, Unsettled};
use crate::tables::LossRow;

#[derive(Debug)]
pub(crate) enum Work {
    Settle(Batch),
    /// Ask MySQL what it knows, also while there is nothing to apply.
    Check(Checkup),
}

#[derive(Debug)]
pub(crate) enum Settled {
    Applied(BTreeMap<Partition, Position>),
    Checked(Vec<LossRow>),
    /// MySQL knows less than it was told: it was restored, failed over, or emptied. What it
    /// was to do is not done.
    Behind,
}

/// Ends with the process, or if the loop is gone.
pub(crate) async fn work(
    mut settler: Settler,
    mut works: mpsc::Receiver<Work>,
    done: mpsc::Sender<Settled>,
) {
    while let Some(work) = works.recv().await {
        // The rows are no longer needed, and are dropped once the loop knows: nobody waits.
        let (result, _rows) = match work {
            Work::Settle(mut batch) => {
                let positions = batch.positions().clone();
                let settled = settler.settle(&mut batch).await;
                (settled.map(|()| Settled::Applied(positions)), batch)
            }
            Work::Check(checkup) => {
                (settler.check(&checkup).await.map(Settled::Checked), Batch::default())
            }
        };
        let settled = match result {
            Ok(settled) => settled,
            Err(Unsettled::Behind) => Settled::Behind,
            Err(Unsettled::Stopped) => return,
        };
        if done.send(settled).await.is_err() {
            return;
        }
    }
}
