//! The address space of one linear memory: an image mapped copy-on-write, zero pages behind it, a guard behind those.

use std::io;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags};
use wasmtime::LinearMemory;

use super::{Image, PAGE_BYTES, PageMap, dirty};

/// Address space that a 32-bit memory can reach: compiled code does no bounds checks within it.
pub(super) const RESERVED_BYTES: usize = 4 << 30;
/// What must stay unmapped behind it, for the constant offsets of loads and stores.
pub(super) const GUARD_BYTES: usize = 32 << 20;

/// One linear memory's address space, mapped for its whole life at one place.
pub struct Slot {
    base: NonNull<u8>,
    image: Arc<Image>,
    /// Bytes that the guest can reach; only grows while a store holds the slot.
    size: AtomicUsize,
    /// Whether writes are tracked from the last scan on.
    tracked: AtomicBool,
    /// Whether a store has the memory: two would be two owners of the same bytes.
    taken: AtomicBool,
}

// SAFETY: `base` is the slot's own mapping. The guest's bytes are reached through the one store that holds the
// `SlotMemory` (wasmtime's exclusive borrows order that), or through `&mut Slot`; the methods on `&Slot` touch the
// mapping's attributes and the atomics alone.
unsafe impl Send for Slot {}
// SAFETY: as above.
unsafe impl Sync for Slot {}

impl Slot {
    /// Maps `image` into a new address space.
    ///
    /// # Errors
    /// What the system says: `ENOMEM` when address space or mappings run out.
    pub fn new(image: Arc<Image>) -> io::Result<Self> {
        // SAFETY: a fresh mapping at an address of the kernel's choice.
        let base = unsafe {
            rustix::mm::mmap_anonymous(
                std::ptr::null_mut(),
                RESERVED_BYTES + GUARD_BYTES,
                ProtFlags::empty(),
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )
        }?;
        let base = NonNull::new(base.cast()).ok_or_else(|| io::Error::other("mmap answered null"))?;
        let size = AtomicUsize::new(image.byte_len());
        let (tracked, taken) = (AtomicBool::new(false), AtomicBool::new(false));
        let slot = Self { base, image, size, tracked, taken };
        // SAFETY: MAP_FIXED over the start of the reservation made above, which nobody else knows of; the image is
        // not longer than the reservation (a 32-bit memory). Private: writes stay ours.
        unsafe {
            rustix::mm::mmap(
                slot.base.as_ptr().cast(),
                slot.image.byte_len(),
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE,
                slot.image.file(),
                0,
            )
        }?;
        Ok(slot)
    }

    /// The image below.
    pub fn image(&self) -> &Arc<Image> {
        &self.image
    }

    /// Bytes that the guest can reach.
    pub fn byte_len(&self) -> usize {
        self.size.load(Ordering::Acquire)
    }

    fn addresses(&self, bytes: Range<usize>) -> Range<usize> {
        let base = self.base.as_ptr() as usize;
        base + bytes.start..base + bytes.end
    }

    /// The pages that differ from the image, or may: with tracking, those written since the last scan.
    ///
    /// # Errors
    /// What the system says when the page map can't be read.
    pub fn scan(&self) -> io::Result<Vec<Range<usize>>> {
        let addresses = self.addresses(0..self.byte_len());
        if self.tracked.load(Ordering::Acquire) {
            dirty::written_pages(addresses)
        } else {
            dirty::private_pages(addresses)
        }
    }

    /// As [`Slot::scan`], and starts tracking, so that the next scan tells only what was written in between. Where
    /// the system can't, every scan tells all private pages.
    ///
    /// # Errors
    /// What the system says when the page map can't be read.
    pub fn scan_and_track(&self) -> io::Result<Vec<Range<usize>>> {
        let found = self.scan()?;
        if !self.tracked.load(Ordering::Acquire) && dirty::track(self.addresses(0..RESERVED_BYTES)) {
            dirty::protect(self.addresses(0..self.byte_len()))?;
            self.tracked.store(true, Ordering::Release);
        }
        Ok(found)
    }

