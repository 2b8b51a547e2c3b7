//! `cargo bench --bench engine`: what the sandbox costs inside the process. README.md says what each number means.

#![allow(
    missing_docs,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a program for people who wait, that prints what it measures"
)]

#[path = "engine/cells.rs"]
mod cells;
#[path = "engine/checkpoints.rs"]
mod checkpoints;
#[path = "engine/environments.rs"]
mod environments;
#[path = "support/machine.rs"]
mod machine;
#[path = "engine/metering.rs"]
mod metering;
#[path = "support/report.rs"]
mod report;
#[path = "engine/resident.rs"]
mod resident;
#[path = "engine/world.rs"]
mod world;

use std::time::Duration;

use criterion::Criterion;

use machine::References;
use report::{Result, Table};
use world::{World, measure};

fn main() -> Result<()> {
    if !std::env::args().any(|argument| argument == "--bench") {
        // `cargo test --all-targets` starts benchmarks, too: there is nothing to test.
        return Ok(());
    }
    let busy = machine::busy();
    let mut criterion = Criterion::default().configure_from_args();
    let world = World::new()?;
    let mut table = Table::new("Engine", busy);
    let references = references(&mut criterion);
    references.rows(&mut table);
    cells::run(&mut criterion, &world, &references, &mut table)?;
    checkpoints::cost_by_pages(&mut criterion, &mut table)?;
    checkpoints::cells(&mut criterion, &world, &mut table)?;
    checkpoints::restores(&mut criterion, &world, &mut table)?;
    resident::run(&world, &mut table)?;
    environments::run(&mut criterion, &world, &mut table)?;
    metering::run(&world, &mut table)?;
    criterion.final_summary();
    table.print()?;
    Ok(())
}

/// What the machine itself takes.
fn references(criterion: &mut Criterion) -> References {
    let mut memory = machine::Memcpy::default();
    let memcpy = measure(criterion, "memcpy of 40 MiB", Duration::from_secs(1), || Ok(memory.copy()));
    let python = machine::python();
    let mut processes = |name: &str, bare| {
        let python = python.as_ref()?;
        Some(measure(criterion, name, Duration::from_secs(2), || machine::process(python, bare)))
    };
    let process = processes("python3 process", false);
    let bare_process = processes("bare python3 process", true);
    References { process, bare_process, containers: machine::containers(), memcpy }
}
