//! Kernels: interpreters that stay between cells.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::text_enum::text_enum;
use super::{CheckpointId, EnvironmentId, KernelId, Limits, LimitsRequest, Lockfile};

/// How a kernel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, utoipa::ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum KernelState {
    /// It is woken.
    Starting,
    /// It waits for a cell.
    Idle,
    /// It runs one.
    Busy,
    /// It takes no memory: it is woken by its next cell, on any server.
    Hibernated,
    /// What it knew is lost. A restart brings it back, without.
    Dead,
}

text_enum!(KernelState, "state" {
    Starting => "starting",
    Idle => "idle",
    Busy => "busy",
    Hibernated => "hibernated",
    Dead => "dead",
});

/// A kernel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct KernelInfo {
    /// The id.
    pub id: KernelId,
    /// What its owner calls it.
    pub name: Option<String>,
    /// The environment it began in.
    pub environment_id: Option<EnvironmentId>,
    /// The kernel that it was forked from.
    pub forked_from: Option<KernelId>,
    /// How it is.
    pub state: KernelState,
    /// How many cells have left their mark in it.
    pub execution_count: u64,
    /// The checkpoint that it is at; none before its first cell, or when that checkpoint is kept no more.
    pub checkpoint_id: Option<CheckpointId>,
    /// What each of its cells may use.
    pub limits: Limits,
    /// Bytes that its state and its checkpoints take beside what it started from.
    pub size_bytes: u64,
    /// Whether all that it knows is kept, and survives the end of the server: soon after each cell.
    pub saved: bool,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When a cell of it began or ended last.
    #[schema(value_type = String, format = DateTime)]
    pub last_used_at: Timestamp,
}

/// The state of a kernel behind one of its cells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CheckpointInfo {
    /// The id.
    pub id: CheckpointId,
    /// The cell's number.
    pub execution_count: u64,
    /// The beginning of its code.
    pub code: String,
    /// Bytes that the state takes beside the one before.
    pub size_bytes: u64,
    /// When the cell ended.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// What can stand at a place in code.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Completion {
    /// The names, at most 500.
    pub matches: Vec<String>,
    /// The part of the code that they take the place of, in characters: its beginning.
    pub cursor_start: usize,
    /// And its end.
    pub cursor_end: usize,
}

/// What is known of the name at a place in code.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Inspection {
    /// Whether there is something of that name.
    pub found: bool,
    /// The name.
    pub name: String,
    /// The type of what it names.
    pub type_name: Option<String>,
    /// How it is called.
    pub signature: Option<String>,
    /// Its documentation.
    pub documentation: Option<String>,
    /// Its value in short.
    pub text: Option<String>,
}

/// How kernels that stay between cells are kept.
#[derive(Debug, Clone)]
pub struct KernelPolicy {
    /// Bytes of memory of all kernels together; where there is no room, whoever has most gives way.
    pub bytes: u64,
    /// Bytes of one kernel's checkpoints; the eldest go first.
    pub kernel_bytes: u64,
    /// The memory of a kernel that runs nothing is given back after so many milliseconds.
    pub idle_ms: u64,
    /// What a kernel knows is saved when it has run nothing for so many milliseconds.
    pub save_after_ms: u64,
    /// A kernel that has run nothing for so many milliseconds hibernates.
    pub hibernate_after_ms: u64,
    /// A kernel that has hibernated for so many days is deleted.
    pub keep_days: u64,
    /// A server that was not heard of for so many milliseconds is taken for dead, and its kernels are taken by others.
    /// (Servers of a SQLite database know at once.)
    pub lease_ms: u64,
}

impl Default for KernelPolicy {
    fn default() -> Self {
        Self {
            bytes: 4 << 30,
            kernel_bytes: 512 << 20,
            idle_ms: 60_000,
            save_after_ms: 250,
            hibernate_after_ms: 600_000,
            keep_days: 90,
            lease_ms: 20_000,
        }
    }
}

/// What a kernel is woken from.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct KernelAtRest {
    /// The digest of the image that it began in.
    pub image: String,
    /// The packages that it sees; none but those linked into the runtime where there is nothing.
    pub packages: Option<KernelPackages>,
    /// What its saved states are.
    pub history: KernelHistory,
    /// Where they are, in order.
    pub segments: Vec<KernelSegment>,
    /// The last of them once more, by itself, where that is much quicker to read.
    pub alone: Option<KernelSegment>,
    /// What was asked for when it was made.
    pub asked_limits: LimitsRequest,
}

/// The saved states of a kernel, by their number among all that its segments hold.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct KernelHistory {
    /// The one that it is in; none where it has run nothing.
    pub head: Option<u64>,
    /// Its checkpoints, the eldest first.
    pub checkpoints: Vec<(u64, CheckpointInfo)>,
}

/// Some of a kernel's states, as an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelSegment {
    /// The object.
    pub object_key: String,
    /// Of its bytes.
    pub digest: String,
    /// How many they are.
    pub size_bytes: u64,
    /// How many states it holds.
    pub states: u64,
}

/// The packages that a kernel began with: its environment may have others by now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KernelPackages {
    /// The contents of the environment.
    pub generation: u64,
    /// The Python version, such as `3.15`.
    pub python_version: String,
    /// The wheels.
    pub lock: Lockfile,
    /// The names of the packages that were asked for.
    pub requested: Vec<String>,
    /// Further modules that are imported beforehand.
    pub warm_imports: Vec<String>,
}
