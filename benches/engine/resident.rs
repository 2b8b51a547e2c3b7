//! What kernels that wait for their next cell hold.

use std::fs;

use crate::report::{Result, Table};
use crate::world::{READY_KERNELS, World, settle};

const KERNELS: usize = 200;
const TARGET_KIB: u64 = 3 << 10;

/// Keeps [`KERNELS`] kernels that ran a cell, and looks at what the process has grown by.
pub fn run(world: &World, table: &mut Table) -> Result<()> {
    settle(&world.sandbox, 0, READY_KERNELS);
    let before = Held::now()?;
    let mut sessions = Vec::new();
    for _ in 0..KERNELS {
        sessions.push(world.session("print(1)")?);
    }
    let after = Held::now()?;
    let each = |after: u64, before: u64| after.saturating_sub(before) / KERNELS as u64;
    let private = each(after.private_kib, before.private_kib);
    let anonymous = each(after.anonymous_kib, before.anonymous_kib);
    let tables = each(after.page_tables_kib, before.page_tables_kib);
    let available = each(before.available_kib, after.available_kib);
    let kib = |kib: u64| format!("{:.2} MiB", kib as f64 / 1024.0);
    let name = format!("private memory of an idle kernel after `print(1)` ({KERNELS} resident)");
    table.value(
        &name,
        kib(private),
        format!("{} of it anonymous; page tables {} more", kib(anonymous), kib(tables)),
        Some(("<= 3 MB", private <= TARGET_KIB)),
    );
    table.value("  what the whole machine has less", kib(available), "free memory before and after".to_owned(), None);
    let pages = sessions.first().map(|session| session.checkpoint()).transpose()?;
    let pages = pages.map_or(0, |checkpoint| checkpoint.delta_pages());
    table.value("  pages in its checkpoint", pages.to_string(), kib(pages as u64 * 4), None);
    Ok(())
}

/// Memory in KiB.
struct Held {
    private_kib: u64,
    anonymous_kib: u64,
    page_tables_kib: u64,
    available_kib: u64,
}

impl Held {
    fn now() -> Result<Self> {
        let maps = fs::read_to_string("/proc/self/smaps_rollup")?;
        let status = fs::read_to_string("/proc/self/status")?;
        let machine = fs::read_to_string("/proc/meminfo")?;
        Ok(Self {
            private_kib: field(&maps, "Private_Clean:")? + field(&maps, "Private_Dirty:")?,
            anonymous_kib: field(&maps, "Pss_Anon:")?,
            page_tables_kib: field(&status, "VmPTE:")?,
            available_kib: field(&machine, "MemAvailable:")?,
        })
    }
}

fn field(text: &str, name: &str) -> Result<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)).ok_or("a line of /proc is missing")?;
    Ok(value.trim().trim_end_matches(" kB").parse()?)
}
