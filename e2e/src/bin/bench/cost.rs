use e2e::{ApiAlone, Servers, Used};

use crate::figures::Figures;

/// Whose CPU time a row costs: on two cores their sum is what bounds its rate. And the
/// memory that the api has under it.
pub struct Cost<'a> {
    servers: &'a Servers,
    api: &'a ApiAlone,
    before: [Used; 3],
}

const WHOSE: [&str; 3] = ["api", "mongod", "load"];

impl<'a> Cost<'a> {
    pub fn begin(servers: &'a Servers, api: &'a ApiAlone) -> Self {
        Self { servers, api, before: used(servers, api) }
    }

    /// Adds what `count` requests have cost each of the three since then.
    pub fn add(self, name: &str, count: usize, figures: &mut Figures) {
        let after = used(self.servers, self.api);
        let memory = after[0].memory as f64 / 1e6;
        figures.add(&format!("{name}: memory of api"), "MB", None, memory);
        for ((whose, after), before) in WHOSE.iter().zip(after).zip(self.before) {
            let cpu = (after - before).cpu.as_secs_f64() * 1e6 / count as f64;
            figures.add(&format!("{name}: CPU of {whose} per 1,000"), "ms", None, cpu);
        }
    }
}

fn used(servers: &Servers, api: &ApiAlone) -> [Used; 3] {
    [api.used(), servers.used("mongodb"), Used::by("self")]
}
