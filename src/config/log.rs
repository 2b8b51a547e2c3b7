//! What is logged, and how.

use serde::Deserialize;

use super::settings::layered;

/// What is logged, and how.
#[derive(Debug, Clone, Default, clap::Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[command(next_help_heading = "Log")]
pub struct LogSettings {
    /// What is logged: a level, or levels by module, such as `warn,pymd=debug` [default: info for `serve`, else warn]
    #[arg(id = "log_filter", long = "log", value_name = "FILTER", env = "PYMD_LOG", global = true)]
    pub filter: Option<String>,
    /// How it is written to standard error [default: text]
    #[arg(id = "log_format", long = "log-format", value_name = "FORMAT", env = "PYMD_LOG_FORMAT", global = true)]
    pub format: Option<LogFormat>,
}

layered!(LogSettings { filter, format });

/// How the log is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

/// What is logged, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogConfig {
    /// What is logged, where that is given.
    pub filter: Option<String>,
    /// How it is written.
    pub format: LogFormat,
}

impl LogSettings {
    pub(super) fn resolve(self) -> LogConfig {
        LogConfig { filter: self.filter, format: self.format.unwrap_or_default() }
    }
}
