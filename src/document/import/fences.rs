//! Markdown of elsewhere, where no fence runs by itself, as blocks.

use super::super::Block;
use super::super::fence::{Fence, is_python};
use super::super::lines::{self, Lines};
use super::{cell, display};

/// What becomes of Python in fences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Python {
    /// It runs.
    Runs,
    /// It is shown.
    IsShown,
}

/// The blocks of a Markdown text. A fence that is not closed reaches to its end.
pub(super) fn blocks(text: &str, python: Python) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut prose = String::new();
    let mut open: Option<(Fence<'_>, String)> = None;
    for line in Lines::of(text) {
        let fence = Fence::find(line);
        if let Some((opening, code)) = &mut open {
            if fence.is_some_and(|fence| fence.closes(opening)) {
                blocks.extend(open.take().map(|(opening, code)| block(&opening, code, python)));
                continue;
            }
            let removed = line.bytes().take(opening.indent).take_while(|byte| *byte == b' ').count();
            code.push_str(&line[removed..]);
            code.push('\n');
        } else if let Some(fence) = fence {
            push_prose(&mut blocks, &mut prose);
            open = Some((fence, String::new()));
        } else {
            if !(prose.is_empty() && line.trim().is_empty()) {
                push_line(&mut prose, line);
            }
        }
    }
    blocks.extend(open.map(|(opening, code)| block(&opening, code, python)));
    push_prose(&mut blocks, &mut prose);
    blocks
}

fn block(opening: &Fence<'_>, code: String, python: Python) -> Block {
    let language = opening.language();
    let is_python = language.as_deref().is_some_and(is_python);
    // `{{python}}` is how Quarto shows what `{python}` would be.
    if is_python && python == Python::Runs && !opening.info.starts_with("{{") {
        return cell(code, Some("python".to_owned()));
    }
    // Where no language is named it is Python here, but text elsewhere.
    display(code, language.or_else(|| Some("text".to_owned())))
}

fn push_prose(blocks: &mut Vec<Block>, prose: &mut String) {
    prose.truncate(prose.trim_end().len());
    if !prose.is_empty() {
        prose.push('\n');
        blocks.push(Block::Prose { markdown: std::mem::take(prose), line: 0 });
    }
}

/// A line that would be dropped here says the same with a backslash.
fn push_line(prose: &mut String, line: &str) {
    if lines::is_dropped(line) {
        let indent = line.len() - line.trim_start_matches(' ').len();
        prose.push_str(&line[..indent]);
        prose.push('\\');
        prose.push_str(&line[indent..]);
    } else {
        prose.push_str(line);
    }
    prose.push('\n');
}
