//! Makes any text a well-formed fragment of HTML: allowed elements only, each closed where it belongs, nested no
//! deeper than a bound, with few and quoted attributes.
//!
//! The sanitiser behind it is what decides about safety; but its HTML5 parser takes quadratic time on deep nesting, on
//! loose content of tables and on unclosed formatting. What leaves here has none of these.

pub(super) mod tags;

mod attributes;

use attributes::Attributes;
pub(super) use attributes::{ID_PREFIX, Names};
use tags::Tag;

/// Elements nest no deeper: what is further in stays as text.
const MAX_DEPTH: usize = 100;

/// A fragment has no more elements: of what comes then, only the text stays.
const MAX_ELEMENTS: usize = 200_000;

/// A well-formed version of `html`. Ids get a prefix and are made unique within `names`.
pub(super) fn tidy(html: &str, names: &mut Names) -> String {
    let mut tidier = Tidier {
        out: String::with_capacity(html.len() + html.len() / 8),
        open: Vec::new(),
        too_deep: Vec::new(),
        not_closed: [false; tags::CONTENT_DROPPERS],
        elements: 0,
        names,
    };
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        tidier.text(&rest[..at]);
        rest = tidier.markup(&rest[at..]);
    }
    tidier.text(rest);
    tidier.close_to(0);
    tidier.out
}

struct Tidier<'n> {
    out: String,
    open: Vec<Tag>,
    /// Start tags that were left out because of the depth.
    too_deep: Vec<Tag>,
    /// Elements to drop with their content whose end tag does not come any more.
    not_closed: [bool; tags::CONTENT_DROPPERS],
    elements: usize,
    names: &'n mut Names,
}

