//! PyMD documents: source text to blocks, and blocks with the reports of their cells to HTML, Markdown or JSON.
//!
//! ```text
//! source --parse--> Document --(the cells run elsewhere)--> + [CellReport] --render--> text
//!        --check--> [Problem]
//! ```
//!
//! Everything here is a pure function of its arguments, takes time linear in its input and recurses on none of it.

mod check;
mod entries;
mod export;
mod fence;
mod front;
mod highlight;
mod html;
mod import;
mod lines;
mod markdown;
mod mime;
mod needs;
mod options;
mod outputs;
mod page;
mod parse;
mod plan;
mod render;
mod respell;
mod sanitise;
mod script;
mod settings;
mod spelling;
mod text;
mod tidy;
mod toc;

use serde::{Deserialize, Serialize};

pub use check::{Problem, Severity, check};
pub use export::{Asset, MarkdownFiles, markdown_files, notebook, zip};
pub use highlight::warm_up;
pub use import::{ImportError, Imported, import_markdown, import_notebook};
pub use needs::{Needs, may_need, needs};
pub use options::CellOptions;
pub use page::STYLE_SHEET;
pub use parse::parse;
pub use plan::{CellKey, inputs_key, keys};
pub use render::{Format, RenderOptions, render, render_cell, render_report};
pub use respell::{python_script, respell};
pub use settings::{Settings, Theme, settings};

/// How a document is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Spelling {
    /// Markdown in Python comments, cells as bare Python: the file is valid Python.
    Commented,
    /// Markdown as it is, cells in fences.
    Plain,
}

/// A document in its parts, in order. Cells are numbered from 0 without gaps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Document {
    /// How it is written down.
    pub spelling: Spelling,
    /// The YAML between the `---` lines at its start, as it stands.
    pub front_matter: Option<String>,
    /// The front matter's `title`, where it has one.
    pub title: Option<String>,
    /// The TOML of its inline script metadata, as it stands, unless that is part of a cell.
    pub script_metadata: Option<String>,
    /// Its parts.
    pub blocks: Vec<Block>,
}

/// A part of a document. Lines are 1-based lines of the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Block {
    /// Text to read.
    Prose {
        /// Markdown: comment marks removed, dropped lines left out.
        markdown: String,
        /// The line where it begins.
        line: usize,
    },
    /// Code to run.
    Cell {
        /// Its number, from 0.
        index: usize,
        /// Python. Each line ends with a line feed.
        code: String,
        /// The line of the code's first line.
        line: usize,
        /// The first word after the opening fence.
        language: Option<String>,
        /// What its first lines say about it.
        options: CellOptions,
        /// How many characters were cut off each line of an indented block; empty where none were.
        #[serde(skip)]
        removed: Vec<u8>,
    },
    /// Code to show.
    Display {
        /// The text. Each line ends with a line feed.
        code: String,
        /// The first word after the opening fence; without one it is Python.
        language: Option<String>,
        /// The line of the text's first line.
        line: usize,
    },
}

/// A cell as [`Document::cells`] gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CellRef<'a> {
    /// Its number, from 0.
    pub index: usize,
    /// Python.
    pub code: &'a str,
    /// The source line (from 1) of the code's first line.
    pub line: usize,
    /// What its first lines say about it.
    pub options: &'a CellOptions,
    removed: &'a [u8],
}

impl CellRef<'_> {
    /// Where a place in the cell's code (line and column from 1, columns in characters) is in the document's source.
    ///
    /// A line outside the cell is taken as its nearest one, as Python reports an unexpected end one line too far.
    pub fn position(&self, line: usize, column: usize) -> (usize, usize) {
        let last = self.code.lines().count().max(1);
        let line = line.clamp(1, last);
        let removed = self.removed.get(line - 1).copied().unwrap_or(0);
        (self.line + line - 1, column.max(1).saturating_add(usize::from(removed)))
    }
}

impl Document {
    /// The cells, in order of their index.
    pub fn cells(&self) -> impl Iterator<Item = CellRef<'_>> {
        self.blocks.iter().filter_map(|block| match block {
            Block::Cell { index, code, line, options, removed, .. } => {
                Some(CellRef { index: *index, code, line: *line, options, removed })
            }
            _ => None,
        })
    }
}
