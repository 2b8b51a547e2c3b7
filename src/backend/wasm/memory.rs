//! Linear memory that the host provides: copy-on-write slots over images, and the pages that a guest wrote.
//!
//! All `unsafe` of the memory side lives below this module. A [`Slot`] is the address space of one linear memory.
//! WebAssembly code holds it through the store (as [`SlotMemory`]); everything that moves, shrinks or rewrites it
//! wants `&mut Slot`, which exists only when no store does.

mod creator;
mod dirty;
mod image;
mod pages;
mod slot;
mod stacks;

pub use creator::{SlotCreator, with_slot};
pub use image::{GlobalValue, Image, ImageFile};
pub use pages::{Page, PageMap};
pub use slot::{Slot, SlotMemory, collect};
pub use stacks::Stacks;

/// The unit in which written memory is found, stored and restored.
pub const PAGE_BYTES: usize = 4096;

/// What a page holds that was never written.
pub(crate) static ZERO_PAGE: Page = [0; PAGE_BYTES];
