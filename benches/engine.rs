//! `cargo bench --bench engine`: what the sandbox costs inside the process. README.md says what each number means.

#[path = "engine/cells.rs"]
mod cells;
#[path = "engine/checkpoints.rs"]
mod checkpoints;
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

use report::{Result, Samples, Table};
use world::{World, measure};

fn main() -> Result<()> {
    if !std::env::args().any(|argument| argument == "--bench") {
        // `cargo test --all-targets` starts benchmarks, too: there is nothing to test.
        return Ok(());
    }
    let mut criterion = Criterion::default().configure_from_args();
    let world = World::new()?;
    let mut table = Table::new("Engine");
    let python = references(&mut criterion, &mut table);
    cells::run(&mut criterion, &world, python.as_ref(), &mut table)?;
    checkpoints::cost_by_pages(&mut criterion, &mut table)?;
    checkpoints::cells(&mut criterion, &world, &mut table)?;
    checkpoints::restores(&mut criterion, &world, &mut table)?;
    resident::run(&world, &mut table)?;
    metering::run(&world, &mut table)?;
    criterion.final_summary();
    table.print()?;
    Ok(())
}

/// What the machine itself takes. The result are the times of a `python3 -c` process.
fn references(criterion: &mut Criterion, table: &mut Table) -> Option<Samples> {
    let mut memory = machine::Memcpy::default();
    let memcpy = measure(criterion, "memcpy of 40 MiB", Duration::from_secs(1), || Ok(memory.copy()));
    let python = machine::python()
        .map(|python| measure(criterion, "python3 process", Duration::from_secs(2), || machine::process(&python)));
    let python = python.filter(|samples| samples.len() > 0);
    machine::rows(table, python.as_ref(), &machine::containers(), &memcpy);
    python
}
