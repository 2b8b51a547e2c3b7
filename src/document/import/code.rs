//! The code of notebooks' cells: Python, and what IPython makes of it before Python sees it.

use super::super::lines::Lines;
use super::warnings::{Warnings, quoted};

/// What a cell holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Code {
    /// Python. Each line ends with a line feed; there are as many as before.
    Python(String),
    /// Something else, which the cell names: `%%bash`.
    Other {
        /// For its fence.
        language: &'static str,
    },
}

/// Cell magics whose cell is Python all the same.
const AROUND_PYTHON: [&str; 6] = ["capture", "memit", "mprun", "prun", "time", "timeit"];

/// Reads the code of a cell: lines that are no Python become comments.
pub(super) fn read(source: &str, cell: usize, warnings: &mut Warnings) -> Code {
    let first = Lines::of(source).find(|line| !line.trim().is_empty()).unwrap_or("");
    if let Some(name) = first.strip_prefix("%%").and_then(|magic| magic.split_whitespace().next())
        && !AROUND_PYTHON.contains(&name)
    {
        warnings.push(|| format!("cell {cell} is no Python and is shown instead: `{}`", quoted(first)));
        return Code::Other { language: language(name) };
    }
    let mut code = String::with_capacity(source.len() + 16);
    let mut place = Place::default();
    let mut is_continued = false;
    for (index, line) in Lines::of(source).enumerate() {
        let bare = line.trim_start();
        if is_continued {
            is_continued = line.ends_with('\\');
            code.push_str(&format!("# {line}\n"));
        } else if place.is_start() && is_magic(bare) {
            is_continued = line.ends_with('\\');
            let indent = &line[..line.len() - bare.len()];
            // A block of nothing but comments is none.
            let filler = if indent.is_empty() { "" } else { "pass  " };
            code.push_str(&format!("{indent}{filler}# {bare}\n"));
            warnings.push(|| {
                format!("cell {cell}, line {}: `{}` is no Python and is kept as a comment", index + 1, quoted(bare))
            });
        } else {
            place.pass(line);
            code.push_str(line);
            code.push('\n');
        }
    }
    Code::Python(code)
}

fn language(magic: &str) -> &'static str {
    match magic {
        "bash" | "sh" | "script" | "system" | "sx" | "!" => "bash",
        "html" | "HTML" => "html",
        "javascript" | "js" => "javascript",
        "latex" => "latex",
        "markdown" => "markdown",
        "perl" => "perl",
        "R" => "r",
        "ruby" => "ruby",
        "sql" => "sql",
        "svg" | "SVG" => "xml",
        _ => "text",
    }
}

/// Whether a statement is one of IPython's: `%magic`, `!shell`, `?help`, `help?`, `files = !ls`.
fn is_magic(line: &str) -> bool {
    if line.starts_with(['%', '!', '?']) {
        return true;
    }
    let asks = line.trim_end().strip_suffix('?').map(|name| name.strip_suffix('?').unwrap_or(name));
    if asks.is_some_and(|name| !name.is_empty() && name.chars().all(|c| is_name(c) || c == '*')) {
        return true;
    }
    line.split_once('=').is_some_and(|(left, right)| {
        let is_target = !left.trim().is_empty() && left.chars().all(|c| is_name(c) || matches!(c, ' ' | ','));
        is_target && right.trim_start().starts_with(['%', '!']) && !right.trim_start().starts_with("!=")
    })
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.')
}

/// Where in Python a line begins, as far as it takes to know whether a statement can begin there.
#[derive(Debug, Default)]
struct Place {
    /// How many brackets are open.
    depth: usize,
    /// The text that is open: its mark, and whether it ends with three of them.
    text: Option<(u8, bool)>,
    /// Whether the line before ends with a backslash.
    is_continued: bool,
}

impl Place {
    fn is_start(&self) -> bool {
        self.depth == 0 && self.text.is_none() && !self.is_continued
    }

    /// Goes on to the line below.
    fn pass(&mut self, line: &str) {
        self.is_continued = false;
        let bytes = line.as_bytes();
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            at += 1;
            match (self.text, byte) {
                (_, b'\\') => {
                    self.is_continued = at == bytes.len();
                    at += 1;
                }
                (Some((mark, false)), _) if byte == mark => self.text = None,
                (Some((mark, true)), _) if bytes[at - 1..].starts_with(&[mark; 3]) => {
                    self.text = None;
                    at += 2;
                }
                (Some(_), _) => {}
                (None, b'#') => break,
                (None, b'"' | b'\'') => {
                    let is_long = bytes[at - 1..].starts_with(&[byte; 3]);
                    self.text = Some((byte, is_long));
                    at += if is_long { 2 } else { 0 };
                }
                (None, b'(' | b'[' | b'{') => self.depth += 1,
                (None, b')' | b']' | b'}') => self.depth = self.depth.saturating_sub(1),
                (None, _) => {}
            }
        }
        // A short text ends with its line, whether or not its mark came.
        if !self.is_continued {
            self.text = self.text.filter(|(_, is_long)| *is_long);
        }
    }
}
