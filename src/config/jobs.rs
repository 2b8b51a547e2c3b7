//! Work that goes on when nobody waits for it.

use serde::Deserialize;

use super::settings::layered;
use super::{ConfigError, within};

/// Work that goes on when nobody waits for it.
#[derive(Debug, Clone, Default, clap::Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[command(next_help_heading = "Jobs")]
pub struct JobSettings {
    /// Jobs of renders that go on at once; installations have room of their own [default: 4]
    #[arg(id = "jobs_renders", long = "jobs-renders", value_name = "N", env = "PYMD_JOBS_RENDERS")]
    pub renders: Option<usize>,
    /// A server that was not heard of for so many milliseconds loses its jobs to another [default: 15000]
    #[arg(id = "jobs_lease_ms", long = "jobs-lease-ms", value_name = "MS", env = "PYMD_JOBS_LEASE_MS")]
    pub lease_ms: Option<u64>,
    /// A schedule must not fire more often than once in so many minutes [default: 15]
    #[arg(
        id = "jobs_schedule_minutes",
        long = "jobs-schedule-minutes",
        value_name = "MINUTES",
        env = "PYMD_JOBS_SCHEDULE_MINUTES"
    )]
    pub schedule_minutes: Option<u32>,
}

layered!(JobSettings { renders, lease_ms, schedule_minutes });

/// Work that goes on when nobody waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobConfig {
    /// Jobs of renders that go on at once.
    pub renders: usize,
    /// After so many milliseconds without a word of it a server loses its jobs.
    pub lease_ms: u64,
    /// The shortest time between two runs of a schedule, in minutes.
    pub schedule_minutes: u32,
}

impl JobSettings {
    pub(super) fn resolve(self) -> Result<JobConfig, ConfigError> {
        Ok(JobConfig {
            renders: within("jobs.renders", self.renders.unwrap_or(4), 1, 1024)?,
            lease_ms: within("jobs.lease_ms", self.lease_ms.unwrap_or(15_000), 1_000, 3_600_000)?,
            schedule_minutes: within("jobs.schedule_minutes", self.schedule_minutes.unwrap_or(15), 1, 1440)?,
        })
    }
}
