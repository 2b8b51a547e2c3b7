//! The document as a Jupyter notebook: nbformat 4.5.

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::domain::{CellReport, MimeBundle, Outcome, Output, StreamName};

use super::super::{Block, CellOptions, Document, fence};

#[derive(Serialize)]
struct Notebook<'a> {
    cells: Vec<Cell<'a>>,
    metadata: Value,
    nbformat: u8,
    nbformat_minor: u8,
}

#[derive(Serialize)]
#[serde(tag = "cell_type", rename_all = "snake_case")]
enum Cell<'a> {
    Code {
        execution_count: Option<u64>,
        id: String,
        metadata: Map<String, Value>,
        outputs: Vec<Shown<'a>>,
        source: Vec<&'a str>,
    },
    Markdown {
        id: String,
        metadata: Map<String, Value>,
        source: Vec<String>,
    },
    Raw {
        id: String,
        metadata: Map<String, Value>,
        source: Vec<String>,
    },
}

/// An output as a notebook holds it.
#[derive(Serialize)]
#[serde(tag = "output_type", rename_all = "snake_case")]
enum Shown<'a> {
    Stream { name: StreamName, text: &'a str },
    DisplayData { data: Box<RawValue>, metadata: Box<RawValue> },
    ExecuteResult { data: Box<RawValue>, execution_count: u64, metadata: Box<RawValue> },
    Error { ename: &'a str, evalue: String, traceback: Vec<String> },
}

/// The document as the text of an `.ipynb` file, with what its cells showed, as far as they want it shown.
///
/// Prose and code to read become Markdown cells, front matter a raw one. The ids of the cells are the same every time.
/// `reports` are as [`super::super::render`] takes them.
pub fn notebook(document: &Document, reports: &[CellReport]) -> String {
    let mut cells = Vec::new();
    if let Some(yaml) = &document.front_matter {
        cells.push(Cell::Raw {
            id: "front".to_owned(),
            metadata: Map::new(),
            source: lines(&format!("---\n{yaml}---")),
        });
    }
    for (number, block) in document.blocks.iter().enumerate() {
        let text =
            |text: &str| Cell::Markdown { id: format!("text-{number}"), metadata: Map::new(), source: lines(text) };
        cells.push(match block {
            Block::Prose { markdown, .. } => text(markdown),
            Block::Display { code, language, .. } => {
                let marks = "`".repeat((fence::longest_row(code) + 1).max(3));
                text(&format!("{marks}{}\n{code}{marks}", language.as_deref().unwrap_or("python")))
            }
            Block::Cell { index, code, options, .. } => {
                let report = reports.get(*index).filter(|_| options.runs());
                Cell::Code {
                    execution_count: report.map(|_| *index as u64 + 1),
                    id: format!("cell-{index}"),
                    metadata: Map::new(),
                    outputs: report.map(|report| outputs(report, options)).unwrap_or_default(),
                    source: code.trim_end_matches('\n').split_inclusive('\n').collect(),
                }
            }
        });
    }
    let notebook = Notebook { cells, metadata: metadata(document), nbformat: 4, nbformat_minor: 5 };
    // Only maps with keys that are no strings can fail, and there are none.
    let mut text = serde_json::to_string_pretty(&notebook).unwrap_or_else(|_| "{}".to_owned());
    text.push('\n');
    text
}

fn metadata(document: &Document) -> Value {
    let mut metadata = json!({
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python", "file_extension": ".py", "mimetype": "text/x-python"},
    });
    if let Some(title) = &document.title {
        metadata["title"] = title.as_str().into();
    }
    metadata
}

/// The lines of a text, each with its line feed, as notebooks hold them.
fn lines(text: &str) -> Vec<String> {
    text.trim_end_matches('\n').split_inclusive('\n').map(str::to_owned).collect()
}

fn outputs<'a>(report: &'a CellReport, options: &CellOptions) -> Vec<Shown<'a>> {
    let mut shown: Vec<_> = report.outputs.iter().filter(|output| options.shows(output)).filter_map(output).collect();
    let has_error = report.outputs.iter().any(|output| matches!(output, Output::Error { .. }));
    match &report.outcome {
        Outcome::PythonError { .. } if has_error => {}
        Outcome::PythonError { ename, evalue, traceback } => shown.push(error(ename, evalue, traceback)),
        outcome => {
            // Readers show the traceback and nothing else.
            let sentence = outcome.sentence();
            shown.extend(sentence.map(|sentence| error(outcome.kind(), &sentence, std::slice::from_ref(&sentence))));
        }
    }
    shown
}

fn output(output: &Output) -> Option<Shown<'_>> {
    Some(match output {
        Output::Stream { name, text } => Shown::Stream { name: *name, text },
        Output::DisplayData { data, metadata, .. } => {
            Shown::DisplayData { data: bundle(data)?, metadata: compact(metadata)? }
        }
        Output::ExecuteResult { execution_count, data, metadata } => Shown::ExecuteResult {
            data: bundle(data)?,
            // Counts are signed in most readers.
            execution_count: (*execution_count).min(i64::MAX as u64),
            metadata: compact(metadata)?,
        },
        Output::Error { ename, evalue, traceback } => error(ename, evalue, traceback),
    })
}

fn error<'a>(ename: &'a str, evalue: &str, traceback: &[String]) -> Shown<'a> {
    let traceback = traceback.iter().map(|line| line.trim_end_matches('\n').to_owned()).collect();
    Shown::Error { ename, evalue: evalue.to_owned(), traceback }
}

/// The representations that a notebook may hold: JSON of any shape, of other types only text. What cells show is theirs
/// to choose, and one wrong value would make the whole notebook invalid.
fn bundle(data: &MimeBundle) -> Option<Box<RawValue>> {
    let is_text = |value: &Value| match value {
        Value::String(_) => true,
        Value::Array(lines) => lines.iter().all(Value::is_string),
        _ => false,
    };
    let is_json = |mime: &str| {
        let kind = mime.strip_prefix("application/");
        kind.is_some_and(|kind| kind == "json" || kind.ends_with("+json"))
    };
    let valid = data.iter().filter(|(mime, value)| is_json(mime) || is_text(value));
    compact(&valid.map(|(mime, value)| (mime.clone(), value.clone())).collect())
}

/// On one line: indentation makes deep JSON many times longer.
fn compact(map: &MimeBundle) -> Option<Box<RawValue>> {
    serde_json::value::to_raw_value(map).ok()
}
