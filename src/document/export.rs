//! The document as Markdown and as JSON.

use serde::Serialize;

use crate::domain::{CellReport, MimeBundle, Outcome, Output, StreamName};

use super::mime::{self, Shown};
use super::outputs::joined;
use super::tidy::Names;
use super::{Block, Document, RenderOptions, Spelling, sanitise, text};

/// The document as Markdown: what cells showed stands in place of their code.
pub(super) fn markdown(document: &Document, reports: &[CellReport], options: &RenderOptions) -> String {
    let mut out = String::new();
    if let Some(yaml) = &document.front_matter {
        out.push_str(&format!("---\n{yaml}---\n\n"));
    }
    let mut names = Names::default();
    for block in &document.blocks {
        match block {
            Block::Prose { markdown, .. } => {
                out.push_str(markdown);
                out.push('\n');
            }
            Block::Display { code, language, .. } => {
                push_fenced(&mut out, code, language.as_deref().unwrap_or("python"))
            }
            Block::Cell { index, code, .. } => {
                if options.show_code {
                    push_fenced(&mut out, code, "python");
                }
                names.enter(Some(*index));
                match reports.get(*index) {
                    Some(report) => push_report(&mut out, report, &mut names),
                    None => out.push_str("*This cell was not run.*\n\n"),
                }
            }
        }
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

fn push_report(out: &mut String, report: &CellReport, names: &mut Names) {
    let mut has_error = false;
    for output in &report.outputs {
        match output {
            Output::Stream { name: StreamName::Stdout, text } => push_text(out, &text::plain(text)),
            Output::Stream { name: StreamName::Stderr, text } => push_fenced(out, &text::plain(text), "text"),
            Output::DisplayData { data, .. } | Output::ExecuteResult { data, .. } => push_bundle(out, data, names),
            Output::Error { ename, evalue, traceback } => {
                has_error = true;
                push_error(out, ename, evalue, traceback);
            }
        }
    }
    match &report.outcome {
        Outcome::PythonError { .. } if has_error => {}
        Outcome::PythonError { ename, evalue, traceback } => push_error(out, ename, evalue, traceback),
        outcome => {
            if let Some(sentence) = outcome.sentence() {
                push_text(out, &format!("> **{sentence}**"));
            }
        }
    }
}

fn push_bundle(out: &mut String, data: &MimeBundle, names: &mut Names) {
    let Some(shown) = mime::by_richness(data).next() else { return };
    match shown {
        Shown::Html(html) => push_text(out, &sanitise::clean(&html, names)),
        Shown::Image { url, .. } => push_text(out, &format!("![Figure]({url})")),
        Shown::Video(url) => push_text(out, &format!("<video controls src=\"{url}\"></video>")),
        Shown::Markdown(markdown) => push_text(out, &markdown),
        Shown::Latex(latex) => push_text(out, latex.trim()),
        Shown::Json(json) => push_fenced(out, &json, "json"),
        Shown::Plain(plain) => push_fenced(out, &text::plain(&plain), "text"),
    }
}

fn push_text(out: &mut String, markdown: &str) {
    let markdown = markdown.trim_end();
    if !markdown.trim().is_empty() {
        out.push_str(markdown);
        out.push_str("\n\n");
    }
}

fn push_error(out: &mut String, ename: &str, evalue: &str, traceback: &[String]) {
    let trace = joined(traceback);
    let last = if evalue.is_empty() { ename.to_owned() } else { format!("{ename}: {evalue}") };
    push_fenced(out, if trace.trim().is_empty() { &last } else { &trace }, "text");
}

/// Code in a fence that is longer than any row of backticks in it.
fn push_fenced(out: &mut String, code: &str, language: &str) {
    if code.trim().is_empty() {
        return;
    }
    let mut longest = 0;
    let mut row = 0;
    for byte in code.bytes() {
        row = if byte == b'`' { row + 1 } else { 0 };
        longest = longest.max(row);
    }
    let fence = "`".repeat((longest + 1).max(3));
    out.push_str(&format!("{fence}{language}\n{}\n{fence}\n\n", code.trim_end_matches('\n')));
}

/// The document with what its cells showed.
#[derive(Serialize)]
struct Exported<'a> {
    title: Option<&'a str>,
    spelling: Spelling,
    front_matter: Option<&'a str>,
    blocks: Vec<ExportedBlock<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum ExportedBlock<'a> {
    Cell(ExportedCell<'a>),
    Other(&'a Block),
}

#[derive(Serialize)]
struct ExportedCell<'a> {
    #[serde(flatten)]
    block: &'a Block,
    /// `null` where the cell was not run.
    outcome: Option<&'a Outcome>,
    outputs: &'a [Output],
    fuel_used: Option<u64>,
    wall_ms: Option<f64>,
    peak_memory_bytes: Option<u64>,
}

/// The document as JSON.
pub(super) fn json(document: &Document, reports: &[CellReport], options: &RenderOptions) -> String {
    let blocks = document.blocks.iter().map(|block| match block {
        Block::Cell { index, .. } => {
            let report = reports.get(*index);
            ExportedBlock::Cell(ExportedCell {
                block,
                outcome: report.map(|report| &report.outcome),
                outputs: report.map_or(&[], |report| &report.outputs),
                fuel_used: report.map(|report| report.fuel_used),
                wall_ms: report.map(|report| report.wall_ms),
                peak_memory_bytes: report.map(|report| report.peak_memory_bytes),
            })
        }
        _ => ExportedBlock::Other(block),
    });
    let exported = Exported {
        title: options.title.as_deref().or(document.title.as_deref()),
        spelling: document.spelling,
        front_matter: document.front_matter.as_deref(),
        blocks: blocks.collect(),
    };
    // Only maps with keys that are no strings can fail, and there are none.
    serde_json::to_string(&exported).unwrap_or_else(|_| "{}".to_owned())
}
