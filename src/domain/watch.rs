//! What is told of a kernel or a document to those who watch it.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::{
    CheckpointId, CheckpointInfo, DocumentTitle, Event, ExecutionId, JobId, KernelInfo, KernelState, MimeBundle,
    Outcome, Output,
};

/// Something that happened to a kernel.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum KernelEvent {
    /// It is in another state, or what it knows was kept.
    State(KernelStatus),
    /// A cell begins.
    CellStarted {
        /// Its number, from 1.
        execution_count: u64,
        /// The beginning of its code.
        code: String,
    },
    /// A cell did something that was too large to be told: it is in the history.
    LeftOut {
        /// So large.
        size_bytes: usize,
    },
    /// The state behind a cell was kept.
    Checkpoint {
        /// The checkpoint.
        checkpoint: CheckpointInfo,
    },
    /// A cell has ended.
    CellDone {
        /// Its number.
        execution_count: u64,
        /// Under which it is found in the history, where one is kept.
        #[serde(skip_serializing_if = "Option::is_none")]
        execution_id: Option<ExecutionId>,
        /// How it ended.
        outcome: Outcome,
        /// Fuel burnt.
        fuel_used: u64,
        /// Wall-clock milliseconds.
        wall_ms: f64,
    },
    /// A cell could not be run to its end, by a fault that is not its own: the kernel is as it was.
    CellFailed {
        /// Its number.
        execution_count: u64,
    },
    /// It went back to a checkpoint.
    Restored {
        /// That one.
        checkpoint_id: CheckpointId,
    },
    /// It began anew.
    Restarted,
    /// It is gone. Nothing comes after this.
    Deleted,
    /// A cell shows something.
    #[serde(untagged)]
    Shown(Event),
}

/// How a kernel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct KernelStatus {
    /// Its state.
    pub state: KernelState,
    /// How many cells have left their mark in it.
    pub execution_count: u64,
    /// The checkpoint that it is at.
    pub checkpoint_id: Option<CheckpointId>,
    /// Whether all that it knows is kept.
    pub saved: bool,
}

impl From<&KernelInfo> for KernelStatus {
    fn from(info: &KernelInfo) -> Self {
        let KernelInfo { state, execution_count, checkpoint_id, saved, .. } = *info;
        Self { state, execution_count, checkpoint_id, saved }
    }
}

/// Something that happened to a document.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum DocumentEvent {
    /// It has another version. (Of several in quick succession, only the last may be told.)
    Changed(DocumentStatus),
    /// It lies in the bin.
    Deleted(DocumentStatus),
    /// It was taken out of the bin.
    Restored(DocumentStatus),
    /// It is gone for good. Nothing comes after this.
    Purged,
    /// A render of it ended.
    Rendered(RenderSummary),
}

/// How a document is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct DocumentStatus {
    /// Its version.
    pub version: u64,
    /// The `ETag` of that version.
    pub etag: String,
    /// Its title.
    pub title: DocumentTitle,
    /// When it was changed last.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// Since when it lies in the bin.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub deleted_at: Option<Timestamp>,
}

/// What came of a render of a stored document.
#[derive(Debug, Clone, Default, PartialEq, Serialize, utoipa::ToSchema)]
pub struct RenderSummary {
    /// The version that was rendered.
    pub version: u64,
    /// The job that did it, where one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_id: Option<JobId>,
    /// Whether there is a result. One with cells that failed is one.
    pub succeeded: bool,
    /// Whether nothing had to run.
    pub cached: bool,
    /// How many cells the document has.
    pub cell_count: usize,
    /// How many of them did not complete.
    pub failed_count: usize,
    /// Fuel burnt.
    pub fuel_used: u64,
    /// Wall-clock milliseconds.
    pub wall_ms: f64,
}

/// The `ETag` of a document at that version.
pub fn etag_of(version: u64) -> String {
    format!("\"{version}\"")
}

impl Event {
    /// About how many bytes it takes.
    pub fn size_bytes(&self) -> usize {
        match self {
            Self::Output { output: Output::Stream { text, .. } } => text.len(),
            Self::Output { output: Output::DisplayData { data, metadata, .. } }
            | Self::Output { output: Output::ExecuteResult { data, metadata, .. } }
            | Self::UpdateDisplay { data, metadata, .. } => {
                size_of_fields(data).saturating_add(size_of_fields(metadata))
            }
            Self::Output { output: Output::Error { ename, evalue, traceback } } => traceback
                .iter()
                .fold(ename.len().saturating_add(evalue.len()), |sum, line| sum.saturating_add(line.len())),
            Self::ClearOutput { .. } => 1,
        }
    }
}

/// What a JSON value takes in memory, which is far more than its text where much is nested. (One that comes from a guest is
/// nested no deeper than its parser allows.)
fn size_of(value: &Value) -> usize {
    let more = match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(size_of).fold(0, usize::saturating_add),
        Value::Object(fields) => size_of_fields(fields),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    };
    more.saturating_add(std::mem::size_of::<Value>())
}

fn size_of_fields(fields: &MimeBundle) -> usize {
    // A map has nodes with room for eleven; some half of it is used, and of a single field one in eleven.
    let room = fields.len().div_ceil(6).saturating_mul(11 * std::mem::size_of::<(String, Value)>());
    let inside = |(name, value): (&String, &Value)| {
        name.len().saturating_add(size_of(value)).saturating_sub(std::mem::size_of::<Value>())
    };
    fields.iter().map(inside).fold(room, usize::saturating_add)
}
