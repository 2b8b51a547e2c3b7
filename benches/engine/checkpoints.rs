//! Checkpoints: what taking one costs, and what coming back to one costs.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::Criterion;
use pymd::backend::wasm::memory::{Image, PAGE_BYTES, PageMap, Slot, collect};

use crate::report::{Result, Table, milliseconds, ratio};
use crate::world::{READY_KERNELS, Session, World, measure, settle};

const SMALL_CELL: &str = "x = 1";
const DATA_FRAME: &str = "import numpy as np, pandas as pd\n\
    df = pd.DataFrame({'a': range(1000), 'b': np.arange(1000) * 2.5})\n\
    df.describe()\n";
const SUM: &str = "assert df.a.sum() == 499500";
/// Room that cells write pages of.
const ROOM: &str = "room = bytearray(1100 * 4096); value = 0";
const PAGES: [usize; 5] = [0, 1, 10, 100, 1000];
const BUDGET: Duration = Duration::from_secs(1);
const SMALL_TARGET: Duration = Duration::from_millis(1);
const RESTORE_TARGET: Duration = Duration::from_micros(500);

/// The memory side of a checkpoint alone, in a small and in a big memory that was written from end to end before.
pub fn cost_by_pages(criterion: &mut Criterion, table: &mut Table) -> Result<()> {
    const MIB: [usize; 2] = [40, 400];
    let mut memories = Vec::new();
    for mib in MIB {
        memories.push(Memory::new(mib << 20)?);
    }
    for pages in [0, 1, 10, 100, 1000] {
        let times: Vec<_> = memories
            .iter_mut()
            .zip(MIB)
            .map(|(memory, mib)| {
                let name = format!("checkpoint of {pages} pages in {mib} MiB");
                measure(criterion, &name, BUDGET / 2, || memory.checkpoint(pages))
            })
            .collect();
        for (samples, mib) in times.iter().zip(MIB) {
            let what = format!("checkpoint alone, {pages} pages written of {mib} MiB");
            let remark = if mib == MIB[0] {
                String::new()
            } else {
                format!("{:.1} x that of {} MiB", ratio(samples.median(), times[0].median()), MIB[0])
            };
            table.times(&what, samples, remark, None);
        }
    }
    Ok(())
}

/// A memory without a guest.
struct Memory {
    slot: Slot,
    delta: PageMap,
    /// Never the same twice, so that each written page differs from what it was.
    value: u64,
}

impl Memory {
    fn new(bytes: usize) -> io::Result<Self> {
        let fill = |file: &File| {
            let block = vec![1; 1 << 20];
            (0..bytes).step_by(block.len()).try_for_each(|at| file.write_all_at(&block, at as u64))
        };
        let image = Arc::new(Image::build(bytes, Vec::new(), fill)?);
        let mut memory = Self { slot: Slot::new(image)?, delta: PageMap::default(), value: 1 };
        memory.checkpoint(bytes / PAGE_BYTES).map_err(io::Error::other)?;
        Ok(memory)
    }

    /// Writes a number in each of `pages` pages, far apart, and takes a checkpoint: the time of the checkpoint.
    fn checkpoint(&mut self, pages: usize) -> Result<Duration> {
        self.value = self.value.wrapping_add(1);
        let bytes = self.slot.bytes_mut();
        let step = (bytes.len() / PAGE_BYTES / pages.max(1)).max(1) * PAGE_BYTES;
        let value = self.value.to_le_bytes();
        (0..pages).for_each(|page| bytes[page * step..page * step + value.len()].copy_from_slice(&value));
        let start = Instant::now();
        let changed = self.slot.scan_and_track()?;
        // The state before stays as it is: others may hold it.
        let mut delta = self.delta.clone();
        let image = Arc::clone(self.slot.image());
        let stored = collect(&mut delta, &image, self.slot.bytes_mut(), changed);
        let took = start.elapsed();
        self.delta = delta;
        if stored == pages { Ok(took) } else { Err(format!("{stored} pages were stored, not {pages}").into()) }
    }
}

