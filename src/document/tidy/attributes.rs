//! Attributes: which may stand, and what becomes of ids and of the links to them.

use std::borrow::Cow;
use std::collections::HashMap;

use super::tags::Tag;

/// What ids of documents begin with, so that they can't be confused with ids of the page around them.
pub(in crate::document) const ID_PREFIX: &str = "user-content-";

/// Longer ids are cut.
const MAX_ID_CHARS: usize = 120;

/// Attributes that may stand, on any element: the sanitiser knows which element may have which.
const ALLOWED: [&str; 33] = [
    "align",
    "alt",
    "aria-label",
    "autoplay",
    "checked",
    "cite",
    "class",
    "colspan",
    "controls",
    "datetime",
    "dir",
    "disabled",
    "headers",
    "height",
    "href",
    "id",
    "lang",
    "loop",
    "max",
    "min",
    "muted",
    "open",
    "playsinline",
    "reversed",
    "rowspan",
    "scope",
    "src",
    "start",
    "style",
    "title",
    "type",
    "value",
    "width",
];

/// Classes that a document may use; `hl-` and `language-` ones too.
const CLASSES: [&str; 16] = [
    "anchor",
    "contains-task-list",
    "dataframe",
    "footnote-backref",
    "footnote-ref",
    "footnotes",
    "math",
    "pymd-caption",
    "pymd-code",
    "pymd-figure",
    "pymd-image",
    "pymd-table",
    "pymd-text",
    "pymd-video",
    "task-list-item",
    "task-list-item-checkbox",
];

/// The ids of one rendered document.
#[derive(Debug, Default)]
pub(in crate::document) struct Names {
    /// How often each was asked for.
    used: HashMap<String, u32>,
    /// The id of the last element that has one, for the anchor inside it.
    last: String,
    /// The part of the document that is being rendered: footnotes are numbered in each.
    scope: Option<usize>,
}

impl Names {
    /// From now on footnotes belong to that part; `None` is the document's own text.
    pub fn enter(&mut self, scope: Option<usize>) {
        self.scope = scope;
    }

    /// A new unique id.
    pub fn id(&mut self, wanted: &str) -> String {
        let base = self.scoped(wanted.strip_prefix(ID_PREFIX).unwrap_or(wanted));
        let base: String = base.chars().take(MAX_ID_CHARS).map(|c| if is_id_char(c) { c } else { '-' }).collect();
        let mut id = format!("{ID_PREFIX}{base}");
        let mut count = self.used.get(&id).copied().unwrap_or(0);
        if count > 0 {
            let first = id.clone();
            while self.used.contains_key(&id) {
                id = format!("{first}-{count}");
                count = count.saturating_add(1);
            }
            self.used.insert(first, count);
        }
        self.used.insert(id.clone(), 1);
        self.last.clone_from(&id);
        id
    }

    /// Where a link to a place in the document leads.
    fn fragment(&self, target: &str) -> String {
        if target.is_empty() {
            return "#".to_owned();
        }
        format!("#{ID_PREFIX}{}", self.scoped(target.strip_prefix(ID_PREFIX).unwrap_or(target)))
    }

    fn scoped<'a>(&self, name: &'a str) -> Cow<'a, str> {
        match (self.scope, name.split_once('-')) {
            (Some(scope), Some((kind @ ("fn" | "fnref"), rest))) => Cow::Owned(format!("{kind}-{scope}-{rest}")),
            _ => Cow::Borrowed(name),
        }
    }
}

fn is_id_char(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '%')
}

/// The attributes of a tag that are allowed, each once, as they stand in the source.
#[derive(Debug, Default)]
pub(super) struct Attributes<'a> {
    list: Vec<(&'static str, &'a str)>,
}

