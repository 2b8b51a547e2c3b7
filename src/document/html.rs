//! The fragment: the prose is one Markdown text, so that its footnotes, references and headings know of each other;
//! what the cells showed is put between its parts, each part sanitised by itself.

use crate::domain::CellReport;

use super::highlight::Highlighter;
use super::markdown::{Breaks, to_html};
use super::outputs::{self, Context};
use super::tidy::Names;
use super::{Block, Document, RenderOptions, sanitise};

/// Marks the place of a block that is not prose. A document that writes one itself only moves its own block.
const MARK: &str = "<!--pymd:block:";
const MARK_END: &str = "-->";

/// The document as one `<div class="pymd">`.
pub(super) fn fragment(document: &Document, reports: &[CellReport], options: &RenderOptions) -> String {
    let highlighter = Highlighter::default();
    let mut context = Context { out: String::new(), names: Names::default(), highlighter: &highlighter };
    context.out.push_str("<div class=\"pymd\">\n");
    let prose = to_html(&with_marks(document), Breaks::Soft, &highlighter);
    let mut next = 0;
    let mut rest = prose.as_str();
    while let Some(at) = rest.find(MARK) {
        push_prose(&mut context, &rest[..at]);
        rest = &rest[at + MARK.len()..];
        let Some(end) = rest.find(MARK_END) else { break };
        let Ok(block) = rest[..end].parse::<usize>() else { continue };
        rest = &rest[end + MARK_END.len()..];
        push_blocks(&mut context, document, next..block.saturating_add(1), reports, options);
        next = next.max(block.saturating_add(1));
    }
    push_prose(&mut context, rest);
    push_blocks(&mut context, document, next..document.blocks.len(), reports, options);
    context.out.push_str("</div>\n");
    context.out
}

fn with_marks(document: &Document) -> String {
    let mut text = String::new();
    for (index, block) in document.blocks.iter().enumerate() {
        match block {
            Block::Prose { markdown, .. } => text.push_str(markdown),
            _ => {
                text.push_str("\n\n");
                text.push_str(MARK);
                text.push_str(&index.to_string());
                text.push_str(MARK_END);
                text.push_str("\n\n");
            }
        }
    }
    text
}

fn push_prose(context: &mut Context<'_>, html: &str) {
    if html.trim().is_empty() {
        return;
    }
    context.names.enter(None);
    let clean = sanitise::clean(html, &mut context.names);
    context.out.push_str(clean.trim());
    context.out.push('\n');
}

/// The blocks of a range that are no prose.
fn push_blocks(
    context: &mut Context<'_>,
    document: &Document,
    range: std::ops::Range<usize>,
    reports: &[CellReport],
    options: &RenderOptions,
) {
    let end = range.end.min(document.blocks.len());
    for block in document.blocks.get(range.start..end).unwrap_or(&[]) {
        match block {
            Block::Prose { .. } => {}
            Block::Display { code, language, .. } => {
                outputs::push_code(context, code, Some(language.as_deref().unwrap_or("python")));
            }
            Block::Cell { index, code, line, .. } => {
                context.out.push_str(&format!("<section class=\"pymd-cell\" data-cell=\"{index}\" data-line=\"{line}\""));
                let report = reports.get(*index);
                let outcome = report.map_or("not_run", |report| report.outcome.kind());
                context.out.push_str(&format!(" data-outcome=\"{outcome}\">\n"));
                if options.show_code {
                    outputs::push_code(context, code, Some("python"));
                }
                match report {
                    Some(report) => outputs::push_report(context, *index, report),
                    None => context.out.push_str("<p class=\"pymd-note\">This cell was not run.</p>\n"),
                }
                context.out.push_str("</section>\n");
            }
        }
    }
}
