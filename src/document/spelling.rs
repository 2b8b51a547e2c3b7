//! Which of the two spellings a document is in.

use super::Spelling;
use super::fence::Fence;
use super::lines;

/// A line that says that a document is in the plain spelling, for the few whose text would say otherwise. Like every
/// line that begins so it is dropped.
pub(super) const PLAIN_MARK: &str = "// plain";

/// The spelling of a document without its front matter.
///
/// The first fence (or the mark, before it) decides: bare is plain, in a comment is commented. Without any fence, a document is commented
/// when every line is a comment (or blank, or one that is dropped) and they are not all plausible plain headings.
pub(super) fn detect<'a>(source: impl Iterator<Item = &'a str> + Clone) -> Spelling {
    for line in source.clone() {
        if line.trim_end() == PLAIN_MARK {
            return Spelling::Plain;
        }
        if Fence::find(line).is_some() {
            return Spelling::Plain;
        }
        if lines::uncomment(line).and_then(Fence::find).is_some() {
            return Spelling::Commented;
        }
    }
    if without_fences(source) { Spelling::Commented } else { Spelling::Plain }
}

fn without_fences<'a>(source: impl Iterator<Item = &'a str>) -> bool {
    let mut comments_in_a_row = 0_usize;
    let mut sure = false;
    for (index, line) in source.enumerate() {
        if line.trim().is_empty() {
            comments_in_a_row = 0;
            continue;
        }
        if lines::is_dropped(line) || lines::is_script_header(index, line) {
            continue;
        }
        if lines::is_import(line) {
            sure = true;
            continue;
        }
        let Some(text) = lines::uncomment(line).filter(|text| text.len() < line.trim_end().len()) else {
            return false;
        };
        // `# # Title`, `#`, `# - item`: nobody writes these as headings. Nor two headings of level 1 in a row.
        let is_level_1 = line.trim_start().starts_with("# ");
        comments_in_a_row = if is_level_1 { comments_in_a_row + 1 } else { 0 };
        let is_markup = text.trim().is_empty() || (is_level_1 && text.starts_with(['#', '-', '*', '>', '|', '`', '!']));
        sure |= is_markup || comments_in_a_row > 1;
    }
    sure
}
