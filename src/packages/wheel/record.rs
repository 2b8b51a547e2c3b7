//! `RECORD`: a line for each file with its digest and size.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::error::WheelError;

/// What a `RECORD` says of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded {
    /// SHA-256 of its bytes; nothing only for the `RECORD` itself and its signatures.
    pub sha256: Option<[u8; 32]>,
    /// Its bytes, where it says it.
    pub size: Option<u64>,
}

/// Reads a `RECORD` of at most `most` files. A line that stands there twice is one line; two different lines of one file
/// are an error.
pub fn parse(text: &[u8], most: usize) -> Result<HashMap<String, Recorded>, WheelError> {
    let mut recorded = HashMap::new();
    let mut rows = Rows { text, line: 1 };
    while !rows.text.is_empty() {
        let line = rows.line;
        let refused = |reason| WheelError::Record { line, reason };
        let mut fields = rows.next_row().map_err(refused)?;
        if fields.len() == 1 && fields.iter().all(String::is_empty) {
            continue;
        }
        let (Some(size), Some(hash), Some(path), None) = (fields.pop(), fields.pop(), fields.pop(), fields.pop())
        else {
            return Err(refused("it has not three fields"));
        };
        let sha256 = if hash.is_empty() { None } else { Some(digest(&hash).map_err(refused)?) };
        let size = match size.as_str() {
            "" => None,
            digits if digits.bytes().all(|b| b.is_ascii_digit()) => {
                Some(digits.parse().map_err(|_| refused("its size is too large"))?)
            }
            _ => return Err(refused("its size is not a number")),
        };
        let new = Recorded { sha256, size };
        if recorded.insert(path, new).is_some_and(|old| old != new) {
            return Err(refused("an earlier line says something else of this file"));
        }
        if recorded.len() > most {
            return Err(refused("it lists far more files than there are"));
        }
    }
    Ok(recorded)
}

fn digest(hash: &str) -> Result<[u8; 32], &'static str> {
    let Some(encoded) = hash.strip_prefix("sha256=") else { return Err("its digest is not a SHA-256") };
    let decoded = URL_SAFE_NO_PAD.decode(encoded.trim_end_matches('='));
    let bytes = decoded.map_err(|_| "its digest is not in URL-safe Base64")?;
    bytes.try_into().map_err(|_| "its digest has not the length of a SHA-256")
}

/// Rows of comma-separated values, with quotes where a value needs them.
struct Rows<'a> {
    text: &'a [u8],
    line: usize,
}

impl Rows<'_> {
    fn next_row(&mut self) -> Result<Vec<String>, &'static str> {
        let mut fields = Vec::new();
        loop {
            // More is an error anyway.
            if fields.len() > 3 {
                return Err("it has not three fields");
            }
            let field = if self.text.first() == Some(&b'"') { self.quoted()? } else { self.plain() };
            fields.push(String::from_utf8(field).map_err(|_| "it is not UTF-8")?);
            match self.text {
                [b',', rest @ ..] => self.text = rest,
                [] => return Ok(fields),
                [b'\r', b'\n', rest @ ..] | [b'\n', rest @ ..] => {
                    self.text = rest;
                    self.line += 1;
                    return Ok(fields);
                }
                _ => return Err("something follows a closing quote"),
            }
        }
    }

    fn plain(&mut self) -> Vec<u8> {
        let is_end = |b: &u8| matches!(b, b',' | b'\n');
        let mut len = self.text.iter().position(is_end).unwrap_or(self.text.len());
        // A line may end with a carriage return too.
        if matches!(self.text.get(len), Some(b'\n')) && len > 0 && self.text.get(len - 1) == Some(&b'\r') {
            len -= 1;
        }
        let (field, rest) = self.text.split_at(len);
        self.text = rest;
        field.to_vec()
    }

    fn quoted(&mut self) -> Result<Vec<u8>, &'static str> {
        let mut field = Vec::new();
        let mut text = self.text.get(1..).unwrap_or_default();
        loop {
            match text {
                [b'"', b'"', rest @ ..] => {
                    field.push(b'"');
                    text = rest;
                }
                [b'"', rest @ ..] => {
                    self.text = rest;
                    return Ok(field);
                }
                [byte, rest @ ..] => {
                    field.push(*byte);
                    self.line += usize::from(*byte == b'\n');
                    text = rest;
                }
                [] => return Err("a quote is not closed"),
            }
        }
    }
}

/// A `RECORD` of these files: path, digest, size. The line of `itself` has neither.
pub(super) fn write<'a>(files: impl Iterator<Item = (&'a str, [u8; 32], u64)>, itself: &str) -> String {
    let field = |path: &str| match path.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", path.replace('"', "\"\"")),
        false => path.to_owned(),
    };
    let mut text = String::new();
    for (path, sha256, size) in files {
        text += &format!("{},sha256={},{size}\n", field(path), URL_SAFE_NO_PAD.encode(sha256));
    }
    text + &format!("{},,\n", field(itself))
}
