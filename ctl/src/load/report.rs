use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::arrival::Arrivals;
use super::drive::Sample;
use super::mix::Operation;
use crate::table::{Table, grouped};

#[derive(Debug, Serialize)]
pub struct Report {
    /// Requests a second, asked for.
    pub rate: f64,
    /// Requests a second, from the first one due to the last answer.
    pub achieved_rate: f64,
    pub sent: usize,
    /// By status; 0 stands for no answer at all.
    pub answers: BTreeMap<u16, usize>,
    /// From when a request was due to its answer, in milliseconds.
    pub latency: BTreeMap<&'static str, Percentiles>,
    /// From the answer to the row in MySQL, in milliseconds; absent where MySQL could
    /// not be asked.
    pub to_mysql: Option<Percentiles>,
    /// From when a request was due to its row in MySQL, likewise.
    pub end_to_end: Option<Percentiles>,
    /// Followed writes whose row was not seen in time.
    pub unseen: u64,
}

/// Milliseconds.
#[derive(Debug, PartialEq, Serialize)]
pub struct Percentiles {
    pub count: usize,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

impl Percentiles {
    pub fn of(mut latencies: Vec<Duration>) -> Self {
        latencies.sort_unstable();
        let at = |quantile: f64| {
            // The smallest value that at least this share of all does not exceed.
            let rank = (quantile * latencies.len() as f64).ceil() as usize;
            let latency = latencies.get(rank.saturating_sub(1));
            let micros = latency.map_or(0, Duration::as_micros);
            micros as f64 / 1_000.0
        };
        Self {
            count: latencies.len(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: at(1.0),
        }
    }

    fn row(&self, name: &str) -> Vec<String> {
        let figures = [self.p50, self.p90, self.p99, self.p999, self.max];
        let figures = figures.into_iter().map(|millis| format!("{millis:.1}"));
        [name.to_owned(), grouped(self.count as u64)].into_iter().chain(figures).collect()
    }
}

impl Report {
    pub fn new(rate: f64, took: Duration, samples: &[Sample], arrivals: Option<Arrivals>) -> Self {
        // The last one is due an interval before its share of the time is over.
        let intended = samples.len() as f64 / rate;
        let mut answers = BTreeMap::new();
        let mut by_operation = BTreeMap::<Operation, Vec<Duration>>::new();
        for sample in samples {
            *answers.entry(sample.status.map_or(0, |it| it.as_u16())).or_insert(0) += 1;
            by_operation.entry(sample.operation).or_default().push(sample.latency);
        }
        let all = samples.iter().map(|sample| sample.latency).collect();
        let mut latency: BTreeMap<_, _> = by_operation
            .into_iter()
            .map(|(operation, latencies)| (operation.name(), Percentiles::of(latencies)))
            .collect();
        latency.insert("all", Percentiles::of(all));
        Self {
            rate,
            achieved_rate: samples.len() as f64 / took.as_secs_f64().max(intended),
            sent: samples.len(),
            answers,
            latency,
            unseen: arrivals.as_ref().map_or(0, |arrivals| arrivals.unseen),
            to_mysql: arrivals.as_ref().map(|it| Percentiles::of(it.after_answer.clone())),
            end_to_end: arrivals.map(|arrivals| Percentiles::of(arrivals.end_to_end)),
        }
    }

    pub fn all_succeeded(&self) -> bool {
        self.unseen == 0 && self.answers.keys().all(|status| (200..300).contains(status))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(["milliseconds", "count", "p50", "p90", "p99", "p99.9", "max"]);
        for (name, percentiles) in &self.latency {
            table.row(percentiles.row(name));
        }
        for (name, percentiles) in
            [("answer to MySQL row", &self.to_mysql), ("request to MySQL row", &self.end_to_end)]
        {
            if let Some(percentiles) = percentiles {
                table.row(percentiles.row(name));
            }
        }
        writeln!(f, "{table}")?;
        let answers: Vec<String> = self
            .answers
            .iter()
            .map(|(status, count)| match status {
                0 => format!("no answer: {count}"),
                status => format!("{status}: {count}"),
            })
            .collect();
        writeln!(
            f,
            "sent {} at {:.1}/s (asked for {}/s)",
            self.sent, self.achieved_rate, self.rate
        )?;
        writeln!(f, "answers {}", answers.join(", "))?;
        match (&self.to_mysql, self.unseen) {
            (None, _) => writeln!(f, "MySQL could not be asked"),
            (Some(_), 0) => Ok(()),
            (Some(_), unseen) => writeln!(f, "rows not seen within 30 s: {unseen}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let latencies = (1..=1000).rev().map(Duration::from_millis).collect();
        let percentiles = Percentiles::of(latencies);
        assert_eq!((percentiles.p50, percentiles.p90, percentiles.p99), (500.0, 900.0, 990.0));
        assert_eq!((percentiles.p999, percentiles.max), (999.0, 1000.0));
        assert_eq!(Percentiles::of(vec![Duration::from_millis(7)]).p50, 7.0);
        assert_eq!(Percentiles::of(Vec::new()).max, 0.0);
    }
}
