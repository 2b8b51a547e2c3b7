//! An image that fresh kernels start from, and its pool of kernels that are ready to run.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::SandboxError;
use crate::backend::wasm::checkpoint::Checkpoint;
use crate::backend::wasm::machine::{Live, Machine};
use crate::backend::wasm::memory::{Image, Slot};

/// A slot that wrote more than this many pages is given back to the system: putting 8 MiB back costs more than
/// mapping anew.
const RECYCLED_PAGES: usize = 2048;

/// An image and its pool.
pub(super) struct Base {
    /// The state that its kernels start in.
    pub checkpoint: Checkpoint,
    ready: Mutex<Vec<Ready>>,
    capacity: AtomicUsize,
}

/// A kernel that nothing has run in.
struct Ready {
    slot: Arc<Slot>,
    live: Live,
}

impl Base {
    pub fn new(checkpoint: Checkpoint, capacity: usize) -> Self {
        Self { checkpoint, ready: Mutex::default(), capacity: AtomicUsize::new(capacity) }
    }

    pub fn image(&self) -> &Arc<Image> {
        &self.checkpoint.state().image
    }

    /// Sets how many kernels are kept ready; those that are too many now are dropped.
    pub fn set_capacity(&self, capacity: usize) {
        self.capacity.store(capacity, Ordering::Release);
        let dropped = {
            let mut pool = self.pool();
            let kept = capacity.min(pool.len());
            pool.split_off(kept)
        };
        drop(dropped);
    }

    fn capacity(&self) -> usize {
        self.capacity.load(Ordering::Acquire)
    }

    fn pool(&self) -> MutexGuard<'_, Vec<Ready>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Kernels that are ready.
    pub fn ready(&self) -> usize {
        self.pool().len()
    }

    /// Memory in the image's state, with a store over it where the pool has one.
    pub fn take(&self) -> Result<(Arc<Slot>, Option<Live>), SandboxError> {
        let ready = self.pool().pop();
        Ok(match ready {
            Some(Ready { slot, live }) => (slot, Some(live)),
            None => (Arc::new(Slot::new(Arc::clone(self.image()))?), None),
        })
    }

    fn put(&self, slot: Arc<Slot>, live: Live) {
        let mut pool = self.pool();
        if pool.len() < self.capacity() {
            pool.push(Ready { slot, live });
        }
    }

    /// Fills the pool with kernels on fresh memory.
    pub fn fill(&self, machine: &Machine) -> Result<(), SandboxError> {
        while self.ready() < self.capacity() {
            let slot = Arc::new(Slot::new(Arc::clone(self.image()))?);
            let live = machine.instantiate(&slot, &self.checkpoint)?;
            self.put(slot, live);
        }
        if self.capacity() > 0 {
            // Whatever is kept of kernels and renders names the image by it: reading all of it is nothing to wait for then.
            let image = Arc::clone(self.image());
            machine.later(move || _ = image.digest());
        }
        Ok(())
    }

    /// Puts used memory in order again and keeps it, unless the pool is full or too much was written; with the store
    /// over it where `live` is one at rest.
    pub fn refill(&self, machine: &Machine, mut slot: Arc<Slot>, live: Option<Live>) -> Result<(), SandboxError> {
        if self.ready() >= self.capacity() {
            return Ok(());
        }
        if let Some(mut live) = live
            && slot.reset_in_store(live.memory.data_mut(&mut live.store), RECYCLED_PAGES)?
        {
            machine.reset(&mut live, &self.checkpoint)?;
            self.put(slot, live);
            return Ok(());
        }
        let exclusive = Arc::get_mut(&mut slot).ok_or(SandboxError::Broken("a store outlived its kernel"))?;
        if exclusive.reset(RECYCLED_PAGES)? {
            let live = machine.instantiate(&slot, &self.checkpoint)?;
            self.put(slot, live);
        }
        Ok(())
    }
}
