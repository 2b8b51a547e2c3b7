//! Work that goes on when nobody waits for it.

use serde::Deserialize;

use super::settings::layered;
use super::{ConfigError, within};
use crate::domain::JobPolicy;

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

impl JobSettings {
    pub(super) fn resolve(self) -> Result<JobPolicy, ConfigError> {
        let usual = JobPolicy::default();
        let minutes = self.schedule_minutes.unwrap_or(usual.schedule_minutes);
        Ok(JobPolicy {
            renders: within("jobs.renders", self.renders.unwrap_or(usual.renders), 1, 1024)?,
            lease_ms: within("jobs.lease_ms", self.lease_ms.unwrap_or(usual.lease_ms), 1_000, 3_600_000)?,
            schedule_minutes: within("jobs.schedule_minutes", minutes, 1, 1440)?,
        })
    }
}