    fn untrack(&self) {
        if self.tracked.swap(false, Ordering::AcqRel) {
            dirty::untrack(self.addresses(0..RESERVED_BYTES));
        }
    }

    /// Makes the bytes up to `size` reachable; they are zero. Never shrinks.
    fn grow(&self, size: usize) -> io::Result<()> {
        let old = self.byte_len();
        if size > RESERVED_BYTES || !size.is_multiple_of(PAGE_BYTES) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        if size > old {
            // SAFETY: within our own reservation, past what is reachable: nobody has a reference into it.
            unsafe {
                rustix::mm::mprotect(
                    self.base.as_ptr().add(old).cast(),
                    size - old,
                    MprotectFlags::READ | MprotectFlags::WRITE,
                )
            }?;
            self.size.store(size, Ordering::Release);
        }
        Ok(())
    }

    /// Takes the bytes past `size` away: they read as zero when the memory grows again.
    fn shrink(&mut self, size: usize) -> io::Result<()> {
        let old = self.byte_len();
        debug_assert!(size >= self.image.byte_len(), "a memory is never shorter than its image");
        if size < old {
            // SAFETY: our own anonymous mapping past the image; `&mut self` says that no store is left, so nobody has
            // a reference into it. DONTNEED drops the private pages.
            unsafe {
                let start = self.base.as_ptr().add(size).cast();
                rustix::mm::madvise(start, old - size, Advice::LinuxDontNeed)?;
                rustix::mm::mprotect(start, old - size, MprotectFlags::empty())?;
            }
            self.size.store(size, Ordering::Release);
        }
        Ok(())
    }

    /// The guest's bytes.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: `size` bytes from `base` are mapped readable and writable, and `&mut self` says that no store is
        // left that could reach them.
        unsafe { std::slice::from_raw_parts_mut(self.base.as_ptr(), self.byte_len()) }
    }

    /// Brings the memory to the state `image + delta` of `size` bytes.
    ///
    /// `complete` says that every page may differ from that state (a slot that ran something else); otherwise only
    /// what was written since the last scan does (the same kernel, rolled back).
    ///
    /// # Errors
    /// What the system says; the slot must not be used again then.
    pub fn restore(&mut self, delta: &PageMap, size: usize, complete: bool) -> io::Result<()> {
        if complete {
            self.untrack();
        }
        let changed = self.scan()?;
        self.resize(size)?;
        let image = Arc::clone(&self.image);
        put(self.bytes_mut(), &image, delta, changed.into_iter().flatten());
        if complete {
            put(self.bytes_mut(), &image, delta, delta.iter().map(|(number, _)| number));
        }
        Ok(())
    }

    /// Brings the memory from the state `image + before` to the state `image + after` of `size` bytes; what was written
    /// since the last scan may differ from the first.
    ///
    /// # Errors
    /// What the system says; the slot must not be used again then.
    pub fn go_to(&mut self, before: &PageMap, after: &PageMap, size: usize) -> io::Result<()> {
        let changed = self.scan()?;
        self.resize(size)?;
        let image = Arc::clone(&self.image);
        put(self.bytes_mut(), &image, after, changed.into_iter().flatten());
        put(self.bytes_mut(), &image, after, before.difference(after));
        Ok(())
    }

    /// Brings the memory back to the state of the image, unless that means to put back more than `most_pages`: then it
    /// changes nothing and answers false.
    ///
    /// # Errors
    /// What the system says; the slot must not be used again then.
    pub fn reset(&mut self, most_pages: usize) -> io::Result<bool> {
        self.untrack();
        let changed = self.scan()?;
        if page_count(&changed) > most_pages {
            return Ok(false);
        }
        self.resize(self.image.byte_len())?;
        let image = Arc::clone(&self.image);
        put(self.bytes_mut(), &image, &PageMap::default(), changed.into_iter().flatten());
        Ok(true)
    }

    /// As [`Slot::reset`], through the store that has the memory, whose bytes are `memory`. Answers false also where
    /// the memory grew or its writes are tracked: that can't be taken back under a store.
    ///
    /// # Errors
    /// What the system says when the page map can't be read.
    pub fn reset_in_store(&self, memory: &mut [u8], most_pages: usize) -> io::Result<bool> {
        let as_at_first = self.byte_len() == self.image.byte_len() && memory.len() == self.image.byte_len();
        if !as_at_first || self.tracked.load(Ordering::Acquire) {
            return Ok(false);
        }
        let changed = self.scan()?;
        if page_count(&changed) > most_pages {
            return Ok(false);
        }
        put(memory, &self.image, &PageMap::default(), changed.into_iter().flatten());
        Ok(true)
    }

    fn resize(&mut self, size: usize) -> io::Result<()> {
        self.shrink(size)?;
        self.grow(size)
    }

    /// How many pages of memory it occupies beyond its image.
    ///
    /// # Errors
    /// What the system says when the page map can't be read.
    pub fn private_pages(&self) -> io::Result<usize> {
        let found = dirty::resident_pages(self.addresses(0..self.byte_len()))?;
        Ok(page_count(&found))
    }
}

