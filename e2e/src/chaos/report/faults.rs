//! Which faults a run met, how long it took to recover from them, and what they took.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::{Report, Suffered, seconds};
use crate::chaos::fault::What;

impl Report {
    fn recoveries(&self) -> Vec<Duration> {
        let probes = &self.written.probes;
        let mut known: Vec<_> =
            self.suffered.iter().filter_map(|it| probes.recovery(it.over)).collect();
        known.sort_unstable();
        known
    }

    pub(super) fn faults(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:>7}  {:>7}  {:>9}  fault", "at", "lasted", "recovered")?;
        for suffered in &self.suffered {
            let recovery = self.written.probes.recovery(suffered.over);
            let recovery = recovery.map_or("never".to_owned(), seconds);
            let (at, lasted) = (seconds(suffered.at), seconds(suffered.lasted));
            writeln!(f, "{at:>7}  {lasted:>7}  {recovery:>9}  {}", suffered.incident)?;
        }
        let recoveries = self.recoveries();
        if let (Some(median), Some(longest)) =
            (recoveries.get(recoveries.len() / 2), recoveries.last())
        {
            let (median, longest) = (seconds(*median), seconds(*longest));
            writeln!(
                f,
                "recovered (from undone to a new write's row): median {median}, longest {longest}"
            )?;
        }
        Ok(())
    }

    /// Which faults the run met, and how often.
    pub(super) fn met(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut times: BTreeMap<String, usize> = BTreeMap::new();
        for name in self.suffered.iter().flat_map(|suffered| suffered.incident.what.names()) {
            *times.entry(name).or_default() += 1;
        }
        let met: usize = times.values().sum();
        let names = What::all_names();
        let kinds = names.iter().filter(|name| times.contains_key(*name)).count();
        writeln!(f, "{met} faults met, {kinds} of {} kinds", names.len())?;
        let met = times.iter().map(|(name, times)| match times {
            1 => name.clone(),
            times => format!("{name} ({times} times)"),
        });
        writeln!(f, "  met: {}", met.collect::<Vec<_>>().join(", "))?;
        let unmet: Vec<_> = names.into_iter().filter(|name| !times.contains_key(name)).collect();
        if unmet.is_empty() { Ok(()) } else { writeln!(f, "  not met: {}", unmet.join(", ")) }
    }

    /// What the faults themselves took: no promise is broken by that, if it is reported.
    pub(super) fn losses(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for taken in &self.taken {
            let said = taken.reported.as_deref().unwrap_or("NOTHING");
            writeln!(f, "{}: lost {}; reported: {said}", taken.setback, taken.lost)?;
        }
        Ok(())
    }
}

impl fmt::Display for Suffered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>7}  {}", seconds(self.at), self.incident)
    }
}
