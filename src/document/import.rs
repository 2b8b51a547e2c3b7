//! Documents that were written for other programs: notebooks, plain Markdown.

mod attachments;
mod code;
mod fences;
mod notebook;
mod warnings;

use super::lines::Lines;
use super::{Block, Document, Spelling, front, respell};

use fences::Python;
pub use notebook::import_notebook;

/// Longer titles are cut.
const MAX_TITLE_CHARS: usize = 255;

/// A document made of something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The document, in the plain spelling.
    pub content: String,
    /// Its title: what the file itself says, or else its first heading of level 1.
    pub title: Option<String>,
    /// What was left out or changed, a sentence each.
    pub warnings: Vec<String>,
}

/// Why a file can't be imported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// It is no text.
    #[error("the file is not UTF-8 text: byte {at} can't be read")]
    NotText {
        /// How many bytes stand before the first that is wrong.
        at: usize,
    },
    /// It is no JSON, or not that of a notebook.
    #[error("the file is no notebook: {reason} (line {line}, column {column})")]
    NotNotebook {
        /// What is wrong.
        reason: String,
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
    /// It is a notebook of another time.
    #[error("the notebook has format {found}; only 3 and 4 can be read")]
    Version {
        /// Its major version.
        found: u64,
    },
    /// One of its cells is none.
    #[error("cell {cell} of the notebook can't be read: {reason}")]
    Cell {
        /// Its number, from 1.
        cell: usize,
        /// What is wrong.
        reason: String,
    },
}

/// A Markdown file as a document: its blocks of Python (also `{python}`, as in Quarto) become cells, those in other
/// languages and in none are shown. Front matter stays.
pub fn import_markdown(text: &str) -> Imported {
    let mut draft = Draft::default();
    let rest = draft.take_front_matter(text);
    draft.blocks = fences::blocks(&rest, Python::Runs);
    draft.finish(None, Vec::new())
}

/// A document in the making.
#[derive(Default)]
struct Draft {
    front_matter: Option<String>,
    title: Option<String>,
    blocks: Vec<Block>,
}

impl Draft {
    /// Keeps the front matter of a text, and returns what follows it, with `\n` at each line's end.
    fn take_front_matter(&mut self, text: &str) -> String {
        let lines = Lines::of(text);
        let stands_bare = lines.clone().next().is_some_and(|line| line.trim_end() == "---");
        let front = if stands_bare { front::find(lines.clone()) } else { None };
        let start = front.as_ref().map_or(0, |front| front.end);
        if let Some(front) = front {
            (self.front_matter, self.title) = (Some(front.yaml), front.title);
        }
        joined(lines.skip(start))
    }

    fn finish(self, title: Option<String>, warnings: Vec<String>) -> Imported {
        let title = title.or(self.title).or_else(|| first_heading(&self.blocks));
        let document = Document {
            spelling: Spelling::Plain,
            front_matter: self.front_matter,
            title: None,
            script_metadata: None,
            blocks: self.blocks,
        };
        let title = title.map(|title| {
            let words = title.split_whitespace().collect::<Vec<_>>().join(" ");
            words.chars().take(MAX_TITLE_CHARS).collect::<String>()
        });
        let title = title.filter(|title| !title.is_empty());
        Imported { content: respell(&document, Spelling::Plain), title, warnings }
    }
}

fn first_heading(blocks: &[Block]) -> Option<String> {
    let prose = blocks.iter().filter_map(|block| match block {
        Block::Prose { markdown, .. } => Some(markdown),
        _ => None,
    });
    let mut headings = prose.flat_map(|markdown| markdown.lines()).filter_map(|line| line.strip_prefix("# "));
    headings.next().map(|title| title.trim_end_matches(['#', ' ']).to_owned())
}

/// Lines as one text.
fn joined<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    let mut text = String::new();
    for line in lines {
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// A block of code to read. Numbers and places are given when the text is parsed.
fn display(code: String, language: Option<String>) -> Block {
    Block::Display { code, language, line: 0 }
}

/// A block of code to run.
fn cell(code: String, language: Option<String>) -> Block {
    Block::Cell { index: 0, code, line: 0, language, options: super::CellOptions::default(), removed: Vec::new() }
}
