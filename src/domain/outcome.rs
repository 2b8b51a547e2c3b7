//! How a cell ended. Data, not an error: only *our* failures are errors.

use serde::{Deserialize, Serialize};

/// How a cell ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Outcome {
    /// It ran to its end.
    Completed,
    /// A Python exception reached the top. The kernel keeps its state, as in a notebook.
    PythonError {
        /// The exception's class name.
        ename: String,
        /// `str()` of the exception.
        evalue: String,
        /// The traceback's lines: the user's own frames only.
        traceback: Vec<String>,
    },
    /// It burnt all of its fuel; rolled back.
    OutOfFuel {
        /// The fuel it had.
        limit: u64,
    },
    /// It wanted more memory than it may have; rolled back.
    OutOfMemory {
        /// The memory it may have.
        limit_bytes: u64,
    },
    /// It ran past its wall-clock deadline; rolled back.
    DeadlineExceeded {
        /// The time it had.
        limit_ms: u64,
    },
    /// It wrote more output than it may; rolled back. What fits is kept.
    OutputLimitExceeded {
        /// The bytes it may write.
        limit_bytes: u64,
    },
    /// It was interrupted, or nobody waits for it any more; rolled back.
    Cancelled,
    /// `sys.exit` (the state is kept) or `os._exit` (the interpreter ended in mid-air: rolled back).
    Exited {
        /// The exit code.
        code: i32,
    },
    /// The guest aborted: `os.abort()`, a stack overflow, an `unreachable`; rolled back.
    Crashed {
        /// What WebAssembly calls the trap.
        trap: String,
    },
}

impl Outcome {
    /// The name that the API shows as `kind`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::PythonError { .. } => "python_error",
            Self::OutOfFuel { .. } => "out_of_fuel",
            Self::OutOfMemory { .. } => "out_of_memory",
            Self::DeadlineExceeded { .. } => "deadline_exceeded",
            Self::OutputLimitExceeded { .. } => "output_limit_exceeded",
            Self::Cancelled => "cancelled",
            Self::Exited { .. } => "exited",
            Self::Crashed { .. } => "crashed",
        }
    }

    /// Whether a limit of ours ended the cell.
    pub fn is_limit(&self) -> bool {
        matches!(
            self,
            Self::OutOfFuel { .. }
                | Self::OutOfMemory { .. }
                | Self::DeadlineExceeded { .. }
                | Self::OutputLimitExceeded { .. }
        )
    }

    /// One sentence for a person, or nothing where the outcome needs none.
    pub fn sentence(&self) -> Option<String> {
        Some(match self {
            Self::Completed => return None,
            Self::PythonError { ename, evalue, .. } if evalue.is_empty() => ename.clone(),
            Self::PythonError { ename, evalue, .. } => format!("{ename}: {evalue}"),
            Self::OutOfFuel { limit } => format!("The cell burnt all of its fuel ({limit} units) and was undone."),
            Self::OutOfMemory { limit_bytes } => {
                format!("The cell needed more memory than its limit of {limit_bytes} bytes and was undone.")
            }
            Self::DeadlineExceeded { limit_ms } => {
                format!("The cell ran longer than its limit of {limit_ms} ms and was undone.")
            }
            Self::OutputLimitExceeded { limit_bytes } => {
                format!("The cell wrote more than its limit of {limit_bytes} bytes and was undone; what fits is shown.")
            }
            Self::Cancelled => "The cell was cancelled and undone.".to_owned(),
            Self::Exited { code } => format!("The cell ended itself with exit code {code}."),
            Self::Crashed { trap } => format!("The interpreter crashed ({trap}) and the cell was undone."),
        })
    }
}
