//! Threads that run guests, and who waits for them.

use serde::Deserialize;

use super::settings::layered;
use super::{ConfigError, within};

/// Threads that run guests, and who waits for them.
#[derive(Debug, Clone, Default, clap::Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[command(next_help_heading = "Executor")]
pub struct ExecutorSettings {
    /// Threads that run guests [default: one a core]
    #[arg(id = "executor_threads", long = "executor-threads", value_name = "N", env = "PYMD_EXECUTOR_THREADS")]
    pub threads: Option<usize>,
    /// Kernels that are kept ready [default: 16]
    #[arg(
        id = "executor_ready_kernels",
        long = "executor-ready-kernels",
        value_name = "N",
        env = "PYMD_EXECUTOR_READY_KERNELS"
    )]
    pub ready_kernels: Option<usize>,
    /// Executions that run at once, sharing the threads [default: 64]
    #[arg(
        id = "executor_max_running",
        long = "executor-max-running",
        value_name = "N",
        env = "PYMD_EXECUTOR_MAX_RUNNING"
    )]
    pub max_running: Option<usize>,
    /// Executions that wait for their turn; more are refused with 429 [default: 256]
    #[arg(
        id = "executor_max_queued",
        long = "executor-max-queued",
        value_name = "N",
        env = "PYMD_EXECUTOR_MAX_QUEUED"
    )]
    pub max_queued: Option<usize>,
}

layered!(ExecutorSettings { threads, ready_kernels, max_running, max_queued });

/// Threads that run guests, and who waits for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExecutorConfig {
    /// Threads that run guests.
    pub threads: usize,
    /// Kernels that are kept ready.
    pub ready_kernels: usize,
    /// Executions that run at once.
    pub max_running: usize,
    /// Executions that wait for their turn.
    pub max_queued: usize,
}

impl ExecutorSettings {
    pub(super) fn resolve(self) -> Result<ExecutorConfig, ConfigError> {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Ok(ExecutorConfig {
            threads: within("executor.threads", self.threads.unwrap_or(cores), 1, 1024)?,
            ready_kernels: within("executor.ready_kernels", self.ready_kernels.unwrap_or(16), 0, 1024)?,
            max_running: within("executor.max_running", self.max_running.unwrap_or(64), 1, 4096)?,
            max_queued: within("executor.max_queued", self.max_queued.unwrap_or(256), 0, 65_536)?,
        })
    }
}
