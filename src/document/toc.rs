//! The table of contents: the headings of a rendered fragment, with links to them.

use super::tidy::ID_PREFIX;
use super::{outputs, text};

/// Headings further in are not listed.
const MAX_LEVEL: u8 = 3;
/// More headings are not listed.
const MAX_ENTRIES: usize = 1_000;
/// Longer headings are cut.
const MAX_CHARS: usize = 200;

/// The list of the headings of clean HTML, or nothing where it has none.
pub(super) fn nav(html: &str) -> Option<String> {
    let mut list = String::new();
    // The levels of the lists that are open.
    let mut open: Vec<u8> = Vec::new();
    for (level, id, title) in headings(html).take(MAX_ENTRIES) {
        while open.last().is_some_and(|last| *last > level) {
            open.pop();
            list.push_str("</li>\n</ul>");
        }
        if open.last() == Some(&level) {
            list.push_str("</li>\n");
        } else {
            open.push(level);
            list.push_str("<ul>\n");
        }
        list.push_str(&format!("<li><a href=\"#{id}\">{title}</a>"));
    }
    if open.is_empty() {
        return None;
    }
    list.push_str(&"</li>\n</ul>".repeat(open.len()));
    Some(format!("<nav class=\"pymd-toc\" aria-label=\"Contents\">\n{list}\n</nav>\n"))
}

/// Level, id and escaped text of each heading. What leaves the sanitiser has its attributes in double quotes, so that
/// `<h1 id="` stands nowhere but in a tag.
fn headings(html: &str) -> impl Iterator<Item = (u8, &str, String)> {
    html.match_indices("<h").filter_map(|(at, _)| {
        let tag = &html[at + 2..];
        let level = tag.bytes().next().filter(u8::is_ascii_digit)? - b'0';
        let (id, rest) = tag[1..].strip_prefix(" id=\"")?.split_once('"')?;
        let is_listed = (1..=MAX_LEVEL).contains(&level) && id.starts_with(ID_PREFIX);
        let inner = rest.split_once('>').filter(|_| is_listed)?.1;
        let title = outputs::plain_text(&inner[..inner.find("</h")?]);
        let words = title.split_whitespace().collect::<Vec<_>>().join(" ");
        let title = text::escape(&words.chars().take(MAX_CHARS).collect::<String>());
        (!title.is_empty()).then_some((level, id, title))
    })
}
