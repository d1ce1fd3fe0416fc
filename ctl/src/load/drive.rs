//! The open loop: requests start when they are due, whatever became of the earlier
//! ones, and latency counts from when they were due. A server that stalls is charged
//! for everything that would have come meanwhile (no coordinated omission).

use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use reqwest::StatusCode;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::arrival::Awaited;
use super::cast::Cast;
use super::mix::{Mix, Operation};
use crate::rest::RestClient;
use crate::terminal::Progress;

pub struct Schedule {
    pub rate: f64,
    pub total: usize,
    /// Beyond it requests start late, and are charged for it.
    pub in_flight: usize,
    pub seed: u64,
    pub mix: Mix,
}

/// One request, answered or not.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    pub operation: Operation,
    /// Nothing where the connection failed or timed out.
    pub status: Option<StatusCode>,
    /// From when it was due to the whole answer.
    pub latency: Duration,
}

/// How many of the answers are followed into MySQL.
const FOLLOWED_PER_SECOND: f64 = 20.0;

pub async fn drive(
    schedule: Schedule,
    client: Arc<RestClient>,
    cast: &Cast,
    follow: &mpsc::Sender<Awaited>,
    progress: &Progress,
) -> Vec<Sample> {
    let mut rng = StdRng::seed_from_u64(schedule.seed);
    let begin = Instant::now();
    let due = |number: usize| begin + Duration::from_secs_f64(number as f64 / schedule.rate);
    let follow_every = (schedule.rate / FOLLOWED_PER_SECOND).ceil().max(1.0) as usize;
    let mut samples = Vec::with_capacity(schedule.total);
    let mut failed = 0;
    let (mut next, mut running) = (0, JoinSet::new());
    while next < schedule.total || !running.is_empty() {
        tokio::select! {
            () = tokio::time::sleep_until(due(next)),
                if next < schedule.total && running.len() < schedule.in_flight =>
            {
                let operation = schedule.mix.draw(&mut rng);
                let request = operation.request(&mut rng, next, cast);
                let client = client.clone();
                let follow = (next % follow_every == 0).then(|| follow.clone());
                let due = due(next);
                running.spawn(async move {
                    let answer = client.answer(&request).await;
                    let answered = Instant::now();
                    let status = answer.as_ref().ok().map(|(status, _)| *status);
                    if let (Some(follow), Ok((_, body))) = (follow, &answer) {
                        // A full queue drops samples, never delays requests.
                        let _ = Awaited::read(operation.domain(), body, due, answered)
                            .map(|awaited| follow.try_send(awaited));
                    }
                    Sample { operation, status, latency: answered - due }
                });
                next += 1;
            }
            Some(Ok(sample)) = running.join_next(), if !running.is_empty() => {
                failed += usize::from(!sample.status.is_some_and(|it| it.is_success()));
                progress.note(format!("{} in flight, {failed} failed", running.len()));
                progress.advance(1);
                samples.push(sample);
            }
        }
    }
    samples
}
