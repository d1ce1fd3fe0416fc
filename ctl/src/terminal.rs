//! What the operator sees while a command works: log lines and progress on
//! stderr, so that stdout holds the result and nothing else.

use std::io::{self, IsTerminal as _, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// How often progress is told where no bar can be drawn.
const PLAIN_INTERVAL: Duration = Duration::from_secs(5);

#[derive(Clone, Default)]
pub struct Terminal(MultiProgress);

impl Terminal {
    /// Starts logging to stderr, above the progress bar if there is one.
    ///
    /// # Errors
    /// Where the filter does not parse.
    pub fn start_logging(&self, filter: &str) -> Result<(), ParseError> {
        let bars = self.0.clone();
        tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::try_new(filter)?)
            .with_ansi(io::stderr().is_terminal())
            .with_writer(move || AboveBars(bars.clone()))
            .without_time()
            .with_target(false)
            .init();
        Ok(())
    }

    /// Progress through `total` steps of a known number of them.
    pub fn progress(&self, total: u64) -> Progress {
        let bar = self.0.add(ProgressBar::new(total));
        bar.set_style(style());
        let told = Arc::new(Mutex::new(Instant::now()));
        Progress { bar, told, is_estimate: Arc::default() }
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{msg:24} {bar:32} {human_pos}/{human_len}  {per_sec}  eta {eta}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// A bar on a terminal; elsewhere (a pipe, a CI log) a plain line now and then. Clones
/// tell of the same work.
#[derive(Clone)]
pub struct Progress {
    bar: ProgressBar,
    /// When the last plain line was written.
    told: Arc<Mutex<Instant>>,
    is_estimate: Arc<AtomicBool>,
}

impl Progress {
    /// From the first of `total` steps, whatever was done before.
    pub fn restart(&self, total: u64) {
        self.is_estimate.store(false, Ordering::Relaxed);
        self.bar.set_length(total);
        self.bar.set_position(0);
    }

    /// As [`Self::restart`] where the total is only an estimate, and may be far off.
    pub fn restart_at_about(&self, total: u64) {
        self.restart(total);
        self.is_estimate.store(true, Ordering::Relaxed);
    }

    /// Names what is being worked on. Where there is no bar, a new name is told at once.
    pub fn stage(&self, name: &str) {
        let is_new = self.bar.message() != name;
        self.bar.set_message(name.to_owned());
        if is_new && self.bar.is_hidden() {
            self.tell();
        }
    }

    /// What the bar says beside its figures; too fleeting to be told in lines.
    pub fn note(&self, text: String) {
        self.bar.set_message(text);
    }

    pub fn advance(&self, steps: u64) {
        self.bar.inc(steps);
        if self.bar.length().is_some_and(|total| total < self.bar.position()) {
            self.bar.set_length(self.bar.position());
        }
        if !self.bar.is_hidden() {
            return;
        }
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.elapsed() >= PLAIN_INTERVAL {
            *told = Instant::now();
            self.tell();
        }
    }

    /// Takes the bar away; the result that follows says how it ended.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn tell(&self) {
        let (done, total) = (self.bar.position(), self.bar.length().unwrap_or(0));
        let about = if self.is_estimate.load(Ordering::Relaxed) { "about " } else { "" };
        let percent = (done * 100).checked_div(total).unwrap_or(100);
        let left = self.bar.elapsed().as_secs_f64() * total.saturating_sub(done) as f64;
        let eta = match done {
            0 => String::new(),
            _ => format!(", about {:.0} s left", left / done as f64),
        };
        let line = format!("{}: {done} of {about}{total} ({percent} %){eta}", self.bar.message());
        // Progress that nobody can read is no reason to stop the work.
        let _ = writeln!(io::stderr(), "{line}");
    }
}

struct AboveBars(MultiProgress);

impl Write for AboveBars {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
