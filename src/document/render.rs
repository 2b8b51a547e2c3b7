//! A document and what its cells said, put together.

use serde::{Deserialize, Serialize};

use crate::domain::CellReport;

use super::{CellOptions, CellRef, Document, export, html, page, settings};

/// What a document is rendered to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// A fragment of HTML: one `<div class="pymd">`, sanitised, without a style sheet.
    #[default]
    Html,
    /// A whole page of HTML: one file, with its style sheet and everything else in it, and without scripts.
    Page,
    /// Markdown, with what the cells showed in place of their code. Raw HTML that the document's prose or prints hold
    /// is left as it is: who renders it must sanitise.
    Markdown,
    /// The blocks with code, outputs and outcomes, as JSON.
    Json,
}

/// How a document is rendered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RenderOptions {
    /// To what.
    pub format: Format,
    /// Whether cells show their code above what they showed. The front matter's `echo: true` says so too, and a cell's own
    /// `echo` counts more than both. (JSON always has it.)
    pub show_code: bool,
    /// The page's title. Without: the front matter's, or else the first heading.
    pub title: Option<String>,
}

impl RenderOptions {
    /// With what the document itself says.
    pub(super) fn within(&self, document: &Document) -> Self {
        Self { show_code: self.show_code || settings(document).show_code == Some(true), ..self.clone() }
    }
}

/// Renders a document. `reports[i]` belongs to cell `i`; a cell without one is shown as not run. What stands there for
/// a cell that is not to run (`eval: false`) is not looked at: anything holds its place.
///
/// Displays must have been updated and cleared already: each output in a report is shown as it is.
pub fn render(document: &Document, reports: &[CellReport], options: &RenderOptions) -> String {
    let options = &options.within(document);
    match options.format {
        Format::Html => html::fragment(document, reports, options),
        Format::Page => page::page(document, reports, options),
        Format::Markdown => export::markdown(document, reports, options.show_code),
        Format::Json => export::json(document, reports, options),
    }
}

/// The HTML of what one cell showed, for a page that gets its cells one by one: as in [`Format::Html`], without the
/// element around it. Ids are unique within it only.
pub fn render_report(cell: usize, report: &CellReport) -> String {
    html::report(cell, report, &CellOptions::default())
}

/// The same, as far as the cell's own options want it shown.
pub fn render_cell(cell: CellRef<'_>, report: &CellReport) -> String {
    if cell.options.runs() { html::report(cell.index, report, cell.options) } else { String::new() }
}
