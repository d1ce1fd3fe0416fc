//! What differs is mended by the ordinary pipeline: the document is written again.

use std::time::Instant;

use shared::Id;

use super::examine::{BATCH, examine};
use super::suspicion::Suspicion;
use super::verifier::{Compared, Patience, Verifier};
use super::{LAG, VerifyError};
use crate::rewrite::{Rewriter, Target};

/// Writes what differs again, and looks whether its rows follow.
///
/// # Errors
/// Where a server cannot be reached; what was written stays.
pub async fn repair(
    verifier: &Verifier,
    rewriter: &Rewriter,
    compared: Compared,
) -> Result<Compared, VerifyError> {
    let started = Instant::now();
    let suspicions = compared.suspicions;
    let differing: usize = suspicions.iter().map(|suspicion| suspicion.ids.len()).sum();
    verifier.progress.restart(differing as u64);
    verifier.progress.stage("writing again");
    rewriter.prepare().await?;
    let (mut written, mut refused) = (0_u64, 0_u64);
    for suspicion in &suspicions {
        for suspects in suspicion.ids.chunks(BATCH) {
            let ids: Vec<Id> = suspects.iter().map(|suspect| suspect.id).collect();
            let targets = targets(verifier, suspicion, &ids).await?;
            for (id, outcome) in rewriter.rewrite(suspicion.shape.domain, targets).await? {
                match outcome {
                    Ok(()) => written += 1,
                    Err(why) => {
                        refused += 1;
                        tracing::warn!(table = suspicion.shape.table.name, %id, %why, "not repaired");
                    }
                }
            }
            verifier.progress.advance(suspects.len() as u64);
        }
    }
    tracing::info!(written, refused, "written again");
    verifier.settle(suspicions, Patience::OnItsWay(LAG), started).await
}

/// Those of `ids` that differ still, each with the version that must be outranked.
async fn targets(
    verifier: &Verifier,
    suspicion: &Suspicion,
    ids: &[Id],
) -> Result<Vec<Target>, VerifyError> {
    let shape = suspicion.shape;
    let found = examine(shape, &verifier.documents, &verifier.rows, ids).await?;
    let deleted = verifier.rows.deleted(shape, ids).await?;
    let target = |(id, finding): (&Id, super::Finding)| {
        let remembered = deleted.get(&id.to_string()).copied().unwrap_or(0);
        let above = finding.row_version().max(remembered);
        (!finding.differences.is_empty()).then_some(Target { id: *id, above })
    };
    Ok(ids.iter().zip(found).filter_map(target).collect())
}
