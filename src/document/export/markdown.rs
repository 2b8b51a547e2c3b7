//! The document as Markdown: by itself, or with its figures as files.

use crate::domain::{CellReport, MimeBundle, Outcome, Output, StreamName};

use super::super::mime::{self, Shown};
use super::super::outputs::{Captions, Facts, joined};
use super::super::tidy::{ID_PREFIX, Names};
use super::super::{Block, Document, RenderOptions, fence, options, sanitise, text};

/// A file beside an exported document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asset {
    /// Its path relative to the document, of letters, digits, `-`, `.` and `/`.
    pub path: String,
    /// What it holds.
    pub bytes: Vec<u8>,
}

/// Markdown and the files that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarkdownFiles {
    /// The text.
    pub markdown: String,
    /// The figures of its cells, in order: `assets/cell-3-1.png` is the first of the third cell.
    pub assets: Vec<Asset>,
}

/// The document as Markdown, as in [`super::super::Format::Markdown`], but with the figures of its cells as files.
pub fn markdown_files(document: &Document, reports: &[CellReport], options: &RenderOptions) -> MarkdownFiles {
    let mut writer = Writer { assets: Some(Vec::new()), ..Writer::default() };
    writer.document(document, reports, options.within(document).show_code);
    MarkdownFiles { markdown: writer.out, assets: writer.assets.unwrap_or_default() }
}

/// The document as one Markdown text: what cells showed stands in place of their code.
pub(in crate::document) fn markdown(document: &Document, reports: &[CellReport], show_code: bool) -> String {
    let mut writer = Writer::default();
    writer.document(document, reports, show_code);
    writer.out
}

#[derive(Default)]
struct Writer {
    out: String,
    names: Names,
    /// The files so far; nothing where figures stand in the text itself.
    assets: Option<Vec<Asset>>,
    /// The number of the cell (from 1) and of its figure that came last.
    cell: usize,
    figure: usize,
}

impl Writer {
    fn document(&mut self, document: &Document, reports: &[CellReport], show_code: bool) {
        if let Some(yaml) = &document.front_matter {
            self.out.push_str(&format!("---\n{yaml}---\n\n"));
        }
        for block in &document.blocks {
            match block {
                Block::Prose { markdown, .. } => {
                    self.out.push_str(markdown);
                    self.out.push('\n');
                }
                Block::Display { code, language, .. } => {
                    self.fenced(code, language.as_deref().unwrap_or("python"));
                }
                Block::Cell { index, code, options: own, .. } => {
                    (self.cell, self.figure) = (index + 1, 0);
                    if let Some(label) = &own.label {
                        self.names.enter(None);
                        let id = self.names.id(label);
                        self.text(&format!("<a id=\"{}\"></a>", id.trim_start_matches(ID_PREFIX)));
                    }
                    if own.echo.unwrap_or(show_code) {
                        self.fenced(options::without(code), "python");
                    }
                    self.names.enter(Some(*index));
                    match reports.get(*index).filter(|_| own.runs()) {
                        Some(report) => self.report(report, own),
                        None if own.runs() => self.out.push_str("*This cell was not run.*\n\n"),
                        None => {}
                    }
                }
            }
        }
        self.out.truncate(self.out.trim_end().len());
        self.out.push('\n');
    }

    fn report(&mut self, report: &CellReport, options: &options::CellOptions) {
        let mut has_error = false;
        let mut captions = options.fig_cap.iter();
        for output in report.outputs.iter().filter(|output| options.shows(output)) {
            match output {
                Output::Stream { name: StreamName::Stdout, text } => self.text(&text::plain(text)),
                Output::Stream { name: StreamName::Stderr, text } => self.fenced(&text::plain(text), "text"),
                Output::DisplayData { data, metadata, .. } | Output::ExecuteResult { data, metadata, .. } => {
                    self.bundle(data, metadata, &mut captions);
                }
                Output::Error { ename, evalue, traceback } => {
                    has_error = true;
                    self.error(ename, evalue, traceback);
                }
            }
        }
        match &report.outcome {
            Outcome::PythonError { .. } if has_error => {}
            Outcome::PythonError { ename, evalue, traceback } => self.error(ename, evalue, traceback),
            outcome => {
                if let Some(sentence) = outcome.sentence() {
                    self.text(&format!("> **{sentence}**"));
                }
            }
        }
    }

    fn bundle(&mut self, data: &MimeBundle, metadata: &MimeBundle, captions: &mut Captions<'_>) {
        let Some(shown) = mime::by_richness(data).next() else { return };
        match shown {
            Shown::Html(html) => {
                let clean = sanitise::clean(&html, &mut self.names);
                self.text(&clean);
            }
            Shown::Image { mime, url } => {
                let facts = Facts::of(metadata, mime).captioned(captions.next());
                let caption = facts.caption.or(facts.alt).map_or_else(|| "Figure".to_owned(), in_brackets);
                let target = self.target(url);
                self.text(&format!("![{caption}]({target})"));
            }
            Shown::Video(url) => {
                let caption = Facts::of(metadata, "video/mp4").captioned(captions.next()).caption.map(text::escape);
                let caption = caption.map(|words| format!("<figcaption>{}</figcaption>", on_one_line(&words)));
                let video = format!("<video controls src=\"{}\"></video>", self.target(url));
                self.text(&caption.map_or(video.clone(), |caption| format!("<figure>{video}{caption}</figure>")));
            }
            Shown::Markdown(markdown) => self.text(&markdown),
            Shown::Latex(latex) => self.text(latex.trim()),
            Shown::Json(json) => self.fenced(&json, "json"),
            Shown::Plain(plain) => self.fenced(&text::plain(&plain), "text"),
        }
    }

    /// Where a figure is: a file, or its `data:` address itself.
    fn target(&mut self, url: String) -> String {
        let Some(assets) = &mut self.assets else { return url };
        let Some((extension, bytes)) = mime::file(&url) else { return url };
        self.figure += 1;
        let path = format!("assets/cell-{}-{}.{extension}", self.cell, self.figure);
        assets.push(Asset { path: path.clone(), bytes });
        path
    }

    fn text(&mut self, markdown: &str) {
        let markdown = markdown.trim_end();
        if !markdown.trim().is_empty() {
            self.out.push_str(markdown);
            self.out.push_str("\n\n");
        }
    }

    fn error(&mut self, ename: &str, evalue: &str, traceback: &[String]) {
        let trace = joined(traceback);
        let last = if evalue.is_empty() { ename.to_owned() } else { format!("{ename}: {evalue}") };
        self.fenced(if trace.trim().is_empty() { &last } else { &trace }, "text");
    }

    /// Code in a fence that is longer than any row of backticks in it.
    fn fenced(&mut self, code: &str, language: &str) {
        if code.trim().is_empty() {
            return;
        }
        let fence = "`".repeat((fence::longest_row(code) + 1).max(3));
        self.out.push_str(&format!("{fence}{language}\n{}\n{fence}\n\n", code.trim_end_matches('\n')));
    }
}

fn on_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A caption as the text of an image: one line, in which no character is markup.
fn in_brackets(caption: &str) -> String {
    let mut out = String::new();
    for c in on_one_line(caption).chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '!' | '$' | '^' | '~' | '|' | '#' => out.extend(['\\', c]),
            _ => out.push(c),
        }
    }
    out
}
