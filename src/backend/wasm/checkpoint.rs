//! Everything that a guest can see the next time it runs: memory, globals, files, open files.

use std::io;
use std::sync::{Arc, OnceLock};

use super::memory::{GlobalValue, Image, PAGE_BYTES, PageMap};
use super::vfs::Fs;
use super::wasi::ClockReading;

/// Restoring this many pages one by one costs about as much as the restore itself; with more, the first restore makes
/// an image of the whole, which all later ones map.
const FLATTEN_PAGES: usize = 64;

/// The state of a kernel between two cells. Cloning shares everything.
#[derive(Clone)]
pub struct Checkpoint(Arc<Inner>);

struct Inner {
    state: State,
    /// The same memory as an image of its own, once somebody restored it.
    flat: Arc<OnceLock<Arc<Image>>>,
}

/// What a checkpoint is made of.
#[derive(Clone)]
pub(super) struct State {
    /// What the memory is compared with.
    pub image: Arc<Image>,
    /// The pages that differ from it.
    pub delta: PageMap,
    /// The memory's size.
    pub memory_bytes: usize,
    /// The mutable globals.
    pub globals: Vec<GlobalValue>,
    /// Files and open files.
    pub fs: Fs,
    /// What the clocks show: they never go back.
    pub clock: ClockReading,
    /// Cells run so far.
    pub count: u64,
    /// Whether whoever goes on from here needs random numbers of its own: the generators are still those of the image,
    /// or of the kernel that this one was forked from.
    pub born: bool,
}

impl Checkpoint {
    pub(super) fn new(state: State) -> Self {
        Self(Arc::new(Inner { state, flat: Arc::default() }))
    }

    /// The state of an image that nothing has run on.
    pub(super) fn of_image(image: Arc<Image>, fs: Fs) -> Self {
        let (memory_bytes, globals) = (image.byte_len(), image.globals.clone());
        let (delta, clock) = (PageMap::default(), ClockReading::default());
        Self::new(State { image, delta, memory_bytes, globals, fs, clock, count: 0, born: true })
    }

    pub(super) fn state(&self) -> &State {
        &self.0.state
    }

    /// Whether it is the very same checkpoint.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The same state for a fork: whoever goes on from it gets random numbers of its own.
    pub fn forked(&self) -> Self {
        self.like(State { born: true, ..self.0.state.clone() })
    }

    /// The same state with other files.
    pub(super) fn with_fs(&self, fs: Fs) -> Self {
        self.like(State { fs, ..self.0.state.clone() })
    }

    /// Another state of the same memory.
    fn like(&self, state: State) -> Self {
        Self(Arc::new(Inner { state, flat: Arc::clone(&self.0.flat) }))
    }

    /// Cells run so far.
    pub fn count(&self) -> u64 {
        self.0.state.count
    }

    /// Bytes of linear memory.
    pub fn memory_bytes(&self) -> usize {
        self.0.state.memory_bytes
    }

    /// Pages in which the memory differs from its image: what the checkpoint costs.
    pub fn delta_pages(&self) -> usize {
        self.0.state.delta.len()
    }

    /// Bytes of memory that this state takes beside `other`, with which it may share pages and pieces of files.
    pub fn bytes_beyond(&self, other: Option<&Self>) -> u64 {
        let state = self.state();
        let other = other.map(Self::state).filter(|other| Arc::ptr_eq(&other.image, &state.image));
        let empty = PageMap::default();
        let pages = state.delta.difference(other.map_or(&empty, |other| &other.delta));
        let pages = pages.filter(|number| state.delta.get(*number).is_some()).count();
        let flat = self.0.flat.get().map_or(0, |image| image.byte_len());
        let files = state.fs.bytes_beyond(other.map(|other| &other.fs));
        (pages.saturating_mul(PAGE_BYTES).saturating_add(flat) as u64).saturating_add(files)
    }

    /// How many pages a kernel in the state `other` has to change to come to this one; none where they are of different
    /// images.
    pub fn distance(&self, other: &Self) -> Option<usize> {
        let (state, other) = (self.state(), other.state());
        Arc::ptr_eq(&state.image, &other.image).then(|| state.delta.difference(&other.delta).count())
    }

    /// The same state in the form that is fastest to restore into another slot.
    ///
    /// # Errors
    /// What the system says when memory for an image runs out.
    pub(super) fn for_restore(&self) -> io::Result<Self> {
        let Inner { state, flat } = &*self.0;
        if state.delta.len() <= FLATTEN_PAGES {
            return Ok(self.clone());
        }
        let image = match flat.get() {
            Some(image) => Arc::clone(image),
            None => {
                let image = Image::flatten(&state.image, &state.delta, state.memory_bytes, state.globals.clone())?;
                // Two at once make two images of the same bytes; the first stays.
                Arc::clone(flat.get_or_init(|| Arc::new(image)))
            }
        };
        Ok(Self::new(State { image, delta: PageMap::default(), ..state.clone() }))
    }
}
