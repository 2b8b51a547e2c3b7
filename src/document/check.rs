//! What is wrong with a document's structure. (What is wrong with its Python, Python says.)

use serde::{Deserialize, Serialize};

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It can't be meant like that.
    Error,
    /// It renders, but perhaps not as meant.
    Warning,
}

/// Something that is wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Problem {
    /// The line in the source, from 1.
    pub line: usize,
    /// The column in that line, from 1, in characters.
    pub column: usize,
    /// A sentence for a person.
    pub message: String,
    /// How bad it is.
    pub severity: Severity,
}

/// The problems of a document's structure, in order of their lines, at most some 1,000: unclosed and wrongly nested
/// blocks, stray lines, fences of the other spelling; options of cells and settings that are not what they should be.
pub fn check(source: &str) -> Vec<Problem> {
    super::parse::scan(source).1
}
