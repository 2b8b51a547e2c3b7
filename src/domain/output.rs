//! What a cell shows, in the shapes of nbformat 4.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Representations of one object by MIME type: text as a string, images as base64, JSON as JSON.
pub type MimeBundle = Map<String, Value>;

/// Which of the two text streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StreamName {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One output of a cell, in order. Neighbouring texts of one stream are one output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Output {
    /// Text that was printed.
    Stream {
        /// The stream it was printed to.
        name: StreamName,
        /// The text.
        text: String,
    },
    /// An object that was displayed.
    DisplayData {
        /// Its representations.
        #[schema(value_type = Object)]
        data: MimeBundle,
        /// Metadata by MIME type, for example the size of an image.
        #[schema(value_type = Object)]
        metadata: MimeBundle,
        /// The name under which a later `update_display` finds it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        display_id: Option<String>,
    },
    /// The value of the cell's last expression.
    ExecuteResult {
        /// The number of the cell in its kernel, from 1.
        execution_count: u64,
        /// Its representations.
        #[schema(value_type = Object)]
        data: MimeBundle,
        /// Metadata by MIME type.
        #[schema(value_type = Object)]
        metadata: MimeBundle,
    },
    /// The exception that ended the cell.
    Error {
        /// The exception's class name.
        ename: String,
        /// `str()` of the exception.
        evalue: String,
        /// The traceback's lines.
        traceback: Vec<String>,
    },
}
