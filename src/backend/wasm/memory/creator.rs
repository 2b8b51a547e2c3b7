//! How a slot gets into a store: wasmtime asks the engine's memory creator while it instantiates.

use std::cell::RefCell;
use std::io;
use std::ptr::NonNull;
use std::sync::Arc;

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags};
use wasmtime::{LinearMemory, MemoryCreator, MemoryType};

use super::slot::{GUARD_BYTES, RESERVED_BYTES};
use super::{Slot, SlotMemory};

thread_local! {
    /// The slot for the instance that this thread is about to make.
    static NEXT: RefCell<Option<(Arc<Slot>, usize)>> = const { RefCell::new(None) };
}

/// Runs `instantiate` with `slot` as the memory of the module that it instantiates: the one that asks for
/// `minimum_bytes`. (The heap for exceptions is made by the same creator, before it.)
///
/// `instantiate` must do so on this thread, without giving the thread away in between.
pub fn with_slot<T>(slot: &Arc<Slot>, minimum_bytes: usize, instantiate: impl FnOnce() -> T) -> T {
    NEXT.with_borrow_mut(|next| *next = Some((Arc::clone(slot), minimum_bytes)));
    let made = instantiate();
    NEXT.with_borrow_mut(|next| *next = None);
    made
}

/// Hands out the slot that [`with_slot`] put forward, and plain zeroed memory otherwise (garbage-collected heaps, and
/// the first instance of a module, whose image is still to be made).
pub struct SlotCreator;

// SAFETY: both kinds of memory reserve what wasmtime asks for, never move, start where nothing else is mapped and
// leave the guard without access. A slot's bytes past its image are zero; its image stands for the data segments that
// the split module no longer has.
unsafe impl MemoryCreator for SlotCreator {
    fn new_memory(
        &self,
        _: MemoryType,
        minimum: usize,
        _: Option<usize>,
        reserved_size_in_bytes: Option<usize>,
        guard_size_in_bytes: usize,
    ) -> Result<Box<dyn LinearMemory>, String> {
        let reserved = reserved_size_in_bytes.unwrap_or(RESERVED_BYTES);
        if let Some((slot, _)) = NEXT.with_borrow_mut(|next| next.take_if(|(_, wanted)| *wanted == minimum)) {
            if reserved > RESERVED_BYTES || guard_size_in_bytes > GUARD_BYTES || slot.byte_len() < minimum {
                return Err(format!(
                    "a slot of {} bytes can't hold a memory of {minimum} ({reserved} reserved, guard {guard_size_in_bytes})",
                    slot.byte_len()
                ));
            }
            let memory = SlotMemory::take(slot).ok_or("a store has this slot's memory already")?;
            return Ok(Box::new(memory));
        }
        Plain::new(minimum, reserved, guard_size_in_bytes)
            .map(|plain| Box::new(plain) as Box<dyn LinearMemory>)
            .map_err(|error| error.to_string())
    }
}

/// Zeroed memory with a reservation, unmapped with its store.
struct Plain {
    base: NonNull<u8>,
    mapped: usize,
    reserved: usize,
    size: usize,
}

// SAFETY: the mapping is this value's own.
unsafe impl Send for Plain {}
// SAFETY: as above; `&Plain` gives out nothing but numbers.
unsafe impl Sync for Plain {}

impl Plain {
    fn new(minimum: usize, reserved: usize, guard: usize) -> io::Result<Self> {
        let mapped = reserved.checked_add(guard).filter(|bytes| *bytes > 0).ok_or(io::ErrorKind::InvalidInput)?;
        // SAFETY: a fresh mapping at an address of the kernel's choice.
        let base = unsafe {
            rustix::mm::mmap_anonymous(
                std::ptr::null_mut(),
                mapped,
                ProtFlags::empty(),
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )
        }?;
        let base = NonNull::new(base.cast()).ok_or_else(|| io::Error::other("mmap answered null"))?;
        let mut plain = Self { base, mapped, reserved, size: 0 };
        plain.grow(minimum)?;
        Ok(plain)
    }

    fn grow(&mut self, size: usize) -> io::Result<()> {
        if size > self.reserved {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        if size > self.size {
            // SAFETY: within our own reservation.
            unsafe {
                rustix::mm::mprotect(self.base.as_ptr().cast(), size, MprotectFlags::READ | MprotectFlags::WRITE)
            }?;
            self.size = size;
        }
        Ok(())
    }
}

// SAFETY: as said at `SlotCreator`.
unsafe impl LinearMemory for Plain {
    fn byte_size(&self) -> usize {
        self.size
    }

    fn byte_capacity(&self) -> usize {
        self.reserved
    }

    fn grow_to(&mut self, new_size: usize) -> wasmtime::Result<()> {
        Ok(self.grow(new_size)?)
    }

    fn as_ptr(&self) -> *mut u8 {
        self.base.as_ptr()
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping that `new` made.
        let unmapped = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.mapped) };
        debug_assert!(unmapped.is_ok(), "a whole mapping can be unmapped");
    }
}
