//! The stacks that guests run on, kept for the next guest.
//!
//! A fresh stack costs three changes of the address space and a fault for each page that is used, some 0.15 ms and,
//! with several threads, a queue for the lock of the address space. A kept one costs nothing. WebAssembly code can't
//! read the machine's stack, so what the last guest left there is not wiped.

use std::io;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags};
use wasmtime::{StackCreator, StackMemory};

use super::PAGE_BYTES;

/// Stacks that are kept at most; more are unmapped after use.
const KEPT: usize = 64;
/// What stays resident of a kept stack: a small cell uses less.
const RESIDENT_BYTES: usize = 256 << 10;

/// Makes stacks, and keeps them when their guests end.
#[derive(Clone, Default)]
pub struct Stacks(Arc<Mutex<Vec<Mapping>>>);

/// A guard page, and the stack above it.
struct Mapping {
    base: NonNull<u8>,
    bytes: usize,
}

// SAFETY: the mapping is this value's own, and it gives out nothing but addresses.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// `size` bytes of stack, a whole number of pages.
    fn new(size: usize) -> io::Result<Self> {
        let bytes = size.checked_add(PAGE_BYTES).ok_or(io::ErrorKind::InvalidInput)?;
        // SAFETY: a fresh mapping at an address of the kernel's choice.
        let base = unsafe {
            rustix::mm::mmap_anonymous(
                std::ptr::null_mut(),
                bytes,
                ProtFlags::empty(),
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )
        }?;
        let base = NonNull::new(base.cast()).ok_or_else(|| io::Error::other("mmap answered null"))?;
        let mapping = Self { base, bytes };
        let Range { start, end } = mapping.stack();
        // SAFETY: within our own mapping; the lowest page stays without access.
        unsafe {
            rustix::mm::mprotect(
                std::ptr::with_exposed_provenance_mut(start),
                end - start,
                MprotectFlags::READ | MprotectFlags::WRITE,
            )
        }?;
        Ok(mapping)
    }

    /// The addresses above the guard page.
    fn stack(&self) -> Range<usize> {
        let base = self.base.as_ptr().expose_provenance();
        base + PAGE_BYTES..base + self.bytes
    }

    /// Gives the memory of the lower addresses back, all but `resident` bytes; it reads as zero from now on.
    fn trim(&self, resident: usize) -> io::Result<()> {
        let Range { start, end } = self.stack();
        let trimmed = (end - start).saturating_sub(resident);
        // SAFETY: within our own mapping, on which nobody runs: a stack is trimmed before its use or after.
        unsafe { rustix::mm::madvise(std::ptr::with_exposed_provenance_mut(start), trimmed, Advice::LinuxDontNeed) }?;
        Ok(())
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping that `new` made; nobody runs on it any more.
        let unmapped = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.bytes) };
        debug_assert!(unmapped.is_ok(), "a whole mapping can be unmapped");
    }
}

/// A stack in use.
struct Stack {
    mapping: Option<Mapping>,
    home: Stacks,
}

impl Stack {
    fn addresses(&self) -> Range<usize> {
        self.mapping.as_ref().map(Mapping::stack).unwrap_or_default()
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let Some(mapping) = self.mapping.take() else { return };
        if mapping.trim(RESIDENT_BYTES).is_ok() {
            let mut kept = self.home.0.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() < KEPT {
                kept.push(mapping);
            }
        }
    }
}

// SAFETY: what `new_stack` answers is a mapping of whole pages with a guard page below, whose bytes nobody else uses
// until it is dropped.
unsafe impl StackCreator for Stacks {
    fn new_stack(&self, size: usize, zeroed: bool) -> wasmtime::Result<Box<dyn StackMemory>> {
        let size = size.max(1).next_multiple_of(PAGE_BYTES);
        let kept = {
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            kept.pop_if(|mapping| mapping.stack().len() == size)
        };
        let mapping = match kept {
            Some(mapping) => {
                if zeroed {
                    mapping.trim(0)?;
                }
                mapping
            }
            None => Mapping::new(size)?,
        };
        Ok(Box::new(Stack { mapping: Some(mapping), home: self.clone() }))
    }
}

// SAFETY: the addresses are those of the stack's own mapping, which stays in its place for the stack's life.
unsafe impl StackMemory for Stack {
    fn top(&self) -> *mut u8 {
        std::ptr::with_exposed_provenance_mut(self.addresses().end)
    }

    fn range(&self) -> Range<usize> {
        self.addresses()
    }

    fn guard_range(&self) -> Range<*mut u8> {
        let start = self.addresses().start;
        std::ptr::with_exposed_provenance_mut(start - PAGE_BYTES)..std::ptr::with_exposed_provenance_mut(start)
    }
}
