//! Every open transaction, with what is to be thought of it.

use std::collections::BTreeSet;

use rdkafka::error::KafkaResult;
use shared::process::KafkaSettings;

use super::cluster::{Cluster, Layout};
use super::coordinators::{self, Coordinators, Known};
use super::decision::{Decision, Evidence, Question};
use super::history;
use super::producers::{self, Described, Open};
use super::wire::Brokers;

pub struct Finding {
    pub open: Open,
    /// What its coordinator says, if one knows the producer.
    pub known: Option<Known>,
    pub transactional_id: Option<String>,
    pub verdict: Verdict,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Its producer or its coordinator will end it.
    Live,
    /// It will not be ended, and so it had been decided: [`Decision::Made`], or not known.
    Hanging(Decision),
    /// It cannot be told whether it hangs.
    Unclear(String),
}

pub struct Survey {
    pub findings: Vec<Finding>,
    /// Partitions that could not be looked at, each with the reason.
    pub unseen: Vec<String>,
}

pub struct Surveyor {
    pub settings: KafkaSettings,
    pub cluster: Cluster,
    pub brokers: Brokers,
}

impl Surveyor {
    /// Looks at the partitions that `wanted` accepts.
    ///
    /// A transaction hangs if its partition was in it before and after a moment when its
    /// coordinator did not have that partition in any transaction: for a coordinator ends a
    /// transaction only when all its partitions have their marker, and a partition is in the
    /// coordinator's list before the first record is written.
    ///
    /// # Errors
    /// If no broker answers. What else is not known is in the survey.
    pub async fn survey(&mut self, wanted: impl Fn(&str, i32) -> bool) -> KafkaResult<Survey> {
        let layout = self.cluster.layout().await?;
        self.brokers.know(layout.brokers.clone());
        if !layout.holds(&wanted) {
            let none = "none of these topics and partitions exists".to_owned();
            return Ok(Survey { findings: Vec::new(), unseen: vec![none] });
        }
        let Described { open: before, unseen } =
            producers::describe(&mut self.brokers, &layout, &wanted).await;
        if before.is_empty() {
            return Ok(Survey { findings: Vec::new(), unseen });
        }
        let ids = before.iter().map(|it| it.producer_id).collect();
        let coordinators = coordinators::ask(&mut self.brokers, &layout, &ids).await;
        let after = self.describe_again(&layout, &before).await;
        let still = after.open.into_iter().filter(|it| before.iter().any(|was| was.is(it)));
        let mut findings: Vec<_> = still.map(|open| judge(open, &coordinators)).collect();
        self.decide(&mut findings).await;
        Ok(Survey { findings, unseen: [unseen, after.unseen].concat() })
    }

    async fn describe_again(&mut self, layout: &Layout, before: &[Open]) -> Described {
        let places: BTreeSet<_> = before.iter().map(|it| (&*it.topic, it.partition)).collect();
        let wanted = |topic: &str, partition| places.contains(&(topic, partition));
        producers::describe(&mut self.brokers, layout, wanted).await
    }

    /// Looks up what had been decided about those that hang.
    async fn decide(&mut self, findings: &mut [Finding]) {
        let mut hanging: Vec<_> =
            findings.iter_mut().filter(|it| matches!(it.verdict, Verdict::Hanging(_))).collect();
        if hanging.is_empty() {
            return;
        }
        let questions = hanging.iter().map(|it| it.open.question()).collect();
        let ids: Option<BTreeSet<_>> =
            hanging.iter().map(|it| it.transactional_id.clone()).collect();
        match history::gather(&self.settings, questions, ids).await {
            Ok(evidence) => {
                for (finding, evidence) in hanging.iter_mut().zip(&evidence) {
                    finding.weigh(evidence);
                }
            }
            Err(error) => {
                for finding in hanging {
                    finding.verdict = Verdict::Unclear(error.to_string());
                }
            }
        }
    }
}

/// [`Verdict::Hanging`] here is before its decision is known.
fn judge(open: Open, coordinators: &Coordinators) -> Finding {
    let known = coordinators.known.get(&open.producer_id).cloned();
    let verdict = match (&known, &coordinators.incomplete) {
        (Some(known), _) if known.holds(&open.topic, open.partition) => Verdict::Live,
        (None, Some(reason)) => Verdict::Unclear(format!("a coordinator is missing: {reason}")),
        (_, _) => Verdict::Hanging(Decision::Unknown("not looked up".to_owned())),
    };
    let transactional_id = known.as_ref().map(|it| it.transactional_id.clone());
    Finding { open, known, transactional_id, verdict }
}

impl Finding {
    fn weigh(&mut self, evidence: &Evidence) {
        self.verdict = match evidence.decision() {
            // A coordinator that does not show us its ids may still be at it.
            Decision::Pending => Verdict::Live,
            decision => Verdict::Hanging(decision),
        };
        if self.transactional_id.is_none() {
            self.transactional_id = evidence.transactional_id().map(str::to_owned);
        }
    }

    /// What its coordinator calls its state, as far as one answers.
    pub fn state(&self) -> &str {
        self.known.as_ref().map_or("unknown", |it| &it.state)
    }
}

impl Open {
    fn question(&self) -> Question {
        Question {
            topic: self.topic.clone(),
            partition: self.partition,
            producer_id: self.producer_id,
            producer_epoch: self.producer_epoch,
        }
    }
}
