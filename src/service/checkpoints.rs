//! States and outputs of documents' cells, kept for the next render of the document: it runs what has changed.
//!
//! Each cell that was run leaves a node, under the key that says all that its result depends on ([`crate::document::keys`])
//! and its user: its report, and a checkpoint of the kernel behind it. Nodes of one document share what they have in
//! common, page by page. Where there is no room for all, checkpoints go first, of those documents that were rendered
//! longest ago: without one, a render runs a few cells more. Then whole nodes go.

mod parked;
mod shelf;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::backend::wasm::{Checkpoint, Kernel};
use crate::document::CellKey;
use crate::domain::{CellReport, Outcome, SegmentId, UserId};
use parked::Parked;
use shelf::Shelf;

/// How much is kept.
#[derive(Debug, Clone)]
pub struct CheckpointConfig {
    /// Bytes of memory for all users together. Default: 2 GiB.
    pub bytes: u64,
    /// Bytes of memory for one user. Default: 512 MiB.
    pub user_bytes: u64,
    /// Cells of one user whose results are kept: looking for the one that is missed least looks at all of them.
    /// Default: 4,096.
    pub user_cells: usize,
    /// Kernels that wait where a render has ended, for the next one of their document. Default: 8.
    pub parked_kernels: usize,
}

impl Default for CheckpointConfig {
    fn default() -> Self {
        Self { bytes: 2 << 30, user_bytes: 512 << 20, user_cells: 4096, parked_kernels: 8 }
    }
}

/// What is kept now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CheckpointStats {
    /// Cells whose result is known.
    pub cells: usize,
    /// Those of them from which a render can go on.
    pub checkpoints: usize,
    /// Bytes that they take.
    pub bytes: u64,
    /// Kernels that wait.
    pub parked_kernels: usize,
}

/// What is known of a document's first cells.
#[derive(Default)]
pub struct Known {
    /// Their reports.
    pub reports: Vec<Arc<CellReport>>,
    /// Where to go on: the state behind so many of these cells, and its place.
    pub resume: Option<(usize, Checkpoint, Place)>,
}

/// A cell's result, of one run of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    key: CellKey,
    id: u64,
}

/// Where a result is kept beyond the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// The segment.
    pub segment: SegmentId,
    /// The place in it.
    pub place: u32,
    /// How many segments lead to it.
    pub depth: u32,
    /// Whether the state behind the cell is there, too.
    pub has_state: bool,
}

/// A known result of a cell.
pub struct Link {
    /// Its place in memory.
    pub place: Place,
    /// What the cell came to.
    pub report: Arc<CellReport>,
    /// The state behind it.
    pub state: Option<Checkpoint>,
    /// Where both are kept.
    pub kept: Option<Kept>,
}

impl Place {
    /// The cell's key.
    pub fn key(&self) -> CellKey {
        self.key
    }
}

/// The checkpoints of all users. Equal documents of two users share nothing.
pub struct Checkpoints {
    config: CheckpointConfig,
    shelves: Mutex<HashMap<UserId, Shelf>>,
    parked: Parked,
}

impl Checkpoints {
    pub fn new(config: CheckpointConfig) -> Self {
        Self { parked: Parked::new(config.parked_kernels), shelves: Mutex::default(), config }
    }

    /// The longest beginning of these cells that is known.
    pub fn known(&self, user: UserId, keys: &[CellKey]) -> Known {
        self.shelves().get_mut(&user).map(|shelf| shelf.known(keys)).unwrap_or_default()
    }

    /// Keeps what a cell came to, and the state behind it, as what comes after `parent`; none where that has gone. Where
    /// the cell was rolled back, or ended the interpreter, its result is none that a render may go on from.
    pub fn keep(
        &self,
        user: UserId,
        parent: Option<Place>,
        key: CellKey,
        report: &Arc<CellReport>,
        state: &Checkpoint,
    ) -> Option<Place> {
        if !matches!(report.outcome, Outcome::Completed | Outcome::PythonError { .. }) {
            return None;
        }
        let mut gone = Vec::new();
        let mut shelves = self.shelves();
        let shelf = shelves.entry(user).or_default();
        let place = shelf.keep(parent, key, (report, state), &mut gone);
        shelf.keep_few(self.config.user_cells, &mut gone);
        self.settle(shelves, gone);
        place
    }

