//! The document as JSON.

use serde::Serialize;

use crate::domain::{CellReport, Outcome, Output};

use super::super::{Block, Document, RenderOptions, Spelling};

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
    outputs: Vec<&'a Output>,
    fuel_used: Option<u64>,
    wall_ms: Option<f64>,
    peak_memory_bytes: Option<u64>,
}

/// The document as JSON.
pub(in crate::document) fn json(document: &Document, reports: &[CellReport], options: &RenderOptions) -> String {
    let blocks = document.blocks.iter().map(|block| match block {
        Block::Cell { index, options: own, .. } => {
            let report = reports.get(*index).filter(|_| own.runs());
            let outputs = report.map_or(&[][..], |report| &report.outputs);
            ExportedBlock::Cell(ExportedCell {
                block,
                outcome: report.map(|report| &report.outcome),
                outputs: outputs.iter().filter(|output| own.shows(output)).collect(),
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
