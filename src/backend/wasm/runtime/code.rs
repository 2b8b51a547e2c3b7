//! Looks through a module's code for what an image cannot bring back.

use std::thread;

use wasmparser::{FunctionBody, Operator};

use super::split::{SplitError, unsupported};

/// Refuses code that changes instance state which lies outside memory and globals.
pub(super) fn check_code(bodies: &[FunctionBody<'_>]) -> Result<(), SplitError> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let share = bodies.len().div_ceil(threads).max(1);
    thread::scope(|scope| {
        let workers: Vec<_> =
            bodies.chunks(share).map(|chunk| scope.spawn(move || chunk.iter().try_for_each(check_body))).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or_else(|_| Err(unsupported("its code made the parser panic"))))
    })
}

fn check_body(body: &FunctionBody<'_>) -> Result<(), SplitError> {
    let mut reader = body.get_operators_reader()?;
    while !reader.eof() {
        let changes = match reader.read()? {
            Operator::TableSet { .. } => "table.set",
            Operator::TableInit { .. } => "table.init",
            Operator::TableCopy { .. } => "table.copy",
            Operator::TableFill { .. } => "table.fill",
            Operator::TableGrow { .. } => "table.grow",
            Operator::ElemDrop { .. } => "elem.drop",
            Operator::DataDrop { .. } => "data.drop",
            _ => continue,
        };
        return Err(unsupported(format!("its code uses `{changes}`, whose effect no image holds")));
    }
    Ok(())
}
