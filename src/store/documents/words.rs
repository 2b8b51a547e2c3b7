//! Words, as documents are searched by them: the same on both databases, whatever those take for a word.
//!
//! A word is a run of letters and digits, in small letters. Scripts that write without blanks are searched by their
//! single characters. So what reaches the database has nothing in it that could mean anything there.

use std::collections::HashSet;

/// Longer words count as their beginning: a tree of words has no use for encoded data.
const MAX_WORD_BYTES: usize = 64;
/// Of a text so many bytes are looked at,
const MAX_SCANNED_BYTES: usize = 4 << 20;
/// and its first different words are kept, up to so many bytes. PostgreSQL refuses a document with more than 1 MiB of
/// words and places.
const MAX_KEPT_BYTES: usize = 256 << 10;
/// A search has no more words.
const MAX_SEARCHED: usize = 16;
/// Shorter texts are taken apart where they are.
const QUICK_BYTES: usize = 16 << 10;

/// The words of a document.
#[derive(Debug, Default)]
pub(super) struct Words {
    pub title: Vec<String>,
    pub content: Vec<String>,
}

impl Words {
    pub fn of(title: &str, content: Vec<String>) -> Self {
        Self { title: words(title, MAX_KEPT_BYTES), content }
    }
}

/// The words of a document's text.
pub(super) async fn of_content(content: &str) -> Vec<String> {
    let content = &content[..content.floor_char_boundary(MAX_SCANNED_BYTES)];
    if content.len() <= QUICK_BYTES {
        return words(content, MAX_KEPT_BYTES);
    }
    let content = content.to_owned();
    // It fails only when the process ends: then nothing is kept anyway.
    tokio::task::spawn_blocking(move || words(&content, MAX_KEPT_BYTES)).await.unwrap_or_default()
}

/// The words of a search; none where there is nothing that could be found.
pub(super) fn searched(text: &str) -> Vec<String> {
    let mut words = words(text, MAX_KEPT_BYTES);
    words.truncate(MAX_SEARCHED);
    words
}

/// The different words of a text, in the order in which they come.
fn words(text: &str, max_bytes: usize) -> Vec<String> {
    let mut seen = HashSet::new();
    let mut kept = Vec::new();
    let mut bytes = 0;
    for run in text.split(|c: char| !c.is_alphanumeric()).flat_map(split_ideographs) {
        let run = &run[..run.floor_char_boundary(MAX_WORD_BYTES)];
        // What is no letter in small letters (dots that go with an I) is left out again.
        let word: String = run.chars().flat_map(char::to_lowercase).filter(|c| c.is_alphanumeric()).collect();
        if word.is_empty() || seen.contains(&word) {
            continue;
        }
        bytes += word.len();
        if bytes > max_bytes {
            break;
        }
        seen.insert(word.clone());
        kept.push(word);
    }
    kept
}

/// A run with each character of a script without blanks on its own.
fn split_ideographs(run: &str) -> impl Iterator<Item = &str> {
    let mut rest = run;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let end = if is_ideograph(first) { first.len_utf8() } else { rest.find(is_ideograph).unwrap_or(rest.len()) };
        let (word, after) = rest.split_at(end);
        rest = after;
        Some(word)
    })
}

/// Chinese characters, and Japanese syllables.
fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{323af}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_becomes_words() {
        assert_eq!(words("Read_CSV(x) Übung read", 1000), ["read", "csv", "x", "übung"]);
        assert_eq!(words("東京tower へ", 1000), ["東", "京", "tower", "へ"]);
        assert_eq!(words("İx \0'\"\\:*&|!()<->", 1000), ["ix"]);
        assert_eq!(words(&"é".repeat(100), 1000), ["é".repeat(32)]);
        assert_eq!(words("aa bb cc", 4), ["aa", "bb"]);
        assert_eq!(words("", 4), Vec::<String>::new());
    }
}
