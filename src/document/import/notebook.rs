//! Jupyter notebooks (nbformat 3 and 4) as documents. Outputs, which can be most of a file, are passed over unread.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::super::Block;
use super::super::fence::is_python;
use super::super::lines::Lines;
use super::attachments::Attachments;
use super::code::{self, Code};
use super::fences::{self, Python};
use super::warnings::Warnings;
use super::{Draft, ImportError, Imported, cell, display, joined};

/// What is read of a file. Cells are read one by one, so that what is wrong has its place.
#[derive(Deserialize)]
struct File<'a> {
    nbformat: u64,
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
    #[serde(borrow)]
    cells: Option<Vec<&'a RawValue>>,
    /// Before format 4.
    #[serde(borrow)]
    worksheets: Option<Vec<Worksheet<'a>>>,
}

#[derive(Deserialize)]
struct Worksheet<'a> {
    #[serde(borrow, default)]
    cells: Vec<&'a RawValue>,
}

/// Each by itself: nothing in it is needed.
#[derive(Default, Deserialize)]
struct Metadata<'a> {
    #[serde(borrow)]
    title: Option<&'a RawValue>,
    #[serde(borrow)]
    kernelspec: Option<&'a RawValue>,
    #[serde(borrow)]
    language_info: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Kernel {
    language: String,
}

#[derive(Deserialize)]
struct Language {
    name: String,
}

#[derive(Deserialize)]
struct Cell<'a> {
    cell_type: String,
    source: Option<Text>,
    /// The source of code before format 4.
    input: Option<Text>,
    /// That of a heading, before format 4.
    level: Option<u64>,
    #[serde(borrow)]
    attachments: Option<&'a RawValue>,
}

/// A text, or the lines of one.
pub(super) struct Text(pub String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Lines;
        impl<'de> Visitor<'de> for Lines {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of texts")
            }

            fn visit_str<E>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.to_owned()))
            }

            fn visit_string<E>(self, text: String) -> Result<Text, E> {
                Ok(Text(text))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut lines: A) -> Result<Text, A::Error> {
                let mut text = String::new();
                while let Some(line) = lines.next_element::<String>()? {
                    text.push_str(&line);
                }
                Ok(Text(text))
            }
        }
        deserializer.deserialize_any(Lines)
    }
}

/// A notebook as a document: its Markdown as prose, its code as cells. Blocks of code in its Markdown, raw cells and
/// cells in other languages than Python are shown. What is no Python in its cells (`%magic`, `!shell`) becomes comments.
///
/// # Errors
/// When the file is no notebook, or one of its cells is not what it should be.
pub fn import_notebook(bytes: &[u8]) -> Result<Imported, ImportError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| ImportError::NotText { at: error.valid_up_to() })?;
    if !text.trim_start().starts_with('{') {
        return Err(ImportError::NotNotebook { reason: "it is no JSON object".to_owned(), line: 1, column: 1 });
    }
    let file: File<'_> = serde_json::from_str(text).map_err(|error| ImportError::NotNotebook {
        reason: reason(&error),
        line: error.line(),
        column: error.column(),
    })?;
    if !matches!(file.nbformat, 3 | 4) {
        return Err(ImportError::Version { found: file.nbformat });
    }
    let metadata = file.metadata.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
    let worksheets = file.worksheets.into_iter().flatten().flat_map(|sheet| sheet.cells);
    let mut import = Import { language: language(&metadata), ..Import::default() };
    if let Some(language) = &import.language {
        let warning = format!("the notebook is written in {language}: its code is shown and does not run");
        import.warnings.push(|| warning);
    }
    for (index, raw) in file.cells.into_iter().flatten().chain(worksheets).enumerate() {
        import.cell(index + 1, raw).map_err(|reason| ImportError::Cell { cell: index + 1, reason })?;
    }
    let title = metadata.title.and_then(|raw| serde_json::from_str(raw.get()).ok());
    Ok(import.draft.finish(title, import.warnings.finish()))
}

/// The language of a notebook that is not in Python.
fn language(metadata: &Metadata<'_>) -> Option<String> {
    let kernel = metadata.kernelspec.and_then(|raw| serde_json::from_str(raw.get()).ok());
    let kernel = kernel.map(|kernel: Kernel| kernel.language);
    let info = || metadata.language_info.and_then(|raw| serde_json::from_str(raw.get()).ok());
    let language = kernel.or_else(|| info().map(|info: Language| info.name))?;
    // It becomes what follows a fence.
    let name: String =
        language.chars().filter(|c| c.is_alphanumeric() || matches!(c, '+' | '#' | '-')).take(40).collect();
    (!name.is_empty() && !is_python(&name)).then_some(name)
}

/// What serde says, without the place: that of a part is none of the file.
fn reason(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default();
    message.chars().take(200).collect()
}

#[derive(Default)]
struct Import {
    draft: Draft,
    warnings: Warnings,
    attachments: Attachments,
    /// Of its code, if that is not Python.
    language: Option<String>,
}

impl Import {
    fn cell(&mut self, number: usize, raw: &RawValue) -> Result<(), String> {
        // Serde takes a list for the fields in their order.
        if !raw.get().starts_with('{') {
            return Err("it is no object".to_owned());
        }
        let read: Cell<'_> = serde_json::from_str(raw.get()).map_err(|error| reason(&error))?;
        let Text(source) = read.source.or(read.input).ok_or("`source` is missing")?;
        match read.cell_type.as_str() {
            "code" => self.code(number, &source),
            "markdown" => {
                let source = match read.attachments {
                    Some(raw) => self.attachments.put_into(&source, raw, number, &mut self.warnings),
                    None => source,
                };
                let source = self.front_matter_of(number, source);
                self.draft.blocks.extend(fences::blocks(&source, Python::IsShown));
            }
            "raw" | "html" => {
                let source = self.front_matter_of(number, source);
                let language = if read.cell_type == "html" { "html" } else { "text" };
                self.display(&source, language);
            }
            "heading" => {
                let level = read.level.unwrap_or(1).clamp(1, 6) as usize;
                let words = source.split_whitespace().collect::<Vec<_>>().join(" ");
                let markdown = format!("{} {words}\n", "#".repeat(level));
                self.draft.blocks.push(Block::Prose { markdown, line: 0 });
            }
            other => {
                let other: String = other.chars().take(40).collect();
                return Err(format!("`cell_type` is {other:?}, not code, markdown or raw"));
            }
        }
        Ok(())
    }

    fn code(&mut self, number: usize, source: &str) {
        if source.trim().is_empty() {
            return;
        }
        if let Some(language) = &self.language {
            let language = language.to_lowercase();
            return self.display(source, &language);
        }
        match code::read(source, number, &mut self.warnings) {
            Code::Python(code) => self.draft.blocks.push(cell(code, None)),
            Code::Other { language } => self.display(source, language),
        }
    }

    fn display(&mut self, source: &str, language: &str) {
        if !source.trim().is_empty() {
            self.draft.blocks.push(display(joined(Lines::of(source)), Some(language.to_owned())));
        }
    }

    /// The front matter of a notebook is what its first cell begins with.
    fn front_matter_of(&mut self, number: usize, source: String) -> String {
        if number == 1 { self.draft.take_front_matter(&source) } else { source }
    }
}
