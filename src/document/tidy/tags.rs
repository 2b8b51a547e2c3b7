//! The elements that may stand in rendered HTML, and how they close each other.

/// An element that is allowed, by its place in [`TAGS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::document) struct Tag(u8);

/// Has no content and no end tag.
const VOID: u8 = 1;
/// Ends an open paragraph.
const BLOCK: u8 = 2;
/// May only stand in the parts of a table.
const TABLE_PART: u8 = 4;
/// End tags do not look past it.
const BARRIER: u8 = 8;
/// Loose content directly inside is not allowed: it belongs into a cell.
const ROWS: u8 = 16;

/// Sorted by name.
const TAGS: [(&str, u8); 70] = [
    ("a", 0),
    ("abbr", 0),
    ("address", BLOCK),
    ("article", BLOCK),
    ("aside", BLOCK),
    ("b", 0),
    ("bdi", 0),
    ("bdo", 0),
    ("blockquote", BLOCK),
    ("br", VOID),
    ("caption", TABLE_PART | BARRIER),
    ("cite", 0),
    ("code", 0),
    ("col", TABLE_PART | VOID),
    ("colgroup", TABLE_PART),
    ("dd", BLOCK),
    ("del", 0),
    ("details", BLOCK),
    ("dfn", 0),
    ("div", BLOCK),
    ("dl", BLOCK),
    ("dt", BLOCK),
    ("em", 0),
    ("figcaption", BLOCK),
    ("figure", BLOCK),
    ("footer", BLOCK),
    ("h1", BLOCK),
    ("h2", BLOCK),
    ("h3", BLOCK),
    ("h4", BLOCK),
    ("h5", BLOCK),
    ("h6", BLOCK),
    ("header", BLOCK),
    ("hr", BLOCK | VOID),
    ("i", 0),
    ("img", VOID),
    ("input", VOID),
    ("ins", 0),
    ("kbd", 0),
    ("li", BLOCK),
    ("mark", 0),
    ("meter", 0),
    ("ol", BLOCK),
    ("p", BLOCK),
    ("pre", BLOCK),
    ("progress", 0),
    ("q", 0),
    ("s", 0),
    ("samp", 0),
    ("section", BLOCK),
    ("small", 0),
    ("source", VOID),
    ("span", 0),
    ("strong", 0),
    ("sub", 0),
    ("summary", BLOCK),
    ("sup", 0),
    ("table", BLOCK | BARRIER | ROWS),
    ("tbody", TABLE_PART | ROWS),
    ("td", TABLE_PART | BARRIER),
    ("tfoot", TABLE_PART | ROWS),
    ("th", TABLE_PART | BARRIER),
    ("thead", TABLE_PART | ROWS),
    ("time", 0),
    ("tr", TABLE_PART | ROWS),
    ("u", 0),
    ("ul", BLOCK),
    ("var", 0),
    ("video", BARRIER),
    ("wbr", VOID),
];

/// Elements whose content goes with them.
const WITH_CONTENT: [&str; 19] = [
    "applet", "audio", "embed", "head", "iframe", "math", "noembed", "noframes", "object", "optgroup", "option",
    "script", "select", "style", "svg", "template", "textarea", "title", "xmp",
];

/// Whether an element that is not allowed takes its content with it.
pub(super) fn drops_content(name: &str) -> Option<usize> {
    WITH_CONTENT.iter().position(|other| *other == name)
}

/// How many elements take their content with them.
pub(super) const CONTENT_DROPPERS: usize = WITH_CONTENT.len();

impl Tag {
    /// The element of that name (lower case), if it is allowed.
    pub fn find(name: &str) -> Option<Self> {
        let at = TAGS.binary_search_by(|(other, _)| (*other).cmp(name)).ok()?;
        u8::try_from(at).ok().map(Self)
    }

    /// All allowed elements' names.
    pub fn names() -> impl Iterator<Item = &'static str> {
        TAGS.iter().map(|(name, _)| *name)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        TAGS[usize::from(self.0)].0
    }

    fn has(self, flag: u8) -> bool {
        TAGS[usize::from(self.0)].1 & flag != 0
    }

    /// It has no content and no end tag.
    pub fn is_void(self) -> bool {
        self.has(VOID)
    }

    /// It ends an open paragraph.
    pub fn is_block(self) -> bool {
        self.has(BLOCK)
    }

    /// It may only stand in the parts of a table.
    pub fn is_table_part(self) -> bool {
        self.has(TABLE_PART)
    }

    /// End tags do not look past it.
    pub fn is_barrier(self) -> bool {
        self.has(BARRIER)
    }

    /// Only rows or cells may stand directly in it.
    pub fn holds_rows(self) -> bool {
        self.has(ROWS)
    }

    /// Whether an open `self` is ended by the start of `next`, with `next`'s own container in between at most.
    pub fn is_ended_by(self, next: Tag) -> bool {
        match self.name() {
            "p" => next.is_block(),
            "li" => next.name() == "li",
            "dt" | "dd" => matches!(next.name(), "dt" | "dd"),
            "a" => next.name() == "a",
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => next.is_heading(),
            _ => false,
        }
    }

    /// Whether looking for something that `next` ends stops here.
    pub fn shelters_from(self, next: Tag) -> bool {
        self.is_barrier()
            || match next.name() {
                "li" => matches!(self.name(), "ul" | "ol"),
                "dt" | "dd" => self.name() == "dl",
                "a" => false,
                _ => self.is_block() && self.name() != "p",
            }
    }

    fn is_heading(self) -> bool {
        matches!(self.name(), "h1" | "h2" | "h3" | "h4" | "h5" | "h6")
    }

    /// Whether a table part may stand directly in `self`.
    pub fn takes(self, part: Tag) -> bool {
        match part.name() {
            "td" | "th" => self.name() == "tr",
            "tr" => matches!(self.name(), "table" | "thead" | "tbody" | "tfoot"),
            "col" => matches!(self.name(), "table" | "colgroup"),
            _ => self.name() == "table",
        }
    }
}
