//! Carries a plan out.

use std::collections::HashMap;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use shared::event::Domain;

use super::plan::{Action, Call, Entity, Phase, Plan};
use super::report::Tally;
use crate::rest::{Request, RestClient, RestError};
use crate::terminal::Progress;

#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    #[error(transparent)]
    Rest(#[from] RestError),
    #[error("the answer to the creation of {} {} has no id: {body}", entity.domain.topic(), entity.number)]
    NoId { entity: Entity, body: Value },
    #[error("the plan uses {} {} before it exists", .0.domain.topic(), .0.number)]
    NotYetCreated(Entity),
    #[error("cannot write the result: {0}")]
    Output(#[from] std::io::Error),
}

/// The ids that the server has made so far.
type Ids = HashMap<Entity, String>;

pub struct Executor<'a> {
    pub client: &'a RestClient,
    /// Distinguishes this run's Idempotency-Keys from every other's.
    pub run: &'a str,
    /// How many chains run at a time.
    pub concurrency: usize,
    pub progress: &'a Progress,
}

impl Executor<'_> {
    /// # Errors
    /// The first call that fails for good; what was done before it stays.
    pub async fn carry_out(&self, plan: &Plan) -> Result<Tally, SeedError> {
        let mut ids = Ids::new();
        let mut tally = Tally::default();
        for phase in &plan.phases {
            self.progress.stage(phase.name);
            ids.extend(self.carry_out_phase(phase, &ids).await?);
            phase.chains.iter().flatten().for_each(|call| tally.count(call));
        }
        Ok(tally)
    }

    /// The entities the phase has created.
    async fn carry_out_phase(&self, phase: &Phase, ids: &Ids) -> Result<Ids, SeedError> {
        stream::iter(&phase.chains)
            .map(|chain| self.carry_out_chain(chain, ids))
            .buffer_unordered(self.concurrency)
            .try_filter_map(|created| std::future::ready(Ok(created)))
            .try_collect()
            .await
    }

    async fn carry_out_chain(
        &self,
        chain: &[Call],
        earlier: &Ids,
    ) -> Result<Option<(Entity, String)>, SeedError> {
        let mut created: Option<(Entity, String)> = None;
        for call in chain {
            let id_of = |entity: Entity| {
                let own = created.as_ref().filter(|(it, _)| *it == entity).map(|(_, id)| id);
                own.or_else(|| earlier.get(&entity))
                    .cloned()
                    .ok_or(SeedError::NotYetCreated(entity))
            };
            let answer = self.client.send(&request(call, self.run, id_of)?).await?;
            if matches!(call.action, Action::Create(_)) {
                created = Some((call.subject, created_id(call.subject, answer)?));
            }
            self.progress.advance(1);
        }
        Ok(created)
    }
}

fn created_id(entity: Entity, answer: Value) -> Result<String, SeedError> {
    match answer.get("id").and_then(Value::as_str) {
        Some(id) => Ok(id.to_owned()),
        None => Err(SeedError::NoId { entity, body: answer }),
    }
}

fn request(
    call: &Call,
    run: &str,
    id_of: impl Fn(Entity) -> Result<String, SeedError>,
) -> Result<Request, SeedError> {
    let collection = format!("/{}", call.subject.domain.collection());
    let one = || id_of(call.subject).map(|id| format!("{collection}/{id}"));
    let mut headers = Vec::new();
    if let Some(actor) = call.actor {
        headers.push((identity_header(actor.domain), id_of(actor)?));
    }
    let (method, path, body, settled_by) = match &call.action {
        Action::Create(body) => {
            let key = format!("seed-{run}-{}-{}", call.subject.domain.topic(), call.subject.number);
            headers.push(("Idempotency-Key", key));
            let body = with_product_ids(body, &call.products, &id_of)?;
            (Method::POST, collection, Some(body), None)
        }
        Action::Update(body) => (Method::PATCH, one()?, Some(body.clone()), None),
        Action::Delete => (Method::DELETE, one()?, None, Some(StatusCode::NOT_FOUND)),
        Action::Transition { verb, body } => {
            let path = format!("{}/{verb}", one()?);
            (Method::POST, path, body.clone(), Some(StatusCode::CONFLICT))
        }
    };
    Ok(Request { method, path, headers, body, settled_by })
}

fn identity_header(domain: Domain) -> &'static str {
    match domain {
        Domain::Supplier => "X-Supplier-ID",
        _ => "X-User-ID",
    }
}

fn with_product_ids(
    body: &Value,
    products: &[Entity],
    id_of: impl Fn(Entity) -> Result<String, SeedError>,
) -> Result<Value, SeedError> {
    let mut body = body.clone();
    for (index, product) in products.iter().enumerate() {
        body["items"][index]["product_id"] = json!(id_of(*product)?);
    }
    Ok(body)
}
