//! Jobs: work that goes on when nobody waits for it.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::text_enum::text_enum;
use super::{EnvironmentId, JobId, UserId};

/// How jobs are done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobPolicy {
    /// Jobs of renders that go on at once in this server.
    pub renders: usize,
    /// A server that was not heard of for so long, in milliseconds, loses its jobs to another.
    pub lease_ms: u64,
    /// A schedule must not fire more often than once in so many minutes.
    pub schedule_minutes: u32,
}

impl Default for JobPolicy {
    fn default() -> Self {
        Self { renders: 4, lease_ms: 15_000, schedule_minutes: 15 }
    }
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, utoipa::ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum JobState {
    /// It waits for its turn.
    Queued,
    /// A server works on it.
    Running,
    /// It is done, and its result is there.
    Succeeded,
    /// It could not be done; the reason is there.
    Failed,
    /// Its user did not want it any more.
    Cancelled,
}

text_enum!(JobState, "state" {
    Queued => "queued",
    Running => "running",
    Succeeded => "succeeded",
    Failed => "failed",
    Cancelled => "cancelled",
});

impl JobState {
    /// Whether nothing more happens to it.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

/// A piece of work.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Job {
    /// The id.
    pub id: JobId,
    /// Who wants it.
    #[serde(skip)]
    #[schema(ignore)]
    pub user_id: UserId,
    /// The environment it is about.
    pub environment_id: Option<EnvironmentId>,
    /// What is to be done: `install`, ...
    pub kind: String,
    /// The details of what is to be done; not in a list.
    #[serde(skip_serializing_if = "Value::is_null")]
    #[schema(value_type = Option<Object>)]
    pub request: Value,
    /// How far it is.
    pub state: JobState,
    /// Number of its last event; 0 before the first.
    pub last_event: u64,
    /// What came of it; not in a list.
    #[schema(value_type = Option<Object>)]
    pub result: Option<Value>,
    /// Why nothing came of it.
    pub error: Option<String>,
    /// Whether its user wants it to end.
    pub cancel_requested: bool,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When work on it began first.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<Timestamp>,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq)]
pub enum JobEnd {
    /// With this result.
    Succeeded(Value),
    /// For this reason, in words for its user.
    Failed(String),
    /// Because its user wanted it.
    Cancelled,
}

/// Something that happened in a job.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct JobEvent {
    /// Its number in the job, from 1 on without gaps.
    pub seq: u64,
    /// When it happened.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// What happened.
    #[schema(value_type = Object)]
    pub event: Value,
}
