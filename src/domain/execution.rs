//! Executions: the history of cells that ran.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::text_enum::text_enum;
use super::{BackendKind, DocumentId, EnvironmentId, ExecutionId, KernelId, Outcome, Output, StreamName, UserId};

/// How much history is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExecutionPolicy {
    /// Executions are forgotten after so long.
    pub keep: Duration,
    /// What they showed, after so long; zero: it is not kept at all.
    pub keep_outputs: Duration,
    /// Of what one showed, so many bytes are kept, as JSON.
    pub output_bytes: usize,
    /// Executions of one user; the eldest go.
    pub user_rows: u64,
    /// Bytes of all that those of one user showed; the eldest go.
    pub user_output_bytes: u64,
    /// Executions that wait to be written down; more are left out.
    pub queued_rows: usize,
}

impl Default for ExecutionPolicy {
    fn default() -> Self {
        const DAY: u64 = 24 * 60 * 60;
        Self {
            keep: Duration::from_secs(90 * DAY),
            keep_outputs: Duration::from_secs(7 * DAY),
            output_bytes: 64 << 10,
            user_rows: 100_000,
            user_output_bytes: 128 << 20,
            queued_rows: 4096,
        }
    }
}

/// What a cell ran in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, utoipa::ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum ExecutionKind {
    /// A kernel of its own.
    Execute,
    /// A kernel that stays.
    Kernel,
    /// A document.
    Render,
}

text_enum!(ExecutionKind, "kind" { Execute => "execute", Kernel => "kernel", Render => "render" });

/// How a cell ended, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, utoipa::ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum OutcomeKind {
    /// It ran to its end.
    Completed,
    /// A Python exception reached the top.
    PythonError,
    /// It burnt all of its fuel.
    OutOfFuel,
    /// It wanted more memory than it may have.
    OutOfMemory,
    /// It ran past its wall-clock deadline.
    DeadlineExceeded,
    /// It wrote more output than it may.
    OutputLimitExceeded,
    /// It was interrupted, or nobody waited for it any more.
    Cancelled,
    /// It ended itself.
    Exited,
    /// The guest aborted.
    Crashed,
}

text_enum!(OutcomeKind, "outcome" {
    Completed => "completed",
    PythonError => "python_error",
    OutOfFuel => "out_of_fuel",
    OutOfMemory => "out_of_memory",
    DeadlineExceeded => "deadline_exceeded",
    OutputLimitExceeded => "output_limit_exceeded",
    Cancelled => "cancelled",
    Exited => "exited",
    Crashed => "crashed",
});

impl From<&Outcome> for OutcomeKind {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Completed => Self::Completed,
            Outcome::PythonError { .. } => Self::PythonError,
            Outcome::OutOfFuel { .. } => Self::OutOfFuel,
            Outcome::OutOfMemory { .. } => Self::OutOfMemory,
            Outcome::DeadlineExceeded { .. } => Self::DeadlineExceeded,
            Outcome::OutputLimitExceeded { .. } => Self::OutputLimitExceeded,
            Outcome::Cancelled => Self::Cancelled,
            Outcome::Exited { .. } => Self::Exited,
            Outcome::Crashed { .. } => Self::Crashed,
        }
    }
}

/// How a recorded cell ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ExecutionOutcome {
    /// In one word.
    pub kind: OutcomeKind,
    /// The exception's class name, where an exception ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ename: Option<String>,
}

/// A cell that ran.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Execution {
    /// The id.
    pub id: ExecutionId,
    /// Whose it is.
    #[serde(skip)]
    #[schema(ignore)]
    pub user_id: UserId,
    /// What it ran in.
    pub kind: ExecutionKind,
    /// The environment; none where the document named packages of its own. It may be gone by now.
    pub environment_id: Option<EnvironmentId>,
    /// The stored document that it is a cell of. It may be gone by now.
    pub document_id: Option<DocumentId>,
    /// The kernel that stays. It may be gone by now.
    pub kernel_id: Option<KernelId>,
    /// The cell's number, from 0, in its document or kernel.
    pub cell_index: Option<u64>,
    /// The label that it has in its document.
    pub cell_label: Option<String>,
    /// What tracebacks call it, for example `cell 3`.
    pub cell_name: String,
    /// The beginning of its code: at most 1024 bytes.
    pub code: String,
    /// How it ended.
    pub outcome: ExecutionOutcome,
    /// Fuel burnt. As the two sizes, 0 for one that was given up because nobody waited for it any more.
    pub fuel_used: u64,
    /// Wall-clock milliseconds.
    pub wall_ms: f64,
    /// The largest linear memory it had.
    pub peak_memory_bytes: u64,
    /// Bytes of output it produced.
    pub output_bytes: u64,
    /// What ran it.
    pub backend: BackendKind,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    /// When it ended.
    #[schema(value_type = String, format = DateTime)]
    pub completed_at: Timestamp,
}

/// What is kept of that which a cell showed.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptOutputs {
    /// The outputs, in order.
    pub outputs: Vec<Output>,
    /// Whether there was more.
    pub is_truncated: bool,
}

impl KeptOutputs {
    /// All text of one stream.
    pub fn text(&self, wanted: StreamName) -> String {
        let texts = self.outputs.iter().filter_map(|output| match output {
            Output::Stream { name, text } if *name == wanted => Some(text.as_str()),
            _ => None,
        });
        texts.collect()
    }
}

/// Which executions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecutionFilter {
    /// Only those in this environment.
    pub environment_id: Option<EnvironmentId>,
    /// Only those of this document.
    pub document_id: Option<DocumentId>,
    /// Only those in this kernel.
    pub kernel_id: Option<KernelId>,
    /// Only those in such a thing.
    pub kind: Option<ExecutionKind>,
    /// Only those that ended so.
    pub outcome: Option<OutcomeKind>,
    /// Only those that began then or later.
    pub since: Option<Timestamp>,
    /// Only those that began before then.
    pub until: Option<Timestamp>,
}

/// What executions are counted by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, utoipa::ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum ExecutionGroup {
    /// The stored document.
    #[default]
    Document,
    /// The environment.
    Environment,
    /// What they ran in.
    Kind,
    /// The day, in UTC.
    Day,
}

text_enum!(ExecutionGroup, "group" {
    Document => "document",
    Environment => "environment",
    Kind => "kind",
    Day => "day",
});

/// What executions that have something in common came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ExecutionStats {
    /// What they have in common: an id, a kind, or a day like `2026-01-31`; null for those of no document, or of no
    /// environment that is kept.
    pub group: Option<String>,
    /// How many there are.
    pub executions: u64,
    /// How many ended how; what never happened is left out.
    #[schema(value_type = BTreeMap<String, u64>)]
    pub outcomes: BTreeMap<OutcomeKind, u64>,
    /// Fuel that all burnt.
    pub fuel_used: u64,
    /// Wall-clock milliseconds of all together.
    pub wall_ms: f64,
    /// Of half of them at most so many.
    pub median_wall_ms: f64,
    /// Of the one that took longest.
    pub max_wall_ms: f64,
    /// The largest linear memory that one of them had.
    pub peak_memory_bytes: u64,
    /// Bytes of output of all together.
    pub output_bytes: u64,
    /// When the last of them began.
    #[schema(value_type = String, format = DateTime)]
    pub last_started_at: Timestamp,
}
