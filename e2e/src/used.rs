use std::time::Duration;

/// The unit of /proc/PID/stat on every Linux.
const TICK: Duration = Duration::from_millis(10);

/// What a process has used since it was started.
#[derive(Debug, Clone, Copy)]
pub struct Used {
    pub cpu: Duration,
    /// Resident memory at its highest, in bytes (VmHWM).
    pub peak_memory: u64,
}

impl Used {
    /// # Panics
    /// Where no such process runs.
    pub(crate) fn by(pid: &str) -> Self {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}"));
        let (stat, status) = (read("stat").expect("it runs"), read("status").expect("it runs"));
        // User and system time, fields 14 and 15: the name in field 2 may hold spaces.
        let (_, fields) = stat.rsplit_once(") ").expect("a name in brackets");
        let ticks = fields.split(' ').skip(11).take(2).map(|field| field.parse::<u32>());
        let ticks: u32 = ticks.map(|ticks| ticks.expect("clock ticks")).sum();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        Self { cpu: TICK * ticks, peak_memory: peak.expect("its memory is known") * 1024 }
    }

    /// Milliseconds of CPU since `before` for each thousand of `events`.
    pub fn per_thousand(&self, before: Duration, events: usize) -> f64 {
        self.cpu.saturating_sub(before).as_secs_f64() * 1e6 / events as f64
    }
}
