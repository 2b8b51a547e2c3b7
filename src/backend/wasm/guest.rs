//! What a store holds for its guest: the WASI context, the memory limit, and the cell that runs.

use serde::Serialize;
use wasmtime::ResourceLimiter;

use super::recorder::{Recorder, SharedRecorder};
use super::wasi::{WasiCtx, WasiHost};
use crate::domain::{CellRequest, Limits};

/// A syntax error that a check found.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct CellProblem {
    /// Which of the cells, from 0.
    pub cell: usize,
    /// Line in the cell, from 1.
    pub line: u32,
    /// Column in the line, from 1.
    pub column: u32,
    /// What is wrong.
    pub message: String,
}

/// A cell whose syntax is to be checked.
#[derive(Debug, Clone, Serialize)]
pub struct CheckCell {
    /// Python source.
    pub code: String,
    /// What messages call it.
    pub name: String,
}

/// What the runner gets when it asks for work.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "mode", rename_all = "snake_case")]
pub enum Work {
    /// Run a cell.
    Run {
        /// Python source.
        code: String,
        /// What tracebacks call it.
        name: String,
        /// Its number in the kernel, from 1.
        count: u64,
        /// Whether the kernel is new: its random generators are still those of the image.
        born: bool,
        /// The image format of captured figures.
        figure_format: &'static str,
    },
    /// Collect garbage and take all that is left out of later collections, before an image is taken.
    Freeze,
    /// Make the packages of an environment importable.
    Enter {
        /// Where they lie.
        site: &'static str,
    },
    /// Import a module, before an image is taken.
    Import {
        /// Its name.
        module: String,
    },
    /// Collect garbage, which may hold files open.
    Collect,
    /// Compile modules to bytecode, run nothing.
    Compile {
        /// The directory that the modules lie in, where they will lie when they are imported.
        root: &'static str,
        /// The directory that the results go to: `number.pyc`, or `number.error` with what is wrong.
        out: &'static str,
        /// Numbers, and paths below `root`.
        files: Vec<(usize, String)>,
    },
    /// Compile cells, run nothing.
    Check {
        /// The cells.
        cells: Vec<CheckCell>,
    },
}

/// What a kernel with a full memory may have beyond its limit.
const HEADROOM_BYTES: usize = 1 << 20;

/// The data of a store.
pub struct Guest {
    pub(super) wasi: WasiCtx,
    pub(super) memory: MemoryLimit,
    pub(super) work: Option<Work>,
    pub(super) count: u64,
    pub(super) recorder: SharedRecorder,
    pub(super) problems: Vec<CellProblem>,
    pub(super) door_calls: u64,
}

impl Guest {
    /// A guest without a cell.
    pub fn new(wasi: WasiCtx, recorder: SharedRecorder) -> Self {
        Self {
            wasi,
            memory: MemoryLimit::default(),
            work: None,
            count: 0,
            recorder,
            problems: Vec::new(),
            door_calls: 0,
        }
    }

    /// Makes ready for a cell, with a memory of `memory_bytes` now.
    pub fn prepare(&mut self, cell: &CellRequest, work: Option<Work>, recorder: Recorder, memory_bytes: usize) {
        if let Some(Work::Run { count, .. }) = &work {
            self.count = *count;
        }
        self.work = work;
        self.problems.clear();
        self.recorder.with(|shared| *shared = recorder);
        self.wasi.fs.restore_stdio();
        self.wasi.set_stdin(cell.stdin.clone());
        self.set_limits(&cell.limits, memory_bytes);
    }

    /// Sets what the kernel may hold.
    ///
    /// A kernel whose memory is full, now of `memory_bytes`, gets a little more than its limit, once: else the runner
    /// could not even take the cell that frees some.
    pub fn set_limits(&mut self, limits: &Limits, memory_bytes: usize) {
        let limit_bytes = usize::try_from(limits.memory_bytes).unwrap_or(usize::MAX);
        let is_full = memory_bytes.saturating_add(HEADROOM_BYTES) > limit_bytes;
        self.memory.limit_bytes = limit_bytes.saturating_add(if is_full { HEADROOM_BYTES } else { 0 });
        self.memory.refused = false;
        self.wasi.set_disk_limits(limits.disk_bytes, limits.open_files);
    }
}

impl WasiHost for Guest {
    fn wasi(&mut self) -> &mut WasiCtx {
        &mut self.wasi
    }
}

/// The memory limit of a kernel. A refused growth is a `MemoryError` in Python, which the program may handle.
#[derive(Debug, Default)]
pub struct MemoryLimit {
    /// The most bytes the linear memory may have.
    pub limit_bytes: usize,
    /// Whether a growth was refused since the cell began.
    pub refused: bool,
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        // A memory that is just being made starts from an image, which the caller has compared with the limit.
        let granted = current == 0 || desired <= self.limit_bytes;
        self.refused |= !granted;
        Ok(granted)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        /// CPython's own table has some 30,000 entries and never grows.
        const MAX_TABLE_ENTRIES: usize = 1 << 20;
        Ok(desired <= MAX_TABLE_ENTRIES)
    }
}
