use std::fs::read_to_string;
use std::ops::Sub;
use std::time::Duration;

/// The unit of /proc/PID/stat on every Linux.
const TICK: Duration = Duration::from_millis(10);

/// What a process has used since it was started.
#[derive(Debug, Clone, Copy)]
pub struct Used {
    pub cpu: Duration,
    /// Resident memory at its highest, in bytes (VmHWM).
    pub peak_memory: u64,
    /// Resident memory at this moment, in bytes (VmRSS).
    pub memory: u64,
}

impl Used {
    /// By the process with this id; "self" is this one.
    ///
    /// # Panics
    /// Where it does not run.
    pub fn by(pid: &str) -> Self {
        Self::of(pid).unwrap_or_else(|| panic!("{pid} runs"))
    }

    /// `None` where it does not run any more.
    pub fn of(pid: &str) -> Option<Self> {
        let read = |file: &str| read_to_string(format!("/proc/{pid}/{file}")).ok();
        let (stat, status) = (read("stat")?, read("status")?);
        // User and system time, fields 14 and 15: the name in field 2 may hold spaces.
        let (_, fields) = stat.rsplit_once(") ").expect("a name in brackets");
        let ticks = fields.split(' ').skip(11).take(2).map(|field| field.parse::<u32>());
        let ticks: u32 = ticks.map(|ticks| ticks.expect("clock ticks")).sum();
        let memory = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
        };
        Some(Self { cpu: TICK * ticks, peak_memory: memory("VmHWM:")?, memory: memory("VmRSS:")? })
    }

    /// Milliseconds of CPU since `before` for each thousand of `events`.
    pub fn per_thousand(&self, before: Duration, events: usize) -> f64 {
        self.cpu.saturating_sub(before).as_secs_f64() * 1e6 / events as f64
    }
}

/// What was used since an earlier look; memory stays the highest of all time.
impl Sub for Used {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self { cpu: self.cpu.saturating_sub(earlier.cpu), ..self }
    }
}
