//! What an import has to say, in bounds.

/// More warnings are only counted.
const MAX_WARNINGS: usize = 100;
/// Of what a file holds, no more is quoted.
const MAX_QUOTED_CHARS: usize = 60;

/// Warnings so far.
#[derive(Debug, Default)]
pub(super) struct Warnings {
    list: Vec<String>,
    more: usize,
}

impl Warnings {
    /// One more.
    pub fn push(&mut self, warning: impl FnOnce() -> String) {
        if self.list.len() < MAX_WARNINGS {
            self.list.push(warning());
        } else {
            self.more += 1;
        }
    }

    /// All of them.
    pub fn finish(mut self) -> Vec<String> {
        if self.more > 0 {
            self.list.push(format!("and {} more", self.more));
        }
        self.list
    }
}

/// A text of the file, cut, on one line.
pub(super) fn quoted(text: &str) -> String {
    let mut chars = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut short: String = chars.by_ref().take(MAX_QUOTED_CHARS).collect();
    if chars.next().is_some() {
        short.push_str("...");
    }
    short
}
