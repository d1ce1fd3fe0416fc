//! One comparison: a pass over everything, then closer and closer looks at what
//! seemed to differ in it.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::compare::compare;
use super::range::Range;
use super::replica::Rows;
use super::report::{Report, Tables};
use super::shape::Shape;
use super::source::Documents;
use super::suspicion::{Room, Suspicion};
use super::{AGAIN, VerifyError, merge};
use crate::terminal::Progress;

/// Ranges for each that is compared at a time, so that none keeps the others waiting.
const RANGES_EACH: usize = 4;

#[derive(Clone)]
pub struct Verifier {
    pub documents: Documents,
    pub rows: Rows,
    pub progress: Progress,
    /// How many differences of a table are kept in full.
    pub first: usize,
    /// How many ranges are compared at a time.
    pub parallel: usize,
    /// A comparison ends once so many seem to differ.
    pub most: usize,
}

/// How long a difference may stay before it counts.
#[derive(Debug, Clone, Copy)]
pub enum Patience {
    /// For as long as an event that may mend it is on its way, but not longer.
    OnItsWay(Duration),
    /// Whatever its cause.
    Any(Duration),
}

impl Patience {
    pub fn longest(self) -> Duration {
        match self {
            Self::OnItsWay(longest) | Self::Any(longest) => longest,
        }
    }
}

/// A comparison that has come to its end.
pub struct Compared {
    pub report: Report,
    /// What still differs, for whoever wants to mend it.
    pub suspicions: Vec<Suspicion>,
}

impl Verifier {
    /// # Errors
    /// If one of the servers cannot be read.
    pub async fn verify(&self, patience: Patience) -> Result<Compared, VerifyError> {
        let started = Instant::now();
        let deadline = started + patience.longest();
        loop {
            let (suspicions, more) = self.pass_all().await?;
            let mut compared = self.settle(suspicions, patience, started).await?;
            if !more {
                return Ok(compared);
            }
            // All that were looked at have arrived: then the next may have, too.
            if !compared.report.clean || Instant::now() >= deadline {
                compared.report.more = true;
                compared.report.clean = false;
                return Ok(compared);
            }
        }
    }

    /// What seems to differ, and whether it is not all, because there was no room for more.
    async fn pass_all(&self) -> Result<(Vec<Suspicion>, bool), VerifyError> {
        let mut total = 0;
        for shape in Shape::ALL {
            total += self.documents.count(shape.domain).await?;
        }
        self.progress.restart_at_about(total);
        let room = Room::new(self.most);
        let (mut suspicions, mut more) = (Vec::new(), false);
        for shape in Shape::ALL {
            let mut suspicion = Suspicion::new(shape);
            if !more {
                more = self.pass(&mut suspicion, &room).await?;
            }
            suspicions.push(suspicion);
        }
        Ok((suspicions, more))
    }

    /// Looks again at what differs until it is clean or patience ends.
    ///
    /// # Errors
    /// Where one of the servers cannot be read.
    pub async fn settle(
        &self,
        mut suspicions: Vec<Suspicion>,
        patience: Patience,
        started: Instant,
    ) -> Result<Compared, VerifyError> {
        let deadline = Instant::now() + patience.longest();
        let mut pauses = AGAIN.waits();
        loop {
            let (mut tables, mut on_their_way) = (Vec::new(), 0);
            for suspicion in &mut suspicions {
                let look = suspicion.look_again(self).await?;
                tables.extend(look.tables.into_reports());
                on_their_way += look.on_their_way;
            }
            let report = Report::new(tables, started.elapsed().as_secs_f64());
            let in_vain = matches!(patience, Patience::OnItsWay(_)) && on_their_way == 0;
            if report.clean || in_vain || Instant::now() >= deadline {
                return Ok(Compared { report, suspicions });
            }
            let differing: usize = suspicions.iter().map(|suspicion| suspicion.ids.len()).sum();
            self.progress.stage(&format!("{differing} still differ"));
            tokio::time::sleep(pauses.next().unwrap_or(AGAIN.max)).await;
        }
    }

    /// True if it ended early, without room for more.
    async fn pass(&self, suspicion: &mut Suspicion, room: &Room) -> Result<bool, VerifyError> {
        let shape = suspicion.shape;
        self.progress.stage(shape.table.name);
        let ranges = self.documents.ranges(shape.domain, self.parallel * RANGES_EACH).await?;
        let (mut ranges, mut more) = (ranges.into_iter(), false);
        let mut under_way = JoinSet::new();
        loop {
            while under_way.len() < self.parallel
                && !more
                && let Some(range) = ranges.next()
            {
                let (verifier, room) = (self.clone(), room.clone());
                under_way.spawn(async move { verifier.pass_range(shape, range, &room).await });
            }
            match under_way.join_next().await {
                None => return Ok(more),
                Some(passed) => {
                    let (found, is_cut_short) = passed??;
                    more |= is_cut_short;
                    suspicion.absorb(found, self.first);
                }
            }
        }
    }

    async fn pass_range(
        &self,
        shape: &'static Shape,
        range: Range,
        room: &Room,
    ) -> Result<(Suspicion, bool), VerifyError> {
        let (mut suspicion, mut is_cut_short) = (Suspicion::new(shape), false);
        let documents = self.documents.all(shape, range).await?;
        merge::merge(documents, self.rows.all(shape, range), |source, row| {
            self.progress.advance(u64::from(source.is_some()));
            let Some(difference) = compare(shape, source.as_ref(), row.as_ref()).into_iter().next()
            else {
                suspicion.settled.saw(source.as_ref(), row.as_ref());
                return ControlFlow::Continue(());
            };
            match difference.id.parse() {
                Ok(id) if room.take() => suspicion.suspect(id),
                Ok(_) => {
                    is_cut_short = true;
                    return ControlFlow::Break(());
                }
                // Its _id was made by hand, so it has no row: what the pass saw is the
                // last word.
                Err(_) => {
                    suspicion.settled.saw(source.as_ref(), row.as_ref());
                    suspicion.settled.file(difference, self.first);
                }
            }
            ControlFlow::Continue(())
        })
        .await?;
        Ok((suspicion, is_cut_short))
    }
}

/// What a look found.
pub struct Look {
    pub tables: Tables,
    /// Entities that differ while an event of theirs is not applied yet.
    pub on_their_way: usize,
}
