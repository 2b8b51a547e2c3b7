//! Documents: parsing, checking, rendering; hostile ones too.

mod bombs;
mod checks;
mod exports;
mod injection;
mod needs;
mod notebooks;
mod options;
mod outputs;
mod parsing;
mod rendering;

use pymd::document::{Format, RenderOptions, parse, render};
use pymd::domain::{CellReport, MimeBundle, Outcome, Output, StreamName};

/// A report of a cell that ended well and showed these.
fn report(outputs: Vec<Output>) -> CellReport {
    CellReport {
        outcome: Outcome::Completed,
        outputs,
        fuel_used: 7,
        wall_ms: 1.5,
        peak_memory_bytes: 9,
        output_bytes: 3,
    }
}

fn stdout(text: &str) -> Output {
    Output::Stream { name: StreamName::Stdout, text: text.to_owned() }
}

fn stderr(text: &str) -> Output {
    Output::Stream { name: StreamName::Stderr, text: text.to_owned() }
}

fn display(bundle: serde_json::Value) -> Output {
    Output::DisplayData { data: map(bundle), metadata: MimeBundle::new(), display_id: None }
}

fn map(value: serde_json::Value) -> MimeBundle {
    match value {
        serde_json::Value::Object(map) => map,
        other => panic!("not an object: {other}"),
    }
}

fn render_as(format: Format, source: &str, reports: &[CellReport]) -> String {
    render(&parse(source), reports, &RenderOptions { format, ..RenderOptions::default() })
}

/// The fragment of a document that is one cell, which showed this.
fn html_of(output: Output) -> String {
    render_as(Format::Html, "```\nrun\n```\n", &[report(vec![output])])
}

/// What the cell of [`html_of`] shows, without the elements around it.
fn shown(output: Output) -> String {
    let html = html_of(output);
    let start = html.find("completed\">\n").expect("a cell") + "completed\">\n".len();
    let end = html.rfind("</section>").expect("a cell's end");
    html[start..end].to_owned()
}