/// Whole cells with their checkpoints, in a bare kernel and in one with pandas.
pub fn cells(criterion: &mut Criterion, world: &World, table: &mut Table) -> Result<()> {
    for (kind, setup) in [("bare", ""), ("pandas", DATA_FRAME)] {
        let mut session = world.session(setup)?;
        let (_, report) = session.run(world, ROOM)?;
        let mib = report.peak_memory_bytes >> 20;
        let small =
            measure(criterion, &format!("small cell, {kind} kernel"), BUDGET, || Ok(session.run(world, SMALL_CELL)?.0));
        let what = format!("`x = 1` with its checkpoint, {kind} kernel of {mib} MiB");
        table.times(&what, &small, String::new(), Some(("checkpoint <= 1 ms", small.median() <= SMALL_TARGET)));
        let mut without = Duration::ZERO;
        for pages in PAGES {
            let write = format!("value = (value + 1) & 255\nfor page in range({pages}): room[page * 4096] = value");
            let name = format!("cell that writes {pages} pages, {kind} kernel");
            let samples = measure(criterion, &name, BUDGET, || Ok(session.run(world, &write)?.0));
            let remark = if pages == 0 {
                without = samples.median();
                "the loop that writes pages, not entered".to_owned()
            } else if pages < 100 {
                // Less than what a cell's time differs by from run to run.
                String::new()
            } else {
                let more = samples.median().saturating_sub(without);
                let each = more.as_secs_f64() * 1e6 / pages as f64;
                format!("{each:.1} us for each page: write fault, loop and checkpoint")
            };
            table.times(&format!("  a cell that writes {pages} pages more"), &samples, remark, None);
        }
    }
    Ok(())
}

/// Kernels from a checkpoint with numpy, pandas and a live DataFrame.
pub fn restores(criterion: &mut Criterion, world: &World, table: &mut Table) -> Result<()> {
    settle(&world.sandbox, 0, READY_KERNELS);
    let mut session = Session::of(world.sandbox.kernel()?);
    let (importing, report) = session.run(world, DATA_FRAME)?;
    let pages = session.checkpoint()?.delta_pages();
    let mib = report.peak_memory_bytes >> 20;
    table.value(
        "import numpy, pandas, make a DataFrame, once",
        milliseconds(importing),
        format!("{mib} MiB of memory, {pages} pages ({} MiB) in the checkpoint", pages >> 8),
        None,
    );

    let first = measure(criterion, "first restore", BUDGET, || {
        // A new checkpoint, which nobody has restored yet.
        session.run(world, SMALL_CELL)?;
        restore(world, &session, None)
    });
    table.times("first restore of a checkpoint (makes an image of it)", &first, String::new(), None);

    let warm = measure(criterion, "restore", BUDGET, || restore(world, &session, None));
    // Counted from the image that all forks map.
    let mut fork = Session::of(world.sandbox.restore(&session.checkpoint()?, true)?);
    fork.run(world, "pass")?;
    let written = fork.checkpoint()?.delta_pages();
    drop(fork);
    let remark = format!("maps the image; the first cell makes the store, and copies {written} pages");
    table.times("restore alone", &warm, remark, Some(("median <= 0.5 ms", warm.median() <= RESTORE_TARGET)));

    for (what, code, keep) in [
        ("restore and `pass`, state dropped", "pass", false),
        ("restore and `df.a.sum()`, state dropped", SUM, false),
        ("restore and `df.a.sum()`, with its checkpoint", SUM, true),
    ] {
        let samples = measure(criterion, what, BUDGET, || restore(world, &session, Some((code, keep))));
        let remark = format!("{:.0} x faster than to import again", ratio(importing, samples.median()));
        table.times(what, &samples, remark, None);
    }
    Ok(())
}

/// Restores the checkpoint of `session` as a fork and runs a cell in it, whose state is kept or not.
fn restore(world: &World, session: &Session, code: Option<(&str, bool)>) -> Result<Duration> {
    // Taking away the kernel before is not the next one's time.
    settle(&world.sandbox, 1, 0);
    let checkpoint = session.checkpoint()?;
    let start = Instant::now();
    let mut fork = Session::of(world.sandbox.restore(&checkpoint, true)?);
    match code {
        Some((code, true)) => drop(fork.run(world, code)?),
        Some((code, false)) => fork.run_last(world, code)?,
        None => {}
    }
    Ok(start.elapsed())
}
