//! Writes at a fixed rate, whatever the answers take, and how long after its answer each of
//! some of them is a row in MySQL.
//!
//! What this takes of two cores, the pipeline lacks: it was half a millisecond of every
//! latency. So the writes go out as ready-made bytes from one thread, and another one asks
//! for the rows of not more than [`WATCHED`] writes a second, spread evenly among all, over
//! one connection, with a [`PAUSE`] between two questions. A row has come between the question
//! that did not find it and the one that did; the middle of that is taken, so it is known to
//! 0.5 ms, and neither too long nor too short on the average.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use e2e::{Pipeline, Rows, sample};
use mysql_async::prelude::Queryable;
use shared::Id;
use tokio::sync::mpsc;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{MissedTickBehavior, interval};

use crate::figures::Latencies;
use crate::http::{self, Connection};

/// Writes before the clock runs.
pub const WARM_UP: usize = 200;

/// A second: 300 in fifteen, enough for a 99th percentile.
const WATCHED: u64 = 20;

/// Hardly a row was ever there sooner. What the first question finds counts as found then.
const SOONEST: Duration = Duration::from_millis(2);

/// Between two questions to MySQL.
const PAUSE: Duration = Duration::from_micros(500);

struct Written {
    id: String,
    answered: Instant,
}

struct Awaited {
    answered: Instant,
    /// When it was last asked for in vain.
    missed: Option<Instant>,
}

pub async fn write_and_watch(pipeline: &Pipeline, rate: u64, seconds: u64) -> Latencies {
    let user = new_user(pipeline, &format!("{}@example.com", Id::new())).await;
    warm_up(pipeline, &user).await;
    let writes = rate * seconds;
    let (written, awaited) = mpsc::channel(10_000);
    let rows = pipeline.rows();
    let posts = Posts::by(&user, pipeline);
    let watching = spawn_blocking(move || alone(watch(rows, awaited)));
    let writing = spawn_blocking(move || alone(write(posts, rate, writes, written)));
    writing.await.expect("all is written");
    let latencies = watching.await.expect("the watch ends");
    assert_eq!(latencies.len(), (0..writes).filter(|number| is_watched(*number, rate)).count());
    Latencies::new(latencies)
}

pub async fn new_user(pipeline: &Pipeline, email: &str) -> String {
    let user = pipeline.client().create("/users", "", &sample::user(email)).await;
    user["id"].as_str().expect("an id").to_owned()
}

/// Connections, caches and prepared statements are there before the clock runs, and the
/// projector has its partitions: it joins its group again as the topics come to be.
pub async fn warm_up(pipeline: &Pipeline, user: &str) {
    let (written, awaited) = mpsc::channel(WARM_UP);
    let posts = Posts::by(user, pipeline);
    for _ in 0..WARM_UP {
        written.send(posts.create().await).await.expect("room for all");
    }
    drop(written);
    let rows = pipeline.rows();
    spawn_blocking(move || alone(watch(rows, awaited))).await.expect("the watch ends");
}

/// On this thread, which nothing else wakes.
fn alone<T>(work: impl Future<Output = T>) -> T {
    let alone = tokio::runtime::Builder::new_current_thread().enable_all().build();
    alone.expect("a runtime").block_on(work)
}

/// The same post again and again, over as many connections as there are answers to come.
#[derive(Clone)]
struct Posts {
    address: String,
    request: Arc<[u8]>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Posts {
    fn by(user: &str, pipeline: &Pipeline) -> Self {
        let body = sample::post("of the bench").to_string();
        Self {
            address: pipeline.api.address(),
            request: http::post("/posts", user, None, &body).into(),
            idle: Arc::default(),
        }
    }

    async fn create(&self) -> Written {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => Connection::open(&self.address).await,
        };
        connection.exchange(&self.request).await;
        let answered = Instant::now();
        let post: serde_json::Value = serde_json::from_slice(connection.body()).expect("JSON");
        let id = post["id"].as_str().expect("an id").to_owned();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        Written { id, answered }
    }
}

async fn write(posts: Posts, rate: u64, writes: u64, written: mpsc::Sender<Written>) {
    let mut writing = JoinSet::new();
    let mut ticks = interval(Duration::from_secs(1) / rate as u32);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for number in 0..writes {
        ticks.tick().await;
        let written = is_watched(number, rate).then(|| written.clone());
        let posts = posts.clone();
        writing.spawn(async move {
            let post = posts.create().await;
            if let Some(written) = written {
                written.send(post).await.expect("somebody watches");
            }
        });
    }
    writing.join_all().await;
}

/// In steps of the golden ratio, which no timer of anybody's keeps time with.
fn is_watched(number: u64, rate: u64) -> bool {
    let place = number as f64 * 0.618_033_988_749_894_9 % 1.0;
    place * rate as f64 <= WATCHED as f64
}

/// Until all that was written is there.
async fn watch(rows: Rows, mut awaited: mpsc::Receiver<Written>) -> Vec<Duration> {
    let mut connection = rows.connect().await.expect("MySQL answers");
    let mut missing: HashMap<String, Awaited> = HashMap::new();
    let mut latencies = Vec::new();
    loop {
        if missing.is_empty() {
            let Some(Written { id, answered }) = awaited.recv().await else {
                return latencies;
            };
            missing.insert(id, Awaited { answered, missed: None });
            // The runtime's own timer knows whole milliseconds only, and nothing else waits here.
            std::thread::sleep(SOONEST.saturating_sub(answered.elapsed()));
        }
        while let Ok(Written { id, answered }) = awaited.try_recv() {
            missing.insert(id, Awaited { answered, missed: None });
        }
        let ids: Vec<_> = missing.keys().map(|id| format!("'{id}'")).collect();
        let query = format!("SELECT post_id FROM posts WHERE post_id IN ({})", ids.join(","));
        let asked = Instant::now();
        let there: Vec<String> = connection.query(query).await.expect("ids");
        let now = Instant::now();
        for Awaited { answered, missed } in there.iter().filter_map(|id| missing.remove(id)) {
            let latest = now.duration_since(answered);
            let soonest = missed.map_or(latest, |missed| missed.duration_since(answered));
            latencies.push((soonest + latest) / 2);
        }
        missing.values_mut().for_each(|awaited| awaited.missed = Some(asked));
        std::thread::sleep(PAUSE);
    }
}
