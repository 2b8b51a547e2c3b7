//! How much is kept of what ran.

use std::time::Duration;

use serde::Deserialize;

use super::settings::layered;
use super::{ConfigError, within};

/// How much is kept of what ran.
#[derive(Debug, Clone, Default, clap::Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[command(next_help_heading = "History of executions")]
pub struct ExecutionSettings {
    /// Days after which executions are forgotten [default: 90]
    #[arg(
        id = "executions_keep_days",
        long = "executions-keep-days",
        value_name = "DAYS",
        env = "PYMD_EXECUTIONS_KEEP_DAYS"
    )]
    pub keep_days: Option<u64>,
    /// Hours after which what they showed is forgotten; 0 keeps none of it [default: 168]
    #[arg(
        id = "executions_keep_outputs_hours",
        long = "executions-keep-outputs-hours",
        value_name = "HOURS",
        env = "PYMD_EXECUTIONS_KEEP_OUTPUTS_HOURS"
    )]
    pub keep_outputs_hours: Option<u64>,
    /// Bytes that are kept of what one execution showed [default: 65536]
    #[arg(
        id = "executions_output_bytes",
        long = "executions-output-bytes",
        value_name = "BYTES",
        env = "PYMD_EXECUTIONS_OUTPUT_BYTES"
    )]
    pub output_bytes: Option<usize>,
    /// Executions that are kept of one user; the eldest go [default: 100000]
    #[arg(
        id = "executions_user_rows",
        long = "executions-user-rows",
        value_name = "N",
        env = "PYMD_EXECUTIONS_USER_ROWS"
    )]
    pub user_rows: Option<u64>,
    /// Bytes that are kept of what one user's executions showed; the eldest go [default: 134217728]
    #[arg(
        id = "executions_user_output_bytes",
        long = "executions-user-output-bytes",
        value_name = "BYTES",
        env = "PYMD_EXECUTIONS_USER_OUTPUT_BYTES"
    )]
    pub user_output_bytes: Option<u64>,
}

layered!(ExecutionSettings { keep_days, keep_outputs_hours, output_bytes, user_rows, user_output_bytes });

/// How much is kept of what ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExecutionConfig {
    /// Executions are forgotten after so long.
    pub keep: Duration,
    /// What they showed, after so long; zero: none of it is kept.
    pub keep_outputs: Duration,
    /// Bytes that are kept of what one execution showed.
    pub output_bytes: usize,
    /// Executions of one user.
    pub user_rows: u64,
    /// Bytes that are kept of what one user's executions showed.
    pub user_output_bytes: u64,
}

impl ExecutionSettings {
    pub(super) fn resolve(self) -> Result<ExecutionConfig, ConfigError> {
        const HOUR: u64 = 60 * 60;
        // A hundred years.
        const MAX_DAYS: u64 = 36_525;
        let days = within("executions.keep_days", self.keep_days.unwrap_or(90), 1, MAX_DAYS)?;
        let hours = self.keep_outputs_hours.unwrap_or(7 * 24);
        let hours = within("executions.keep_outputs_hours", hours, 0, MAX_DAYS * 24)?;
        let user_rows = within("executions.user_rows", self.user_rows.unwrap_or(100_000), 1, 10_000_000)?;
        let user_output_bytes = self.user_output_bytes.unwrap_or(128 << 20);
        Ok(ExecutionConfig {
            keep: Duration::from_secs(days * 24 * HOUR),
            keep_outputs: Duration::from_secs(hours * HOUR),
            output_bytes: within("executions.output_bytes", self.output_bytes.unwrap_or(64 << 10), 256, 4 << 20)?,
            user_rows,
            user_output_bytes: within("executions.user_output_bytes", user_output_bytes, 0, 1 << 40)?,
        })
    }
}
