//! Inline script metadata (PEP 723): TOML in a comment block between `# /// script` and `# ///`.

use std::ops::Range;

use super::lines::Lines;

const OPENS: &str = "# /// script";
const CLOSES: &str = "# ///";
/// A block of more lines than this is none.
const MAX_LINES: usize = 1_000;

/// The block and where it stands.
#[derive(Debug)]
pub(super) struct Script {
    /// The TOML, without the comment marks.
    pub toml: String,
    /// Indices of its lines, those that open and close it included.
    pub lines: Range<usize>,
}

/// The first block of a document that is closed. As the specification has it, what closes it is the last such line
/// of the comment.
pub(super) fn find(source: Lines<'_>) -> Option<Script> {
    let mut lines = source.enumerate();
    while let Some((start, line)) = lines.next() {
        if line.trim_end() != OPENS {
            continue;
        }
        let (mut toml, mut closed) = (String::new(), None);
        for (index, line) in lines.clone().take(MAX_LINES) {
            let Some(text) = line.strip_prefix("# ").or_else(|| (line == "#").then_some("")) else { break };
            if line.trim_end() == CLOSES {
                closed = Some((toml.len(), index + 1));
            }
            toml.push_str(text);
            toml.push('\n');
        }
        if let Some((bytes, end)) = closed {
            toml.truncate(bytes);
            return Some(Script { toml, lines: start..end });
        }
    }
    None
}
