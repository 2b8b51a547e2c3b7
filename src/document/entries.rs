//! The entries of a YAML mapping, told apart by their first column: what is wrong with one is no trouble of the others,
//! and each has its line.

use serde::de::DeserializeOwned;

/// An entry that is longer is not read.
const MAX_BYTES: usize = 16 << 10;

/// `key: value`, and the lines below that belong to it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    /// The key, without quotes; empty where the line has none.
    pub key: &'a str,
    /// Index of its line.
    pub index: usize,
    /// What follows the colon, as YAML.
    value: String,
    too_long: bool,
}

impl Entry<'_> {
    /// The value, if it is of that type.
    pub fn read<T: DeserializeOwned>(&self) -> Option<T> {
        if self.too_long { None } else { serde_saphyr::from_str(&self.value).ok() }
    }

    /// Index of the line on which a key of the value stands, or else of the entry itself.
    pub fn index_of(&self, key: &str) -> usize {
        let inner = self.value.lines().position(|line| line.trim_start().starts_with(key));
        self.index + inner.unwrap_or(0)
    }
}

/// The entries, in order. Comments are left out.
pub(super) fn split<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<Entry<'a>> {
    let mut entries: Vec<Entry<'a>> = Vec::new();
    for (index, line) in lines.enumerate() {
        // A sequence may stand as far left as its key, and so may what closes a flow.
        let goes_on = line.trim().is_empty() || line.starts_with([' ', '\t', ']', '}']) || is_item(line);
        if goes_on && let Some(entry) = entries.last_mut() {
            entry.too_long |= entry.value.len() + line.len() > MAX_BYTES;
            if !entry.too_long {
                entry.value.push_str(line);
                entry.value.push('\n');
            }
        } else if !line.trim().is_empty() && !line.starts_with('#') {
            let (key, value) = key(line).unwrap_or(("", line));
            let too_long = value.len() > MAX_BYTES;
            let value = if too_long { String::new() } else { format!("{}\n", value.trim_start()) };
            entries.push(Entry { key, index, value, too_long });
        }
    }
    entries
}

fn is_item(line: &str) -> bool {
    line == "-" || line.starts_with("- ")
}

fn key(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once(':')?;
    let key = key.trim().trim_matches(['"', '\'']);
    (value.is_empty() || value.starts_with([' ', '\t'])).then_some((key, value))
}
