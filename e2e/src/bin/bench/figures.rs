use std::fmt;
use std::time::Duration;

/// What was measured, in the order in which it was.
#[derive(Default)]
pub struct Figures {
    rows: Vec<Row>,
}

struct Row {
    name: String,
    unit: &'static str,
    runs: Vec<f64>,
    /// The raw limit it is compared with.
    against: Option<String>,
}

impl Figures {
    /// Adds one run's value to the figure `name`.
    pub fn add(&mut self, name: &str, unit: &'static str, against: Option<&str>, value: f64) {
        match self.rows.iter_mut().find(|row| row.name == name) {
            Some(row) => row.runs.push(value),
            None => self.rows.push(Row {
                name: name.to_owned(),
                unit,
                runs: vec![value],
                against: against.map(str::to_owned),
            }),
        }
    }

    fn median_of(&self, name: &str) -> Option<f64> {
        self.rows.iter().find(|row| row.name == name).map(|row| median(&row.runs))
    }

    fn ratio(&self, row: &Row) -> Option<f64> {
        Some(median(&row.runs) / self.median_of(row.against.as_deref()?)?)
    }

    pub fn to_json(&self) -> String {
        let rows: Vec<_> = self
            .rows
            .iter()
            .map(|row| {
                serde_json::json!({
                    "name": row.name, "unit": row.unit, "runs": row.runs,
                    "median": median(&row.runs), "against": row.against, "ratio": self.ratio(row),
                })
            })
            .collect();
        serde_json::to_string_pretty(&rows).expect("figures are JSON")
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.rows.iter().map(|row| row.name.len()).max().unwrap_or_default();
        writeln!(f, "{:width$}  {:>10} {:>10} {:>10}  unit  ratio", "", "median", "min", "max")?;
        for row in &self.rows {
            let (low, high) = extremes(&row.runs);
            let middle = median(&row.runs);
            write!(
                f,
                "{:width$}  {middle:>10.1} {low:>10.1} {high:>10.1}  {}",
                row.name, row.unit
            )?;
            if let (Some(ratio), Some(against)) = (self.ratio(row), &row.against) {
                write!(f, "  {ratio:.2} of {against}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        even if even % 2 == 0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
        _ => sorted[middle],
    }
}

fn extremes(values: &[f64]) -> (f64, f64) {
    values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(*value), high.max(*value))
    })
}

/// The latencies of one run.
pub struct Latencies(Vec<Duration>);

impl Latencies {
    pub fn new(mut latencies: Vec<Duration>) -> Self {
        latencies.sort_unstable();
        Self(latencies)
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// In milliseconds.
    pub fn percentile(&self, percent: usize) -> f64 {
        let index = (self.0.len() * percent / 100).min(self.0.len().saturating_sub(1));
        self.0.get(index).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e3)
    }
}
