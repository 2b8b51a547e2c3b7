//! Lines of a source text, whatever ends them.

/// The lines of a source text, without a byte order mark and without their ends (`\n`, `\r\n` or `\r`).
#[derive(Debug, Clone)]
pub(super) struct Lines<'a> {
    rest: &'a str,
}

impl<'a> Lines<'a> {
    /// From its first line.
    pub fn of(source: &'a str) -> Self {
        Self { rest: source.strip_prefix('\u{feff}').unwrap_or(source) }
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        if self.rest.is_empty() {
            return None;
        }
        let Some(end) = self.rest.bytes().position(|byte| matches!(byte, b'\n' | b'\r')) else {
            return Some(std::mem::take(&mut self.rest));
        };
        let line = &self.rest[..end];
        let width = if self.rest[end..].starts_with("\r\n") { 2 } else { 1 };
        self.rest = &self.rest[end + width..];
        Some(line)
    }
}

/// The Markdown inside a comment line, or nothing where the line is no comment. One mark and one blank after it go.
pub(super) fn uncomment(line: &str) -> Option<&str> {
    let text = line.trim_start().strip_prefix('#')?;
    Some(text.strip_prefix([' ', '\t']).unwrap_or(text))
}

/// Whether Markdown text is a `//` line, which is left out.
pub(super) fn is_dropped(text: &str) -> bool {
    let bare = text.trim_start_matches(' ');
    text.len() - bare.len() <= 3 && bare.starts_with("//")
}

/// Whether a line outside the cells is one that only makes the file run as a script: `import pymd`.
pub(super) fn is_import(line: &str) -> bool {
    let mut words = line.split_whitespace();
    match (words.next(), words.next()) {
        (Some("import"), Some(name)) => name == "pymd" || name.starts_with("pymd,") || name.starts_with("pymd;"),
        (Some("from"), Some("pymd")) => words.next() == Some("import"),
        _ => false,
    }
}

/// Whether one of a script's first two lines is for the system and not for the reader: `#!...`, `# -*- coding ...`.
pub(super) fn is_script_header(index: usize, line: &str) -> bool {
    (index == 0 && line.starts_with("#!"))
        || (index < 2 && line.starts_with('#') && line.contains("coding") && line.contains("-*-"))
        || (index < 2 && ["# coding:", "# coding=", "#coding:", "#coding="].iter().any(|mark| line.starts_with(mark)))
}

/// The 1-based column, in characters, of a line's first character that is not blank.
pub(super) fn first_column(line: &str) -> usize {
    line.chars().take_while(|c| c.is_whitespace()).count() + 1
}
