/// What a process exports, as of one moment.
pub struct Metrics(pub(crate) String);

impl Metrics {
    /// Of `name`, labels included as they are written; `None` where it is absent.
    pub fn value(&self, name: &str) -> Option<f64> {
        let line = self.0.lines().find(|line| line.split(' ').next() == Some(name))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    /// Of `name`, whatever its labels, taken together.
    pub fn sum(&self, name: &str) -> f64 {
        let of_name = |line: &&str| line.split(['{', ' ']).next() == Some(name);
        let values = self.0.lines().filter(of_name).filter_map(|line| line.rsplit(' ').next());
        values.filter_map(|value| value.parse::<f64>().ok()).sum()
    }

    /// Of all that a histogram has observed; NaN where that is nothing.
    pub fn mean(&self, histogram: &str) -> f64 {
        let of = |part| self.value(&format!("{histogram}_{part}")).unwrap_or_default();
        of("sum") / of("count")
    }
}
