//! Markdown to HTML: CommonMark with tables, strikethrough, autolinks, task lists and footnotes. Not yet sanitised.

use std::borrow::Cow;

use comrak::options::{Options, Plugins};

use super::highlight::Highlighter;

/// Block quotes nest no deeper; more marks are left out. (Lists end at 100 by themselves.) The parser looks at all open
/// containers at every line.
const MAX_QUOTES: usize = 32;

/// How line ends are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Breaks {
    /// As blanks: text that is written as Markdown.
    Soft,
    /// As they are: text that a program prints line by line.
    Hard,
}

/// The HTML of a Markdown text, raw HTML in it included.
pub(super) fn to_html(markdown: &str, breaks: Breaks, highlighter: &Highlighter) -> String {
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
    let mut plugins = Plugins::default();
    plugins.render.codefence_syntax_highlighter = Some(highlighter);
    comrak::markdown_to_html_with_plugins(&bounded(markdown), &options, &plugins)
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