impl Tidier<'_> {
    /// Handles what begins with `<`, and returns what follows it.
    fn markup<'a>(&mut self, html: &'a str) -> &'a str {
        let after = &html[1..];
        match after.as_bytes().first() {
            Some(b'!') if after.starts_with("!--") => comment_end(&after[3..]),
            Some(b'!' | b'?') => after.find('>').map_or("", |end| &after[end + 1..]),
            Some(b'/') if after[1..].starts_with(|c: char| c.is_ascii_alphabetic()) => {
                let (name, rest) = tag_name(&after[1..]);
                if let Some(tag) = Tag::find(&name) {
                    self.end(tag);
                }
                // An end tag's attributes are read like a start tag's, so that a `>` in quotes does not end it.
                Attributes::read(rest).1
            }
            Some(b'/') if after.starts_with("/>") => &after[2..],
            Some(b'/') => after.find('>').map_or("", |end| &after[end + 1..]),
            Some(byte) if byte.is_ascii_alphabetic() => {
                let (name, rest) = tag_name(after);
                let (attributes, rest) = Attributes::read(rest);
                // A tag that never ends is none, and neither is what follows.
                let Some(attributes) = attributes else { return "" };
                match Tag::find(&name) {
                    Some(tag) => self.start(tag, &attributes),
                    None => return self.skip_content(&name, rest),
                }
                rest
            }
            _ => {
                self.text("&lt;");
                after
            }
        }
    }

    /// What follows the end tag of an element that goes with its content.
    fn skip_content<'a>(&mut self, name: &str, html: &'a str) -> &'a str {
        let Some(at) = tags::drops_content(name).filter(|at| !self.not_closed[*at]) else { return html };
        let mut from = 0;
        while let Some(found) = html[from..].find("</") {
            from += found + 2;
            let (end_name, rest) = tag_name(&html[from..]);
            if end_name == name {
                return Attributes::read(rest).1;
            }
        }
        self.not_closed[at] = true;
        html
    }

    fn text(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        if !text.bytes().all(|byte| byte.is_ascii_whitespace()) {
            self.enter_cell();
        }
        self.out.push_str(text);
    }

    /// Where only rows and cells may stand, opens a cell for something else.
    fn enter_cell(&mut self) {
        if self.open.last().is_some_and(|top| top.name() == "colgroup") {
            self.close_to(self.open.len() - 1);
        }
        while let Some(top) = self.open.last().filter(|top| top.holds_rows()) {
            let missing = if top.name() == "tr" { "td" } else { "tr" };
            match Tag::find(missing) {
                Some(tag) => self.push(tag),
                None => return,
            }
        }
    }

    fn push(&mut self, tag: Tag) {
        self.out.push('<');
        self.out.push_str(tag.name());
        self.out.push('>');
        self.open.push(tag);
    }

    fn start(&mut self, tag: Tag, attributes: &Attributes<'_>) {
        if tag.is_table_part() {
            if !self.make_room_for(tag) {
                return;
            }
        } else {
            self.enter_cell();
            self.end_what_ends(tag);
        }
        self.elements += 1;
        if self.elements > MAX_ELEMENTS {
            return;
        }
        if !tag.is_void() && self.open.len() >= MAX_DEPTH {
            self.too_deep.push(tag);
            return;
        }
        let before = self.out.len();
        self.out.push('<');
        self.out.push_str(tag.name());
        if !attributes.write(tag, self.names, &mut self.out) {
            self.out.truncate(before);
            return;
        }
        self.out.push('>');
        if !tag.is_void() {
            self.open.push(tag);
        }
    }

    /// Ends what can't stay open around `tag`: a paragraph, a list's last item, a link.
    fn end_what_ends(&mut self, tag: Tag) {
        let mut at = self.open.len();
        while at > 0 {
            at -= 1;
            if self.open[at].is_ended_by(tag) {
                self.close_to(at);
            } else if self.open[at].shelters_from(tag) {
                return;
            }
        }
    }

    /// Ends cells and rows, and opens a row, until a part of a table can stand; or says that it can't.
    fn make_room_for(&mut self, part: Tag) -> bool {
        for at in (0..self.open.len()).rev() {
            let place = self.open[at];
            if place.takes(part) {
                self.close_to(at + 1);
                return true;
            }
            if place.holds_rows() && matches!(part.name(), "td" | "th") {
                self.close_to(at + 1);
                self.enter_row();
                return true;
            }
            if place.name() == "table" {
                return false;
            }
        }
        false
    }

    fn enter_row(&mut self) {
        if let Some(row) = Tag::find("tr") {
            self.push(row);
        }
    }

    fn end(&mut self, tag: Tag) {
        if self.too_deep.last() == Some(&tag) {
            self.too_deep.pop();
            return;
        }
        if tag.is_void() {
            return;
        }
        let is_table = tag.name() == "table";
        for at in (0..self.open.len()).rev() {
            if self.open[at] == tag {
                self.close_to(at);
                return;
            }
            let stops = if tag.is_table_part() { self.open[at].name() == "table" } else { self.open[at].is_barrier() };
            if stops && !is_table {
                return;
            }
        }
    }

    fn close_to(&mut self, length: usize) {
        while self.open.len() > length {
            if let Some(tag) = self.open.pop() {
                self.out.push_str("</");
                self.out.push_str(tag.name());
                self.out.push('>');
            }
        }
        if self.open.len() < MAX_DEPTH / 2 {
            self.too_deep.clear();
        }
    }
}

/// What follows a comment whose `<!--` has been read.
fn comment_end(html: &str) -> &str {
    if let Some(rest) = html.strip_prefix('>').or_else(|| html.strip_prefix("->")) {
        return rest;
    }
    let mut from = 0;
    while let Some(at) = html[from..].find("--") {
        let after = &html[from + at + 2..];
        if let Some(rest) = after.strip_prefix('>').or_else(|| after.strip_prefix("!>")) {
            return rest;
        }
        from += at + 1;
    }
    ""
}

/// The tag's name in lower case, and what follows it.
fn tag_name(html: &str) -> (String, &str) {
    let end = html.find(|c: char| c.is_ascii_whitespace() || matches!(c, '/' | '>')).unwrap_or(html.len());
    let name = &html[..end];
    // No name that matters is long.
    let name = if end > 16 { String::new() } else { name.to_ascii_lowercase() };
    (name, &html[end..])
}
