//! The fragment: the prose is one Markdown text, so that its footnotes, references and headings know of each other;
//! what the cells showed is put between its parts, each part sanitised by itself.

use crate::domain::CellReport;

use super::highlight::Highlighter;
use super::markdown::{Breaks, PIECE_BYTES, Pieces, piece_to_html};
use super::outputs::{self, Context};
use super::{Block, CellOptions, Document, RenderOptions, options, sanitise, settings, toc};

/// Marks the place of a block that is not prose. A document that writes one itself only moves its own block.
const MARK: &str = "<!--pymd:block:";
const MARK_END: &str = "-->";

const START: &str = "<div class=\"pymd\">\n";

/// The document as one `<div class="pymd">`.
pub(super) fn fragment(document: &Document, reports: &[CellReport], options: &RenderOptions) -> String {
    let highlighter = Highlighter::default();
    let mut context = Context::new(&highlighter);
    context.out.push_str(START);
    let mut next = 0;
    let mut segment = Segment::default();
    let mut flush = |context: &mut Context<'_>, segment: &mut Segment| {
        let prose = piece_to_html(&segment.markdown, Breaks::Soft, &highlighter);
        let mut rest = prose.as_str();
        while let Some(at) = rest.find(MARK) {
            push_prose(context, &rest[..at]);
            rest = &rest[at + MARK.len()..];
            let Some(end) = rest.find(MARK_END) else { break };
            let Ok(block) = rest[..end].parse::<usize>() else { continue };
            rest = &rest[end + MARK_END.len()..];
            let until = block.saturating_add(1).min(segment.end);
            push_blocks(context, document, next..until, reports, options);
            next = next.max(until);
        }
        push_prose(context, rest);
        push_blocks(context, document, next..segment.end, reports, options);
        next = segment.end;
        segment.markdown.clear();
    };
    for (index, block) in document.blocks.iter().enumerate() {
        if let Block::Prose { markdown, .. } = block {
            for piece in (Pieces { rest: markdown }) {
                if segment.markdown.len() + piece.len() > PIECE_BYTES {
                    flush(&mut context, &mut segment);
                }
                segment.markdown.push_str(piece);
            }
        } else {
            segment.markdown.push_str(&format!("\n\n{MARK}{index}{MARK_END}\n\n"));
        }
        segment.end = index + 1;
    }
    flush(&mut context, &mut segment);
    context.out.push_str("</div>\n");
    let mut html = context.out;
    if settings(document).toc
        && let Some(nav) = toc::nav(&html)
    {
        html.insert_str(START.len(), &nav);
    }
    html
}

/// What one cell showed.
pub(super) fn report(cell: usize, report: &CellReport, options: &CellOptions) -> String {
    let highlighter = Highlighter::default();
    let mut context = Context::new(&highlighter);
    outputs::push_report(&mut context, cell, report, options);
    context.out
}

/// Prose that is rendered as one text, with marks for the blocks in it.
#[derive(Default)]
struct Segment {
    markdown: String,
    /// The number of the block after its last.
    end: usize,
}

fn push_prose(context: &mut Context<'_>, html: &str) {
    if html.trim().is_empty() || context.is_full() {
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
            Block::Cell { index, code, line, options: own, .. } => {
                let report = reports.get(*index).filter(|_| own.runs());
                let outcome = report.map_or("not_run", |report| report.outcome.kind());
                context.out.push_str("<section class=\"pymd-cell\"");
                if let Some(label) = &own.label {
                    context.names.enter(None);
                    let id = context.names.id(label);
                    context.out.push_str(&format!(" id=\"{id}\""));
                }
                context.out.push_str(&format!(" data-cell=\"{index}\" data-line=\"{line}\""));
                context.out.push_str(&format!(" data-outcome=\"{outcome}\">\n"));
                if own.echo.unwrap_or(options.show_code) {
                    outputs::push_code(context, options::without(code), Some("python"));
                }
                match report {
                    Some(report) => outputs::push_report(context, *index, report, own),
                    None if own.runs() => {
                        context.out.push_str("<p class=\"pymd-note\">This cell was not run.</p>\n");
                    }
                    None => {}
                }
                context.out.push_str("</section>\n");
            }
        }
    }
}
