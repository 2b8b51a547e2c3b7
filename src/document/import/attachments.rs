//! Pictures that a notebook's Markdown cells carry: put into the text as data where they are small.

use std::collections::HashMap;

use serde_json::value::RawValue;

use super::super::mime;
use super::notebook::Text;
use super::warnings::{Warnings, quoted};

const SCHEME: &str = "attachment:";
/// Longer pictures (base64) are left out: Markdown is rendered in pieces, and a line must fit into one.
const MAX_PICTURE_BYTES: usize = 176 << 10;
/// All pictures of a notebook together.
const MAX_BYTES: usize = 4 << 20;
/// The pictures that are taken.
const TYPES: [&str; 4] = ["image/png", "image/jpeg", "image/gif", "image/webp"];

/// The pictures of one notebook.
#[derive(Debug)]
pub(super) struct Attachments {
    left: usize,
}

impl Default for Attachments {
    fn default() -> Self {
        Self { left: MAX_BYTES }
    }
}

impl Attachments {
    /// The text of a cell with its pictures in the place of their names.
    pub fn put_into(&mut self, text: &str, raw: &RawValue, cell: usize, warnings: &mut Warnings) -> String {
        if !text.contains(SCHEME) {
            return text.to_owned();
        }
        let Ok(bundles) = serde_json::from_str::<HashMap<String, HashMap<String, &RawValue>>>(raw.get()) else {
            warnings.push(|| format!("cell {cell}: its attachments are not what they should be and are left out"));
            return text.to_owned();
        };
        let mut out = String::with_capacity(text.len());
        let mut known: HashMap<&str, Option<String>> = HashMap::new();
        let mut rest = text;
        while let Some(at) = rest.find(SCHEME) {
            let after = &rest[at + SCHEME.len()..];
            let ends = |c: char| c.is_whitespace() || matches!(c, ')' | ']' | '"' | '\'' | '<' | '>');
            let name = &after[..after.find(ends).unwrap_or(after.len())];
            let url = known.entry(name).or_insert_with(|| {
                let found = bundles.get(name).or_else(|| bundles.get(&decoded(name))).and_then(picture);
                if found.is_none() {
                    let name = quoted(name);
                    warnings.push(|| {
                        format!("cell {cell}: the attachment `{name}` is too large or no picture and is left out")
                    });
                }
                found
            });
            out.push_str(&rest[..at]);
            match url.as_ref().filter(|url| url.len() <= self.left) {
                Some(url) => {
                    self.left -= url.len();
                    out.push_str(url);
                }
                None => {
                    if url.take().is_some() {
                        warnings.push(|| format!("cell {cell}: the notebook's attachments are too large together"));
                    }
                    out.push_str(SCHEME);
                    out.push_str(name);
                }
            }
            rest = &after[name.len()..];
        }
        out.push_str(rest);
        out
    }
}

/// The address of the first picture of a bundle.
fn picture(bundle: &HashMap<String, &RawValue>) -> Option<String> {
    let (mime, raw) = TYPES.iter().find_map(|mime| Some((mime, bundle.get(*mime)?)))?;
    if raw.get().len() > MAX_PICTURE_BYTES {
        return None;
    }
    let Text(base64) = serde_json::from_str(raw.get()).ok()?;
    mime::checked(mime, &base64)
}

/// A name without percent signs.
fn decoded(name: &str) -> String {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let hex = if byte == b'%' { after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok()) } else { None };
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(decoded) => {
                bytes.push(decoded);
                rest = &after[2..];
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
