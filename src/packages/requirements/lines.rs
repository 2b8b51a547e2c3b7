//! The lines of a `requirements.txt`: decoded, joined where they continue, without comments.

use super::{LineError, MAX_TEXT_BYTES};

/// A line with those that continue it.
pub(super) struct LogicalLine {
    /// Its first line's number, counted from one.
    pub number: usize,
    /// Its text without comment and without white space around it; never empty.
    pub text: String,
}

/// The text of a file's bytes: UTF-8, or UTF-16 with a byte order mark, as Windows' editors and shells write it.
///
/// # Errors
/// It is too long, or in neither.
pub fn decode_requirements(bytes: &[u8]) -> Result<String, LineError> {
    if bytes.len() > 2 * MAX_TEXT_BYTES {
        return Err(LineError { line: 1, message: format!("the text is longer than {MAX_TEXT_BYTES} bytes") });
    }
    let utf16 = |read: fn([u8; 2]) -> u16| {
        let units = bytes.get(2..).unwrap_or_default().chunks_exact(2).map(|pair| read([pair[0], pair[1]]));
        let text: Result<String, _> = char::decode_utf16(units).collect();
        text.map_err(|_| LineError { line: 1, message: "the text is not valid UTF-16".to_owned() })
    };
    match bytes {
        [0xff, 0xfe, ..] => utf16(u16::from_le_bytes),
        [0xfe, 0xff, ..] => utf16(u16::from_be_bytes),
        _ => std::str::from_utf8(bytes).map(str::to_owned).map_err(|error| LineError {
            line: 1 + bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count(),
            message: "the text is not valid UTF-8: save the file as UTF-8".to_owned(),
        }),
    }
}

/// The lines as pip joins them: a backslash at a line's end continues it, but not a comment.
pub(super) fn logical_lines(text: &str) -> impl Iterator<Item = LogicalLine> {
    let mut lines = text.strip_prefix('\u{feff}').unwrap_or(text).lines().enumerate();
    std::iter::from_fn(move || {
        loop {
            let (index, first) = lines.next()?;
            let mut joined = String::new();
            let mut part = first;
            loop {
                let is_comment = part.trim_start().starts_with('#');
                match part.strip_suffix('\\') {
                    Some(start) if !is_comment => joined.push_str(start),
                    _ => {
                        // The space makes a comment of it even where the line before it ended in the middle of a word.
                        joined.push_str(if is_comment { " " } else { "" });
                        joined.push_str(part);
                        break;
                    }
                }
                let Some((_, next)) = lines.next() else { break };
                part = next;
            }
            let text = without_comment(&joined).trim();
            if !text.is_empty() {
                return Some(LogicalLine { number: index + 1, text: text.to_owned() });
            }
        }
    })
}

/// A comment begins with a `#` at the start or after white space.
fn without_comment(line: &str) -> &str {
    let start = line.char_indices().scan(' ', |before, (at, c)| Some((at, std::mem::replace(before, c), c)));
    let mut starts = start.filter(|(_, before, c)| *c == '#' && before.is_whitespace()).map(|(at, ..)| at);
    starts.next().map_or(line, |at| &line[..at])
}
