//! The log: to standard error, as text or as JSON.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use crate::config::{LogConfig, LogFormat};

/// Starts the log, once a process; a later call changes nothing. `default_filter` holds where none is configured.
///
/// # Errors
/// The filter cannot be read.
pub fn init(config: &LogConfig, default_filter: &str) -> Result<(), ParseError> {
    let filter = EnvFilter::builder().parse(config.filter.as_deref().unwrap_or(default_filter))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    // An error says that the process has a log already: a test's own, or that of an earlier call.
    let _ = match config.format {
        LogFormat::Text => builder.with_ansi(io::stderr().is_terminal()).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    Ok(())
}

/// Sends panics to the log, where they carry the request in whose span they happen.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|info| {
        let payload = info.payload();
        let message = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("no message");
        let location = info.location().map(ToString::to_string).unwrap_or_default();
        let backtrace = std::backtrace::Backtrace::capture();
        tracing::error!(message, location, %backtrace, "panic");
    }));
}
