//! What goes into a kernel, and what comes out.

use serde::{Deserialize, Serialize};

use super::{ExecutionId, Limits, MimeBundle, Outcome, Output, StreamName};

/// A cell to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CellRequest {
    /// Python source.
    pub code: String,
    /// What tracebacks call it, for example `cell 3`.
    pub name: String,
    /// Standard input, for `input()` and `sys.stdin`; empty is end of file.
    pub stdin: Vec<u8>,
    /// What it may use.
    pub limits: Limits,
}

/// A file that is put into the kernel's working directory before its first cell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputFile {
    /// Relative path below the working directory.
    pub path: String,
    /// The bytes.
    pub content: Vec<u8>,
}

/// Something that happened while a cell ran, in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// An output. Texts come as they are written: the receiver joins them.
    Output {
        /// The output.
        output: Output,
    },
    /// The display of that id shows something else from now on.
    UpdateDisplay {
        /// The display's name.
        display_id: String,
        /// Its new representations.
        #[schema(value_type = Object)]
        data: MimeBundle,
        /// Metadata by MIME type.
        #[schema(value_type = Object)]
        metadata: MimeBundle,
    },
    /// The outputs so far are to be removed.
    ClearOutput {
        /// Only when the next output comes.
        wait: bool,
    },
}

/// How a cell ended, and what it cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CellReport {
    /// How it ended.
    pub outcome: Outcome,
    /// What it showed, in order.
    pub outputs: Vec<Output>,
    /// Fuel burnt.
    pub fuel_used: u64,
    /// Wall-clock milliseconds, waiting included.
    pub wall_ms: f64,
    /// The largest linear memory it had.
    pub peak_memory_bytes: u64,
    /// Bytes of output it produced.
    pub output_bytes: u64,
}

impl CellReport {
    /// All text of one stream.
    pub fn text(&self, wanted: StreamName) -> String {
        self.outputs
            .iter()
            .filter_map(|output| match output {
                Output::Stream { name, text } if *name == wanted => Some(text.as_str()),
                _ => None,
            })
            .collect()
    }

    /// The value of the cell's last expression.
    pub fn result(&self) -> Option<&MimeBundle> {
        self.outputs.iter().rev().find_map(|output| match output {
            Output::ExecuteResult { data, .. } => Some(data),
            _ => None,
        })
    }
}

/// The answer of `POST /api/v1/execute` and of `pymd run --json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ExecuteReport {
    /// Under which it is found in the history; absent where none is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_id: Option<ExecutionId>,
    /// How the code ended.
    pub outcome: Outcome,
    /// All that was printed to standard output.
    pub stdout: String,
    /// All that was printed to standard error.
    pub stderr: String,
    /// Everything that was shown, in order, in nbformat's shapes.
    pub outputs: Vec<Output>,
    /// The representations of the last expression's value, by MIME type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub result: Option<MimeBundle>,
    /// Fuel burnt.
    pub fuel_used: u64,
    /// Wall-clock milliseconds.
    pub wall_ms: f64,
    /// The largest linear memory it had.
    pub peak_memory_bytes: u64,
    /// Bytes of output it produced.
    pub output_bytes: u64,
}

impl From<CellReport> for ExecuteReport {
    fn from(report: CellReport) -> Self {
        Self {
            execution_id: None,
            stdout: report.text(StreamName::Stdout),
            stderr: report.text(StreamName::Stderr),
            result: report.result().cloned(),
            outcome: report.outcome,
            outputs: report.outputs,
            fuel_used: report.fuel_used,
            wall_ms: report.wall_ms,
            peak_memory_bytes: report.peak_memory_bytes,
            output_bytes: report.output_bytes,
        }
    }
}
