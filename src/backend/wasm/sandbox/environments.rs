//! The environments in memory: those used last, within a count and a number of bytes.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OnceCell;

use super::SandboxConfig;
use super::environment::EnvironmentBase;
use crate::backend::wasm::memory::Image;

/// Which environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    /// The name of its image in the cache.
    pub name: String,
    /// Its directories, which the image does not depend on.
    pub layers: Vec<PathBuf>,
}

type Cell = Arc<OnceCell<EnvironmentBase>>;

/// The environments in memory.
pub(super) struct Environments {
    config: SandboxConfig,
    /// The one used last is the last.
    held: Mutex<Vec<(Key, Cell)>>,
}

impl Environments {
    pub fn new(config: &SandboxConfig) -> Self {
        Self { config: config.clone(), held: Mutex::default() }
    }

    fn held(&self) -> MutexGuard<'_, Vec<(Key, Cell)>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The place of an environment, which whoever comes first fills. It is the one used last now.
    pub fn cell(&self, key: &Key) -> Cell {
        let mut held = self.held();
        let entry = match held.iter().position(|(known, _)| known == key) {
            Some(at) => held.remove(at),
            None => (key.clone(), Cell::default()),
        };
        let cell = Arc::clone(&entry.1);
        held.push(entry);
        cell
    }

    /// Notes that an environment is used.
    pub fn touch(&self, base: &EnvironmentBase) {
        let mut held = self.held();
        let last = held.len().saturating_sub(1);
        match held.iter().position(|(_, cell)| cell.get() == Some(base)) {
            None => return,
            Some(at) if at == last => return,
            Some(at) => held[at..].rotate_left(1),
        }
        drop(held);
        self.settle();
    }

    /// Lets go of what is too much, and gives pools to those used last. Kernels that live keep what they need.
    pub fn settle(&self) {
        let mut gone = Vec::new();
        let mut held = self.held();
        let (mut count, mut bytes) = (0, 0_u64);
        let kept = held.drain(..).rev().filter(|(_, cell)| {
            let Some(base) = cell.get() else {
                // Being made by whoever else has it.
                return Arc::strong_count(cell) > 1;
            };
            count += 1;
            bytes = bytes.saturating_add(base.image_bytes());
            let stays = count == 1 || (count <= self.config.environments && bytes <= self.config.environment_bytes);
            let pooled = stays && count <= self.config.environment_pools;
            base.get().base.set_capacity(if pooled { self.config.environment_ready_kernels } else { 0 });
            if !stays {
                gone.push(base.clone());
            }
            stays
        });
        let mut kept: Vec<_> = kept.collect();
        kept.reverse();
        *held = kept;
        drop(held);
        // Unmapping takes its time: not under the lock.
        drop(gone);
    }

    /// The environment of that image, where it is here.
    pub fn find(&self, image: &Arc<Image>) -> Option<EnvironmentBase> {
        let held = self.held();
        held.iter().filter_map(|(_, cell)| cell.get()).find(|base| Arc::ptr_eq(base.get().base.image(), image)).cloned()
    }

    /// How many there are, and how many kernels are ready in their pools.
    pub fn counts(&self) -> (usize, usize) {
        let held = self.held();
        let bases = || held.iter().filter_map(|(_, cell)| cell.get());
        (bases().count(), bases().map(|base| base.get().base.ready()).sum())
    }
}
