//! Front matter: YAML between `---` lines at a document's start. Kept as it stands; only its title is looked for here.

use super::lines::{self, Lines};
use super::script;

/// Front matter longer than this many lines is prose.
const MAX_LINES: usize = 1_000;

/// Front matter and where it stands.
#[derive(Debug)]
pub(super) struct FrontMatter {
    /// The YAML, without the `---` lines and comment marks.
    pub yaml: String,
    /// Its title.
    pub title: Option<String>,
    /// Index of its opening line.
    pub start: usize,
    /// Index of the first line of the document proper.
    pub end: usize,
}

/// The front matter of a document, if it has one: on the first line; or in comments, below what scripts begin with.
pub(super) fn find(source: Lines<'_>) -> Option<FrontMatter> {
    let script = script::find(source.clone()).map(|script| script.lines).unwrap_or_default();
    let source: Vec<_> = source.take(MAX_LINES + 16).collect();
    if source.first()?.trim_end() == "---" {
        return read(&source, 0, |line| Some(line));
    }
    let start = source.iter().enumerate().position(|(index, line)| {
        !(line.trim().is_empty()
            || lines::is_import(line)
            || lines::is_script_header(index, line)
            || script.contains(&index))
    })?;
    let opens = lines::uncomment(source[start]).is_some_and(|text| text.trim_end() == "---");
    if opens { read(&source, start, lines::uncomment) } else { None }
}

fn read(source: &[&str], start: usize, text: fn(&str) -> Option<&str>) -> Option<FrontMatter> {
    let mut yaml = String::new();
    for (index, line) in source.iter().enumerate().skip(start + 1).take(MAX_LINES) {
        let line = text(line)?;
        if is_rule(line.trim_end()) {
            let title = title(&yaml);
            return has_key(&yaml).then_some(FrontMatter { yaml, title, start, end: index + 1 });
        }
        yaml.push_str(line);
        yaml.push('\n');
    }
    None
}

fn is_rule(line: &str) -> bool {
    matches!(line, "---" | "...")
}

/// Whether the text begins with a YAML key: two thematic breaks with prose in between are no front matter.
fn has_key(yaml: &str) -> bool {
    let first = yaml.lines().find(|line| !line.trim().is_empty() && !line.starts_with('#'));
    first.is_none_or(|line| {
        let Some((key, value)) = line.split_once(':') else { return false };
        let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | ' ' | '.' | '"' | '\'');
        !key.is_empty() && key.chars().all(is_name) && (value.is_empty() || value.starts_with([' ', '\t']))
    })
}

fn title(yaml: &str) -> Option<String> {
    let mut lines = yaml.lines();
    let value = lines.find_map(|line| line.strip_prefix("title:"))?.trim();
    let value = match value {
        // A block scalar or a value on the next line.
        "" | ">" | "|" | ">-" | "|-" => lines.next().filter(|line| line.starts_with([' ', '\t']))?.trim(),
        _ => value,
    };
    let title = match value.as_bytes().first()? {
        b'"' => quoted(value, '"').replace("\\\"", "\"").replace("\\\\", "\\"),
        b'\'' => quoted(value, '\'').replace("''", "'"),
        _ => value.split(" #").next().unwrap_or(value).trim_end().to_owned(),
    };
    (!title.trim().is_empty()).then_some(title)
}

/// The text between the first mark and the last.
fn quoted(value: &str, mark: char) -> &str {
    let inner = &value[1..];
    inner.rfind(mark).map_or(inner, |end| &inner[..end])
}