fn page_count(ranges: &[Range<usize>]) -> usize {
    ranges.iter().map(ExactSizeIterator::len).sum()
}

/// Writes those of the pages `numbers` of `memory` that are not as in `image + delta`.
fn put(memory: &mut [u8], image: &Image, delta: &PageMap, numbers: impl Iterator<Item = usize>) {
    for number in numbers {
        let wanted = delta.get(number).map_or_else(|| image.page(number), |page| &page[..]);
        if let Some(page) = memory.get_mut(number * PAGE_BYTES..(number + 1) * PAGE_BYTES)
            && *page != *wanted
        {
            page.copy_from_slice(wanted);
        }
    }
}

/// Puts every page of `memory` (the slot's bytes, read through the store) that `changed` names and that differs from
/// what `delta` and `image` say into `delta`. Returns how many it put in.
pub fn collect(delta: &mut PageMap, image: &Image, memory: &[u8], changed: Vec<Range<usize>>) -> usize {
    let mut stored = 0;
    for number in changed.into_iter().flatten() {
        let Some(page) = memory.get(number * PAGE_BYTES..).and_then(|rest| rest.first_chunk::<PAGE_BYTES>()) else {
            continue;
        };
        let known: &[u8] = delta.get(number).map_or_else(|| image.page(number), |known| &known[..]);
        if page[..] != *known {
            delta.insert(number, page);
            stored += 1;
        }
    }
    stored
}

impl Drop for Slot {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping that `new` made; stores hold the slot by `Arc`, so none is left.
        let unmapped = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), RESERVED_BYTES + GUARD_BYTES) };
        debug_assert!(unmapped.is_ok(), "a whole mapping can be unmapped");
    }
}

/// The slot as wasmtime sees it: the one memory over it.
pub struct SlotMemory(Arc<Slot>);

impl SlotMemory {
    /// Takes the slot's memory, unless a store has it.
    pub(super) fn take(slot: Arc<Slot>) -> Option<Self> {
        let free = slot.taken.compare_exchange(false, true, Ordering::AcqRel, Ordering::Acquire).is_ok();
        free.then(|| Self(slot))
    }
}

impl Drop for SlotMemory {
    fn drop(&mut self) {
        self.0.taken.store(false, Ordering::Release);
    }
}

// SAFETY: there is one memory over a slot at a time; the base never moves; `byte_size` bytes are readable and writable; the rest of the reservation and the
// guard have no access; growing only ever makes zero bytes reachable.
unsafe impl LinearMemory for SlotMemory {
    fn byte_size(&self) -> usize {
        self.0.byte_len()
    }

    fn byte_capacity(&self) -> usize {
        RESERVED_BYTES
    }

    fn grow_to(&mut self, new_size: usize) -> wasmtime::Result<()> {
        Ok(self.0.grow(new_size)?)
    }

    fn as_ptr(&self) -> *mut u8 {
        self.0.base.as_ptr()
    }
}
