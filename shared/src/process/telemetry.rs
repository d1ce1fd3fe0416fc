use std::io::{IsTerminal, stdout};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use super::settings::{LogFormat, LogSettings};

/// Starts structured logging to stdout for the whole process, and sends panics
/// the same way, so that a crash is found where the other lines are.
///
/// # Errors
/// Where the filter does not parse.
pub fn start_telemetry(settings: &LogSettings) -> Result<(), ParseError> {
    let filter = EnvFilter::try_new(&settings.log)?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_target(true);
    match settings.log_format {
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(true).init(),
        // Colours are for eyes: in a file they are noise.
        LogFormat::Text => lines.compact().with_ansi(stdout().is_terminal()).init(),
    }
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        tracing::error!(location, "panic: {}", panic.payload_as_str().unwrap_or("?"));
    }));
    Ok(())
}
