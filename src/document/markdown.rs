//! Markdown to HTML: CommonMark with tables, strikethrough, autolinks, task lists and footnotes. Not yet sanitised.

use std::borrow::Cow;
use std::fmt;

use comrak::options::{Options, Plugins};

use super::highlight::Highlighter;
use super::text;

/// Block quotes nest no deeper; more marks are left out. (Lists end at 100 by themselves.) The parser looks at all open
/// containers at every line.
const MAX_QUOTES: usize = 32;

/// Longer texts are rendered in pieces: the parser takes some hundred times a text's size in memory. Footnotes and
/// references know of each other within a piece.
pub(super) const PIECE_BYTES: usize = 256 << 10;

/// How much longer than its text the HTML of a piece may be, plus [`PIECE_BYTES`]; else the text is shown as it is.
const MAX_GROWTH: usize = 12;

/// How line ends are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Breaks {
    /// As blanks: text that is written as Markdown.
    Soft,
    /// As they are: text that a program prints line by line.
    Hard,
}

/// The HTML of a Markdown text, raw HTML in it included, piece by piece.
pub(super) fn to_html<'a>(
    markdown: &'a str,
    breaks: Breaks,
    highlighter: &'a Highlighter,
) -> impl Iterator<Item = String> + 'a {
    Pieces { rest: markdown }.map(move |piece| piece_to_html(piece, breaks, highlighter))
}

/// The HTML of a text that is no longer than a piece, or little more.
pub(super) fn piece_to_html(markdown: &str, breaks: Breaks, highlighter: &Highlighter) -> String {
    if is_heavy(markdown) {
        return as_it_is(markdown);
    }
    let options = options(breaks);
    let mut plugins = Plugins::default();
    plugins.render.codefence_syntax_highlighter = Some(highlighter);
    let arena = comrak::Arena::new();
    let markdown = bounded(markdown);
    let root = comrak::parse_document(&arena, &markdown, &options);
    let most = markdown.len().saturating_mul(MAX_GROWTH).saturating_add(PIECE_BYTES);
    let mut html = Bounded { text: String::new(), most };
    match comrak::format_html_with_plugins(root, &options, &mut html, &plugins) {
        Ok(()) => html.text,
        Err(fmt::Error) => as_it_is(&markdown),
    }
}

fn as_it_is(markdown: &str) -> String {
    format!("<pre>{}</pre>", text::escape(markdown))
}

/// Whether a text holds so many characters that HTML escapes that it can't be meant to be read: the sanitiser takes
/// microseconds for each.
fn is_heavy(markup: &str) -> bool {
    let escaped = markup.bytes().filter(|byte| matches!(byte, b'&' | b'<' | b'>' | 0xa0)).count();
    escaped > 16_384 + markup.len() / 10
}

fn options(breaks: Breaks) -> Options<'static> {
    let mut options = Options::default();
    options.extension.table = true;
    options.extension.strikethrough = true;
    options.extension.autolink = true;
    options.extension.tasklist = true;
    options.extension.footnotes = true;
    options.extension.header_id_prefix = Some(String::new());
    options.render.r#unsafe = true;
    options.render.tasklist_classes = true;
    options.render.hardbreaks = breaks == Breaks::Hard;
    options
}

/// A text that fails to grow beyond its bound.
struct Bounded {
    text: String,
    most: usize,
}

impl fmt::Write for Bounded {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        if self.text.len() + more.len() > self.most {
            return Err(fmt::Error);
        }
        self.text.push_str(more);
        Ok(())
    }
}

/// A text in pieces, cut at a blank line if there is one in a piece's second half, else at a line's end.
pub(super) struct Pieces<'a> {
    /// What is left of it.
    pub rest: &'a str,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        if self.rest.is_empty() {
            return None;
        }
        if self.rest.len() <= PIECE_BYTES {
            return Some(std::mem::take(&mut self.rest));
        }
        let window = &self.rest[..self.rest.floor_char_boundary(PIECE_BYTES)];
        let half = window.len() / 2;
        let blank = window.rfind("\n\n").filter(|at| *at >= half).map(|at| at + 1);
        let cut = blank.or_else(|| window.rfind('\n')).map_or(window.len(), |at| at + 1);
        let (piece, rest) = self.rest.split_at(cut);
        self.rest = rest;
        Some(piece)
    }
}

/// The text with block quotes no deeper than the bound.
fn bounded(markdown: &str) -> Cow<'_, str> {
    if !markdown.lines().any(|line| quotes(line) > MAX_QUOTES) {
        return Cow::Borrowed(markdown);
    }
    let mut out = String::with_capacity(markdown.len());
    for line in markdown.split_inclusive('\n') {
        let mut left = MAX_QUOTES;
        let end = prefix(line);
        out.extend(line[..end].chars().filter(|c| {
            let is_quote = *c == '>';
            let keep = !is_quote || left > 0;
            left = left.saturating_sub(usize::from(is_quote));
            keep
        }));
        out.push_str(&line[end..]);
    }
    Cow::Owned(out)
}

fn quotes(line: &str) -> usize {
    line[..prefix(line)].bytes().filter(|byte| *byte == b'>').count()
}

/// The length of what can be marks of quotes and list items at a line's start.
fn prefix(line: &str) -> usize {
    let is_mark = |c: char| matches!(c, '>' | ' ' | '\t' | '-' | '+' | '*' | '.' | ')') || c.is_ascii_digit();
    line.find(|c| !is_mark(c)).unwrap_or(line.len())
}
