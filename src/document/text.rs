//! Text: escaping, and what terminals do with control characters.

use std::borrow::Cow;

/// Appends `text` escaped for HTML element content and for quoted attribute values.
pub(super) fn escape_into(out: &mut String, text: &str) {
    let mut rest = text;
    while let Some(at) = rest.find(['&', '<', '>', '"', '\'']) {
        out.push_str(&rest[..at]);
        out.push_str(match rest.as_bytes()[at] {
            b'&' => "&amp;",
            b'<' => "&lt;",
            b'>' => "&gt;",
            b'"' => "&quot;",
            _ => "&#39;",
        });
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
}

/// `text` escaped for HTML.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 16);
    escape_into(&mut out, text);
    out
}

/// Text as a terminal would leave it: escape sequences and control characters are gone, and a carriage return lets the
/// rest of its line overwrite what stood before it (progress bars).
pub(super) fn plain(text: &str) -> Cow<'_, str> {
    if !text.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\t')) {
        return Cow::Borrowed(text);
    }
    let without = strip_escapes(text);
    let mut out = String::with_capacity(without.len());
    for line in without.split_inclusive('\n') {
        let (line, end) = match line.strip_suffix('\n') {
            Some(line) => (line.trim_end_matches('\r'), "\n"),
            None => (line.trim_end_matches('\r'), ""),
        };
        out.push_str(line.rsplit('\r').next().unwrap_or(line));
        out.push_str(end);
    }
    Cow::Owned(out)
}

/// Without ECMA-48 sequences: `ESC [ ... letter`, `ESC ] ... BEL`, `ESC` and one character.
fn strip_escapes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\u{1b}' {
            if !c.is_control() || matches!(c, '\n' | '\t' | '\r') {
                out.push(c);
            }
            continue;
        }
        match chars.next() {
            Some('[') => {
                chars.find(|c| ('\u{40}'..='\u{7e}').contains(c) || *c == '\n');
            }
            Some(']') => {
                chars.find(|c| matches!(c, '\u{7}' | '\u{9c}' | '\n'));
            }
            _ => {}
        }
    }
    out
}
