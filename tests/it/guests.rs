//! Runs the programs under `guests/` in the sandbox and checks what they claim of themselves; see README.md there.

mod claims;

use std::path::{Path, PathBuf};

use pymd::backend::wasm::Kernel;
use pymd::domain::{CellReport, CellRequest, Limits};
use tokio_util::sync::CancellationToken;

use crate::support::sandbox;
use claims::Cell;

/// One test a program, and the way it is run.
macro_rules! programs {
    ($($name:ident: $run:ident,)*) => {
        const PROGRAMS: &[&str] = &[$(stringify!($name)),*];
        $(
            #[tokio::test]
            async fn $name() {
                $run(stringify!($name)).await;
            }
        )*
    };
}

programs! {
    answers: once,
    await_top_level: once,
    builtins_cleared: once,
    displayhook: once,
    door_garbage: once,
    echo: once,
    exits: once,
    figures: once,
    ipython_display: once,
    main_cleared: once,
    memory: in_100_mib,
    nested_source: once,
    nobody_there: once,
    odd_exceptions: once,
    order: once,
    pymd_module: once,
    recursion: once,
    rich_display: once,
    seeds: twice_with_different_outputs,
    state: once,
    stdin: once,
    streams_replaced: once,
    tables: once,
    tracebacks: once,
    tracing: once,
}

#[test]
fn every_program_is_named_by_a_test() {
    let entries = std::fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = entries.filter(|path| path.extension().is_some_and(|ending| ending == "py")).collect();
    found.sort();
    let found: Vec<_> = found.iter().map(|path| path.file_stem().unwrap().to_str().unwrap()).collect();
    assert_eq!(found, PROGRAMS);
}

async fn once(name: &str) {
    run(name, Limits::default()).await;
}

async fn in_100_mib(name: &str) {
    run(name, Limits { memory_bytes: 100 << 20, ..Limits::default() }).await;
}

async fn twice_with_different_outputs(name: &str) {
    let first = run(name, Limits::default()).await;
    let second = run(name, Limits::default()).await;
    for (first, second) in first.iter().zip(&second) {
        assert!(!first.outputs.is_empty());
        assert_ne!(first.outputs, second.outputs);
    }
}

/// Runs a program in a kernel of its own and checks its claims.
async fn run(name: &str, limits: Limits) -> Vec<CellReport> {
    let text = std::fs::read_to_string(directory().join(name).with_extension("py")).unwrap();
    let limits = Limits { wall_ms: 20_000, ..limits };
    let mut kernel = sandbox().await.kernel().unwrap();
    let mut reports = Vec::new();
    for (index, cell) in Cell::all_of(&text).into_iter().enumerate() {
        let number = index + 1;
        let report;
        (kernel, report) = run_cell(kernel, number, &cell, &limits).await;
        let broken = cell.check(&report);
        assert!(broken.is_empty(), "{name}, cell {number}:\n{}\n{}", broken.join("\n"), brief(&report));
        reports.push(report);
    }
    reports
}

async fn run_cell(kernel: Kernel, number: usize, cell: &Cell, limits: &Limits) -> (Kernel, CellReport) {
    let request = CellRequest {
        code: cell.code.clone(),
        name: format!("cell {number}"),
        stdin: cell.stdin().into_bytes(),
        limits: limits.clone(),
    };
    kernel.run(request, None, CancellationToken::new()).await.unwrap()
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/guests")
}

/// The report, cut where it would fill the terminal.
fn brief(report: &CellReport) -> String {
    let text = format!("{report:?}");
    text.char_indices().nth(3_000).map_or(text.clone(), |(end, _)| format!("{} ...", &text[..end]))
}
