//! Fences: the lines that open and close blocks of code.

use super::lines;

/// A language's name is cut after this many characters.
const MAX_LANGUAGE_CHARS: usize = 40;

/// A line that can open a block of code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fence<'a> {
    /// `` ` `` or `~`.
    pub mark: u8,
    /// How many marks, 3 or more.
    pub length: usize,
    /// Spaces before them, 0 to 3.
    pub indent: usize,
    /// What follows them, trimmed.
    pub info: &'a str,
}

impl<'a> Fence<'a> {
    /// The fence in a line of Markdown, if it is one.
    pub fn find(text: &'a str) -> Option<Self> {
        let bare = text.trim_start_matches(' ');
        let indent = text.len() - bare.len();
        let mark = *bare.as_bytes().first()?;
        if indent > 3 || !matches!(mark, b'`' | b'~') {
            return None;
        }
        let length = bare.bytes().take_while(|byte| *byte == mark).count();
        let info = bare[length..].trim();
        // A backtick further on makes it inline code: ```` ```a``` ````.
        if length < 3 || (mark == b'`' && info.contains('`')) {
            return None;
        }
        Some(Self { mark, length, indent, info })
    }

    /// Whether `self` ends the block that `opening` began.
    pub fn closes(&self, opening: &Fence<'_>) -> bool {
        self.mark == opening.mark && self.length >= opening.length && self.info.is_empty()
    }

    /// Whether the block's code runs: three backticks, and Python if it says so; or more of them and `{python}` or `{}`,
    /// which is how code is written that holds a line of three itself.
    pub fn executes(&self) -> bool {
        let braced =
            self.info.strip_prefix('{').is_some_and(|rest| !rest.starts_with(['{', '.']) && rest.contains('}'));
        self.mark == b'`' && (self.length == 3 || braced) && self.language().is_none_or(|language| is_python(&language))
    }

    /// The first word of the info string, without the braces of `{python}`. Tildes that name none hold text.
    pub fn language(&self) -> Option<String> {
        let word = self.info.trim_start_matches(['{', '.']).split([' ', '\t', ',', '}']).next().unwrap_or("");
        let word = if word.is_empty() && self.mark == b'~' { "text" } else { word };
        (!word.is_empty()).then(|| word.chars().take(MAX_LANGUAGE_CHARS).collect())
    }

    /// The marks as they stand; a very long row is cut.
    pub fn marks(&self) -> String {
        char::from(self.mark).to_string().repeat(self.length.min(12))
    }
}

/// How many backticks the longest line has that would close a block; `commented` where only comments can.
pub(super) fn longest_closing(code: &str, commented: bool) -> usize {
    let text = |line| if commented { lines::uncomment(line) } else { Some(line) };
    let fences = code.lines().filter_map(|line| text(line).and_then(Fence::find));
    fences.filter(|fence| fence.mark == b'`' && fence.info.is_empty()).map(|fence| fence.length).max().unwrap_or(0)
}

/// How many backticks the longest row of them has.
pub(super) fn longest_row(text: &str) -> usize {
    let (mut longest, mut row) = (0, 0);
    for byte in text.bytes() {
        row = if byte == b'`' { row + 1 } else { 0 };
        longest = longest.max(row);
    }
    longest
}

/// Whether code of that language runs in a cell.
pub(super) fn is_python(language: &str) -> bool {
    ["python", "python3", "py", "py3", "ipython", "ipython3", "pymd"]
        .iter()
        .any(|name| language.eq_ignore_ascii_case(name))
}
