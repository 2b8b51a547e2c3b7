//! How much is kept of what ran.

use std::time::Duration;

use serde::Deserialize;

use super::settings::layered;
use super::{ConfigError, within};
use crate::domain::ExecutionPolicy;

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

impl ExecutionSettings {
    pub(super) fn resolve(self) -> Result<ExecutionPolicy, ConfigError> {
        const HOUR: u64 = 60 * 60;
        // A hundred years.
        const MAX_DAYS: u64 = 36_525;
        let usual = ExecutionPolicy::default();
        let days = self.keep_days.unwrap_or(usual.keep.as_secs() / (24 * HOUR));
        let hours = self.keep_outputs_hours.unwrap_or(usual.keep_outputs.as_secs() / HOUR);
        let output_bytes = self.output_bytes.unwrap_or(usual.output_bytes);
        let user_rows = self.user_rows.unwrap_or(usual.user_rows);
        let user_output_bytes = self.user_output_bytes.unwrap_or(usual.user_output_bytes);
        Ok(ExecutionPolicy {
            keep: Duration::from_secs(within("executions.keep_days", days, 1, MAX_DAYS)? * 24 * HOUR),
            keep_outputs: Duration::from_secs(within("executions.keep_outputs_hours", hours, 0, MAX_DAYS * 24)? * HOUR),
            output_bytes: within("executions.output_bytes", output_bytes, 256, 4 << 20)?,
            user_rows: within("executions.user_rows", user_rows, 1, 10_000_000)?,
            user_output_bytes: within("executions.user_output_bytes", user_output_bytes, 0, 1 << 40)?,
            ..usual
        })
    }
}