    /// Makes room where there is too much.
    fn settle(&self, mut shelves: MutexGuard<'_, HashMap<UserId, Shelf>>, mut gone: Vec<Checkpoint>) {
        for shelf in shelves.values_mut() {
            while shelf.bytes() > self.config.user_bytes && !shelf.is_empty() {
                shelf.make_room(&mut gone);
            }
        }
        // Whoever has most gives first.
        while shelves.values().map(Shelf::bytes).fold(0, u64::saturating_add) > self.config.bytes {
            let filled = shelves.values_mut().filter(|shelf| !shelf.is_empty());
            let Some(largest) = filled.max_by_key(|shelf| shelf.bytes()) else { break };
            largest.make_room(&mut gone);
        }
        shelves.retain(|_, shelf| !shelf.is_empty());
        drop(shelves);
        // Memory is given back without the lock.
        drop(gone);
    }

    /// The results of these cells that are known, one after another.
    pub fn chain(&self, user: UserId, keys: &[CellKey]) -> Vec<Link> {
        self.shelves().get(&user).map(|shelf| shelf.chain(keys)).unwrap_or_default()
    }

    /// Whether one of the results that are known of these cells is not kept beyond the memory yet, and where the last is
    /// that is.
    pub fn kept(&self, user: UserId, keys: &[CellKey]) -> (bool, Option<Kept>) {
        self.shelves().get(&user).map(|shelf| shelf.kept(keys)).unwrap_or_default()
    }

    /// Takes results in that were kept, as what comes after `above`; it stops where others are known by now.
    pub fn adopt(&self, user: UserId, above: Option<(CellKey, Kept)>, found: Vec<(CellKey, Kept, CellReport)>) {
        let mut gone = Vec::new();
        let mut shelves = self.shelves();
        shelves.entry(user).or_default().adopt(above, found, self.config.user_cells, &mut gone);
        self.settle(shelves, gone);
    }

    /// Takes states in that were kept, behind results that are known.
    pub fn adopt_states(&self, user: UserId, found: Vec<(CellKey, Kept, Checkpoint)>) {
        let mut shelves = self.shelves();
        shelves.entry(user).or_default().adopt_states(found);
        self.settle(shelves, Vec::new());
    }

    /// Notes where results are kept.
    pub fn mark(&self, user: UserId, kept: &[(Place, Kept)]) {
        if let Some(shelf) = self.shelves().get_mut(&user) {
            shelf.mark(kept);
        }
    }

    /// Notes that segments are gone.
    pub fn unmark(&self, user: UserId, gone: &[SegmentId]) {
        if let Some(shelf) = self.shelves().get_mut(&user) {
            shelf.unmark(gone);
        }
    }

    /// Keeps a kernel for the next render, unless it holds too much.
    pub fn park(self: &Arc<Self>, user: UserId, kernel: Kernel) {
        let state = kernel.checkpoint();
        if state.delta_pages() > parked::MOST_PAGES || state.derived_image().is_some() {
            return;
        }
        self.parked.put(user, kernel);
        let this = Arc::downgrade(self);
        tokio::spawn(async move {
            tokio::time::sleep(parked::PATIENCE).await;
            if let Some(this) = this.upgrade() {
                this.parked.settle();
            }
        });
    }

    /// A kernel that goes on from `state`, of those that wait.
    pub fn unpark(&self, user: UserId, state: &Checkpoint) -> Option<Kernel> {
        let mut kernel = self.parked.take(user, state)?;
        kernel.go_to(state).then_some(kernel)
    }

    /// What is kept now.
    pub fn stats(&self) -> CheckpointStats {
        let shelves = self.shelves();
        let counts = shelves.values().map(Shelf::counts);
        let (cells, checkpoints) = counts.fold((0, 0), |sum, shelf| (sum.0 + shelf.0, sum.1 + shelf.1));
        let bytes = shelves.values().map(Shelf::bytes).fold(0, u64::saturating_add);
        CheckpointStats { cells, checkpoints, bytes, parked_kernels: self.parked.count() }
    }

    fn shelves(&self) -> MutexGuard<'_, HashMap<UserId, Shelf>> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
