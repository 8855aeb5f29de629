//! Log lines: on standard error, so that standard output stays for results.

use std::io;

use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, LogSettings};

/// Starts logging for the whole process. Once; a second call changes nothing.
pub fn start(settings: &LogSettings) {
    // Checked with the configuration; the fallback is for callers that skipped it.
    let filter = EnvFilter::try_new(&settings.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    let started = match settings.format {
        LogFormat::Text => lines
            .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
            .try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    if started.is_err() {
        tracing::debug!("logging was started already");
    }
}

/// Whether `directives` make a filter.
///
/// # Errors
/// Which of them does not, and why.
pub fn check_level(directives: &str) -> Result<(), String> {
    EnvFilter::builder()
        .parse(directives)
        .map(|_| ())
        .map_err(|error| format!("`{directives}`: {error}"))
}

/// Writes a command's answer to standard output. Whoever closes the pipe early, as `head` does, has read enough.
pub(crate) fn say(answer: &str) {
    // Nothing is left to do when even the terminal is gone.
    let _ = io::Write::write_all(&mut io::stdout(), answer.as_bytes());
}
