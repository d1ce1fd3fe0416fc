use std::time::Duration;

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;
use shared::Timestamp;
use shared::event::partition_of;
use shared::watermark::Watermark;
use tokio::time::{Instant, timeout_at};

use self::not_applied::NotApplied;
use super::App;
use crate::http::{AnswerBy, ApiError, Asked, EventId};
use crate::openapi::Routes;
use crate::requests::{Goal, WaitForEvent};
use crate::store::{Doubt, Recorded, Standing};

mod not_applied;

/// How often a request that waits looks whether the process is to stop.
const DRAINING: Duration = Duration::from_millis(100);

pub fn routes(api: Routes) -> Routes {
    api.get(
        "/events/{event_id}",
        read,
        "How far an event has come; with `wait`, once it has come further",
    )
}

/// How far an event has come as far as it is proven: it may be further already.
#[derive(Debug, Serialize, JsonSchema)]
struct Timeline {
    event_id: String,
    event_type: String,
    entity_id: String,
    version: i64,
    state: EventState,
    committed: Committed,
    published: Option<Published>,
    applied: Option<Applied>,
    refused: Option<Refused>,
    /// Why it is not called applied although the projector is past it.
    doubt: Option<NotApplied>,
    /// When the relay last told how far it is, by its clock. Null where it never did.
    as_of: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum EventState {
    /// Durable in MongoDB, together with its document.
    Committed,
    /// Acknowledged by Kafka.
    Published,
    /// The projector is past it: its row is in MySQL, or it lies in the dead-letter topic.
    Applied,
    /// Kafka will never take it.
    Refused,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Committed {
    occurred_at: Timestamp,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Published {
    topic: String,
    partition: i32,
    /// Its offset is less than this.
    before_offset: i64,
    /// All that was committed up to this moment of MongoDB's clock is published.
    through: Option<Timestamp>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Applied {
    /// All that was committed up to this moment of MongoDB's clock is applied.
    through: Option<Timestamp>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Refused {
    reason: String,
    at: Timestamp,
}

async fn read(
    State(app): State<App>,
    EventId(id): EventId,
    Asked(asked): Asked<WaitForEvent>,
    AnswerBy(latest): AnswerBy,
) -> Result<Json<Timeline>, ApiError> {
    let deadline = latest.min(Instant::now() + Duration::from_millis(asked.timeout.into()));
    let event = app.store.event(id).await?;
    let watermarks = app.store.watermarks().await?;
    let standing = app.store.standing(&event, &watermarks, Standing::default()).await?;
    let standing = match asked.wait {
        Some(goal) if !reaches(&standing, goal) => {
            wait(&app, &event, standing, goal, deadline).await?
        }
        _ => standing,
    };
    Ok(Json(Timeline::of(event, standing)))
}

/// Until the event has come so far, or can come no further, or the time is over.
async fn wait(
    app: &App,
    event: &Recorded,
    mut standing: Standing,
    goal: Goal,
    deadline: Instant,
) -> Result<Standing, ApiError> {
    let mut changes = app.store.watermark_changes();
    while !reaches(&standing, goal) && Instant::now() < deadline && !app.health.is_draining() {
        let next_look = deadline.min(Instant::now() + DRAINING);
        if let Ok(Ok(())) = timeout_at(next_look, changes.changed()).await {
            let watermarks = changes.borrow_and_update().clone();
            standing = app.store.standing(event, &watermarks, standing).await?;
        }
    }
    Ok(standing)
}

fn reaches(standing: &Standing, goal: Goal) -> bool {
    match state(standing) {
        EventState::Committed => false,
        // Whether it was lost is not found out by waiting.
        EventState::Published if matches!(standing.doubt, Some(Doubt::MayBeLost(_))) => true,
        EventState::Published => goal == Goal::Published,
        EventState::Applied | EventState::Refused => true,
    }
}

fn state(standing: &Standing) -> EventState {
    match standing {
        Standing { refusal: Some(_), .. } => EventState::Refused,
        Standing { applied: Some(_), .. } => EventState::Applied,
        Standing { published: Some(_), .. } => EventState::Published,
        _ => EventState::Committed,
    }
}

impl Timeline {
    fn of(Recorded { event, .. }: Recorded, standing: Standing) -> Self {
        Self {
            event_id: event.id().to_string(),
            state: state(&standing),
            committed: Committed { occurred_at: event.occurred_at },
            published: standing
                .published
                .and_then(|watermark| Published::by(&watermark, &event.topic, &event.entity_id)),
            applied: standing
                .applied
                .map(|watermark| Applied { through: watermark.applied_through.and_then(moment) }),
            refused: standing
                .refusal
                .map(|refusal| Refused { reason: refusal.reason, at: refusal.died_at }),
            doubt: standing.doubt.as_ref().map(NotApplied::by),
            as_of: standing.as_of,
            event_type: event.event_type,
            entity_id: event.entity_id,
            version: event.version,
        }
    }
}

impl Published {
    /// `None` where the watermark does not know the topic.
    fn by(watermark: &Watermark, topic: &str, entity_id: &str) -> Option<Self> {
        // Its name on the cluster ends with the contract's; no two of those end alike.
        let of_topic = || watermark.partitions.iter().filter(|it| it.topic.ends_with(topic));
        let partitions = u32::try_from(of_topic().count()).ok()?;
        let partition = i32::try_from(partition_of(entity_id, partitions)?).ok()?;
        let place = of_topic().find(|it| it.partition == partition)?;
        Some(Self {
            topic: place.topic.clone(),
            partition,
            before_offset: place.end,
            through: moment(watermark.published_through),
        })
    }
}

/// Of MongoDB's logical clock, which counts in whole seconds and writes in between.
fn moment(time: mongodb::bson::Timestamp) -> Option<Timestamp> {
    Timestamp::from_millis(i64::from(time.time) * 1000)
}

#[cfg(test)]
mod tests {
    use mongodb::bson::Timestamp as ClusterTime;
    use shared::watermark::Partition;

    use super::*;

    #[test]
    fn the_place_is_the_keys_partition_of_the_topic_with_its_prefix() {
        let partition = |topic: &str, partition| Partition {
            topic: topic.to_owned(),
            partition,
            end: i64::from(partition) * 10,
            applied: None,
        };
        let watermark = Watermark {
            shard: "0/1".to_owned(),
            at: Timestamp::now(),
            proven_at: None,
            published_through: ClusterTime { time: 7, increment: 1 },
            applied_through: None,
            partitions: ["eu.order", "eu.post"]
                .iter()
                .flat_map(|topic| (0..3).map(move |number| partition(topic, number)))
                .collect(),
            dead_letters: None,
            obstacle: None,
            lost: Vec::new(),
            group: None,
        };
        let expected = i32::try_from(partition_of("kafka", 3).unwrap()).unwrap();
        let place = Published::by(&watermark, "post", "kafka").unwrap();
        assert_eq!((place.topic.as_str(), place.partition), ("eu.post", expected));
        assert_eq!(place.before_offset, i64::from(expected) * 10);
        assert!(Published::by(&watermark, "user", "kafka").is_none());
    }
}