impl<'a> Attributes<'a> {
    /// Reads up to the `>` and returns what follows it. Without a `>`, there is no tag and nothing follows.
    pub fn read(html: &'a str) -> (Option<Self>, &'a str) {
        let mut found = Self::default();
        let mut rest = html;
        loop {
            rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
            match rest.as_bytes().first() {
                None => return (None, ""),
                Some(b'>') => return (Some(found), &rest[1..]),
                Some(_) => {}
            }
            // A name may begin with `=`.
            let ends = |c: char| c.is_ascii_whitespace() || matches!(c, '/' | '>' | '=');
            let first = rest.chars().next().map_or(1, char::len_utf8);
            let end = rest[first..].find(ends).map_or(rest.len(), |at| first + at);
            let (name, after) = rest.split_at(end);
            let (value, after) = match after.trim_start_matches(|c: char| c.is_ascii_whitespace()).strip_prefix('=') {
                None => ("", after),
                Some(after) => match value(after) {
                    Some(read) => read,
                    None => return (None, ""),
                },
            };
            found.keep(name, value);
            rest = after;
        }
    }

    fn keep(&mut self, name: &str, value: &'a str) {
        if name.len() > 16 {
            return;
        }
        let name = name.to_ascii_lowercase();
        let known = ALLOWED.binary_search(&name.as_str()).ok().map(|at| ALLOWED[at]);
        if let Some(known) = known
            && self.list.iter().all(|(other, _)| *other != known)
        {
            self.list.push((known, value));
        }
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.list.iter().find(|(other, _)| *other == name).map(|(_, value)| *value)
    }

    /// Writes the attributes of `tag`; false where the element may not stand with them.
    pub fn write(&self, tag: Tag, names: &mut Names, out: &mut String) -> bool {
        if tag.name() == "input" {
            if !self.get("type").is_some_and(|kind| kind.eq_ignore_ascii_case("checkbox")) {
                return false;
            }
            out.push_str(" type=\"checkbox\" disabled=\"\"");
            if self.get("checked").is_some() {
                out.push_str(" checked=\"\"");
            }
            return true;
        }
        let is_anchor = tag.name() == "a" && self.get("class") == Some("anchor");
        for (name, value) in &self.list {
            let value = match *name {
                "id" => Cow::Owned(names.id(value)),
                "class" => Cow::Owned(classes(value)),
                "href" if is_anchor && !names.last.is_empty() => Cow::Owned(format!("#{}", names.last)),
                "href" => match value.trim().strip_prefix('#') {
                    Some(target) => Cow::Owned(names.fragment(target)),
                    None => Cow::Borrowed(*value),
                },
                _ => Cow::Borrowed(*value),
            };
            if value.is_empty() && matches!(*name, "class" | "id") {
                continue;
            }
            out.push(' ');
            out.push_str(name);
            out.push_str("=\"");
            quote_into(out, &value);
            out.push('"');
        }
        true
    }
}

/// The value behind a `=`, and what follows it; nothing where its quote never ends.
fn value(html: &str) -> Option<(&str, &str)> {
    let html = html.trim_start_matches(|c: char| c.is_ascii_whitespace());
    if let Some(quote) = html.chars().next().filter(|c| matches!(c, '"' | '\'')) {
        let inner = &html[1..];
        let end = inner.find(quote)?;
        return Some((&inner[..end], &inner[end + 1..]));
    }
    let end = html.find(|c: char| c.is_ascii_whitespace() || c == '>').unwrap_or(html.len());
    Some(html.split_at(end))
}

/// Source text of a value, for double quotes; character references stay what they are.
fn quote_into(out: &mut String, value: &str) {
    let mut rest = value;
    while let Some(at) = rest.find(['"', '<', '>']) {
        out.push_str(&rest[..at]);
        out.push_str(match rest.as_bytes()[at] {
            b'"' => "&quot;",
            b'<' => "&lt;",
            _ => "&gt;",
        });
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
}

/// The allowed ones of a list of classes.
fn classes(value: &str) -> String {
    let mut kept = String::new();
    for class in value.split_ascii_whitespace().take(16) {
        let is_name = class.len() <= 48 && class.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_+#.".contains(&b));
        let is_known = CLASSES.contains(&class) || class.starts_with("hl-") || class.starts_with("language-");
        if is_name && is_known {
            if !kept.is_empty() {
                kept.push(' ');
            }
            kept.push_str(class);
        }
    }
    kept
}
