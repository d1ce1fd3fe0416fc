//! Transactions of others that do not end, on a topic of the relay's.

use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::fixture::{Pipeline, assert_exactly_once, history, until};
use crate::process::Process;

/// From the moment at which a relay leads, or the transaction is opened.
const NAMED_WITHIN: Duration = Duration::from_secs(5);

/// An open transaction with one record, of a producer that is none of ours.
struct Foreign(BaseProducer);

impl Foreign {
    async fn open(pipeline: &Pipeline, topic: &str) -> Self {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", &pipeline.kafka)
            .set("transactional.id", format!("{}-foreign", pipeline.name))
            .set("transaction.timeout.ms", "600000")
            .create()
            .unwrap();
        let topic = pipeline.topic(topic);
        let opening = tokio::task::spawn_blocking(move || {
            producer.init_transactions(Duration::from_secs(20)).unwrap();
            producer.begin_transaction().unwrap();
            let record = BaseRecord::to(&topic).partition(1).key("key").payload("payload");
            producer.send(record).unwrap();
            producer.flush(Duration::from_secs(20)).unwrap();
            Self(producer)
        });
        opening.await.unwrap()
    }

    async fn abort(self) {
        let aborting = move || self.0.abort_transaction(Duration::from_secs(20)).unwrap();
        tokio::task::spawn_blocking(aborting).await.unwrap();
    }
}

fn metric(pipeline: &Pipeline, offset: i64) -> String {
    let topic = pipeline.topic("post");
    format!("relay_held_back_partitions{{offset=\"{offset}\",partition=\"1\",topic=\"{topic}\"}}")
}

async fn is_named(relay: &Process, metric: &str, topic: &str) -> bool {
    let Some((status, ready)) = relay.get("/ready").await else {
        return false;
    };
    relay.metric(metric).await == Some(1.0)
        && status == 503
        && ready.contains(&format!("partition 1 of {topic} from offset 0 on"))
        && relay.log().contains("an open transaction holds back")
}

/// The relay has to read back what was published behind its checkpoint, and cannot.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_open_while_the_relay_starts_is_named_and_waited_for() {
    let pipeline = Pipeline::new("held").await;
    let relay = pipeline.launch();
    // The topics are made.
    relay.await_ready().await;
    relay.kill();
    let foreign = Foreign::open(&pipeline, "post").await;
    let written = history(40, 2);
    pipeline.write(&written).await;

    let relay = pipeline.launch();
    relay.await_leading().await;
    let leads = Instant::now();
    let (metric, topic) = (metric(&pipeline, 0), pipeline.topic("post"));
    until("it is named", || is_named(&relay, &metric, &topic)).await;
    println!("named {:?} after it led", leads.elapsed());
    assert!(leads.elapsed() < NAMED_WITHIN, "{:?}", leads.elapsed());
    assert!(relay.published().await < 1.0, "it does not know yet what is published");

    foreign.abort().await;
    assert_exactly_once(&pipeline.await_events(written.len()).await, &written);
    relay.await_ready().await;
    until("nothing is held back", async || relay.metric(&metric).await.is_none()).await;
    assert!(relay.terminate(Duration::from_secs(10)).await.success());
    pipeline.drop().await;
}

/// Readers stand still, and nothing else would say so. A stop does not wait for it.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_opened_while_the_relay_runs_is_named() {
    let pipeline = Pipeline::new("hangs").await;
    let relay = pipeline.launch();
    relay.await_ready().await;
    let foreign = Foreign::open(&pipeline, "post").await;
    let opened = Instant::now();
    let (metric, topic) = (metric(&pipeline, 0), pipeline.topic("post"));
    until("it is named", || is_named(&relay, &metric, &topic)).await;
    println!("named {:?} after it was opened", opened.elapsed());
    assert!(opened.elapsed() < NAMED_WITHIN, "{:?}", opened.elapsed());

    // A stop while a start waits for it.
    relay.kill();
    let relay = pipeline.launch();
    relay.await_leading().await;
    until("it is named", || is_named(&relay, &metric, &topic)).await;
    assert!(relay.terminate(Duration::from_secs(5)).await.success());
    foreign.abort().await;
    pipeline.drop().await;
}
