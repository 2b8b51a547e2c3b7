//! The opening tags of an HTML text, with their attributes: all of HTML that a list of links needs. One at a time, so
//! that a page of a million tags costs no memory.

/// An opening tag: its name and what stands between that and the `>`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tag<'a> {
    pub(super) name: &'a str,
    attributes: &'a str,
}

/// The opening tags of a text. What stands in comments, scripts and the like is none.
pub(super) struct Tags<'a> {
    rest: &'a str,
}

/// Elements whose contents are text, whatever it looks like.
const RAW_TEXT: [&str; 4] = ["script", "style", "textarea", "title"];

impl<'a> Tags<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        Self { rest: text }
    }

    fn skip_raw_text(&mut self, name: &str) {
        loop {
            let Some(at) = self.rest.find("</") else {
                self.rest = "";
                return;
            };
            self.rest = &self.rest[at + 2..];
            if self.rest.get(..name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name)) {
                return;
            }
        }
    }
}

impl<'a> Iterator for Tags<'a> {
    type Item = Tag<'a>;

    fn next(&mut self) -> Option<Tag<'a>> {
        loop {
            self.rest = &self.rest[self.rest.find('<')? + 1..];
            if let Some(comment) = self.rest.strip_prefix("!--") {
                self.rest = comment.find("-->").map_or("", |end| &comment[end + 3..]);
                continue;
            }
            if !self.rest.starts_with(|c: char| c.is_ascii_alphabetic()) {
                continue;
            }
            let name_end = self.rest.find(|c: char| ends_name(c))?;
            let (name, rest) = self.rest.split_at(name_end);
            // The `>` that ends the tag is the first outside of the attributes' quotes.
            let mut after = rest;
            while let Some((_, _, rest)) = next_attribute(after) {
                after = rest;
            }
            let end = after.find('>')?;
            let tag = Tag { name, attributes: &rest[..rest.len() - after.len()] };
            self.rest = &after[end + 1..];
            if RAW_TEXT.iter().any(|raw| raw.eq_ignore_ascii_case(name)) {
                self.skip_raw_text(name);
            }
            return Some(tag);
        }
    }
}

impl<'a> Tag<'a> {
    pub(super) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// The value of the first attribute of this name, as it is written; empty where it has none.
    pub(super) fn attribute(&self, name: &str) -> Option<&'a str> {
        let mut rest = self.attributes;
        while let Some((found, value, after)) = next_attribute(rest) {
            if found.eq_ignore_ascii_case(name) {
                return Some(value);
            }
            rest = after;
        }
        None
    }
}

/// Name and value of the next attribute and what follows it; nothing at the tag's end or the text's.
fn next_attribute(text: &str) -> Option<(&str, &str, &str)> {
    let text = text.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
    if text.is_empty() || text.starts_with('>') {
        return None;
    }
    // A name may begin with anything, even with `=`: so every attribute has at least one character.
    let first = text.chars().next().map_or(0, char::len_utf8);
    let name_end = text[first..].find(|c: char| ends_name(c) || c == '=').map_or(text.len(), |end| first + end);
    let (name, rest) = text.split_at(name_end);
    let Some(value) = rest.trim_ascii_start().strip_prefix('=') else { return Some((name, "", rest)) };
    let value = value.trim_ascii_start();
    for quote in ['"', '\''] {
        if let Some(quoted) = value.strip_prefix(quote) {
            let (value, rest) = quoted.split_once(quote).unwrap_or((quoted, ""));
            return Some((name, value, rest));
        }
    }
    let end = value.find(|c: char| c.is_ascii_whitespace() || c == '>').unwrap_or(value.len());
    Some((name, &value[..end], &value[end..]))
}

fn ends_name(c: char) -> bool {
    c.is_ascii_whitespace() || matches!(c, '/' | '>')
}
