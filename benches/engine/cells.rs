//! Fresh kernels: from nothing to the result of `print(1)`.

use std::time::{Duration, Instant};

use criterion::Criterion;
use pymd::backend::wasm::Sandbox;
use pymd::domain::{CellReport, StreamName};
use tokio_util::sync::CancellationToken;

use crate::machine::{CODE, References};
use crate::report::{Result, Samples, Table, ratio};
use crate::world::{READY_KERNELS, World, cell, completed, measure, settle};

const TARGET: Duration = Duration::from_micros(1500);
const THROUGHPUT_TIME: Duration = Duration::from_secs(2);

/// Measures fresh kernels.
pub fn run(criterion: &mut Criterion, world: &World, references: &References, table: &mut Table) -> Result<()> {
    let mut inside = Vec::new();
    let warm = measure(criterion, "fresh kernel, pool warm", Duration::from_secs(4), || {
        settle(&world.sandbox, 0, READY_KERNELS);
        let (took, report) = fresh(world, &world.sandbox)?;
        inside.push(Duration::from_secs_f64(report.wall_ms / 1e3));
        Ok(took)
    });
    let met = warm.median() <= TARGET;
    let name = "fresh kernel to result of print(1), pool warm";
    table.times(name, &warm, String::new(), Some(("median <= 1.5 ms", met)));
    references.compare(table, "the fresh kernel", warm.median());
    let inside: Samples = inside.into_iter().collect();
    table.times("  of this, on the executor thread", &inside, "the rest: handing over and waking".to_owned(), None);

    let bare = world.sandbox_without_pool()?;
    let cold = measure(criterion, "fresh kernel, pool empty", Duration::from_secs(3), || {
        settle(&bare, 0, 0);
        Ok(fresh(world, &bare)?.0)
    });
    let remark = format!("{:.1} x the warm one", ratio(cold.median(), warm.median()));
    table.times("fresh kernel to result of print(1), pool empty", &cold, remark, None);
    throughput(world, table)
}

/// A fresh kernel runs [`CODE`] and ends.
fn fresh(world: &World, sandbox: &Sandbox) -> Result<(Duration, CellReport)> {
    let request = cell(CODE);
    let start = Instant::now();
    let run = async { sandbox.kernel()?.run_once(request, None, CancellationToken::new()).await };
    let report = world.tokio.block_on(run)?;
    let took = start.elapsed();
    printed(&report)?;
    Ok((took, report))
}

fn printed(report: &CellReport) -> Result<()> {
    completed(report)?;
    if report.text(StreamName::Stdout) == "1\n" { Ok(()) } else { Err(format!("it printed {report:?}").into()) }
}

/// As many fresh kernels as possible, two at a time for each core.
fn throughput(world: &World, table: &mut Table) -> Result<()> {
    let cores = std::thread::available_parallelism()?.get();
    let start = Instant::now();
    let workers: Vec<_> = (0..2 * cores)
        .map(|_| {
            let sandbox = world.sandbox.clone();
            world.tokio.spawn(async move {
                let mut count = 0_u32;
                while start.elapsed() < THROUGHPUT_TIME {
                    let kernel = sandbox.kernel()?;
                    printed(&kernel.run_once(cell(CODE), None, CancellationToken::new()).await?)?;
                    count += 1;
                }
                Result::Ok(count)
            })
        })
        .collect();
    let mut count = 0;
    for worker in workers {
        count += world.tokio.block_on(worker)??;
    }
    let rate = f64::from(count) / start.elapsed().as_secs_f64();
    let remark = format!("{} at once on {cores} cores", 2 * cores);
    table.value("fresh kernels a second, as many as possible", format!("{rate:.0}/s"), remark, None);
    Ok(())
}
