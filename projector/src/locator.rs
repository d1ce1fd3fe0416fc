//! One question after the other to MySQL and Kafka, until they are answered.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::StreamConsumer;
use shared::process::{MysqlSettings, RetryPolicy};
use tokio::task::JoinHandle;

use crate::group::Group;
use crate::locate::{Answers, Questions, Unanswered, locate};

/// At most one attempt is on its way, whatever comes and goes meanwhile: none piles up.
pub(crate) struct Locator {
    mysql: MysqlSettings,
    attempt: Option<JoinHandle<Result<Answers, Unanswered>>>,
    waits: Box<dyn Iterator<Item = Duration> + Send>,
    wait: Option<Duration>,
}

impl Locator {
    pub(crate) fn new(mysql: MysqlSettings) -> Self {
        Self { mysql, attempt: None, waits: Box::new(RetryPolicy::default().waits()), wait: None }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.attempt.is_none()
    }

    /// Asks, after a pause if the last attempt had no answer.
    pub(crate) fn begin(&mut self, consumer: &Arc<StreamConsumer<Group>>, questions: Questions) {
        if questions.is_empty() {
            return;
        }
        let (consumer, mysql) = (consumer.clone(), self.mysql.clone());
        let wait = self.wait.take();
        self.attempt = Some(tokio::spawn(async move {
            if let Some(wait) = wait {
                tokio::time::sleep(wait).await;
            }
            locate(consumer, mysql, questions).await
        }));
    }

    /// Waits for the answers; for ever if nothing was asked. May be dropped while it waits.
    pub(crate) async fn answered(&mut self) -> Result<Answers, Unanswered> {
        let Some(attempt) = &mut self.attempt else { return std::future::pending().await };
        let answered = attempt.await;
        self.attempt = None;
        // It ends without an answer only by a panic, which is logged where it happened.
        let answered = answered.unwrap_or(Err(rdkafka::error::KafkaError::Canceled.into()));
        match &answered {
            Ok(_) => self.waits = Box::new(RetryPolicy::default().waits()),
            Err(_) => self.wait = self.waits.next(),
        }
        answered
    }

    pub(crate) fn cancel(&mut self) {
        if let Some(attempt) = self.attempt.take() {
            attempt.abort();
        }
    }
}
